package testdb_test

import (
	"context"
	"os"
	"strings"
	"strconv"
	"path/filepath"
	"testing"
	"time"
	"fmt"

	"github.com/jackc/pgx/v5"
	"clerksync/shared/testkit/testdb"
)

// cpu of all processes in the session of the postmaster + self, in ticks
func cpu() float64 {
	sum := 0.0
	dirs, _ := filepath.Glob("/sys/fs/cgroup/cpuacct/"+os.Getenv("CG")+"/cpuacct.usage")
	for _, d := range dirs {
		b, _ := os.ReadFile(d)
		v, _ := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
		sum += v / 1e6
	}
	return sum
}

func measure(name string, n int, f func()) {
	c, s := cpu(), time.Now()
	for range n { f() }
	fmt.Printf("%-30s %8.2f ms cpu %8.2f ms wall each\n", name, (cpu()-c)/float64(n), time.Since(s).Seconds()*1000/float64(n))
}

func TestScratch(t *testing.T) {
	measure("start+template+first db", 1, func() { testdb.New(t) })
	t.Run("x", func(t *testing.T) { measure("new db", 40, func() { testdb.New(t) }); })
	measure("new+drop", 40, func() { t.Run("x", func(t *testing.T) { testdb.New(t) }) })
	measure("new+conn+drop", 40, func() { t.Run("x", func(t *testing.T) { db := testdb.New(t); db.Conn(t, db.Owner()) }) })
	db := testdb.New(t)
	u := db.Owner()
	measure("connect+close", 200, func() { c, err := pgx.Connect(context.Background(), u); if err != nil { t.Fatal(err) }; c.Close(context.Background()) })
	measure("connect+select+close", 200, func() { c, err := pgx.Connect(context.Background(), u); if err != nil { t.Fatal(err) }; c.Exec(context.Background(), "select count(*) from public.users"); c.Close(context.Background()) })
	c := db.Conn(t, u)
	measure("select 1", 2000, func() { c.Exec(context.Background(), "select 1") })
	var sz int64
	c.QueryRow(context.Background(), "select pg_database_size(current_database())").Scan(&sz)
	fmt.Println("size", sz)
}

package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// clockTick is the unit of times in /proc: a hundredth of a second on every
// Linux (proc_pid_stat(5), sysconf(_SC_CLK_TCK)).
const clockTick = 10 * time.Millisecond

// serverCPU is how long all processes of a PostgreSQL have been on a processor so
// far, those included that have ended. It is 0 where there is no /proc.
func serverCPU(b *testing.B, conn *pgx.Conn) time.Duration {
	b.Helper()
	var directory string
	if err := conn.QueryRow(b.Context(), `show data_directory`).Scan(&directory); err != nil {
		b.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(directory, "postmaster.pid"))
	if err != nil {
		b.Fatal(err)
	}
	postmaster, _, _ := strings.Cut(string(lock), "\n")
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	var ticks int64
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// The command's name is in parentheses, and may hold anything.
		_, rest, _ := bytes.Cut(text, []byte(") "))
		var state, parent string
		var skipped [9]int64
		var user, system, childUser, childSystem int64
		if _, err := fmt.Sscan(string(rest), &state, &parent, &skipped[0], &skipped[1], &skipped[2], &skipped[3], &skipped[4],
			&skipped[5], &skipped[6], &skipped[7], &skipped[8], &user, &system, &childUser, &childSystem); err != nil {
			continue // a line that was read while its process ended
		}
		switch {
		case filepath.Base(filepath.Dir(file)) == postmaster:
			ticks += user + system + childUser + childSystem
		case parent == postmaster:
			ticks += user + system
		}
	}
	return time.Duration(ticks) * clockTick
}

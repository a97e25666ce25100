package rules_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// recipe is the SQL of a section of docs/sync-rules.md, block by block.
func recipe(t *testing.T, heading string) []string {
	t.Helper()
	page, err := os.ReadFile("../../docs/sync-rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n### "+heading+"\n")
	if !found {
		t.Fatalf("docs/sync-rules.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n##")
	var blocks []string
	for _, block := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(section, -1) {
		blocks = append(blocks, block[1])
	}
	return blocks
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestRecipe_WhenClerkDeletes(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer := db.Conn(t, db.Owner()), db.Conn(t, db.Writer())
	for _, sql := range recipe(t, "When Clerk deletes, do something of your own") {
		run(t, owner, sql)
	}
	run(t, owner, `select clerk_sync.apply_users('[`+userAs("user_a", "A", 10)+`]', array[10])`)
	for _, sql := range []string{
		`select clerk_sync.tombstone_users('{user_a}', to_timestamp(20))`,
		`select clerk_sync.tombstone_users('{user_never_known}', to_timestamp(21))`,
		`select clerk_sync.tombstone_users('{user_a}', to_timestamp(19))`, // told an earlier time
	} {
		run(t, writer, sql)
	}
	if got := lines(t, owner, `select clerk_id from public.users_to_erase order by 1`); !slices.Equal(got, []string{"user_a", "user_never_known"}) {
		t.Errorf("to erase: %v, want each deleted user once", got)
	}
}

func TestRecipe_ProfileRows(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer := db.Conn(t, db.Owner()), db.Conn(t, db.Writer())
	blocks := recipe(t, "Profile rows of your own")
	if len(blocks) != 2 {
		t.Fatalf("the recipe has %d blocks, want the table and the trigger", len(blocks))
	}
	left := func() string {
		return strings.Join(lines(t, owner, `select clerk_id from public.users union all select 'profile of ' || clerk_id from public.profiles order by 1`), ", ")
	}
	users := `select clerk_sync.apply_users('[` + userAs("user_a", "A", 10) + `,` + userAs("user_b", "B", 10) + `]', array[10])`
	run(t, owner, blocks[0])
	run(t, owner, users)
	run(t, owner, `insert into public.profiles values ('user_a', 'a bio'), ('user_b', 'a bio')`)
	run(t, writer, `select clerk_sync.tombstone_users('{user_a}', now() - interval '1 year')`)
	run(t, writer, `select clerk_sync.purge()`)
	if got := left(); got != "profile of user_a, profile of user_b, user_a, user_b" {
		t.Errorf("without the trigger there is %s, want everything", got)
	}

	run(t, owner, blocks[1])
	run(t, writer, `select clerk_sync.tombstone_users('{user_b}', now() - interval '1 year')`)
	if got := left(); got != "profile of user_a, user_a, user_b" {
		t.Errorf("after the deletion there is %s, want no profile of user_b", got)
	}
	run(t, writer, `select clerk_sync.purge()`)
	if got := left(); got != "profile of user_a, user_a" {
		t.Errorf("after the purge there is %s, want user_a and its profile", got)
	}
}

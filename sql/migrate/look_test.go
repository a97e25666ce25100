package migrate_test

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

// rights.txt is for people to read and for reviews, too: a change of who may do what shows
// there. It holds in every regime of default privileges, with every choice of schemas and
// in every major version.
func TestSchemaDump_RightsAreWhatTheStepsGive(t *testing.T) {
	t.Parallel()
	const path = "rights.txt"
	for name, options := range map[string][]testdb.Option{
		"the usual":                nil,
		"projects that grant much": {testdb.WithRegime(postgres.Legacy)},
		"other schemas":            {testdb.WithSchema("Copy of Clerk"), testdb.WithHelpers("clerk_claims")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, options...)
			conn := db.Conn(t, db.Writer())
			used, err := migrate.Look(t.Context(), conn)
			if err != nil {
				t.Fatal(err)
			}
			list, err := migrate.Rights(t.Context(), conn, used)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(list, "\n") + "\n"
			if *update && name == "the usual" {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" && !*update {
				t.Errorf("rights differ; run \"make schema\" and review the difference (-committed +now):\n%s", diff)
			}
		})
	}
}

func TestChangedRights_NamesWhatWasChangedByHand(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Writer())
	missing, added, err := migrate.ChangedRights(t.Context(), conn, migrate.Options{})
	if err != nil || len(missing)+len(added) > 0 {
		t.Fatalf("of a database just migrated: missing %v, added %v, %v", missing, added, err)
	}
	owner := db.Conn(t, db.Owner())
	for _, sql := range []string{
		`alter table public.users disable row level security`,
		`revoke execute on function clerk_sync.last_event_at() from clerksync_writer`,
		`grant select on public.organizations to anon`,
		`grant update (email) on public.users to authenticated`,
		`grant execute on function clerk_sync.purge(integer) to public`,
		`create policy everything on public.users_public to anon using (true)`,
		`alter policy users_read_own on public.users using (true)`,
		// Who reads users_public is a choice.
		`create policy everyone on public.users_public for select to anon using (true)`, `grant select on public.users_public to anon`,
		`grant select on public.users to authenticator`, // the team's own affair
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	missing, added, err = migrate.ChangedRights(t.Context(), conn, migrate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantMissing := []string{
		"execute of clerk_sync.last_event_at() by clerksync_writer", "policy users_read_own on public.users for select to authenticated, condition",
		"row security of public.users",
	}
	wantAdded := []string{
		"execute of clerk_sync.purge(most integer) by everybody", "policy everything on public.users_public for all to anon, condition",
		"policy users_read_own on public.users for select to authenticated, condition",
		"select on public.organizations to anon", "update on public.users (email) to authenticated",
	}
	// The condition's own sum is rights.txt's affair.
	missing, added = withoutSums(missing), withoutSums(added)
	if diff := cmp.Diff(wantMissing, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantAdded, added); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
}

func withoutSums(lines []string) []string {
	sum := regexp.MustCompile(`(condition) [0-9a-f]{8}$`)
	for i, line := range lines {
		lines[i] = sum.ReplaceAllString(line, "$1")
	}
	return lines
}

func TestLook_SaysWhatTheDatabaseHas(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options []testdb.Option
		sql     string
		want    error
	}{
		"everything":               {nil, ``, nil},
		"nothing":                  {[]testdb.Option{testdb.WithoutMigrations()}, ``, migrate.ErrNotMigrated},
		"the team's own users":     {[]testdb.Option{testdb.WithoutMigrations()}, `create table public.users (id int)`, migrate.ErrTaken},
		"a file less":              {nil, `delete from clerk_sync.migrations where version = 6`, migrate.ErrPending},
		"another file":             {nil, `update clerk_sync.migrations set checksum = 'x' where version = 2`, migrate.ErrChanged},
		"a file more":              {nil, `insert into clerk_sync.migrations (version, name, checksum) values (99, '0099_later', 'x')`, migrate.ErrUnknown},
		"other rules":              {nil, `update clerk_sync.rules set checksum = 'x'`, migrate.ErrPending},
		"later rules":              {nil, `update clerk_sync.rules set revision = 9001`, migrate.ErrUnknown},
		"before the first release": {[]testdb.Option{testdb.WithoutMigrations()}, `create schema clerk_sync`, migrate.ErrUnreleased},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, test.options...)
			if test.sql != "" {
				if _, err := db.Conn(t, db.Owner()).Exec(t.Context(), test.sql); err != nil {
					t.Fatal(err)
				}
			}
			login := db.Owner()
			if test.options == nil {
				login = db.Writer()
			}
			if _, err := migrate.Look(t.Context(), db.Conn(t, login)); !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

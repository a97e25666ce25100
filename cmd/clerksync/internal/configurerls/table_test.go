package configurerls

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/finding"
	"clerksync/shared/rls"
	"clerksync/shared/testkit/testdb"
)

// rowSecurity is what there is to see of row level security in public and app:
// what is switched on, the policies, the grants and the indexes made for it.
func rowSecurity(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var text string
	if err := conn.QueryRow(t.Context(), `
		select coalesce(string_agg(line, e'\n' order by line), '') from (
			select format('%s rls %s', oid::regclass, relrowsecurity) from pg_class where relkind in ('r', 'p') and relnamespace::regnamespace::text in ('public', 'app')
			union all select format('%s %s %s', polrelid::regclass, polname, pg_get_expr(polqual, polrelid)) from pg_policy
			union all select format('%s %s', indexrelid::regclass, indrelid::regclass) from pg_index where indexrelid::regclass::text like '%clerksync%'
			union all select format('%s.%s %s %s', table_schema, table_name, grantee, privilege_type) from information_schema.role_table_grants where table_schema in ('public', 'app')
		) as all_lines (line)`).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// configure is a command line of configure-rls.
func configure(t *testing.T, settings map[string]string, args ...string) clitest.Result {
	t.Helper()
	return clerksync(t, settings, append([]string{"configure-rls"}, args...)...)
}

func TestConfigureRLS_PrintsSQLThatAnotherRunFindsDone(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.NotesSQL)
	before := rowSecurity(t, conn)
	got := configure(t, settings, "public.notes", "--pattern", "owner")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "create policy clerksync_select on public.notes") || !strings.Contains(got.Stderr, "--apply") {
		t.Fatalf("owner: exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	if strings.Contains(got.Stdout, "clerksync:") && !strings.Contains(got.Stdout, "'clerksync: owner'") {
		t.Errorf("stdout is no script:\n%s", got.Stdout)
	}
	if after := rowSecurity(t, conn); after != before {
		t.Errorf("printing changed the database to\n%s", after)
	}
	clitest.Execute(t, conn, got.Stdout)
	if got = configure(t, settings, "notes", "--pattern", "owner"); got.Code != commandline.ExitOK || got.Stdout != "" || !strings.Contains(got.Stderr, "nothing to do") {
		t.Errorf("again: %+v, want nothing to do", got)
	}
	if got = configure(t, settings, "table", "notes", "--pattern", "owner"); got.Code != commandline.ExitOK || got.Stdout != "" {
		t.Errorf("with the command's name: %+v, want nothing to do", got)
	}
}

func TestConfigureRLS_AppliesWhatItShowsAndDropsIt(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.NotesSQL)
	got := configure(t, settings, "public.notes", "--pattern", "owner", "--apply")
	if got.Code != commandline.ExitOK || got.Stdout != "" {
		t.Fatalf("--apply: %+v", got)
	}
	for _, want := range []string{"\n+ create policy clerksync_select on public.notes\n    for select to authenticated\n    using", "clerksync: applied "} {
		if !strings.Contains(got.Stderr, want) {
			t.Errorf("stderr is\n%s\nwant %q in it", got.Stderr, want)
		}
	}
	if state := rowSecurity(t, conn); !strings.Contains(state, "notes rls t") || !strings.Contains(state, "notes clerksync_delete") {
		t.Errorf("applied, the database has\n%s", state)
	}

	// Removing needs a word, since there is nobody to ask.
	applied := rowSecurity(t, conn)
	got = configure(t, settings, "public.notes", "--drop", "--apply")
	if got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "− drop policy clerksync_select on public.notes;") || !strings.Contains(got.Stderr, "--yes") {
		t.Errorf("--drop without --yes: %+v, want what would go and exit 2", got)
	}
	if state := rowSecurity(t, conn); state != applied {
		t.Errorf("refused, it changed the database to\n%s", state)
	}
	if got = configure(t, settings, "public.notes", "--drop", "--apply", "--yes"); got.Code != commandline.ExitOK {
		t.Errorf("--drop --yes: %+v", got)
	}
	if state := rowSecurity(t, conn); strings.Contains(state, "notes clerksync_") {
		t.Errorf("dropped, the database has\n%s", state)
	}
	if got = configure(t, settings, "public.notes", "--drop", "--apply"); got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "nothing to do") {
		t.Errorf("--drop again: %+v, want nothing to do", got)
	}
}

func TestConfigureRLS_HandsOverWhatTheFlagsSay(t *testing.T) {
	t.Parallel()
	settings, _ := clitest.Project(t, clitest.NotesSQL+`
		create table public.docs (id int primary key, org_id text not null, created_by text, who text, state text);
		create policy open on public.docs using (true);
		create schema storage;
		create table storage.objects (id uuid primary key, bucket_id text, name text, owner_id text);
		alter table storage.objects enable row level security;`)
	tests := []struct {
		args []string
		want []string // parts of the script
		not  string   // not in it
	}{
		{[]string{"notes", "--select", "published or owner", "--insert", "owner", "--anon"}, []string{"--   select  published or owner\n", "--   update  nobody\n", "for select to anon\n  using (published)"}, "for update"},
		{[]string{"notes", "--pattern", "published-or-own", "--published", "body=live"}, []string{"body = 'live'"}, ""},
		{[]string{"notes", "--pattern", "owner", "--require", "active-session", "--require", "second-factor(10):write"}, []string{"as restrictive", "session_is_active", "has_second_factor(10)"}, ""},
		{[]string{"docs", "--pattern", "organization", "--organizations", "both", "--replace"}, []string{"clerk.org_id()", "clerk.my_org_ids()", "drop policy open on public.docs"}, ""},
		{[]string{"docs", "--pattern", "organization", "--org-column", "who", "--replace"}, []string{"who = any"}, "org_id = any"},
		{[]string{"docs", "--pattern", "owner", "--owner-column", "who", "--replace", "--no-default", "--no-index", "--no-service"}, []string{"who = (select clerk.user_id())"}, "service_role"},
		{[]string{"docs", "--pattern", "owner", "--owner-column", "who", "--replace", "--no-default"}, []string{"create index"}, "set default"},
		{[]string{"docs", "--pattern", "owner", "--owner-column", "who", "--replace", "--no-index"}, []string{"set default clerk.user_id()"}, "create index"},
		{[]string{"docs", "--pattern", "role-based", "--roles", "admin,editor", "--permissions", "org:docs:manage", "--replace"}, []string{"'org:admin', 'org:editor'", "'org:docs:manage'"}, ""},
		{[]string{"docs", "--pattern", "role-based", "--app-roles", "staff", "--claim", "metadata.role", "--replace"}, []string{"array['metadata', 'role']", "array['staff']"}, ""},
		{[]string{"notes", "--pattern", "public-profile", "--public-columns", "body"}, []string{"create table public.notes_public"}, ""},
		{[]string{"storage.objects", "--pattern", "owner", "--bucket", "avatars"}, []string{"bucket_id = 'avatars' and owner_id = "}, ""},
		{[]string{"users_public", "--select", "everyone"}, []string{"to anon, authenticated"}, ""},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			got := configure(t, settings, test.args...)
			if got.Code != commandline.ExitOK {
				t.Fatalf("configure-rls %q: exit %d\n%s", test.args, got.Code, got.Stderr)
			}
			for _, want := range test.want {
				if !strings.Contains(got.Stdout, want) {
					t.Errorf("configure-rls %q prints\n%s\nwant %q in it", test.args, got.Stdout, want)
				}
			}
			if test.not != "" && strings.Contains(got.Stdout, test.not) {
				t.Errorf("configure-rls %q prints\n%s\nwant no %q in it", test.args, got.Stdout, test.not)
			}
		})
	}
}

// None of it needs a database to be found out.
func TestConfigureRLS_RefusesWrongUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args []string
		want string // part of stderr
	}{
		{nil, "<table>"},
		{[]string{"notes"}, "nothing is asked for"},
		{[]string{"notes", "--pattern", "owned"}, "public-profile"},
		{[]string{"notes", "--pattern="}, "there is no pattern"},
		{[]string{"notes", "--select", "owner or"}, "it ends too soon"},
		{[]string{"notes", "--select", "owner); drop table notes; --"}, "left over"},
		{[]string{"notes", "--select", "member(a'b)"}, "cannot be part of a name"},
		{[]string{"notes", "--insert", "everyone"}, "everyone would write"},
		{[]string{"notes", "--require", "third-factor"}, "active-session"},
		{[]string{"notes", "--require", "second-factor(0)"}, "minutes"},
		{[]string{"notes", "--pattern", "owner", "--owner-column="}, "it is empty"},
		{[]string{"notes", "--pattern", "role-based", "--roles="}, "--roles: it is empty"},
		{[]string{"notes", "--pattern", "role-based", "--roles", "admin,,owner"}, "it is empty"},
		{[]string{"notes", "--pattern", "owner", "--organizations", "all"}, "mirrored"},
		{[]string{"notes", "--pattern", "owner", "--roles", "admin"}, "role-based"},
		{[]string{"notes", "--pattern", "role-based", "--app-roles", "x", "--claim", "unsafe_metadata.role"}, "unsafe_metadata"},
		{[]string{"notes", "--pattern", "owner", "--bucket", "b"}, "bucket"},
		{[]string{"storage.objects", "--pattern", "owner"}, "bucket"},
		{[]string{"notes", "--drop", "--pattern", "owner"}, "cannot be combined"},
		{[]string{"notes", "--drop", "--replace"}, "nothing to choose"},
		{[]string{"notes", "--pattern", "owner", "--apply", "--migration"}, "can't be used together"},
		{[]string{"notes", "--pattern", "owner", "--dir", "x"}, "--migration"},
		{[]string{"notes", "--pattern", "owner", "--yes"}, "--apply"},
		{[]string{"no tes", "--pattern", "owner"}, "double quotes"},
		{[]string{"notes; drop table notes", "--pattern", "owner"}, "double quotes"},
		{[]string{`"notes`, "--pattern", "owner"}, "not closed"},
		{[]string{"a.b.c", "--pattern", "owner"}, "schema.table"},
		{[]string{"notes", "posts", "--pattern", "owner"}, "unexpected argument"},
		{[]string{"lint", "notes"}, "unexpected argument"},
		{[]string{"lint", "--level", "info"}, "warn"},
		{[]string{"--pattern", "owner", "lint"}, "--pattern"},
		{[]string{"test"}, "<table>"},
		{[]string{"test", "no tes"}, "double quotes"},
		{[]string{"test", "notes", "--expect", "/nowhere/rls.expect"}, "/nowhere/rls.expect"},
		{[]string{"test", "notes", "--expect", "configurerls.go", "--write", "x"}, "can't be used together"},
		{[]string{"test", "notes", "docs", "--owner-column", "x"}, "one by one"},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			got := configure(t, nil, test.args...)
			if got.Code != commandline.ExitUsage || got.Stdout != "" || !strings.Contains(got.Stderr, test.want) {
				t.Errorf("configure-rls %q = %+v, want wrong usage with %q", test.args, got, test.want)
			}
		})
	}
}

// What the database has, or lacks, is a finding with a remedy: exit 1, no script,
// nothing changed.
func TestConfigureRLS_SaysWhatHasToBeMended(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	super, settings := db.Conn(t, db.Superuser()), map[string]string{"DATABASE_URL": db.Owner()}
	clitest.Execute(t, super, `create foreign data wrapper nothing; create server elsewhere foreign data wrapper nothing; grant usage on foreign server elsewhere to supabase_postgres`)
	conn := db.Conn(t, db.Owner())
	clitest.Execute(t, conn, clitest.NotesSQL+`
		create view public.shown as select * from public.notes;
		create materialized view public.kept as select * from public.notes;
		create table public.parts (owner_id text) partition by list (owner_id);
		create table public.part partition of public.parts default;
		create foreign table public.far (owner_id text) server elsewhere;
		create table public."Memos" (owner_id text not null);
		create table public."; drop table notes; --" (user_id uuid not null default auth.uid());
		create table public.old (user_id uuid not null default auth.uid());
		create table public.taken (owner_id text not null);
		create policy clerksync_select on public.taken using (true);
		create table public.numbers (owner_id int not null);`)
	before := rowSecurity(t, conn)
	tests := []struct {
		table string
		want  []string // parts of stderr
	}{
		{"nots", []string{"fail  There is no such table", "did you mean public.notes?", "rls.table.missing"}},
		{"memos", []string{`did you mean public."Memos"?`}},
		{"shown", []string{"security_invoker = true"}},
		{"kept", []string{"materialized view"}},
		{"far", []string{"foreign table"}},
		{"part", []string{"Run configure-rls on public.parts"}},
		{"clerk_sync.webhook_events", []string{"not for applications"}},
		{"pg_catalog.pg_class", []string{"platform"}},
		{"users", []string{"The copy has its own policies"}},
		{`"; drop table notes; --"`, []string{`alter table public."; drop table notes; --" alter column user_id drop default;`}},
		// Each line of a remedy stands by itself, to be copied.
		{"old", []string{"22P02", "\n        alter table public.old alter column user_id drop default;\n        alter table public.old alter column user_id type text using user_id::text;\n"}},
		{"taken", []string{"rename to own_clerksync_select;"}},
		{"numbers", []string{"rls.column.type"}},
	}
	for _, test := range tests {
		for _, mode := range [][]string{nil, {"--apply", "--yes"}, {"--migration", "--dir", t.TempDir()}} {
			got := configure(t, settings, append([]string{test.table, "--pattern", "owner"}, mode...)...)
			for _, want := range append(test.want, "to mend first; nothing was changed") {
				if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, want) {
					t.Errorf("configure-rls %s %q = %+v, want exit 1 and %q", test.table, mode, got, want)
				}
			}
		}
	}
	if after := rowSecurity(t, conn); after != before {
		t.Errorf("refused, it changed the database to\n%s", after)
	}
}

func TestConfigureRLS_TakesOddTables(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, `
		create table public."Odd ""Name; --" (id int primary key, "User Id" text not null);
		create table public.parts (owner_id text) partition by list (owner_id);
		create table public.part partition of public.parts default;
		create schema app; create table app.test (owner_id text not null);
		create table public.lint (owner_id text not null); create table public.audit (owner_id text not null);`)
	for _, args := range [][]string{
		{`"Odd ""Name; --"`, "--owner-column", "User Id"},
		{"parts"},
		{"app.test"},
		{"public.lint"},
		{"public.audit"},
	} {
		got := configure(t, settings, append(args, "--pattern", "owner", "--apply")...)
		if got.Code != commandline.ExitOK {
			t.Errorf("configure-rls %q --apply: %+v", args, got)
		}
		if hidden := strings.Contains(got.Stderr, "does not serve the schema"); hidden != (args[0] == "app.test") {
			t.Errorf("configure-rls %q warns of a schema that is not exposed: %t", args, hidden)
		}
		got = configure(t, settings, append(args, "--pattern", "owner", "--apply", "--exposed", "public,app")...)
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "nothing to do") || strings.Contains(got.Stderr, "does not serve the schema") {
			t.Errorf("configure-rls %q --apply again: %+v", args, got)
		}
	}
	for _, want := range []string{"parts rls t", "part rls t", "app.test rls t", "lint rls t", `"Odd ""Name; --" rls t`} {
		if state := rowSecurity(t, conn); !strings.Contains(state, want) {
			t.Errorf("the database has\n%s\nwant %q", state, want)
		}
	}
}

func TestConfigureRLS_AsJSONIsOneObject(t *testing.T) {
	t.Parallel()
	settings, _ := clitest.Project(t, clitest.NotesSQL+`create table public.old (user_id uuid)`)
	dir := t.TempDir()
	tests := []struct {
		args  []string
		code  int
		check func(plannedTable) bool
	}{
		{[]string{"notes", "--pattern", "owner"}, commandline.ExitOK, func(p plannedTable) bool {
			return p.Table == "public.notes" && len(p.Statements) > 5 && strings.Contains(p.SQL, p.Statements[0].SQL) && p.Rules["select"] == "owner" && !p.Applied
		}},
		{[]string{"old", "--pattern", "owner"}, commandline.ExitFailed, func(p plannedTable) bool {
			return len(p.Statements) == 0 && finding.Failed(p.Findings) && p.SQL == ""
		}},
		{[]string{"notes", "--pattern", "owner", "--migration", "--dir", dir}, commandline.ExitOK, func(p plannedTable) bool { return strings.HasPrefix(p.Migration, dir) }},
		{[]string{"notes", "--pattern", "owner", "--apply"}, commandline.ExitOK, func(p plannedTable) bool { return p.Applied && len(p.Statements) > 5 }},
		{[]string{"notes", "--pattern", "owner", "--apply"}, commandline.ExitOK, func(p plannedTable) bool { return !p.Applied && p.Statements != nil && len(p.Statements) == 0 }},
		{[]string{"notes", "--drop", "--apply"}, commandline.ExitUsage, func(p plannedTable) bool { return !p.Applied && p.Statements[0].Removes }},
	}
	for _, test := range tests {
		got := configure(t, settings, append(test.args, "--json")...)
		var planned plannedTable
		if err := json.Unmarshal([]byte(got.Stdout), &planned); err != nil {
			t.Fatalf("configure-rls %q --json: %+v, %v", test.args, got, err)
		}
		if got.Code != test.code || !test.check(planned) || planned.Findings == nil {
			t.Errorf("configure-rls %q --json: exit %d, want %d\n%s%s", test.args, got.Code, test.code, got.Stdout, got.Stderr)
		}
		if strings.Count(got.Stdout, "\n") != 1 || strings.Contains(got.Stderr, "rls.") {
			t.Errorf("configure-rls %q --json: want one line, and findings in it only: %+v", test.args, got)
		}
	}
}

func TestConfigureRLS_WritesAMigrationBehindTheOthers(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.NotesSQL)
	dir := filepath.Join(t.TempDir(), "supabase", "migrations")
	args := []string{"notes", "--pattern", "owner", "--migration", "--dir", dir}
	got := configure(t, settings, args...)
	path := strings.TrimSpace(got.Stdout)
	if got.Code != commandline.ExitOK || !regexp.MustCompile(`^20\d{12}_clerksync_rls_public_notes\.sql$`).MatchString(filepath.Base(path)) || filepath.Dir(path) != dir {
		t.Fatalf("--migration: %+v, want a path in %s", got, dir)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if printed := configure(t, settings, "notes", "--pattern", "owner").Stdout; string(text) != printed {
		t.Errorf("the file has\n%s\nwant what is printed:\n%s", text, printed)
	}

	// The same again would fail where the first one was applied.
	if got = configure(t, settings, args...); got.Code != commandline.ExitOK || got.Stdout != "" || !strings.Contains(got.Stderr, path) {
		t.Errorf("--migration again: %+v, want the file named and none written", got)
	}
	// What is asked for now is not what the file says. A migration from a machine whose clock is ahead stays before it.
	if err := os.WriteFile(filepath.Join(dir, "29990101000000_later.sql"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got = configure(t, settings, append(args, "--require", "active-session")...)
	if want := filepath.Join(dir, "29990101000001_clerksync_rls_public_notes.sql"); strings.TrimSpace(got.Stdout) != want {
		t.Errorf("another migration: %+v, want %s", got, want)
	}
	clitest.Execute(t, conn, string(text))
	if got = configure(t, settings, args...); got.Code != commandline.ExitOK || got.Stdout != "" || !strings.Contains(got.Stderr, "nothing to do") {
		t.Errorf("applied: %+v, want nothing to do", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("the folder has %v, %v, want three files", entries, err)
	}
}

func TestConfigureRLS_AMigrationStaysInItsFolder(t *testing.T) {
	t.Parallel()
	settings, _ := clitest.Project(t, `create table public."../../x y/Ä" (owner_id text not null)`)
	dir := t.TempDir()
	got := configure(t, settings, `"../../x y/Ä"`, "--pattern", "owner", "--migration", "--dir", dir)
	if path := strings.TrimSpace(got.Stdout); got.Code != commandline.ExitOK || filepath.Dir(path) != dir || !strings.HasSuffix(path, "_clerksync_rls_public_______x_y__.sql") {
		t.Errorf("--migration: %+v, want a file in %s", got, dir)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got = configure(t, settings, `"../../x y/Ä"`, "--pattern", "owner", "--migration", "--dir", file); got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, "writing a migration") {
		t.Errorf("a folder that is a file: %+v", got)
	}
}

// on runs a command line at a terminal, where input is typed.
func on(ctx context.Context, settings map[string]string, input io.Reader, args ...string) clitest.Result {
	return clitest.On[program](ctx, console.Console{Stdin: input, StdoutTTY: true, StderrTTY: true}, settings, append([]string{"configure-rls"}, args...)...)
}

func TestConfigureRLS_AsksBeforeItRemoves(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.NotesSQL)
	// Nothing goes, so nobody is asked.
	if got := on(t.Context(), settings, strings.NewReader(""), "notes", "--pattern", "owner", "--apply"); got.Code != commandline.ExitOK || strings.Contains(got.Stderr, "Go on?") {
		t.Fatalf("--apply: %+v", got)
	}
	applied := rowSecurity(t, conn)
	for _, answer := range []string{"n\n", "\n", "", "yeah\n"} {
		got := on(t.Context(), settings, strings.NewReader(answer), "notes", "--drop", "--apply")
		if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "Go on? [y/N]") || !strings.Contains(got.Stderr, "not confirmed; nothing was changed") {
			t.Errorf("answered %q: %+v", answer, got)
		}
	}
	ctx, interrupt := context.WithCancel(t.Context())
	waiting, typed := io.Pipe()
	defer typed.Close()
	if got := on(ctx, settings, interruptWhenRead{waiting, interrupt}, "notes", "--drop", "--apply"); got.Code != commandline.ExitInterrupted || !strings.Contains(got.Stderr, "nothing is left half-done") {
		t.Errorf("interrupted: %+v, want exit 130", got)
	}
	if state := rowSecurity(t, conn); state != applied {
		t.Errorf("not confirmed, it changed the database to\n%s", state)
	}
	if got := on(t.Context(), settings, strings.NewReader("Y\n"), "notes", "--drop", "--apply"); got.Code != commandline.ExitOK {
		t.Errorf("confirmed: %+v", got)
	}
	if state := rowSecurity(t, conn); state == applied {
		t.Error("confirmed, it changed nothing")
	}
}

// interruptWhenRead is Ctrl-C in place of an answer.
type interruptWhenRead struct {
	io.Reader
	interrupt func()
}

func (r interruptWhenRead) Read(p []byte) (int, error) {
	r.interrupt()
	return r.Reader.Read(p)
}

// The last statements fail; the first ones are taken back with them.
func TestConfigureRLS_AFailedApplyLeavesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	conn := db.Conn(t, db.Superuser())
	clitest.Execute(t, conn, clitest.NotesSQL+`
		alter table public.notes owner to supabase_postgres;
		create function public.no_index() returns event_trigger language plpgsql as $$ begin raise 'no index today'; end $$;
		create event trigger no_index on ddl_command_end when tag in ('CREATE INDEX') execute function public.no_index();`)
	before := rowSecurity(t, conn)
	got := configure(t, settings, "notes", "--pattern", "owner", "--apply")
	if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, "nothing was changed") || !strings.Contains(got.Stderr, "create index") {
		t.Errorf("--apply: %+v, want the statement that failed", got)
	}
	if state := rowSecurity(t, conn); state != before {
		t.Errorf("failed, it changed the database to\n%s", state)
	}
}

func TestConfigureRLS_InterruptedWhileItWaitsLeavesNothing(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.NotesSQL)
	reader, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "select from public.notes"); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan clitest.Result, 1)
	go func() {
		done <- on(ctx, settings, strings.NewReader(""), "notes", "--pattern", "owner", "--apply")
	}()
	for waiting := false; !waiting; {
		if err := reader.QueryRow(t.Context(), "select exists (select from pg_locks where relation = 'public.notes'::regclass and not granted)").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	if got := <-done; got.Code != commandline.ExitInterrupted || !strings.Contains(got.Stderr, "nothing is left half-done") {
		t.Errorf("interrupted: %+v, want exit 130", got)
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if state := rowSecurity(t, conn); strings.Contains(state, "notes clerksync") {
		t.Errorf("interrupted, it changed the database to\n%s", state)
	}
}

func TestConfigureRLS_SaysWhatIsMissingAroundIt(t *testing.T) {
	t.Parallel()
	fresh := testdb.New(t, testdb.WithoutMigrations())
	clitest.Execute(t, fresh.Conn(t, fresh.Owner()), clitest.NotesSQL)
	migrated := testdb.New(t)
	clitest.Execute(t, migrated.Conn(t, migrated.Owner()), clitest.NotesSQL)
	tests := []struct{ name, url, want string }{
		{"not migrated", fresh.Owner(), "clerksync migrate up"},
		{"not the owner", migrated.Writer(), "Connect as supabase_postgres"},
		{"nobody there", "postgresql://u:topsecret@127.0.0.1:1/postgres", "nothing listens"},
		{"no setting", "", "DATABASE_URL"},
		{"no such database", strings.Replace(migrated.Owner(), migrated.Name(), "nowhere", 1), "there is no such database"},
		// A transaction pooler of which it is not known where its server is.
		{"no session", migrated.Owner() + "&pgbouncer=true", "session"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := configure(t, map[string]string{"DATABASE_URL": test.url}, "notes", "--pattern", "owner", "--apply")
			if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, test.want) || strings.Contains(got.Stderr, "topsecret") {
				t.Errorf("%s: %+v, want exit 1 with %q", test.name, got, test.want)
			}
		})
	}
}

func TestConfigureRLS_WorksThroughATransactionPooler(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	clitest.Execute(t, db.Conn(t, db.Owner()), clitest.NotesSQL+"grant select on public.notes to anon")
	settings := map[string]string{"DATABASE_URL": db.Pooled(t, db.Owner()) + "&pgbouncer=true"}
	if got := configure(t, settings, "notes", "--pattern", "owner"); got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "create policy") {
		t.Errorf("printing: %+v", got)
	}
	if got := configure(t, settings, "lint"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, "public.notes") {
		t.Errorf("lint: %+v", got)
	}
	if got := configure(t, settings, "test", "notes"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, "public.notes: table") {
		t.Errorf("test: %+v", got)
	}
}

func TestConfigureRLS_HostileNamesDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	quoted := pgx.Identifier{clitest.Hostile}.Sanitize()
	settings, conn := clitest.Project(t, "create table public."+quoted+" (owner_id text not null); create policy "+quoted+" on public."+quoted+" using (true)")
	orders := func(text string) bool { return strings.ContainsAny(text, "\x1b\a\r\u009b\u202e") }
	for _, args := range [][]string{
		{quoted, "--pattern", "owner"},                                      // a finding about the policy
		{quoted, "--pattern", "owner", "--replace"},                         // a script
		{quoted, "--pattern", "owner", "--replace", "--json"},               // JSON
		{quoted, "--pattern", "owner", "--replace", "--apply"},              // the difference
		{quoted, "--pattern", "owner", "--replace", "--apply", "--json"},    // and both
		{"xx", "--pattern", "owner"},                                        // a name that is similar
		{"lint"},                                                            // findings
		{"lint", "--json"},                                                  // and as JSON
		{quoted, "--pattern", "owner", "--migration", "--dir", t.TempDir()}, // a file's name
	} {
		got := on(t.Context(), map[string]string{"DATABASE_URL": settings["DATABASE_URL"], "NO_COLOR": "1"}, strings.NewReader("no\n"), args...)
		if orders(got.Stdout) || orders(got.Stderr) || strings.Contains(got.Stderr, "\nclerksync: all is well") {
			t.Errorf("configure-rls %q: %+v", args, got)
		}
	}
	// Piped, the script is exact.
	got := configure(t, settings, quoted, "--pattern", "owner", "--replace")
	if !orders(got.Stdout) || orders(got.Stderr) {
		t.Errorf("the script is %q, talk %q", got.Stdout, got.Stderr)
	}
	clitest.Execute(t, conn, got.Stdout)
	if got = configure(t, settings, quoted, "--pattern", "owner"); got.Code != commandline.ExitOK || got.Stdout != "" {
		t.Errorf("the script was run: %+v, want nothing to do", got)
	}
}

func TestFindings_AreColouredOnlyOnATerminalThatWantsThem(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	for name, test := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"a terminal":       {nil, true},
		"NO_COLOR":         {map[string]string{"NO_COLOR": "1"}, false},
		"an empty one":     {map[string]string{"NO_COLOR": ""}, true},
		"a dumb terminal":  {map[string]string{"TERM": "dumb"}, false},
		"another terminal": {map[string]string{"TERM": "xterm"}, true},
	} {
		settings := map[string]string{"DATABASE_URL": db.Owner()}
		maps.Copy(settings, test.env)
		got := on(t.Context(), settings, strings.NewReader(""), "nothing", "--pattern", "owner")
		if coloured := strings.Contains(got.Stderr, "\x1b[31mfail\x1b[0m"); coloured != test.want {
			t.Errorf("%s: %q, coloured: %t, want %t", name, got.Stderr, coloured, test.want)
		}
	}
	if got := configure(t, map[string]string{"DATABASE_URL": db.Owner()}, "nothing", "--pattern", "owner"); strings.Contains(got.Stderr, "\x1b") {
		t.Errorf("not a terminal: %q is coloured", got.Stderr)
	}
}

func TestConfigureRLS_HelpExplainsEveryWord(t *testing.T) {
	t.Parallel()
	got := configure(t, nil, "table", "--help")
	flat := strings.Join(strings.Fields(got.Stdout), " ")
	for _, list := range [][]rls.Word{rls.Patterns(), rls.Words(), rls.Restrictions()} {
		for _, word := range list {
			if got.Code != commandline.ExitOK || !strings.Contains(flat, " "+word.Name) || !strings.Contains(flat, word.Means) {
				t.Errorf("the help does not explain %s: %s", word.Name, word.Means)
			}
		}
	}
	got = configure(t, nil, "--help")
	for _, want := range []string{"configure-rls table", "configure-rls test", "configure-rls lint", "configure-rls audit tables", "configure-rls audit log", "--pattern owner --apply"} {
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, want) {
			t.Errorf("configure-rls --help = %+v, want %q in it", got, want)
		}
	}
	for line := range strings.Lines(clerksync(t, nil, "configure-rls", "table", "--help").Stdout) {
		if len([]rune(line)) > 121 {
			t.Errorf("a line of the help has %d letters: %q", len([]rune(line)), line)
		}
	}
}

func TestBounded_NamesTheLimit(t *testing.T) {
	t.Parallel()
	err := advise(t.Context(), connect.Within(t.Context(), "planning", time.Nanosecond, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}))
	if hint, ok := errors.AsType[*console.HintedError](err); !ok || !strings.Contains(err.Error(), "planning took longer than 1ns") || !strings.Contains(hint.Hint, "pg_stat_activity") {
		t.Errorf("a limit that is reached: %v, want it named and a hint", err)
	}
}

// In CI a name that was never right, or is not any more, would pass for ever.
func TestConfigureRLSLint_RefusesASchemaThatIsNotThere(t *testing.T) {
	t.Parallel()
	settings, _ := clitest.Project(t, "create schema app")
	for _, args := range [][]string{{"--schema", "pubic"}, {"--json", "--schema", "public,pubic"}, {"--schema", "app", "--schema", "Public"}} {
		got := configure(t, settings, append([]string{"lint"}, args...)...)
		if got.Code != commandline.ExitUsage || got.Stdout != "" || !strings.Contains(got.Stderr, "there is no schema ") || strings.Contains(got.Stderr, "schema app") {
			t.Errorf("lint %q: %+v, want wrong usage that names what is missing", args, got)
		}
	}
	if got := configure(t, settings, "lint", "--schema", "app"); got.Code != commandline.ExitOK {
		t.Errorf("lint --schema app: %+v", got)
	}
}

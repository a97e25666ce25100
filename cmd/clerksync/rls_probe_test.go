package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/shared/rls/probe"
	"clerksync/shared/testkit/testdb"
)

// ownNotesSQL is a table whose policies are in order.
const ownNotesSQL = notesSQL + `
	create index on public.notes (owner_id);
	alter table public.notes enable row level security;
	revoke all on public.notes from anon, authenticated;
	grant select on public.notes to authenticated;
	create policy own on public.notes for select to authenticated using (owner_id = (select clerk.user_id()));`

func TestConfigureRLSTest_ShowsWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	settings, conn := project(t, ownNotesSQL+`create table public.open (id int primary key, owner_id text); grant all on public.open to anon`)
	got := configure(t, settings, "test", "notes", "open", "notes")
	for _, want := range []string{"public.notes: table, row level security on", "public.open: table, row level security off", "let through by own", "missing grant: insert", "Personas"} {
		// The open one is a hole.
		if got.code != exitFailed || !strings.Contains(got.stdout, want) {
			t.Errorf("test: exit %d\n%s%s\nwant %q in it", got.code, got.stdout, got.stderr, want)
		}
	}
	if strings.Count(got.stdout, "public.notes: table") != 1 {
		t.Errorf("a table that is named twice is shown twice:\n%s", got.stdout)
	}
	// Findings look the same everywhere, and are talk.
	if !strings.Contains(got.stderr, "fail  Anybody can write without signing in\n      public.open, rls.probe.anonymous_write\n") || strings.Contains(got.stdout, "rls.probe") {
		t.Errorf("findings on stdout, or not on stderr:\n%s\n%s", got.stdout, got.stderr)
	}
	if got = configure(t, settings, "test", "notes", "--explain"); got.code != exitOK || !strings.Contains(got.stdout, "Plan of select as owner") {
		t.Errorf("--explain: %+v, want plans", got)
	}
	var rows int
	if err := conn.QueryRow(t.Context(), "select count(*) from public.notes").Scan(&rows); err != nil || rows > 0 {
		t.Errorf("the prober left %d rows, %v", rows, err)
	}
}

func TestConfigureRLSTest_TellsWhatChanged(t *testing.T) {
	t.Parallel()
	settings, conn := project(t, ownNotesSQL)
	file := filepath.Join(t.TempDir(), "rls.expect")
	if got := configure(t, settings, "test", "notes", "--write", file); got.code != exitOK || !strings.Contains(got.stderr, "wrote "+file) {
		t.Fatalf("--write: %+v", got)
	}
	expect := func(args ...string) result {
		return configure(t, settings, append([]string{"test", "notes", "--expect", file}, args...)...)
	}
	if got := expect(); got != (result{code: exitOK, stderr: "clerksync: as expected\n"}) {
		t.Errorf("unchanged: %+v", got)
	}
	if got := expect("--json"); got.code != exitOK || !strings.Contains(got.stdout, `"changes":[]`) {
		t.Errorf("unchanged, as JSON: %+v", got)
	}

	// More than is expected is as much of a difference as less.
	execute(t, conn, `create policy everybody on public.notes for select to authenticated using (true)`)
	got := expect()
	if got.code != exitFailed || !strings.Contains(got.stdout, "public.notes: select as other-user was ") || !strings.Contains(got.stderr, "differences from what "+file+" expects") || !strings.Contains(got.stderr, "--write") {
		t.Errorf("a policy more: %+v", got)
	}
	for line := range strings.Lines(got.stdout) {
		if !strings.HasPrefix(line, "public.notes: select as ") {
			t.Errorf("a policy more changes %q", line)
		}
	}
	var report probed
	if got = expect("--json"); json.Unmarshal([]byte(got.stdout), &report) != nil || got.code != exitFailed || len(report.Changes) == 0 || len(report.Tables) != 1 {
		t.Errorf("as JSON: %+v", got)
	}
	for _, change := range report.Changes {
		if change.Command != probe.Select || change.Was == "" || change.Is == "" {
			t.Errorf("as JSON, a policy more changes %+v", change)
		}
	}
	// A table that is not there any more, or was not named.
	execute(t, conn, `create table public.other (id int primary key, owner_id text)`)
	if got = configure(t, settings, "test", "other", "--expect", file); got.code != exitFailed || !strings.Contains(got.stdout, "is absent") || !strings.Contains(got.stdout, "was absent") {
		t.Errorf("another table: %+v", got)
	}
}

func TestConfigureRLSTest_EndsAsTheProbingDoes(t *testing.T) {
	t.Parallel()
	settings, conn := project(t, ownNotesSQL+`create table public.odd (who text, org text); create materialized view public.kept as select 1 as id`)
	broken := filepath.Join(t.TempDir(), "broken.expect")
	if err := os.WriteFile(broken, []byte("persona | select\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := rowSecurity(t, conn)
	for name, test := range map[string]struct {
		args           []string
		settings       map[string]string
		code           int
		stdout, stderr string // parts; empty means that nothing may be printed
	}{
		"no table":           {[]string{"nots"}, settings, exitFailed, "", "did you mean public.notes?"},
		"cannot be probed":   {[]string{"notes", "kept"}, settings, exitFailed, "public.notes: table", "1 table could not be probed: public.kept"},
		"no such column":     {[]string{"notes", "--owner-column", "who"}, settings, exitUsage, "", "no column who"},
		"another column":     {[]string{"odd", "--owner-column", "who", "--org-column", "org"}, settings, exitOK, "public.odd: table", "rls.probe"},
		"not the owner":      {[]string{"notes"}, map[string]string{"DATABASE_URL": strings.Replace(settings["DATABASE_URL"], "supabase_postgres", "clerksync_writer", 1)}, exitFailed, "", "connect as the role that owns the project"},
		"a broken file":      {[]string{"notes", "--expect", broken}, nil, exitUsage, "", "line 1"},
		"schema not exposed": {[]string{"notes", "--exposed", "app"}, settings, exitOK, "public.notes: table", "does not serve this schema"},
		"no place to write":  {[]string{"notes", "--write", t.TempDir()}, settings, exitFailed, "public.notes: table", "writing what is expected"},
	} {
		got := configure(t, test.settings, append([]string{"test"}, test.args...)...)
		if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) || (test.stdout == "") != (got.stdout == "") {
			t.Errorf("%s: test %q = %+v, want exit %d, %q and %q", name, test.args, got, test.code, test.stdout, test.stderr)
		}
	}
	if after := rowSecurity(t, conn); after != before {
		t.Errorf("probing changed the database to\n%s", after)
	}
}

// The prober waits for a lock when Ctrl-C comes.
func TestConfigureRLSTest_InterruptedLeavesNothing(t *testing.T) {
	t.Parallel()
	settings, conn := project(t, ownNotesSQL)
	writer, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(t.Context(), "lock table public.notes in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	var stdout, stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"configure-rls", "test", "notes"}, console{
			Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
			Lookup: func(key string) (string, bool) { value, ok := settings[key]; return value, ok },
		})
	}()
	for waiting := false; !waiting; {
		if err := writer.QueryRow(t.Context(), "select exists (select from pg_locks where relation = 'public.notes'::regclass and not granted)").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	if code := <-done; code != exitInterrupted || stdout.Len() > 0 || !strings.Contains(stderr.String(), "nothing is left half-done") {
		t.Errorf("interrupted: exit %d\n%s%s", code, stdout.String(), stderr.String())
	}
}

func TestConfigureRLSTest_HostileNamesDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	quoted := `"` + hostile + `"`
	settings, _ := project(t, "create table public."+quoted+" (id int primary key, owner_id text); grant select on public."+quoted+
		" to authenticated; alter table public."+quoted+" enable row level security; create policy "+quoted+" on public."+quoted+" using (true)")
	file := filepath.Join(t.TempDir(), "rls.expect")
	for _, args := range [][]string{{}, {"--json"}, {"--write", file}, {"--expect", file}} {
		got := on(t.Context(), map[string]string{"DATABASE_URL": settings["DATABASE_URL"], "NO_COLOR": "1"}, strings.NewReader(""), append([]string{"test", quoted}, args...)...)
		if got.code != exitOK || strings.ContainsAny(got.stdout+got.stderr, "\x1b\a\r\u009b\u202e") {
			t.Errorf("test %q: %+v", args, got)
		}
	}
}

func TestConfigureRLSLint_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	settings, _ := project(t, ownNotesSQL+`
		create table public.open (id int primary key); grant select, insert on public.open to anon;
		create table public.slow (id int primary key, owner_id text); alter table public.slow enable row level security; grant select on public.slow to authenticated;
		create policy slow on public.slow for select to authenticated using (owner_id = clerk.user_id());
		create schema app; create table app.hidden (id int primary key); grant usage on schema app to anon; grant select on app.hidden to anon;`)
	got := configure(t, settings, "lint")
	if got.code != exitFailed || !strings.Contains(got.stdout, "\n      public.open, lint.") || !strings.Contains(got.stderr, "to mend") {
		t.Errorf("lint: %+v, want findings and exit 1", got)
	}
	if !strings.Contains(got.stdout, "fail  ") || !strings.Contains(got.stdout, "\n        ") {
		t.Errorf("lint prints\n%s\nwant failures and remedies", got.stdout)
	}
	var all, severe, hidden linted
	for _, list := range []struct {
		into *linted
		args []string
	}{{&all, nil}, {&severe, []string{"--level", "error"}}, {&hidden, []string{"--schema", "app", "--exposed", "public,app"}}} {
		got := configure(t, settings, append([]string{"lint", "--json"}, list.args...)...)
		if err := json.Unmarshal([]byte(got.stdout), list.into); err != nil || got.code != exitFailed {
			t.Fatalf("lint %q --json: %+v, %v", list.args, got, err)
		}
	}
	if len(severe.Findings) == 0 || len(severe.Findings) >= len(all.Findings) {
		t.Errorf("--level error shows %d of %d findings", len(severe.Findings), len(all.Findings))
	}
	for _, f := range severe.Findings {
		if f.Status == "warn" {
			t.Errorf("--level error shows %+v", f)
		}
	}
	for _, f := range hidden.Findings {
		if !strings.HasPrefix(f.Object, "app") {
			t.Errorf("--schema app shows %+v", f)
		}
	}
}

func TestConfigureRLSLint_IsSilentAboutWhatWeShip(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	if got := configure(t, settings, "lint"); got.code != exitOK || got.stdout != "" || got.stderr != "clerksync: no findings\n" {
		t.Errorf("lint: %+v, want silence", got)
	}
	if got := configure(t, settings, "lint", "--json"); got.stdout != `{"findings":[]}`+"\n" {
		t.Errorf("lint --json: %+v", got)
	}
	nowhere := map[string]string{"DATABASE_URL": strings.Replace(db.Owner(), db.Name(), "nowhere", 1)}
	if got := configure(t, nowhere, "lint"); got.code != exitFailed || !strings.Contains(got.stderr, "there is no such database") {
		t.Errorf("lint of no database: %+v", got)
	}
}

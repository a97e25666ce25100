package configurerls

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/rls/probe"
	"clerksync/shared/testkit/testdb"
)

func TestConfigureRLSTest_ShowsWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.OwnNotesSQL+`create table public.open (id int primary key, owner_id text); grant all on public.open to anon`)
	got := configure(t, settings, "test", "notes", "open", "notes")
	for _, want := range []string{"public.notes: table, row level security on", "public.open: table, row level security off", "let through by own", "missing grant: insert", "Personas"} {
		// The open one is a hole.
		if got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, want) {
			t.Errorf("test: exit %d\n%s%s\nwant %q in it", got.Code, got.Stdout, got.Stderr, want)
		}
	}
	if strings.Count(got.Stdout, "public.notes: table") != 1 {
		t.Errorf("a table that is named twice is shown twice:\n%s", got.Stdout)
	}
	// Findings look the same everywhere, and are talk.
	if !strings.Contains(got.Stderr, "fail  Anybody can write without signing in\n      public.open, rls.probe.anonymous_write\n") || strings.Contains(got.Stdout, "rls.probe") {
		t.Errorf("findings on stdout, or not on stderr:\n%s\n%s", got.Stdout, got.Stderr)
	}
	if got = configure(t, settings, "test", "notes", "--explain"); got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "Plan of select as owner") {
		t.Errorf("--explain: %+v, want plans", got)
	}
	var rows int
	if err := conn.QueryRow(t.Context(), "select count(*) from public.notes").Scan(&rows); err != nil || rows > 0 {
		t.Errorf("the prober left %d rows, %v", rows, err)
	}
}

func TestConfigureRLSTest_TellsWhatChanged(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.OwnNotesSQL)
	file := filepath.Join(t.TempDir(), "rls.expect")
	if got := configure(t, settings, "test", "notes", "--write", file); got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "wrote "+file) {
		t.Fatalf("--write: %+v", got)
	}
	expect := func(args ...string) clitest.Result {
		return configure(t, settings, append([]string{"test", "notes", "--expect", file}, args...)...)
	}
	if got := expect(); got != (clitest.Result{Code: commandline.ExitOK, Stderr: "clerksync: as expected\n"}) {
		t.Errorf("unchanged: %+v", got)
	}
	if got := expect("--json"); got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, `"changes":[]`) {
		t.Errorf("unchanged, as JSON: %+v", got)
	}

	// More than is expected is as much of a difference as less.
	clitest.Execute(t, conn, `create policy everybody on public.notes for select to authenticated using (true)`)
	got := expect()
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, "public.notes: select as other-user was ") || !strings.Contains(got.Stderr, "differences from what "+file+" expects") || !strings.Contains(got.Stderr, "--write") {
		t.Errorf("a policy more: %+v", got)
	}
	for line := range strings.Lines(got.Stdout) {
		if !strings.HasPrefix(line, "public.notes: select as ") {
			t.Errorf("a policy more changes %q", line)
		}
	}
	var report probed
	if got = expect("--json"); json.Unmarshal([]byte(got.Stdout), &report) != nil || got.Code != commandline.ExitFailed || len(report.Changes) == 0 || len(report.Tables) != 1 {
		t.Errorf("as JSON: %+v", got)
	}
	for _, change := range report.Changes {
		if change.Command != probe.Select || change.Was == "" || change.Is == "" {
			t.Errorf("as JSON, a policy more changes %+v", change)
		}
	}
	// A table that is not there any more, or was not named.
	clitest.Execute(t, conn, `create table public.other (id int primary key, owner_id text)`)
	if got = configure(t, settings, "test", "other", "--expect", file); got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, "is absent") || !strings.Contains(got.Stdout, "was absent") {
		t.Errorf("another table: %+v", got)
	}
}

func TestConfigureRLSTest_EndsAsTheProbingDoes(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.OwnNotesSQL+`create table public.odd (who text, org text); create table public.open (id int primary key, owner_id text); grant all on public.open to anon; create materialized view public.kept as select 1 as id`)
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
		"no table":           {[]string{"nots"}, settings, commandline.ExitFailed, "", "did you mean public.notes?"},
		"cannot be probed":   {[]string{"notes", "kept"}, settings, commandline.ExitUnknown, "public.notes: table", "1 table could not be probed: public.kept"},
		"a hole beside it":   {[]string{"open", "kept"}, settings, commandline.ExitFailed, "public.open: table", "1 table could not be probed: public.kept"},
		"no such column":     {[]string{"notes", "--owner-column", "who"}, settings, commandline.ExitUsage, "", "no column who"},
		"another column":     {[]string{"odd", "--owner-column", "who", "--org-column", "org"}, settings, commandline.ExitOK, "public.odd: table", "rls.probe"},
		"not the owner":      {[]string{"notes"}, map[string]string{"DATABASE_URL": strings.Replace(settings["DATABASE_URL"], "supabase_postgres", "clerksync_writer", 1)}, commandline.ExitFailed, "", "connect as the role that owns the project"},
		"a broken file":      {[]string{"notes", "--expect", broken}, nil, commandline.ExitUsage, "", "line 1"},
		"schema not exposed": {[]string{"notes", "--exposed", "app"}, settings, commandline.ExitOK, "public.notes: table", "does not serve this schema"},
		"no place to write":  {[]string{"notes", "--write", t.TempDir()}, settings, commandline.ExitFailed, "public.notes: table", "writing what is expected"},
	} {
		got := configure(t, test.settings, append([]string{"test"}, test.args...)...)
		if got.Code != test.code || !strings.Contains(got.Stdout, test.stdout) || !strings.Contains(got.Stderr, test.stderr) || (test.stdout == "") != (got.Stdout == "") {
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
	settings, conn := clitest.Project(t, clitest.OwnNotesSQL)
	writer, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(t.Context(), "lock table public.notes in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan clitest.Result, 1)
	go func() {
		done <- clitest.On[program](ctx, console.Console{}, settings, "configure-rls", "test", "notes")
	}()
	for waiting := false; !waiting; {
		if err := writer.QueryRow(t.Context(), "select exists (select from pg_locks where relation = 'public.notes'::regclass and not granted)").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	if got := <-done; got.Code != commandline.ExitInterrupted || got.Stdout != "" || !strings.Contains(got.Stderr, "nothing is left half-done") {
		t.Errorf("interrupted: %+v", got)
	}
}

func TestConfigureRLSTest_HostileNamesDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	quoted := `"` + clitest.Hostile + `"`
	settings, _ := clitest.Project(t, "create table public."+quoted+" (id int primary key, owner_id text); grant select on public."+quoted+
		" to authenticated; alter table public."+quoted+" enable row level security; create policy "+quoted+" on public."+quoted+" using (true)")
	file := filepath.Join(t.TempDir(), "rls.expect")
	for _, args := range [][]string{{}, {"--json"}, {"--write", file}, {"--expect", file}} {
		got := on(t.Context(), map[string]string{"DATABASE_URL": settings["DATABASE_URL"], "NO_COLOR": "1"}, strings.NewReader(""), append([]string{"test", quoted}, args...)...)
		if got.Code != commandline.ExitOK || strings.ContainsAny(got.Stdout+got.Stderr, "\x1b\a\r\u009b\u202e") {
			t.Errorf("test %q: %+v", args, got)
		}
	}
}

func TestConfigureRLSLint_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	settings, _ := clitest.Project(t, clitest.OwnNotesSQL+`
		create table public.open (id int primary key); grant select, insert on public.open to anon;
		create table public.slow (id int primary key, owner_id text); alter table public.slow enable row level security; grant select on public.slow to authenticated;
		create policy slow on public.slow for select to authenticated using (owner_id = clerk.user_id());
		create schema app; create table app.hidden (id int primary key); grant usage on schema app to anon; grant select on app.hidden to anon;`)
	got := configure(t, settings, "lint")
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, "\n      public.open, lint.") || !strings.Contains(got.Stderr, "to mend") {
		t.Errorf("lint: %+v, want findings and exit 1", got)
	}
	if !strings.Contains(got.Stdout, "fail  ") || !strings.Contains(got.Stdout, "\n        ") {
		t.Errorf("lint prints\n%s\nwant failures and remedies", got.Stdout)
	}
	var all, severe, hidden linted
	for _, list := range []struct {
		into *linted
		args []string
	}{{&all, nil}, {&severe, []string{"--level", "error"}}, {&hidden, []string{"--schema", "app", "--exposed", "public,app"}}} {
		got := configure(t, settings, append([]string{"lint", "--json"}, list.args...)...)
		if err := json.Unmarshal([]byte(got.Stdout), list.into); err != nil || got.Code != commandline.ExitFailed {
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
	if got := configure(t, settings, "lint"); got.Code != commandline.ExitOK || got.Stdout != "" || got.Stderr != "clerksync: no findings\n" {
		t.Errorf("lint: %+v, want silence", got)
	}
	if got := configure(t, settings, "lint", "--json"); got.Stdout != `{"findings":[]}`+"\n" {
		t.Errorf("lint --json: %+v", got)
	}
	clitest.Execute(t, db.Conn(t, db.Superuser()), `revoke select on pg_catalog.pg_policy from public; grant usage on schema clerk, clerk_sync to clerksync_writer`)
	writer := map[string]string{"DATABASE_URL": db.Writer()}
	if got := configure(t, writer, "lint"); got.Code != commandline.ExitUnknown || !strings.Contains(got.Stdout, "lint.catalogue") || !strings.Contains(got.Stderr, "nothing could be checked") {
		t.Errorf("lint as a role that may not read the catalogue: %+v, want that nothing is known", got)
	}
	nowhere := map[string]string{"DATABASE_URL": strings.Replace(db.Owner(), db.Name(), "nowhere", 1)}
	if got := configure(t, nowhere, "lint"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "there is no such database") {
		t.Errorf("lint of no database: %+v", got)
	}
}

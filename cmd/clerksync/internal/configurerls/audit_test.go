package configurerls

import (
	"encoding/json"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/testkit/testdb"
)

func TestConfigureRLSAudit_RecordsWhoChangedWhat(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.NotesSQL)
	got := configure(t, settings, "audit", "notes", "--ignore", "body,published")
	if got != (clitest.Result{Code: commandline.ExitOK, Stderr: "clerksync: public.notes is audited\n"}) {
		t.Fatalf("audit: %+v", got)
	}
	got = configure(t, settings, "audit")
	for _, want := range []string{"public.notes                     every column but body, published\n", "public.users "} {
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, want) {
			t.Errorf("audit without tables: %+v, want %q in it", got, want)
		}
	}
	if got = configure(t, settings, "audit", "log"); got.Code != commandline.ExitOK || got.Stdout != "" || !strings.Contains(got.Stderr, "nothing was recorded") {
		t.Errorf("log of nothing: %+v", got)
	}

	clitest.Execute(t, conn, `
		insert into public.notes (owner_id) values ('user_alice');
		update public.notes set body = 'ignored';
		update public.notes set owner_id = 'user_bob', id = default;`)
	got = configure(t, settings, "audit", "log", "--table", "public.notes")
	lines := strings.Split(strings.TrimSpace(got.Stdout), "\n")
	if got.Code != commandline.ExitOK || len(lines) != 2 || !strings.Contains(lines[0], "update public.notes  1 → 2  id, owner_id") || !strings.Contains(lines[1], "database supabase_postgres  insert public.notes  1") {
		t.Errorf("log: %+v, want the update, then the insert", got)
	}
	if got = configure(t, settings, "audit", "log", "--limit", "1"); strings.Count(got.Stdout, "\n") != 1 || !strings.Contains(got.Stderr, "--before ") {
		t.Errorf("log --limit 1: %+v, want one line and how to go on", got)
	}
	_, before, _ := strings.Cut(got.Stderr, "--before ")
	before, _, _ = strings.Cut(before, " ")
	var older auditRecords
	if got = configure(t, settings, "audit", "log", "--before", before, "--row", "1", "--json"); json.Unmarshal([]byte(got.Stdout), &older) != nil || len(older.Records) != 1 || older.Records[0].Action != "insert" {
		t.Errorf("log --before %s --row 1 --json: %+v, want the insert", before, got)
	}
	if got = configure(t, settings, "audit", "log", "--user", "user_nobody", "--json"); got.Stdout != `{"records":[]}`+"\n" {
		t.Errorf("log --user user_nobody --json: %+v", got)
	}

	var left auditedTables
	if got = configure(t, settings, "audit", "notes", "--drop", "--json"); got.Code != commandline.ExitOK || json.Unmarshal([]byte(got.Stdout), &left) != nil || len(left.Tables) != 5 {
		t.Errorf("audit --drop --json: %+v, want the copy's five tables", got)
	}
	clitest.Execute(t, conn, "delete from public.notes")
	if got = configure(t, settings, "audit", "log", "--json"); strings.Count(got.Stdout, `"action"`) != 2 {
		t.Errorf("dropped, the log is %+v, want what was recorded before", got)
	}
}

func TestConfigureRLSAudit_NamesWhoActed(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	clitest.Execute(t, db.Conn(t, db.Owner()), clitest.NotesSQL+`grant insert on public.notes to authenticated`)
	if got := configure(t, settings, "audit", "notes"); got.Code != commandline.ExitOK {
		t.Fatalf("audit: %+v", got)
	}
	api := db.Conn(t, db.As("authenticated"))
	clitest.Execute(t, api, `select set_config('request.jwt.claims', '{"sub":"user_alice","role":"authenticated","act":{"sub":"user_staff"}}', false)`)
	clitest.Execute(t, api, `insert into public.notes (owner_id) values ('user_alice')`)
	got := configure(t, settings, "audit", "log", "--user", "user_alice")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "user_alice (really user_staff)  insert public.notes  1") {
		t.Errorf("log: %+v, want the user and who acted", got)
	}
}

func TestConfigureRLSAudit_SaysWhyNot(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.NotesSQL+`create table public.keyless (id int); create view public.shown as select 1 as one;
		create table public.parts (id int primary key) partition by list (id);`)
	fresh := testdb.New(t, testdb.WithoutMigrations())
	clitest.Execute(t, fresh.Conn(t, fresh.Owner()), clitest.NotesSQL)
	if got := configure(t, settings, "audit", "parts"); got.Code != commandline.ExitOK {
		t.Fatalf("audit: %+v", got)
	}
	clitest.Execute(t, conn, "create table public.part partition of public.parts default")
	tests := []struct {
		args     []string
		settings map[string]string
		code     int
		want     string // part of stderr, or of stdout where all is well
	}{
		{[]string{"notes", "keyless"}, settings, commandline.ExitFailed, "alter table public.keyless add column id"},
		{[]string{"notes", "shown"}, settings, commandline.ExitFailed, "below the view"},
		{[]string{"notes", "nots"}, settings, commandline.ExitFailed, "did you mean public.notes?"},
		{[]string{"notes", "--ignore", "boddy"}, settings, commandline.ExitFailed, "boddy"},
		{[]string{"notes"}, map[string]string{"DATABASE_URL": fresh.Owner()}, commandline.ExitFailed, "clerksync migrate up"},
		{[]string{"log"}, map[string]string{"DATABASE_URL": fresh.Owner()}, commandline.ExitFailed, "clerksync migrate up"},
		{nil, settings, commandline.ExitOK, "incomplete"},
		{[]string{"--drop"}, nil, commandline.ExitUsage, "name the tables"},
		{[]string{"--ignore", "body"}, nil, commandline.ExitUsage, "name the tables"},
		{[]string{"notes", "--drop", "--ignore", "body"}, nil, commandline.ExitUsage, "--ignore"},
		{[]string{"no tes"}, nil, commandline.ExitUsage, "double quotes"},
		{[]string{"log", "--limit", "0"}, nil, commandline.ExitUsage, "--limit is 0"},
		{[]string{"log", "--limit", "1001"}, nil, commandline.ExitUsage, "--limit is 1001"},
		{[]string{"log", "--before=-1"}, nil, commandline.ExitUsage, "--before is -1"},
		{[]string{"log", "--table", "no tes"}, nil, commandline.ExitUsage, "double quotes"},
		{[]string{"log", "--user="}, nil, commandline.ExitUsage, "it is empty"},
	}
	for _, test := range tests {
		got := configure(t, test.settings, append([]string{"audit"}, test.args...)...)
		if text := got.Stdout + got.Stderr; got.Code != test.code || !strings.Contains(text, test.want) || (got.Stdout == "") != (test.code != commandline.ExitOK) {
			t.Errorf("audit %q = %+v, want exit %d with %q", test.args, got, test.code, test.want)
		}
	}
	if got := configure(t, settings, "audit"); strings.Contains(got.Stdout, "public.notes") {
		t.Errorf("refused with another, a table is audited:\n%s", got.Stdout)
	}
}

func TestConfigureRLSAudit_HostileNamesDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	quoted := `"` + clitest.Hostile + `"`
	settings, conn := clitest.Project(t, "create table public."+quoted+" (id text primary key, "+quoted+" text)")
	for _, args := range [][]string{{quoted}, {"xx"}, {}, {"--json"}, {"log"}, {"log", "--json"}, {quoted, "--drop"}} {
		got := on(t.Context(), settings, strings.NewReader(""), append([]string{"audit"}, args...)...)
		if strings.ContainsAny(got.Stdout+got.Stderr, "\x1b\a\r\u009b\u202e") {
			t.Errorf("audit %q: %+v", args, got)
		}
		if len(args) == 1 && args[0] == quoted {
			if _, err := conn.Exec(t.Context(), "insert into public."+quoted+" values ($1)", clitest.Hostile); err != nil {
				t.Fatal(err)
			}
		}
	}
}

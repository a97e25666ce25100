package main

import (
	"encoding/json"
	"strings"
	"testing"

	"clerksync/shared/testkit/testdb"
)

func TestConfigureRLSAudit_RecordsWhoChangedWhat(t *testing.T) {
	t.Parallel()
	settings, conn := project(t, notesSQL)
	got := configure(t, settings, "audit", "notes", "--ignore", "body,published")
	if got != (result{code: exitOK, stderr: "clerksync: public.notes is audited\n"}) {
		t.Fatalf("audit: %+v", got)
	}
	got = configure(t, settings, "audit")
	for _, want := range []string{"public.notes                     every column but body, published\n", "public.users "} {
		if got.code != exitOK || !strings.Contains(got.stdout, want) {
			t.Errorf("audit without tables: %+v, want %q in it", got, want)
		}
	}
	if got = configure(t, settings, "audit", "log"); got.code != exitOK || got.stdout != "" || !strings.Contains(got.stderr, "nothing was recorded") {
		t.Errorf("log of nothing: %+v", got)
	}

	execute(t, conn, `
		insert into public.notes (owner_id) values ('user_alice');
		update public.notes set body = 'ignored';
		update public.notes set owner_id = 'user_bob', id = default;`)
	got = configure(t, settings, "audit", "log", "--table", "public.notes")
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	if got.code != exitOK || len(lines) != 2 || !strings.Contains(lines[0], "update public.notes  1 → 2  id, owner_id") || !strings.Contains(lines[1], "database supabase_postgres  insert public.notes  1") {
		t.Errorf("log: %+v, want the update, then the insert", got)
	}
	if got = configure(t, settings, "audit", "log", "--limit", "1"); strings.Count(got.stdout, "\n") != 1 || !strings.Contains(got.stderr, "--before ") {
		t.Errorf("log --limit 1: %+v, want one line and how to go on", got)
	}
	_, before, _ := strings.Cut(got.stderr, "--before ")
	before, _, _ = strings.Cut(before, " ")
	var older auditRecords
	if got = configure(t, settings, "audit", "log", "--before", before, "--row", "1", "--json"); json.Unmarshal([]byte(got.stdout), &older) != nil || len(older.Records) != 1 || older.Records[0].Action != "insert" {
		t.Errorf("log --before %s --row 1 --json: %+v, want the insert", before, got)
	}
	if got = configure(t, settings, "audit", "log", "--user", "user_nobody", "--json"); got.stdout != `{"records":[]}`+"\n" {
		t.Errorf("log --user user_nobody --json: %+v", got)
	}

	var left auditedTables
	if got = configure(t, settings, "audit", "notes", "--drop", "--json"); got.code != exitOK || json.Unmarshal([]byte(got.stdout), &left) != nil || len(left.Tables) != 5 {
		t.Errorf("audit --drop --json: %+v, want the copy's five tables", got)
	}
	execute(t, conn, "delete from public.notes")
	if got = configure(t, settings, "audit", "log", "--json"); strings.Count(got.stdout, `"action"`) != 2 {
		t.Errorf("dropped, the log is %+v, want what was recorded before", got)
	}
}

func TestConfigureRLSAudit_NamesWhoActed(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	execute(t, db.Conn(t, db.Owner()), notesSQL+`grant insert on public.notes to authenticated`)
	if got := configure(t, settings, "audit", "notes"); got.code != exitOK {
		t.Fatalf("audit: %+v", got)
	}
	api := db.Conn(t, db.As("authenticated"))
	execute(t, api, `select set_config('request.jwt.claims', '{"sub":"user_alice","role":"authenticated","act":{"sub":"user_staff"}}', false)`)
	execute(t, api, `insert into public.notes (owner_id) values ('user_alice')`)
	got := configure(t, settings, "audit", "log", "--user", "user_alice")
	if got.code != exitOK || !strings.Contains(got.stdout, "user_alice (really user_staff)  insert public.notes  1") {
		t.Errorf("log: %+v, want the user and who acted", got)
	}
}

func TestConfigureRLSAudit_SaysWhyNot(t *testing.T) {
	t.Parallel()
	settings, conn := project(t, notesSQL+`create table public.keyless (id int); create view public.shown as select 1 as one;
		create table public.parts (id int primary key) partition by list (id);`)
	fresh := testdb.New(t, testdb.WithoutMigrations())
	execute(t, fresh.Conn(t, fresh.Owner()), notesSQL)
	if got := configure(t, settings, "audit", "parts"); got.code != exitOK {
		t.Fatalf("audit: %+v", got)
	}
	execute(t, conn, "create table public.part partition of public.parts default")
	tests := []struct {
		args     []string
		settings map[string]string
		code     int
		want     string // part of stderr, or of stdout where all is well
	}{
		{[]string{"notes", "keyless"}, settings, exitFailed, "alter table public.keyless add column id"},
		{[]string{"notes", "shown"}, settings, exitFailed, "below the view"},
		{[]string{"notes", "nots"}, settings, exitFailed, "did you mean public.notes?"},
		{[]string{"notes", "--ignore", "boddy"}, settings, exitFailed, "boddy"},
		{[]string{"notes"}, map[string]string{"DATABASE_URL": fresh.Owner()}, exitFailed, "clerksync migrate up"},
		{[]string{"log"}, map[string]string{"DATABASE_URL": fresh.Owner()}, exitFailed, "clerksync migrate up"},
		{nil, settings, exitOK, "incomplete"},
		{[]string{"--drop"}, nil, exitUsage, "name the tables"},
		{[]string{"--ignore", "body"}, nil, exitUsage, "name the tables"},
		{[]string{"notes", "--drop", "--ignore", "body"}, nil, exitUsage, "--ignore"},
		{[]string{"no tes"}, nil, exitUsage, "double quotes"},
		{[]string{"log", "--limit", "0"}, nil, exitUsage, "--limit is 0"},
		{[]string{"log", "--limit", "1001"}, nil, exitUsage, "--limit is 1001"},
		{[]string{"log", "--before=-1"}, nil, exitUsage, "--before is -1"},
		{[]string{"log", "--table", "no tes"}, nil, exitUsage, "double quotes"},
		{[]string{"log", "--user="}, nil, exitUsage, "it is empty"},
	}
	for _, test := range tests {
		got := configure(t, test.settings, append([]string{"audit"}, test.args...)...)
		if text := got.stdout + got.stderr; got.code != test.code || !strings.Contains(text, test.want) || (got.stdout == "") != (test.code != exitOK) {
			t.Errorf("audit %q = %+v, want exit %d with %q", test.args, got, test.code, test.want)
		}
	}
	if got := configure(t, settings, "audit"); strings.Contains(got.stdout, "public.notes") {
		t.Errorf("refused with another, a table is audited:\n%s", got.stdout)
	}
}

func TestConfigureRLSAudit_HostileNamesDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	quoted := `"` + hostile + `"`
	settings, conn := project(t, "create table public."+quoted+" (id text primary key, "+quoted+" text)")
	for _, args := range [][]string{{quoted}, {"xx"}, {}, {"--json"}, {"log"}, {"log", "--json"}, {quoted, "--drop"}} {
		got := on(t.Context(), settings, strings.NewReader(""), append([]string{"audit"}, args...)...)
		if strings.ContainsAny(got.stdout+got.stderr, "\x1b\a\r\u009b\u202e") {
			t.Errorf("audit %q: %+v", args, got)
		}
		if len(args) == 1 && args[0] == quoted {
			if _, err := conn.Exec(t.Context(), "insert into public."+quoted+" values ($1)", hostile); err != nil {
				t.Fatal(err)
			}
		}
	}
}

package migrate_test

import (
	"flag"
	"os"
	osexec "os/exec"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/testdb"
)

var update = flag.Bool("update", false, "write ../schema.sql anew")

// ../schema.sql is what the steps lead to, for people to read and for reviews: a change
// of a table or a function shows there as PostgreSQL 15 sees it.
func TestSchemaDump_IsWhatTheStepsLeadTo(t *testing.T) {
	t.Parallel()
	const path = "../schema.sql"
	if testdb.Major(t) != 15 {
		t.Skip("the dump is that of PostgreSQL 15")
	}
	dump := pgDump(t)
	db := testdb.New(t)
	// A password does not belong on a command line.
	url, err := db.Server().ShownURL(db.Name(), postgres.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	command := osexec.CommandContext(t.Context(), dump, "--schema-only", "--no-owner", "--restrict-key=clerksync",
		"--schema=public", "--schema=clerk", "--schema=clerk_sync", url)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	got := regexp.MustCompile(`(?m)^-- Dumped .*\n`).ReplaceAllString(string(out), "")
	got = "-- Written by `make schema`; do not edit. What sql/schema and sql/rules lead to.\n" + got
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("sql/schema.sql is old; run \"make schema\" and review the difference (-committed +now):\n%s", diff)
	}
}

// pgDump finds a pg_dump of PostgreSQL 15: later ones write other headers, and the
// server refuses earlier ones.
func pgDump(t *testing.T) string {
	t.Helper()
	version := regexp.MustCompile(`\(PostgreSQL\) (\d+)`)
	for _, path := range []string{"/usr/lib/postgresql/15/bin/pg_dump", "pg_dump"} {
		out, err := osexec.CommandContext(t.Context(), path, "--version").Output()
		if found := version.FindStringSubmatch(string(out)); err == nil && found != nil && found[1] == "15" {
			return path
		}
	}
	const missing = "pg_dump of PostgreSQL 15 is not installed (Debian 12 has it in postgresql-client)"
	need.Missing(t, missing)
	return ""
}

package migrate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

// What is known of the two roles is what their comments say, and who is connected.
func TestLogins_TakeTurnsByTheirRecords(t *testing.T) {
	t.Parallel()
	server, owner := testdb.NewPasswordServer(t, nil)
	config, err := pgx.ParseConfig(owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.Up(t.Context(), config, migrate.Options{}); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	record := func(role, comment string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("comment on role %s is '%s'", role, comment)); err != nil {
			t.Fatal(err)
		}
	}
	const role, second = migrate.WriterRole, migrate.WriterRole + "_b"
	ago := func(d time.Duration) string {
		return "clerksync: password set " + time.Now().Add(-d).UTC().Format(time.RFC3339Nano)
	}
	const none = "clerksync: no password since 2026-01-01T00:00:00Z"
	for _, tt := range []struct {
		name, first, second string
		reset, rotated      string // the role that gets a password; "" for ErrRotating
		retired             string // the role that would lose its own; "" for ErrNothingToRetire
	}{
		// A database that was set up before there were records, or was not yet.
		{"no record", "", "", role, second, ""},
		{"somebody's notes", "for the functions", "spare", role, second, ""},
		{"the first alone", ago(time.Hour), none, role, second, ""},
		{"the second alone", none, ago(time.Hour), second, role, ""},
		{"the second after no record", "", ago(time.Hour), second, "", role},
		{"the second later", ago(2 * time.Hour), ago(time.Hour), second, "", role},
		{"the first later", ago(time.Hour), ago(2 * time.Hour), role, "", second},
		{"a time that cannot be read", "clerksync: password set yesterday", ago(time.Hour), second, "", role},
		{"neither", none, none, role, second, ""},
	} {
		before := func() { record(role, tt.first); record(second, tt.second) }
		before()
		if given, err := migrate.ResetPassword(t.Context(), config, role, false); err != nil || given.Role != tt.reset || given.Password == "" {
			t.Errorf("%s: ResetPassword gives %s a password, %v, want %s", tt.name, given.Role, err, tt.reset)
		}
		before()
		given, _, err := migrate.RotateLogin(t.Context(), config, role)
		if given.Role != tt.rotated || errors.Is(err, migrate.ErrRotating) != (tt.rotated == "") || tt.rotated != "" && err != nil {
			t.Errorf("%s: RotateLogin gives %q a password, %v, want %q", tt.name, given.Role, err, tt.rotated)
		}
		before()
		retired, _, err := migrate.RetireLogin(t.Context(), config, role, true)
		if errors.Is(err, migrate.ErrNothingToRetire) != (tt.retired == "") || tt.retired != "" && (err != nil || retired != tt.retired) {
			t.Errorf("%s: RetireLogin retires %q, %v, want %q", tt.name, retired, err, tt.retired)
		}
	}

	// Whoever is connected is told, whatever the records say.
	record(role, "")
	record(second, "")
	given, _, err := migrate.RotateLogin(t.Context(), config, role)
	if err != nil {
		t.Fatal(err)
	}
	busy, err := pgx.Connect(t.Context(), server.URL(testdb.ServerDatabase, given.Role, given.Password)+"&application_name=clerksync/test")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close(t.Context())
	record(second, "spare")
	_, _, err = migrate.RotateLogin(t.Context(), config, role)
	if !errors.Is(err, migrate.ErrLoginInUse) || !strings.Contains(err.Error(), `connected as `+second+`: 1 as "clerksync/test"`) {
		t.Errorf("RotateLogin to a role that is connected = %v, want ErrLoginInUse that names it", err)
	}
	if _, err := migrate.ResetPassword(t.Context(), config, "postgres", true); err == nil {
		t.Error("ResetPassword changed a role that is not clerksync's")
	}
}

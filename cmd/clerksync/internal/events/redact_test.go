package events

import (
	"encoding/json"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/testkit/testdb"
)

func TestRedact_ShowsAsksRemovesAndProves(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	for _, sql := range []string{
		`select clerk_sync.apply_event('msg_1', '{"type":"user.created","data":{"id":"user_ines","first_name":"Ines","updated_at":1716883200000}}')`,
		`select clerk_sync.apply_event('msg_2', '{"type":"user.updated","data":{"id":"user_ines","first_name":{"a":"Ines"},"updated_at":1716883200000}}')`,
	} {
		clitest.Execute(t, owner, sql)
	}
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	kept := func() (n int) {
		if err := owner.QueryRow(t.Context(), `select count(*) from clerk_sync.webhook_events where payload is not null`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	got := clerksync(t, map[string]string{"DATABASE_URL": db.Writer()}, "events", "redact", "user_ines", "--dry-run")
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "owner's connection string") {
		t.Errorf("with the runtime's login: %+v", got)
	}
	got = clerksync(t, settings, "events", "redact", "user_ines", "--dry-run")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "clerk_sync.webhook_events: 2 rows") || kept() != 1 {
		t.Errorf("--dry-run: %+v, %d payloads", got, kept())
	}
	got = clitest.On[program](t.Context(), console.Console{Stdin: strings.NewReader("n\n"), StderrTTY: true}, settings, "events", "redact", "user_ines")
	if got.Code != commandline.ExitFailed || kept() != 1 || !strings.Contains(got.Stderr, "the copy itself still has it") {
		t.Errorf("declined: %+v, %d payloads", got, kept())
	}
	got = clerksync(t, settings, "events", "redact", "user_ines")
	if got.Code != commandline.ExitFailed || kept() != 1 || !strings.Contains(got.Stderr, "--yes") {
		t.Errorf("with no terminal to ask at: %+v, %d payloads", got, kept())
	}
	got = clerksync(t, settings, "--json", "events", "redact", "user_ines", "--yes")
	var result redaction
	if err := json.Unmarshal([]byte(got.Stdout), &result); err != nil || got.Code != commandline.ExitOK || kept() != 0 || result.Redacted.Events != 2 {
		t.Errorf("--yes: %+v, %v, %d payloads", got, err, kept())
	}
	for _, trace := range result.Left {
		if !isCopy(trace) {
			t.Errorf("left: %+v", trace)
		}
	}
	if result.DeadLetters.Status != "not looked at" || len(result.NotReached) == 0 {
		t.Errorf("%+v, want what was not looked at and what cannot be", result)
	}
	if strings.Contains(got.Stdout+got.Stderr, "Ines") {
		t.Errorf("a value is printed: %+v", got)
	}

	// A stack that cannot be asked leaves it unknown, after the rest was done.
	got = clerksync(t, settings, "events", "redact", "user_ines", "--yes", "--stack", "clerksync")
	if got.Code != commandline.ExitUnknown || !strings.Contains(got.Stdout, "dead letters  unknown") {
		t.Errorf("--stack without AWS: %+v, want exit 3", got)
	}
}

func TestRedact_TakesATime(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	recordRejected(t, db.Conn(t, db.Owner()), 3)
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	got := clerksync(t, settings, "events", "redact", "--since", "1h", "--before", "2100-01-01", "--dry-run")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "clerk_sync.webhook_events: 3 rows") {
		t.Errorf("--dry-run: %+v, want three", got)
	}
	got = clerksync(t, settings, "events", "redact", "--since", "1h", "--before", "30m", "--yes")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "0 events") {
		t.Errorf("of a time without events: %+v", got)
	}
	got = clerksync(t, settings, "events", "redact", "--since", "1h", "--before", "2100-01-01", "--yes")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "3 events") || !strings.Contains(got.Stdout, "no id and no payload") {
		t.Errorf("of a time with three: %+v", got)
	}
}

func TestRedact_RefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "user_1 --since 1h --before 1m", "--since 1h", "--before 1h", "ines@example.com", "user_1|user_2", ".*", "u_1", "--since=-1h --before 1m", "--since yesterday --before 1m",
	} {
		got := clerksync(t, map[string]string{"DATABASE_URL": "postgres://x@127.0.0.1:1/x"}, append([]string{"events", "redact"}, strings.Fields(args)...)...)
		if got.Code != commandline.ExitUsage {
			t.Errorf("events redact %s: %+v, want wrong usage", args, got)
		}
	}
}

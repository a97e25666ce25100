package events

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/testkit/testdb"
)

func TestEvents_AreListedAndReplayed(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	for _, sql := range []string{
		`update clerk_sync.settings set instance_id = 'ins_ours'`,
		`select clerk_sync.apply_event('msg_1', '{"type":"user.created","instance_id":"ins_theirs","data":{"id":"user_1","updated_at":1716883200000}}')`,
		`select clerk_sync.apply_event('msg_2', '{"type":"user.created","instance_id":"ins_ours","data":{"id":7,"updated_at":1716883200000}}')`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	settings := map[string]string{"DATABASE_URL": db.Writer()}
	got := clerksync(t, settings, "events", "list", "--outcome", "rejected")
	for _, part := range []string{"msg_1", "rejected (wrong_instance)", "msg_2", "rejected (malformed_id)"} {
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, part) {
			t.Errorf("events list: %+v, want %q in it", got, part)
		}
	}
	if _, err := owner.Exec(t.Context(), `update clerk_sync.settings set instance_id = null`); err != nil {
		t.Fatal(err)
	}
	got = clerksync(t, settings, "--json", "events", "replay", "--all")
	var results []replayed
	if err := json.Unmarshal([]byte(got.Stdout), &results); err != nil {
		t.Fatalf("events replay --json: %+v, %v", got, err)
	}
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "1 of 2 events are still rejected") ||
		len(results) != 2 || results[0] != (replayed{SvixID: "msg_1", Outcome: "applied"}) {
		t.Errorf("events replay --all: %+v, want msg_1 applied, msg_2 still rejected", got)
	}
	if got = clerksync(t, settings, "events", "replay", "msg_nowhere"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "msg_nowhere") {
		t.Errorf("replay of an unknown event: %+v", got)
	}
	if got = clerksync(t, settings, "status"); got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "users") {
		t.Errorf("status: %+v", got)
	}
}

// recordRejected records so many events at one moment, each of a user of its own, that an
// instance's pin refuses, and takes the pin away.
func recordRejected(t *testing.T, owner *pgx.Conn, n int) {
	t.Helper()
	clitest.Execute(t, owner, `update clerk_sync.settings set instance_id = 'ins_ours'`)
	clitest.Execute(t, owner, fmt.Sprintf(`select clerk_sync.apply_event('msg_' || n, jsonb_build_object('type', 'user.created', 'instance_id', 'ins_theirs',
		'data', jsonb_build_object('id', 'user_' || n, 'updated_at', 1716883200000))) from generate_series(1, %d) as n`, n))
	clitest.Execute(t, owner, `update clerk_sync.settings set instance_id = null`)
}

// A stack that was broken for a while has received many at the same moment: more than a
// page of them.
func TestReplay_TriesEveryEventOfAMoment(t *testing.T) {
	t.Parallel()
	const n = 1550
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	recordRejected(t, owner, n)
	var moments int
	if err := owner.QueryRow(t.Context(), `select count(distinct received_at) from clerk_sync.webhook_events`).Scan(&moments); err != nil || moments != 1 {
		t.Fatalf("the events were received at %d moments, want 1: %v", moments, err)
	}
	got := clerksync(t, map[string]string{"DATABASE_URL": db.Writer()}, "--json", "events", "replay", "--all")
	var results []replayed
	if err := json.Unmarshal([]byte(got.Stdout), &results); err != nil || got.Code != commandline.ExitOK {
		t.Fatalf("events replay --all: exit %d, %v\n%s", got.Code, err, got.Stderr)
	}
	tried := map[string]bool{}
	for _, r := range results {
		tried[r.SvixID] = r.Outcome == "applied"
	}
	if len(tried) != n || len(results) != n || slices.Contains(slices.Collect(maps.Values(tried)), false) {
		t.Errorf("%d results of %d events, want each of %d applied once", len(results), len(tried), n)
	}
}

func TestReplay_OneThatFailsStopsNoOther(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	recordRejected(t, db.Conn(t, db.Owner()), 2)
	settings := map[string]string{"DATABASE_URL": db.Writer()}
	got := clerksync(t, settings, "events", "replay", "msg_1", "msg_unknown", "msg_2")
	for _, part := range []string{"msg_1        applied\n", "msg_unknown  failed   no such event", "msg_2        applied\n"} {
		if !strings.Contains(got.Stdout, part) {
			t.Errorf("stdout is\n%s\nwant %q in it", got.Stdout, part)
		}
	}
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "1 of 3 events could not be replayed") {
		t.Errorf("exit %d\n%s\nwant 1 and how many failed", got.Code, got.Stderr)
	}
	got = clerksync(t, settings, "--json", "events", "replay", "msg_unknown", "msg_1")
	var results []replayed
	if err := json.Unmarshal([]byte(got.Stdout), &results); err != nil || len(results) != 2 || results[0].Error == "" || results[1].Outcome != "applied" {
		t.Errorf("--json: %+v, %v, want both, the first with its error", got, err)
	}
}

// What was done before Ctrl-C is told.
func TestReplay_InterruptedTellsWhatItDid(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	recordRejected(t, owner, 3)
	// The second waits for this transaction.
	held, err := db.Conn(t, db.Owner()).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), `select from clerk_sync.webhook_events where svix_id = 'msg_2' for update`); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan clitest.Result, 1)
	go func() {
		done <- clitest.On[program](ctx, console.Console{}, map[string]string{"DATABASE_URL": db.Writer()}, "events", "replay", "msg_1", "msg_2", "msg_3")
	}()
	for waiting := false; !waiting; {
		if err := owner.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	if got := <-done; got.Code != commandline.ExitInterrupted || got.Stdout != "msg_1  applied\n" || !strings.Contains(got.Stderr, "1 of 3 events were tried") {
		t.Errorf("interrupted: %+v, want 130 and the first event's result", got)
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestList_RefusesWhatItWouldNotObey(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"--limit 0", "--limit 1001", "--limit=-1", "--before=-24h", "--outcome none"} {
		got := clerksync(t, nil, append([]string{"events", "list"}, strings.Fields(args)...)...)
		flag, _, _ := strings.Cut(strings.Fields(args)[0], "=")
		if got.Code != commandline.ExitUsage || got.Stdout != "" || !strings.Contains(got.Stderr, flag) {
			t.Errorf("events list %s: %+v, want wrong usage that names %s", args, got, flag)
		}
	}
}

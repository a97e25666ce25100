package events

import (
	"encoding/json"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/devstack/testdb"
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

package events

import (
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/testkit/testdb"
)

func TestShow_MasksUnlessAsked(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	clitest.Execute(t, owner, `select clerk_sync.apply_event('msg_1', '{"type":"user.updated","data":{"id":"user_ines","first_name":{"a":"Ines"},"updated_at":1716883200000}}')`)
	clitest.Execute(t, owner, `select clerk_sync.reject_event('msg_2', 'I am Ines', 'not_json')`)
	writer, owners := map[string]string{"DATABASE_URL": db.Writer()}, map[string]string{"DATABASE_URL": db.Owner()}

	clitest.Execute(t, owner, `select clerk_sync.apply_event('msg_3', '{"type":"user.deleted","data":{"id":"user_gone"}}')`)
	if got := clerksync(t, writer, "events", "show", "msg_3"); !strings.Contains(got.Stdout, "not kept") || strings.Contains(got.Stdout, "text of") {
		t.Errorf("of one that was applied: %+v, want that nothing is kept", got)
	}

	got := clerksync(t, writer, "events", "show", "msg_1", "msg_2")
	for _, part := range []string{"rejected (malformed_field)", "data.first_name is object", "user_ines", "can be replayed", `"first_name"`, "9 bytes"} {
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, part) {
			t.Errorf("show: %+v, want %q in it", got, part)
		}
	}
	if strings.Contains(got.Stdout, "Ines") {
		t.Errorf("a value is shown: %s", got.Stdout)
	}
	got = clerksync(t, owners, "events", "show", "msg_1", "msg_2", "--unmasked")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, `"a": "Ines"`) || !strings.Contains(got.Stdout, "I am Ines") {
		t.Errorf("--unmasked: %+v, want the values", got)
	}
	if got = clerksync(t, writer, "events", "show", "msg_1", "--unmasked"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "owner's connection string") {
		t.Errorf("--unmasked with the runtime's login: %+v", got)
	}
	if got = clerksync(t, writer, "events", "show", "msg_unknown"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "events list") {
		t.Errorf("an unknown one: %+v", got)
	}
}

func TestReplay_ChoosesByFilterAndTriesWithoutChange(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	recordRejected(t, db.Conn(t, db.Owner()), 3)
	settings := map[string]string{"DATABASE_URL": db.Writer()}
	got := clerksync(t, settings, "events", "replay", "--since", "1h", "--type", "user", "--dry-run")
	if got.Code != commandline.ExitOK || strings.Count(got.Stdout, "applied") != 3 {
		t.Errorf("--dry-run: %+v, want three that would be applied", got)
	}
	if got = clerksync(t, settings, "events", "replay", "--object", "user_2"); got.Code != commandline.ExitOK || got.Stdout != "msg_2  applied\n" {
		t.Errorf("--object: %+v, want one", got)
	}
	if got = clerksync(t, settings, "events", "list", "--outcome", "rejected"); strings.Count(got.Stdout, "\n") != 2 {
		t.Errorf("afterwards: %+v, want two that are rejected still", got)
	}
	if got = clerksync(t, settings, "events", "replay", "msg_1", "--all"); got.Code != commandline.ExitUsage {
		t.Errorf("ids and --all: %+v, want wrong usage", got)
	}
	if got = clerksync(t, settings, "events", "replay"); got.Code != commandline.ExitUsage {
		t.Errorf("nothing chosen: %+v, want wrong usage", got)
	}
}

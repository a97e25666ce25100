package deletions

import (
	"encoding/json"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

func TestDeletions_AreListedShownAndDropped(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	clitest.Execute(t, db.Conn(t, db.Owner()), `
		update clerk_sync.settings set deletion_grace = '3 days';
		select clerk_sync.apply_event('msg_1', '{"type":"user.created","timestamp":1716883200000,"data":{"id":"user_ada","first_name":"Ada","updated_at":1716883200000,"public_metadata":{"big":9007199254740993,"esc":"\u001b[31m<b>"}}}');
		select clerk_sync.apply_event('msg_2', '{"type":"organization.created","timestamp":1716883200000,"data":{"id":"org_1","name":"Acme","updated_at":1716883200000}}');
		select clerk_sync.apply_event('msg_3', '{"type":"organizationMembership.created","timestamp":1716883200000,"data":{"id":"orgmem_1","role":"org:admin","updated_at":1716883200000,"organization":{"id":"org_1"},"public_user_data":{"user_id":"user_ada"}}}');
		select clerk_sync.apply_event('msg_4', '{"type":"organization.deleted","timestamp":1716883300000,"data":{"id":"org_1"}}');
		select clerk_sync.apply_event('msg_5', '{"type":"user.deleted","timestamp":1716883300000,"data":{"id":"user_ada"}}');
		update clerk_sync.held_back set held_at = '2026-05-01T10:00:00Z';`)
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	deletions := func(args ...string) clitest.Result {
		return clerksync(t, settings, append([]string{"deletions"}, args...)...)
	}

	got := deletions("list")
	for _, part := range []string{
		"2026-05-01T10:00:00Z  organization             org_1     until 2026-05-04T10:00:00Z\n",
		"2026-05-01T10:00:00Z  organization_membership  orgmem_1  until ", "2026-05-01T10:00:00Z  user                     user_ada  until ",
	} {
		if got.Code != commandline.ExitOK || got.Stderr != "" || !strings.Contains(got.Stdout, part) || strings.Contains(got.Stdout, "Ada") {
			t.Errorf("deletions list: %+v, want %q and no personal data", got, part)
		}
	}
	var listed []mirror.HeldDeletion
	got = deletions("list", "--of", "org_1", "--json")
	if err := json.Unmarshal([]byte(got.Stdout), &listed); err != nil || len(listed) != 2 || listed[1].ID != "orgmem_1" || listed[1].UserID != "user_ada" {
		t.Errorf("deletions list --of org_1 --json: %+v, %v, want the organization and its membership", got, err)
	}
	if got = deletions("list", "--limit", "1"); strings.Count(got.Stdout, "\n") != 1 {
		t.Errorf("deletions list --limit 1: %+v", got)
	}

	for _, form := range []string{"", "--json"} {
		got = deletions(strings.Fields("show user_ada orgmem_1 " + form)...)
		decoder := json.NewDecoder(strings.NewReader(got.Stdout))
		var user, membership mirror.HeldRow
		if err := decoder.Decode(&user); err != nil {
			t.Fatalf("deletions show: %+v, %v", got, err)
		}
		if err := decoder.Decode(&membership); err != nil || decoder.More() {
			t.Fatalf("deletions show: %+v, %v, want two values", got, err)
		}
		if !strings.Contains(string(user.Row), "Ada") || !strings.Contains(string(user.Row), "9007199254740993") || !strings.Contains(string(membership.Row), "org:admin") {
			t.Errorf("deletions show prints %s", got.Stdout)
		}
		if strings.Contains(got.Stdout, "\x1b") || strings.Count(got.Stdout, "\n") == 2 != (form == "--json") {
			t.Errorf("deletions show %s prints %q", form, got.Stdout)
		}
	}

	writer := map[string]string{"DATABASE_URL": db.Writer()}
	for _, args := range [][]string{{"list"}, {"show", "user_ada"}, {"drop", "user_ada"}} {
		got = clerksync(t, writer, append([]string{"deletions"}, args...)...)
		if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, "hint: set DATABASE_URL to the owner's") {
			t.Errorf("deletions %q as the writer: %+v, want a refusal that says which string to use", args, got)
		}
	}
	if got = clerksync(t, writer, "status"); !strings.Contains(strings.Join(strings.Fields(got.Stdout), " "), "deletions held back 3;") {
		t.Errorf("status: %+v, want how many are held back", got)
	}

	if got = deletions("drop", "org_1", "--json"); got.Code != commandline.ExitOK ||
		got.Stdout != `[{"id":"org_1","dropped":[{"object":"organization","count":1},{"object":"organization_membership","count":1}]}]`+"\n" {
		t.Errorf("deletions drop org_1 --json: %+v", got)
	}
	// What went before one of which there is nothing is told.
	got = deletions("drop", "user_ada", "org_1", "user_other")
	if got.Code != commandline.ExitFailed || got.Stdout != "user_ada  user  1\n" || !strings.Contains(got.Stderr, "nothing is held back of org_1\n") || !strings.Contains(got.Stderr, "hint: ") {
		t.Errorf("deletions drop: %+v, want user_ada gone and that there is nothing of org_1", got)
	}
	got = deletions("show", "ada@pasted.example")
	if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, "nothing is held back") || strings.Contains(got.Stderr, "pasted") {
		t.Errorf("deletions show of what is no id: %+v, want it not repeated", got)
	}
	if got = deletions("list"); got.Code != commandline.ExitOK || got.Stdout != "" || !strings.Contains(got.Stderr, "nothing is held back") {
		t.Errorf("deletions list of nothing: %+v", got)
	}
	if got = deletions("list", "--json"); got.Stdout != "[]\n" {
		t.Errorf("deletions list --json of nothing: %+v", got)
	}
	if got = clerksync(t, writer, "status"); strings.Contains(got.Stdout, "held back") {
		t.Errorf("status: %+v, want nothing about what is not", got)
	}
}

// A full sync that finds a user gone holds back like an event, and a later one empties it.
func TestDeletions_ThroughFullSyncs(t *testing.T) {
	t.Parallel()
	p := clitest.NewPair[program](t, 100, backendapi.Options{})
	owner := p.DB.Conn(t, p.DB.Owner())
	clitest.Execute(t, owner, `update clerk_sync.settings set deletion_grace = '3 days'`)
	p.Report(t)
	if err := p.Clerk.DeleteUser(p.Users()[0], false); err != nil {
		t.Fatal(err)
	}
	first := p.Report(t)
	held := p.Count(t, "clerk_sync.held_back")
	if first.Users.Deleted != 1 || held == 0 || first.Purged.HeldBack != 0 {
		t.Errorf("a run that deletes %d users holds %d rows back and empties %d, want 1, some and none", first.Users.Deleted, held, first.Purged.HeldBack)
	}
	clitest.Execute(t, owner, `update clerk_sync.held_back set held_at = held_at - interval '3 days'`)
	if last := p.Report(t); last.Purged.HeldBack != int64(held) || p.Count(t, "clerk_sync.held_back") != 0 {
		t.Errorf("when the grace is over, a run empties %d of %d", last.Purged.HeldBack, held)
	}
}

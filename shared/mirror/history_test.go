package mirror_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/mirror"
)

func TestReject_KeepsTheBodyWithItsReason(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := []byte("\x00\xff not json \\u0000")
	got, err := b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_1", Reason: "not_utf8", Body: body})
	if want := (mirror.Result{Outcome: mirror.Rejected, Reason: "not_utf8"}); err != nil || got != want {
		t.Errorf("Reject(%q) = %+v, %v, want %+v", body, got, err, want)
	}
	if kept := scalar[[]byte](b, `select raw_body from clerk_sync.webhook_events`); string(kept) != string(body) {
		t.Errorf("kept %q, want %q", kept, body)
	}
	got, err = b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_1", Reason: "not_utf8", Body: body})
	if want := (mirror.Result{Outcome: mirror.Duplicate}); err != nil || got != want {
		t.Errorf("second Reject = %+v, %v, want %+v", got, err, want)
	}
}

func TestReplay_AppliesARejectedEventOnceItsCauseIsMended(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set instance_id = 'ins_other'`)
	b.sendAs("msg_1", ines.Event(clerk.UserCreated, at(0)))
	if got, err := b.store.Replay(t.Context(), "msg_1"); err != nil || got.Reason != "wrong_instance" {
		t.Errorf("Replay before mending = %+v, %v, want rejected again", got, err)
	}
	b.exec(`update clerk_sync.settings set instance_id = $1`, clerktest.InstanceID)

	got, err := b.store.Replay(t.Context(), "msg_1")
	if want := (mirror.Result{Outcome: mirror.Applied}); err != nil || got != want {
		t.Errorf("Replay = %+v, %v, want %+v", got, err, want)
	}
	b.has("users", "user_ines", map[string]any{"email": "ines@example.com"})
	if n := scalar[int](b, `select count(*) from clerk_sync.webhook_events where payload is not null`); n != 0 {
		t.Error("the payload is kept after it was applied")
	}

	// Applied is applied: a further replay repeats nothing.
	b.want(mirror.Applied, ines.Name("Newer", "").UpdatedAt(at(5)).Event(clerk.UserUpdated, at(5)))
	if got, err := b.store.Replay(t.Context(), "msg_1"); err != nil || got.Outcome != mirror.Applied {
		t.Errorf("Replay of an applied event = %+v, %v", got, err)
	}
	b.has("users", "user_ines", map[string]any{"first_name": "Newer"})
	if _, err := b.store.Replay(t.Context(), "msg_unknown"); !errors.Is(err, mirror.ErrNoEvent) {
		t.Errorf("Replay of an unknown id: %v, want ErrNoEvent", err)
	}
}

func TestReplay_OfAnOldEventDoesNotUndoNewerOnes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set instance_id = 'ins_other'`)
	b.sendAs("msg_old", ines.Event(clerk.UserCreated, at(0)))
	b.exec(`update clerk_sync.settings set instance_id = null`)
	b.want(mirror.Applied, ines.Name("Newer", "").UpdatedAt(at(5)).Event(clerk.UserUpdated, at(5)))
	if got, err := b.store.Replay(t.Context(), "msg_old"); err != nil || got.Outcome != mirror.Stale {
		t.Errorf("Replay = %+v, %v, want stale", got, err)
	}
	b.has("users", "user_ines", map[string]any{"first_name": "Newer"})
}

func TestApply_RejectsEventsOfAnotherInstance(t *testing.T) {
	t.Parallel()
	body := ines.Event(clerk.UserCreated, at(0), clerktest.Instance("ins_theirs"))
	unnamed := ines.Event(clerk.UserCreated, at(0), clerktest.Instance(""))
	tests := []struct {
		name           string
		database, call string
		body           []byte
		want           mirror.Outcome
	}{
		{"no pin", "", "", body, mirror.Applied},
		{"pinned by the database", "ins_ours", "", body, mirror.Rejected},
		{"pinned by the caller", "", "ins_ours", body, mirror.Rejected},
		{"pinned to it by both", "ins_theirs", "ins_theirs", body, mirror.Applied},
		{"pinned to different ones", "ins_theirs", "ins_ours", body, mirror.Rejected},
		// Old messages do not name their instance; the signature vouches for them.
		{"unnamed", "ins_ours", "ins_ours", unnamed, mirror.Applied},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.exec(`update clerk_sync.settings set instance_id = nullif($1, '')`, test.database)
			d := delivery(t, "msg_1", test.body)
			d.InstanceID = test.call
			got, err := b.store.Apply(t.Context(), d)
			if err != nil || got.Outcome != test.want {
				t.Errorf("Apply = %+v, %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestApply_StoresPrivateMetadataOnlyWhenAskedAndApart(t *testing.T) {
	t.Parallel()
	withSecret := func(body string) []byte {
		return ines.With(func(u *resource.User) { u.PrivateMetadata = json.RawMessage(body) }).Event(clerk.UserCreated, at(0))
	}
	for name, ask := range map[string]bool{"not asked": false, "asked": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.exec(`update clerk_sync.settings set store_private_metadata = $1, keep_applied_payloads = true`, ask)
			b.want(mirror.Applied, withSecret(`{"stripe":"cus_secret"}`))
			exposed := scalar[int](b, `select count(*) from public.users t where t::text like '%cus_secret%'`)
			apart := scalar[int](b, `select count(*) from clerk_sync.private_metadata t where t.metadata->>'stripe' = 'cus_secret'`)
			payload := scalar[int](b, `select count(*) from clerk_sync.webhook_events t where t::text like '%cus_secret%'`)
			want := [3]int{0, 0, 0}
			if ask {
				want = [3]int{0, 1, 1}
			}
			if got := [3]int{exposed, apart, payload}; got != want {
				t.Errorf("rows with private metadata in users, private_metadata, payloads = %v, want %v", got, want)
			}
		})
	}
}

func TestStatus_CountsTheCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	before, err := b.store.Status(t.Context())
	if err != nil || before.LastEventAt != nil || before.Users != (mirror.Counts{}) {
		t.Errorf("Status of an empty copy = %+v, %v", before, err)
	}
	b.send(ines.Event(clerk.UserCreated, at(0)))
	b.send(clerktest.Membership("orgmem_1", acme, tomas).Event(clerk.OrganizationMembershipCreated, at(0)))
	b.send(clerktest.User("user_gone").Deleted(at(1)))
	b.send(clerktest.Event(t, "session.created"))
	got, err := b.store.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.Users != (mirror.Counts{Live: 1, Placeholders: 1, Tombstones: 1}) ||
		got.Organizations != (mirror.Counts{Placeholders: 1}) || got.Memberships != (mirror.Counts{Live: 1}) ||
		got.Events[mirror.Applied] != 3 || got.Events[mirror.Ignored] != 1 || got.LastEventAt == nil {
		t.Errorf("Status = %+v", got)
	}
}

func TestEvents_ListsLatestFirstByOutcome(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sendAs("msg_a", ines.Event(clerk.UserCreated, at(0)))
	b.sendAs("msg_b", clerktest.Event(t, "session.created"))
	b.sendAs("msg_c", ines.UpdatedAt(at(1)).Event(clerk.UserUpdated, at(1)))
	events, err := b.store.Events(t.Context(), mirror.EventFilter{Outcome: mirror.Applied, Limit: 10})
	if err != nil || len(events) != 2 || events[0].SvixID != "msg_c" || events[1].SvixID != "msg_a" {
		t.Fatalf("Events(applied) = %+v, %v, want msg_c, msg_a", events, err)
	}
	if e := events[1]; e.Type != "user.created" || e.ObjectID != "user_ines" || e.StatedAt == nil || !e.StatedAt.Equal(at(0)) || e.Replayable {
		t.Errorf("event msg_a = %+v", e)
	}
	events, err = b.store.Events(t.Context(), mirror.EventFilter{Before: events[0].ReceivedAt, Limit: 1})
	if err != nil || len(events) != 1 || events[0].SvixID != "msg_b" {
		t.Errorf("the one before msg_c = %+v, %v, want msg_b", events, err)
	}
}

func TestPurge_ForgetsWhatWasKeptLongEnough(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`create table public.posts (author text references public.users (clerk_id))`)
	b.exec(`update clerk_sync.settings set keep_applied_payloads = true`)
	b.send(ines.Event(clerk.UserCreated, at(0)))
	b.send(clerktest.Membership("orgmem_1", acme, tomas).Event(clerk.OrganizationMembershipCreated, at(0)))
	b.send(clerktest.User("user_author").Deleted(time.Now().AddDate(-1, 0, 0)))
	b.send(tomas.Deleted(time.Now().AddDate(-1, 0, 0)))
	b.send(clerktest.User("user_lately").Deleted(time.Now()))
	b.exec(`insert into public.posts values ('user_author')`)
	b.exec(`update clerk_sync.webhook_events set received_at = now() - interval '31 days' where object_id = 'user_ines'`)
	b.exec(`update clerk_sync.webhook_events set received_at = now() - interval '101 days' where object_id = 'orgmem_1'`)

	b.exec(`insert into clerk_sync.audit_log (at, actor_kind, login, table_schema, table_name, action)
		select now() - days * interval '1 day', 'database', 'postgres', 'public', 'posts', 'truncate' from unnest('{399,401,500}'::int[]) as days`)

	got, err := b.store.Purge(t.Context(), 100)
	want := mirror.Purged{Payloads: 1, Events: 1, Memberships: 1, Users: 1, Held: 1, AuditRecords: 2}
	if err != nil || got != want {
		t.Errorf("Purge = %+v, %v, want %+v", got, err, want)
	}
	for id, kept := range map[string]bool{"user_ines": true, "user_tomas": false, "user_author": true, "user_lately": true} {
		if row := b.row("users", id); (row != nil) != kept {
			t.Errorf("user %s after the purge: %v, want kept %t", id, row, kept)
		}
	}
	if got, err := b.store.Purge(t.Context(), 100); err != nil || got != (mirror.Purged{Held: 1}) {
		t.Errorf("second Purge = %+v, %v, want nothing but what is held", got, err)
	}
}

func TestStore_SaysUnavailableWithoutQuotingTheEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`drop function clerk_sync.apply_event(text, jsonb, text, text) cascade`)
	_, err := b.store.Apply(t.Context(), delivery(t, "msg_1", ines.Event(clerk.UserCreated, at(0))))
	if !errors.Is(err, mirror.ErrUnavailable) {
		t.Fatalf("Apply without the sync functions: %v, want ErrUnavailable", err)
	}
	const want = `applying event msg_1: the database is unavailable: SQLSTATE 42883 (the sync functions are missing: run "clerksync migrate up")`
	if err.Error() != want {
		t.Errorf("error text = %q, want %q", err, want)
	}
}

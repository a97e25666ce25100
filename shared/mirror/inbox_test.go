package mirror_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/histories"
)

func ids(events []mirror.RecordedEvent) []string {
	list := make([]string, len(events))
	for i, e := range events {
		list[i] = e.SvixID
	}
	return list
}

func TestEvents_AreChosenByEachFilter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sendAs("msg_user", ines.Event(clerk.UserCreated, at(0)))
	b.sendAs("msg_org", acme.Event(clerk.OrganizationCreated, at(0)))
	b.sendAs("msg_member", clerktest.Membership("orgmem_1", acme, ines).Event(clerk.OrganizationMembershipCreated, at(1)))
	b.sendAs("msg_mail", []byte(`{"type":"email.created","data":{"id":"ema_1"}}`))
	b.exec(`update clerk_sync.webhook_events set received_at = now() - interval '2 hours' where svix_id = 'msg_org'`)
	hourAgo := time.Now().Add(-time.Hour)
	for _, test := range []struct {
		name   string
		filter mirror.EventFilter
		want   []string
	}{
		{"all", mirror.EventFilter{}, []string{"msg_mail", "msg_member", "msg_org", "msg_user"}},
		{"a type", mirror.EventFilter{Type: "user.created"}, []string{"msg_user"}},
		{"a kind", mirror.EventFilter{Type: "organization"}, []string{"msg_org"}},
		{"no type", mirror.EventFilter{Type: "user.create"}, []string{}},
		{"an object and what hangs on it", mirror.EventFilter{Object: "user_ines"}, []string{"msg_member", "msg_user"}},
		{"part of an id of the message", mirror.EventFilter{Part: "_mem"}, []string{"msg_member"}},
		{"part of an id of an object", mirror.EventFilter{Part: "g_acme"}, []string{"msg_member", "msg_org"}},
		{"a wildcard is no wildcard", mirror.EventFilter{Part: "%"}, []string{}},
		{"since", mirror.EventFilter{Since: hourAgo}, []string{"msg_mail", "msg_member", "msg_user"}},
		{"before", mirror.EventFilter{Before: hourAgo}, []string{"msg_org"}},
		{"outcome", mirror.EventFilter{Outcome: mirror.Ignored}, []string{"msg_mail"}},
		{"two at once", mirror.EventFilter{Object: "user_ines", Type: "user"}, []string{"msg_user"}},
	} {
		events, err := b.store.Events(t.Context(), test.filter)
		got := ids(events)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, %v, want %v", test.name, got, err, test.want)
		}
	}
}

// Transactions end in another order than they begin, some are taken back, and looks fall
// anywhere between: each event that stays is told once.
func TestFollow_TellsEachEventOnceInAnyOrderOfCommits(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := rand.New(rand.NewPCG(seed, 16))
			b.sendAs("msg_before", []byte(`{"type":"email.created","data":{"id":"ema_0"}}`))
			var (
				under        []pgx.Tx
				at           mirror.Bookmark
				want, got    []string
				sent         int
				waitingFirst = map[pgx.Tx][]string{}
			)
			conns := make([]*pgx.Conn, 5)
			for i := range conns {
				conns[i] = b.db.Conn(t, b.db.Owner())
			}
			free := slices.Clone(conns)
			begin := func() {
				conn := free[len(free)-1]
				free = free[:len(free)-1]
				tx, err := conn.Begin(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for range 1 + r.IntN(4) {
					id := fmt.Sprintf("msg_%03d", sent)
					sent++
					if _, err := tx.Exec(t.Context(), `select clerk_sync.apply_event($1, '{"type":"email.created","data":{"id":"ema_1"}}')`, id); err != nil {
						t.Fatal(err)
					}
					waitingFirst[tx] = append(waitingFirst[tx], id)
				}
				under = append(under, tx)
			}
			end := func(i int) {
				tx := under[i]
				under = slices.Delete(under, i, i+1)
				var err error
				if r.IntN(4) == 0 {
					err = tx.Rollback(t.Context())
				} else {
					want = append(want, waitingFirst[tx]...)
					err = tx.Commit(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
				free = append(free, tx.Conn())
			}
			look := func() bool {
				events, next, err := b.store.Follow(t.Context(), at, mirror.EventFilter{Limit: 1 + r.IntN(6)})
				if err != nil {
					t.Fatal(err)
				}
				got, at = append(got, ids(events)...), next
				return len(events) > 0
			}
			begin() // not to be seen by the first look, and told later
			look()
			for range 60 {
				switch n := r.IntN(3); {
				case n == 0 && len(free) > 0:
					begin()
				case n == 1 && len(under) > 0:
					end(r.IntN(len(under)))
				default:
					look()
				}
			}
			for len(under) > 0 {
				end(0)
			}
			// One look may tell nothing, since it ends a page of before.
			for empty := 0; empty < 2; empty++ {
				if look() {
					empty = 0
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("told %v\nwant %v", got, want)
			}
		})
	}
}

func TestFollow_BeginsWithWhatWasReceivedSince(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for n := range 5 {
		b.sendAs(fmt.Sprint("msg_", n), []byte(`{"type":"email.created","data":{"id":"ema_0"}}`))
	}
	b.exec(`update clerk_sync.webhook_events set received_at = now() - interval '2 hours' where svix_id = 'msg_0'`)
	var at mirror.Bookmark
	var got []string
	for range 4 {
		events, next, err := b.store.Follow(t.Context(), at, mirror.EventFilter{Since: time.Now().Add(-time.Hour), Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		got, at = append(got, ids(events)...), next
	}
	if want := []string{"msg_1", "msg_2", "msg_3", "msg_4"}; !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

func TestEvent_ShowsNoValueOfThePayload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set instance_id = 'ins_other'`)
	body := `{"type":"user.created","instance_id":"ins_2x","timestamp":1716883200000,"data":{"id":"user_ines","external_id":"ext_Secret1",
		"first_name":"Ines","updated_at":1716883200000,"banned":false,"phone_number_count":491701234567,"Ines@example.com":1,
		"email_addresses":[{"id":"idn_1","email_address":"ines@example.com"}],"public_metadata":{"Plan of Ines":"gold"},
		"type":"Ines Secret","role":"Ines is here"}}`
	b.sendAs("msg_1", []byte(body))
	e, err := b.store.Event(t.Context(), "msg_1")
	if err != nil || !e.Replayable || e.Reason != "wrong_instance" || e.UserID != "user_ines" {
		t.Fatalf("Event = %+v, %v", e, err)
	}
	for _, secret := range []string{"Ines", "example.com", "gold", "Secret", "49170"} {
		if strings.Contains(string(e.Payload), secret) {
			t.Errorf("the masked payload shows %q: %s", secret, e.Payload)
		}
	}
	for _, shape := range []string{`"id": "user_ines"`, `"first_name": "(text of 4 characters)"`, `"updated_at": 1716883200000`, `"banned": false`, `"public_metadata": "(object)"`, `"id": "idn_1"`} {
		if !strings.Contains(string(e.Payload), shape) {
			t.Errorf("the masked payload lacks %s: %s", shape, e.Payload)
		}
	}
	if _, _, err := b.store.EventPayload(t.Context(), "msg_1"); err == nil {
		t.Error("the writer reads payloads")
	}
	payload, raw, err := b.ownersStore().EventPayload(t.Context(), "msg_1")
	var whole struct{ Data map[string]any }
	if err != nil || raw != nil || json.Unmarshal(payload, &whole) != nil || whole.Data["first_name"] != "Ines" {
		t.Errorf("EventPayload = %s, %q, %v", payload, raw, err)
	}
	if _, err := b.store.Event(t.Context(), "msg_unknown"); !errors.Is(err, mirror.ErrNoEvent) {
		t.Errorf("Event of an unknown id: %v, want ErrNoEvent", err)
	}
}

func TestTryReplay_ChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set instance_id = 'ins_other'`)
	b.sendAs("msg_1", ines.Event(clerk.UserCreated, at(0)))
	if got, err := b.store.TryReplay(t.Context(), "msg_1"); err != nil || got.Reason != "wrong_instance" {
		t.Errorf("TryReplay before mending = %+v, %v, want rejected again", got, err)
	}
	b.exec(`update clerk_sync.settings set instance_id = $1`, clerktest.InstanceID)
	const state = `select concat_ws(' ', to_jsonb(e), (select count(*) from public.users), (select count(*) from clerk_sync.audit_log)) from clerk_sync.webhook_events as e`
	before := scalar[string](b, state)
	if got, err := b.store.TryReplay(t.Context(), "msg_1"); err != nil || got.Outcome != mirror.Applied {
		t.Errorf("TryReplay = %+v, %v, want applied", got, err)
	}
	if after := scalar[string](b, state); after != before {
		t.Errorf("TryReplay changed\n%s\ninto\n%s", before, after)
	}
	if _, err := b.store.TryReplay(t.Context(), "msg_unknown"); !errors.Is(err, mirror.ErrNoEvent) {
		t.Errorf("TryReplay of an unknown id: %v, want ErrNoEvent", err)
	}
}

// A secret that is taken away must have been silent: each delivery counts, of each
// endpoint, and whatever was first.
func TestSignatures_CountFirstAndRepeatedDeliveries(t *testing.T) {
	t.Parallel()
	const before, after, other = "0000000a", "0000000b", "0000000c"
	for name, apply := range map[string]func(*bench, ...mirror.Delivery){
		"one by one": func(b *bench, all ...mirror.Delivery) {
			for _, d := range all {
				if _, err := b.store.Apply(b.Context(), d); err != nil {
					b.Fatal(err)
				}
			}
		},
		"together": func(b *bench, all ...mirror.Delivery) {
			if _, err := b.store.ApplyBatch(b.Context(), all); err != nil {
				b.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			signed := func(id, with string) mirror.Delivery {
				d := delivery(t, id, ines.Event(clerk.UserUpdated, at(1)))
				d.SignedWith = with
				return d
			}
			apply(b, signed("msg_1", before), signed("msg_1", after), signed("msg_2", after), signed("msg_2", before), signed("msg_2", before), signed("msg_3", ""))
			// Both come again, and the later one does not hide the earlier.
			apply(b, signed("msg_1", before))
			apply(b, signed("msg_1", after))
			if _, err := b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_4", Reason: "not_json", Body: []byte("{"), SignedWith: other}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_4", Reason: "not_json", Body: []byte("{"), SignedWith: before}); err != nil {
				t.Fatal(err)
			}
			// An old message that comes again counts by when it came again.
			b.exec(`update clerk_sync.webhook_events set received_at = now() - interval '10 hours'`)
			got, err := b.store.Signatures(t.Context(), time.Now().Add(-24*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]int64{}
			for _, s := range got {
				counts[s.SignedWith] = s.Messages
				if late := s.LastAt.After(time.Now().Add(-time.Hour)); late != (s.SignedWith == before || s.SignedWith == after) {
					t.Errorf("%q was last used %s ago", s.SignedWith, time.Since(s.LastAt))
				}
			}
			if want := map[string]int64{before: 3, after: 2, other: 1, "": 1}; !maps.Equal(counts, want) {
				t.Errorf("messages by secret: %v, want %v", counts, want)
			}
			types, err := b.store.EventTypes(t.Context(), time.Now().Add(-24*time.Hour))
			if want := map[string]int64{"user.updated": 3, "": 1}; err != nil || !maps.Equal(types, want) {
				t.Errorf("event types %v, %v, want %v", types, err, want)
			}
		})
	}
}

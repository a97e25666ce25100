package fullsync_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

// late is an event that says otherwise than the first one about an object, of the same
// moments, and that would win if it came without a full sync in between.
func late(t *testing.T, e clerkinstance.Event) mirror.Delivery {
	t.Helper()
	var body struct {
		Object     string         `json:"object"`
		Type       string         `json:"type"`
		InstanceID string         `json:"instance_id"`
		Timestamp  json.Number    `json:"timestamp"`
		Data       map[string]any `json:"data"`
	}
	decoder := json.NewDecoder(strings.NewReader(string(e.Body)))
	decoder.UseNumber()
	if err := decoder.Decode(&body); err != nil {
		t.Fatal(err)
	}
	object, _, _ := strings.Cut(body.Type, ".")
	body.Type = object + ".updated"
	body.Data[map[string]string{"user": "first_name", "organization": "name", "organizationMembership": "role"}[object]] = "Late"
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return mirror.Delivery{SvixID: e.SvixID + "_late", Event: parse(t, text)}
}

func parse(t *testing.T, body []byte) clerk.Event {
	t.Helper()
	event, err := clerk.ParseEvent(body)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// A full sync finds everything right and writes nothing. An event that it has overtaken,
// of the updated_at that the copy has, changes nothing afterwards, alone or in a batch.
func TestRun_LateTiesAfterARunThatFoundEverythingRight(t *testing.T) {
	t.Parallel()
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprint("together ", together), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, backendapi.Options{})
			var mu sync.Mutex
			var events []clerkinstance.Event
			w.clerk = clerkinstance.New(clerkinstance.Options{Seed: 5, Emit: func(e clerkinstance.Event) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, e)
			}})
			w.serve(backendapi.Options{})
			traffic := clerkinstance.NewTraffic(w.clerk, 5)
			if err := traffic.SignUps(30); err != nil {
				t.Fatal(err)
			}
			for range 60 {
				if err := traffic.Step(); err != nil {
					t.Fatal(err)
				}
			}
			for _, e := range events {
				w.deliver(e)
			}
			report := w.complete(nil)
			for _, r := range []fullsync.ObjectReport{report.Users, report.Organizations, report.Memberships} {
				if r.Unchanged != r.Listed {
					t.Fatalf("the copy was not right before: %s", describe(report))
				}
			}
			written := w.written()
			kinds := map[string]bool{}
			var all []mirror.Delivery
			for _, e := range slices.Backward(events) {
				if object, what, _ := strings.Cut(e.Type, "."); what == "created" && (object == "user" || object == "organization" || object == "organizationMembership") {
					all, kinds[object] = append(all, late(t, e)), true
				}
			}
			if len(kinds) != 3 {
				t.Fatalf("nothing is late but %v", kinds)
			}
			if together {
				if _, err := w.store.ApplyBatch(t.Context(), all); err != nil {
					t.Fatal(err)
				}
			} else {
				for _, d := range all {
					result, err := w.store.Apply(t.Context(), d)
					if err != nil || result.Outcome != mirror.Stale {
						t.Errorf("%s: %+v, %v", d.SvixID, result, err)
					}
				}
			}
			if w.written() != written {
				t.Error("a late event wrote rows")
			}
			w.same()
		})
	}
}

// A row that is too young to be missed, and that Clerk does not list, is not confirmed.
func TestRun_ConfirmsNothingThatItLeavesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(20, 0, 0)
	w.complete(nil)
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	user := clerktest.User("user_young").CreatedAt(ago(30 * time.Minute)).UpdatedAt(ago(30 * time.Minute))
	apply := func(id, name string, stated time.Time) mirror.Outcome {
		result, err := w.store.Apply(t.Context(), mirror.Delivery{SvixID: id, Event: parse(t, user.Name(name, "").Event("user.updated", stated))})
		if err != nil {
			t.Fatal(err)
		}
		return result.Outcome
	}
	apply("msg_1", "First", ago(30*time.Minute))
	w.complete(func(o *fullsync.Options) { o.Settle = time.Hour })
	if outcome := apply("msg_2", "Second", ago(20*time.Minute)); outcome != mirror.Applied {
		t.Errorf("a later statement about what the run did not see is %s", outcome)
	}
}

// A user whose deletion Clerk has stated and whom it lists all the same stays deleted,
// and every way to bring the copy up to date counts it, each time.
func TestRun_CountsWhatIsDeletedHereAsDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(20, 2, 30)
	w.complete(nil)
	var id string
	var memberships int64
	for _, m := range w.clerk.Snapshot().Memberships {
		id = m.PublicUserData.UserID
	}
	for _, m := range w.clerk.Snapshot().Memberships {
		if m.PublicUserData.UserID == id {
			memberships++
		}
	}
	deleted := parse(t, clerktest.User(id).Deleted(time.Now().Add(-time.Hour)))
	if _, err := w.store.Apply(t.Context(), mirror.Delivery{SvixID: "msg_forged", Event: deleted}); err != nil {
		t.Fatal(err)
	}
	check := func(what string, report fullsync.Report, err error) {
		t.Helper()
		if err != nil || report.Users.DeletedHere != 1 || report.Memberships.DeletedHere != memberships ||
			report.Users.Drift != 1 || report.Drift != 1+memberships {
			t.Errorf("%s: %v\n%s\nwant a user and its %d memberships deleted here, and as much drift", what, err, describe(report), memberships)
		}
	}
	for _, what := range []string{"a run", "the next run"} {
		check(what, w.complete(nil), nil)
	}
	var found []string
	report, err := w.run(func(o *fullsync.Options) {
		o.DryRun = true
		var mu sync.Mutex
		o.OnDifference = func(d mirror.Difference) {
			mu.Lock()
			defer mu.Unlock()
			found = append(found, d.Result)
		}
	})
	check("a dry run", report, err)
	if want := slices.Repeat([]string{"deleted_here"}, 1+int(memberships)); !slices.Equal(found, want) {
		t.Errorf("the dry run found %v, want %v", found, want)
	}
	report, err = fullsync.User(t.Context(), w.options(nil), id)
	check("the user alone", report, err)
	status, err := w.store.Status(t.Context())
	if err != nil || status.LastComplete.Drift == nil || *status.LastComplete.Drift != 1+memberships {
		t.Errorf("the status tells a drift of %v, %v", status.LastComplete.Drift, err)
	}
}

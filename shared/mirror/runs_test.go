package mirror_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

// listed is a page of users as the Backend API lists them, requested at a moment.
func listed(requested time.Time, users ...clerktest.UserBuilder) clerk.Page {
	page := clerk.Page{RequestedAt: requested, Total: -1}
	resources := make([]resource.User, len(users))
	for i, u := range users {
		resources[i] = u.Resource()
		page.Items = append(page.Items, clerk.Item{
			ID: resources[i].ID, CreatedAt: resources[i].CreatedAt, UpdatedAt: resources[i].UpdatedAt,
		})
	}
	var err error
	if page.Resources, err = json.Marshal(resources); err != nil {
		panic(err)
	}
	return page
}

func (b *bench) begin(holder string, change func(*mirror.Begin)) (*mirror.Run, error) {
	b.Helper()
	begin := mirror.Begin{Holder: holder, Lease: time.Minute, InstanceID: "ins_1", Trigger: "test"}
	if change != nil {
		change(&begin)
	}
	return b.store.Begin(b.Context(), begin)
}

func (b *bench) mustBegin(holder string) *mirror.Run {
	b.Helper()
	run, err := b.begin(holder, nil)
	if err != nil {
		b.Fatal(err)
	}
	return run
}

// expire lets the lease of whoever holds the lock run out.
func (b *bench) expire() {
	b.Helper()
	if _, err := b.owner.Exec(b.Context(), `update clerk_sync.sync_lock set expires_at = now() - interval '1 second'`); err != nil {
		b.Fatal(err)
	}
}

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestBegin_LetsOneHolderWork(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.mustBegin("first")
	if first.Resumed || !first.Initial {
		t.Errorf("the first run: %+v, want a new and initial one", first)
	}
	if _, err := b.begin("second", nil); !errors.Is(err, mirror.ErrBusy) {
		t.Errorf("a second holder: %v, want ErrBusy", err)
	}
	// The answer to the first question may have been lost on its way.
	if again := b.mustBegin("first"); again.ID != first.ID || again.Resumed {
		t.Errorf("the same holder again: run %d resumed %t, want run %d as it was", again.ID, again.Resumed, first.ID)
	}

	b.expire()
	second := b.mustBegin("second")
	if second.ID != first.ID || !second.Resumed {
		t.Errorf("after the lease: run %d resumed %t, want run %d resumed", second.ID, second.Resumed, first.ID)
	}
	for what, err := range map[string]error{
		"Renew":      first.Renew(t.Context()),
		"Plan":       first.Plan(t.Context(), mirror.Users, []mirror.Span{{}}),
		"Finish":     first.Finish(t.Context(), mirror.Window{Object: mirror.Users}),
		"NoteAbsent": first.NoteAbsent(t.Context(), mirror.Users, nil, time.Now()),
		"End":        first.End(t.Context(), "complete", "", nil, nil),
	} {
		if !errors.Is(err, mirror.ErrLockLost) {
			t.Errorf("%s by the one that lost the lock: %v, want ErrLockLost", what, err)
		}
	}
	if _, err := first.DeleteAbsent(t.Context(), mirror.Users, 10); !errors.Is(err, mirror.ErrLockLost) {
		t.Errorf("DeleteAbsent by the one that lost the lock: %v, want ErrLockLost", err)
	}
	if err := second.Renew(t.Context()); err != nil {
		t.Errorf("Renew by the one that has it: %v", err)
	}
}

func TestBegin_ResumesOnlyWhatCanBeResumed(t *testing.T) {
	cut := clerk.MillisOf(at(5))
	t.Parallel()
	for name, test := range map[string]struct {
		end     string // how the first run ended; "" if it was killed
		change  func(*mirror.Begin)
		sql     string
		resumed bool
	}{
		"killed":              {resumed: true},
		"partial":             {end: "partial", resumed: true},
		"complete":            {end: "complete"},
		"stopped":             {end: "stopped"},
		"asked to begin anew": {end: "partial", change: func(b *mirror.Begin) { b.Fresh = true }},
		"older than a day":    {end: "partial", sql: `update clerk_sync.sync_runs set started_at = now() - interval '25 hours'`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			first := b.mustBegin("first")
			if err := first.Plan(t.Context(), mirror.Users, []mirror.Span{{To: cut}, {From: cut}}); err != nil {
				t.Fatal(err)
			}
			done := mirror.Window{
				Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 1, To: cut, NextOffset: 7, Listed: 9, Tally: mirror.Tally{Unchanged: 8, Stale: 1}, Finished: true,
			}
			if err := errors.Join(first.NoteAbsent(t.Context(), mirror.Users, []string{"user_gone"}, time.Now()), first.Finish(t.Context(), done)); err != nil {
				t.Fatal(err)
			}
			if test.end == "" {
				b.expire()
			} else if err := first.End(t.Context(), test.end, "", nil, nil); err != nil {
				t.Fatal(err)
			}
			if test.sql != "" {
				must[any](t)(b.owner.Exec(t.Context(), test.sql))
			}

			second, err := b.begin("second", test.change)
			if err != nil {
				t.Fatal(err)
			}
			if second.Resumed != test.resumed || (second.ID == first.ID) != test.resumed {
				t.Errorf("run %d after run %d, resumed %t; want %t", second.ID, first.ID, second.Resumed, test.resumed)
			}
			var want []mirror.Window
			if test.resumed {
				want = []mirror.Window{done, {Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 2, From: cut}}
			}
			if diff := cmp.Diff(want, second.Windows); diff != "" && len(want)+len(second.Windows) > 0 {
				t.Errorf("windows (-want +got):\n%s", diff)
			}
			pending := must[[]mirror.Pending](t)(second.Pending(t.Context()))
			if (len(pending) == 1) != test.resumed {
				t.Errorf("pending deletions: %+v", pending)
			}
		})
	}
}

func TestBegin_RefusesAnotherInstance(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := func(accept bool) func(*mirror.Begin) {
		return func(b *mirror.Begin) { b.InstanceID, b.AcceptInstance = "ins_2", accept }
	}
	run := b.mustBegin("first")
	if err := run.End(t.Context(), "complete", "", nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.begin("second", other(false)); !errors.Is(err, mirror.ErrWrongInstance) || !strings.Contains(fmt.Sprint(err), "ins_1") {
		t.Errorf("another instance: %v, want ErrWrongInstance that names ins_1", err)
	}
	accepted, err := b.begin("second", other(true))
	if err != nil {
		t.Fatalf("another instance, accepted: %v", err)
	}
	if err := accepted.End(t.Context(), "complete", "", nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.begin("third", nil); !errors.Is(err, mirror.ErrWrongInstance) {
		t.Errorf("the first instance after another was accepted: %v, want ErrWrongInstance", err)
	}
	// A pin is a decision that no flag overrules.
	must[any](t)(b.owner.Exec(t.Context(), `update clerk_sync.settings set instance_id = 'ins_1'`))
	if _, err := b.begin("fourth", other(true)); !errors.Is(err, mirror.ErrWrongInstance) {
		t.Errorf("an instance against the pin: %v, want ErrWrongInstance", err)
	}
}

func TestApplyPage_CountsDrift(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := func(n int) clerktest.UserBuilder { return clerktest.User(fmt.Sprintf("user_%d", n)).UpdatedAt(at(0)) }
	must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users, listed(at(1), user(1), user(2), user(3)), at(1)))
	b.send(user(3).Deleted(at(2)))
	b.send(user(6).Deleted(at(60)))

	active := func(u *resource.User) { u.LastActiveAt = clerk.MillisOf(at(3)) }
	got := must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users, listed(at(100),
		user(1).With(active),               // changed without a new updated_at: no event told of that
		user(2).UpdatedAt(at(5)),           // a lost event
		user(3),                            // deleted here, as Clerk stated, and listed all the same
		user(6),                            // likewise, but the list may have been behind
		user(4),                            // a lost event
		user(5).UpdatedAt(at(60)), user(5), // the same twice, and too new to have been told
	), at(50)))
	if diff := cmp.Diff(mirror.Tally{Created: 2, Updated: 2, Stale: 2, DeletedHere: 1, Drift: 3}, got); diff != "" {
		t.Errorf("tally (-want +got):\n%s", diff)
	}
	again := must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users, listed(at(101), user(4)), at(50)))
	if diff := cmp.Diff(mirror.Tally{Unchanged: 1}, again); diff != "" {
		t.Errorf("the same again (-want +got):\n%s", diff)
	}
}

// A trigger of the application may find a precondition failed; the lock is not lost by that.
func TestApplyPage_TellsALostLockFromAnotherPrecondition(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`create function public.refuse() returns trigger language plpgsql as $$
		begin raise object_not_in_prerequisite_state using message = 'not now'; end $$`)
	b.exec(`create trigger refuse before insert on public.users for each row execute function public.refuse()`)
	run := b.mustBegin("one")
	w := mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 1}
	_, err := run.ApplyPage(t.Context(), w, listed(at(1), clerktest.User("user_1")), at(1))
	if !errors.Is(err, mirror.ErrUnavailable) || errors.Is(err, mirror.ErrLockLost) {
		t.Errorf("a page that a trigger refuses: %v, want ErrUnavailable", err)
	}
	b.expire()
	if _, err = run.ApplyPage(t.Context(), w, listed(at(1), clerktest.User("user_1")), at(1)); !errors.Is(err, mirror.ErrLockLost) {
		t.Errorf("a page after the lease: %v, want ErrLockLost", err)
	}
}

// What is listed and deleted here is counted with its window, once, however often that
// is said to be finished.
func TestFinish_CountsOnceWhatIsDeletedHere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, two := clerktest.User("user_1").UpdatedAt(at(0)), clerktest.User("user_2").UpdatedAt(at(0))
	b.send(one.Deleted(at(2)))
	run := b.mustBegin("one")
	w := mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 1, Listed: 2}
	w.Tally = must[mirror.Tally](t)(run.ApplyPage(t.Context(), w, listed(at(100), one, two), at(50)))
	for range 2 {
		if err := run.Finish(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mirror.Tally{Created: 1, Stale: 1, DeletedHere: 1, Drift: 2}, run.Windows[0].Tally); diff != "" {
		t.Errorf("the window's tally (-want +got):\n%s", diff)
	}
}

// A tombstone of what Clerk lists is told of, to the owner and to the writer alike.
func TestPreviewPage_TellsOfWhatIsDeletedHere(t *testing.T) {
	t.Parallel()
	for login, connString := range map[string]func(*testdb.DB) string{"the owner": (*testdb.DB).Owner, "the writer": (*testdb.DB).Writer} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			org, ada, ida := clerktest.Organization("org_1", "One"), clerktest.User("user_ada"), clerktest.User("user_ida")
			old := clerktest.Membership("orgmem_1", org, ada).UpdatedAt(at(1))
			b.send(old.Event("organizationMembership.created", at(1)))
			b.send(ada.Deleted(at(2)))
			b.send(ida.Deleted(at(60)))
			// One of which the copy never knew, and which would be born dead.
			unknown := clerktest.Membership("orgmem_2", org, ada).UpdatedAt(at(1))
			store := mirror.New(pool(t, connString(b.db), 1))
			memberships := page(t, at(100), map[string]any{"orgmem_1": old.Resource(), "orgmem_2": unknown.Resource()}, nil)
			for _, p := range []struct {
				object mirror.Object
				page   clerk.Page
				want   []string
			}{
				{mirror.Users, listed(at(100), ada, ida), []string{"user_ada"}},
				{mirror.Memberships, memberships, []string{"orgmem_1", "orgmem_2"}},
			} {
				tally, differences, err := store.PreviewPage(t.Context(), p.object, p.page, at(50))
				if err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, d := range differences {
					if d.Result != "deleted_here" {
						t.Errorf("the result of %s is %q", d.ID, d.Result)
					}
					ids = append(ids, d.ID)
				}
				slices.Sort(ids)
				n := int64(len(p.want))
				if diff := cmp.Diff(p.want, ids); diff != "" || tally != (mirror.Tally{Stale: 2, DeletedHere: n, Drift: n}) {
					t.Errorf("%+v; differences (-want +got):\n%s", tally, diff)
				}
				if applied := must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), p.object, p.page, at(50))); applied != tally {
					t.Errorf("applied: %+v, foreseen: %+v", applied, tally)
				}
			}
		})
	}
}

func TestPreviewPage_ShowsFieldsAndWritesNothing(t *testing.T) {
	t.Parallel()
	for login, values := range map[string]bool{"the owner": true, "the writer": false} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if values {
				b.store = mirror.New(pool(t, b.db.Owner(), 1))
			}
			previewPage(t, b, values)
		})
	}
}

func previewPage(t *testing.T, b *bench, values bool) {
	t.Helper()
	must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users, listed(at(1), clerktest.User("user_1").Name("Ada", "L")), at(1)))
	before := must[mirror.Status](t)(b.store.Status(t.Context()))

	tally, differences, err := b.store.PreviewPage(t.Context(), mirror.Users, listed(at(9),
		clerktest.User("user_1").Name("Ida", "L").UpdatedAt(at(5)), clerktest.User("user_2").Email("b@example.com")), at(5))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mirror.Tally{Created: 1, Updated: 1, Drift: 2}, tally); diff != "" {
		t.Errorf("tally (-want +got):\n%s", diff)
	}
	slices.SortFunc(differences, func(a, b mirror.Difference) int { return strings.Compare(a.ID, b.ID) })
	if len(differences) != 2 || differences[0].Result != "updated" || differences[1].Result != "created" {
		t.Fatalf("differences: %+v", differences)
	}
	var names []string
	for _, f := range differences[0].Fields {
		names = append(names, f.Name)
		switch {
		case !values && (f.Here != nil || f.Clerk != nil):
			t.Errorf("%s: %s → %s is shown to a login that may read no table", f.Name, f.Here, f.Clerk)
		case values && f.Name == "first_name" && (string(f.Here) != `"Ada"` || string(f.Clerk) != `"Ida"`):
			t.Errorf("first_name: %s → %s, want Ada → Ida", f.Here, f.Clerk)
		}
	}
	if diff := cmp.Diff([]string{"first_name", "updated_at"}, names); diff != "" {
		t.Errorf("fields that differ (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, must[mirror.Status](t)(b.store.Status(t.Context()))); diff != "" {
		t.Errorf("the copy has changed (-before +after):\n%s", diff)
	}
}

// The rest of a window is planned with its end or not at all, and once, however often
// an answer is lost.
func TestFinish_PlansTheRest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cut, end := clerk.MillisOf(at(5)), clerk.MillisOf(at(9))
	first := b.mustBegin("first")
	if err := first.Plan(t.Context(), mirror.Users, []mirror.Span{{To: end}, {From: end}}); err != nil {
		t.Fatal(err)
	}
	rest := mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 3, From: cut, To: end, After: "user_é"}
	last := mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 4, From: cut}
	done := mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 1, To: cut + 1, Listed: 2, Tally: mirror.Tally{Unchanged: 2}, Through: "user_é", Rest: &rest}
	other := mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 2, From: end, To: end + 1, Rest: &last}
	for range 2 {
		for _, w := range []mirror.Window{done, other} {
			if err := first.Finish(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.expire()
	second := b.mustBegin("second")
	done.Through, done.Rest, done.Finished = "", nil, true
	other.Rest, other.Finished = nil, true
	if diff := cmp.Diff([]mirror.Window{done, other, rest, last}, second.Windows); diff != "" {
		t.Errorf("windows (-want +got):\n%s", diff)
	}
	done.Rest = &rest
	if err := first.Finish(t.Context(), done); !errors.Is(err, mirror.ErrLockLost) {
		t.Errorf("Finish by the one that has lost the lock: %v, want ErrLockLost", err)
	}
}

// suspects are all of a span, looked for two at a time.
func (b *bench) suspects(object mirror.Object, span mirror.Span, listed []string) (all []mirror.Suspect) {
	b.Helper()
	for place, more := (*mirror.Place)(nil), true; more; more = place != nil {
		var some []mirror.Suspect
		var err error
		if some, place, err = b.store.Suspects(b.Context(), 0, object, span, listed, place, 2); err != nil {
			b.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

func TestSuspects_AreLiveRowsOfTheSpanThatWereNotListed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := func(id string, created int) clerktest.UserBuilder {
		return clerktest.User(id).With(func(u *resource.User) { u.CreatedAt = clerk.MillisOf(at(created)) })
	}
	must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users,
		listed(at(1), user("user_a", 0), user("user_b", 10), user("user_c", 10), user("user_d", 20), user("user_e", 15)), at(1)))
	must[int64](t)(b.store.Delete(t.Context(), mirror.Users, []string{"user_e"}, at(2)))
	for _, test := range []struct {
		span   mirror.Span
		listed []string
		want   []string
	}{
		{mirror.Span{}, nil, []string{"user_a", "user_b", "user_c", "user_d"}},
		{mirror.Span{From: clerk.MillisOf(at(10)), To: clerk.MillisOf(at(20))}, nil, []string{"user_b", "user_c"}},
		{mirror.Span{From: clerk.MillisOf(at(10))}, []string{"user_b", "user_elsewhere"}, []string{"user_c", "user_d"}},
		{mirror.Span{To: clerk.MillisOf(at(10))}, []string{"user_a"}, nil},
		// Of the first moment some ids, and of the others all.
		{mirror.Span{From: clerk.MillisOf(at(10)), After: "user_b"}, nil, []string{"user_c", "user_d"}},
		{mirror.Span{From: clerk.MillisOf(at(10)), To: clerk.MillisOf(at(10)) + 1, Through: "user_b"}, nil, []string{"user_b"}},
		{mirror.Span{From: clerk.MillisOf(at(10)), To: clerk.MillisOf(at(10)) + 1, After: "user_c", Through: "user_b"}, nil, nil},
		// By bytes, not by any language's order.
		{mirror.Span{From: clerk.MillisOf(at(10)), To: clerk.MillisOf(at(10)) + 1, After: "user_a", Through: "user_c"}, nil, []string{"user_b", "user_c"}},
		{mirror.Span{From: clerk.MillisOf(at(10)), After: "user_Z"}, nil, []string{"user_b", "user_c", "user_d"}},
		{mirror.Span{To: clerk.MillisOf(at(10)) + 1, Through: "user_Z"}, nil, []string{"user_a"}},
		// Of the last moment some ids, and of the others all.
		{mirror.Span{To: clerk.MillisOf(at(10)) + 1, Through: "user_b"}, nil, []string{"user_a", "user_b"}},
		{mirror.Span{To: clerk.MillisOf(at(20)), Through: "user_b"}, nil, []string{"user_a", "user_b", "user_c"}},
	} {
		var got []string
		for _, s := range b.suspects(mirror.Users, test.span, test.listed) {
			got = append(got, s.ID)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("suspects of %+v without %v (-want +got):\n%s", test.span, test.listed, diff)
		}
	}
}

func TestDeleteAbsent_LeavesAloneWhatClerkHasSpokenOfSince(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ada, ida := clerktest.User("user_ada"), clerktest.User("user_ida")
	org := clerktest.Organization("org_1", "One")
	must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users, listed(at(1), ada, ida), at(1)))
	b.send(clerktest.Membership("orgmem_1", org, ida).Event("organizationMembership.created", at(2)))
	run := b.mustBegin("one")
	if err := run.NoteAbsent(t.Context(), mirror.Users, []string{"user_ada", "user_ida", "user_never_here"}, at(10)); err != nil {
		t.Fatal(err)
	}
	b.send(ada.Name("Ada", "").UpdatedAt(at(11)).Event("user.updated", at(11)))

	taken := must[int64](t)(run.DeleteAbsent(t.Context(), mirror.Users, 10))
	if taken != 3 {
		t.Errorf("taken = %d, want 3", taken)
	}
	if taken := must[int64](t)(run.DeleteAbsent(t.Context(), mirror.Users, 10)); taken != 0 {
		t.Errorf("taken again = %d, want 0", taken)
	}
	if err := run.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	deleted := map[mirror.Object]int64{}
	for _, w := range run.Windows {
		deleted[w.Object] += w.Tally.Deleted
	}
	if diff := cmp.Diff(map[mirror.Object]int64{mirror.Users: 1, mirror.Memberships: 1}, deleted); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	for id, want := range map[string]bool{"user_ada": true, "user_ida": false, "user_never_here": false} {
		if live := must[bool](t)(b.store.IsLive(t.Context(), mirror.Users, id)); live != want {
			t.Errorf("%s is live: %t, want %t", id, live, want)
		}
	}
	// What was never here leaves no tombstone behind.
	if status := must[mirror.Status](t)(b.store.Status(t.Context())); status.Users.Tombstones != 1 {
		t.Errorf("tombstones = %d, want 1", status.Users.Tombstones)
	}
}

func TestRuns_TellHowEachEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.mustBegin("first")
	if err := first.End(t.Context(), "complete", "", nil, map[string]int{"requests": 3}); err != nil {
		t.Fatal(err)
	}
	// Said again after a lost answer.
	if err := first.End(t.Context(), "complete", "", nil, nil); err != nil {
		t.Errorf("ending twice: %v", err)
	}
	b.mustBegin("second")
	b.expire() // and nobody ends it

	runs := must[[]mirror.RunRecord](t)(b.store.Runs(t.Context(), 0))
	if len(runs) != 2 || runs[0].State != "partial" || runs[0].Reason != "killed" || runs[1].State != "complete" ||
		string(runs[1].Report) != `{"requests": 3}` || runs[1].EndedAt == nil {
		t.Errorf("runs: %+v", runs)
	}
	status := must[mirror.Status](t)(b.store.Status(t.Context()))
	if status.LastRun == nil || status.LastRun.Reason != "killed" || status.LastComplete == nil || status.LastComplete.ID != first.ID {
		t.Errorf("status: last run %+v, last complete %+v", status.LastRun, status.LastComplete)
	}
}

// Pages carry only what the rules read: whatever they carry less, the rows are
// those that Clerk's whole answer makes.
func TestApplyPage_LeavesOutNothingThatTheRulesRead(t *testing.T) {
	t.Parallel()
	fill := func(u *resource.User) {
		u.ExternalID, u.Username, u.Banned, u.Locked, u.PasswordEnabled, u.TwoFactorEnabled = new("ext"), new("ada"), true, true, true, true
		u.LastSignInAt, u.LastActiveAt = clerk.MillisOf(at(7)), clerk.MillisOf(at(8))
		u.PublicMetadata, u.PrivateMetadata, u.UnsafeMetadata = json.RawMessage(`{"a":1}`), json.RawMessage(`{"b":2}`), json.RawMessage(`{"c":9007199254740993}`)
	}
	user := clerktest.User("user_1").Name("Ada", "L").Email("a@example.com").Email("b@example.com").PrimaryEmail("b@example.com").Phone("+15550100").With(fill)
	org := clerktest.Organization("org_1", "One").Slug("one").With(func(o *resource.Organization) {
		o.CreatedBy, o.MaxAllowedMemberships, o.AdminDeleteEnabled = new("user_1"), 7, true
		o.PublicMetadata, o.PrivateMetadata = json.RawMessage(`{"d":4}`), json.RawMessage(`{"e":5}`)
	})
	// Of these parents only the membership tells.
	child := clerktest.Membership("orgmem_1", clerktest.Organization("org_2", "Two").Slug("two").With(func(o *resource.Organization) {
		o.CreatedBy, o.MaxAllowedMemberships, o.PublicMetadata = new("user_9"), 3, json.RawMessage(`{"f":6}`)
	}), clerktest.User("user_2").Name("Ida", "M").With(fill)).With(func(m *resource.OrganizationMembership) {
		m.PublicMetadata, m.PrivateMetadata, m.Permissions = json.RawMessage(`{"g":7}`), json.RawMessage(`{"h":8}`), []string{"org:a:b"}
		m.PublicUserData.Banned = true
	})
	var dumps [2][]string
	for i := range dumps {
		b := newBench(t)
		b.exec(`update clerk_sync.settings set store_private_metadata = true`)
		for _, p := range []struct {
			object    mirror.Object
			id        string
			resources any
		}{
			{mirror.Users, "user_1", []resource.User{user.Resource()}},
			{mirror.Organizations, "org_1", []resource.Organization{org.Resource()}},
			{mirror.Memberships, "orgmem_1", []resource.OrganizationMembership{child.Resource()}},
		} {
			text, err := json.Marshal(p.resources)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				b.exec(`select clerk_sync.apply_objects($1, $2::jsonb, $3)`, string(p.object), string(text), at(9).UnixMilli())
				continue
			}
			page := clerk.Page{RequestedAt: at(9), Resources: text, Items: []clerk.Item{{ID: p.id}}}
			must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), p.object, page, at(9)))
		}
		dumps[i] = strings.Split(fmt.Sprint(dump(t.Context(), t, b.owner)), "\n")
	}
	if diff := cmp.Diff(dumps[0], dumps[1]); diff != "" {
		t.Errorf("the copy (-of the whole answer +of the page):\n%s", diff)
	}
	if !strings.Contains(strings.Join(dumps[1], ""), `"banned": true`) {
		t.Errorf("the rows are not filled as they should be: %s", dumps[1])
	}
}

// hopeless is an error of a connection that knows that waiting does not help.
type hopeless struct{}

func (hopeless) Error() string { return "no route" }
func (hopeless) MayPass() bool { return false }

func TestMayPass_BelievesTheConnection(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"a connection that broke", fmt.Errorf("%w: %w", mirror.ErrUnavailable, errors.New("broken pipe")), true},
		{"a connection that cannot be made", fmt.Errorf("%w: %w", mirror.ErrUnavailable, hopeless{}), false},
		{"an error of something else", errors.New("broken pipe"), false},
	} {
		if got := mirror.MayPass(test.err); got != test.want {
			t.Errorf("%s: MayPass(%v) = %t, want %t", test.name, test.err, got, test.want)
		}
	}
}

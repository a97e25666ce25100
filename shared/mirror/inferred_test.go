package mirror_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
)

// absent lets a full sync find that Clerk does not have some objects, at a moment.
func (b *bench) absent(when time.Time, ids map[mirror.Object][]string) {
	b.Helper()
	run := b.mustBegin("absent")
	for object, gone := range ids {
		if err := run.NoteAbsent(b.Context(), object, gone, when); err != nil {
			b.Fatal(err)
		}
	}
	for object := range ids {
		for must[int64](b)(run.DeleteAbsent(b.Context(), object, 500)) > 0 {
		}
	}
	if err := run.End(b.Context(), "complete", "", nil, nil); err != nil {
		b.Fatal(err)
	}
}

// membership is that of ines in acme.
func membership(id string) clerktest.MembershipBuilder { return clerktest.Membership(id, acme, ines) }

// A page of one object of any kind.
func pageWith(requested time.Time, id string, resource any) clerk.Page {
	return pageOf(0, 1, requested, func(int) any { return resource }, func(int) string { return id })
}

func (b *bench) gone(table, id string) (gone bool) {
	b.Helper()
	row := b.row(table, id)
	if row == nil {
		b.Errorf("%s %s: no row", table, id)
	}
	return row["deleted_at"] != nil
}

// What a full sync has only inferred from absence yields to what Clerk states later.
func TestInferredTombstone_YieldsToWhatClerkStatesLater(t *testing.T) {
	t.Parallel()
	kinds := map[mirror.Object]struct {
		table, id string
		resource  any
		event     func(at time.Time) []byte
	}{
		mirror.Users: {"users", "user_ines", ines.Resource(), func(at time.Time) []byte { return ines.Event(clerk.UserUpdated, at) }},
		mirror.Organizations: {"organizations", "org_acme", acme.Resource(), func(at time.Time) []byte {
			return acme.Event(clerk.OrganizationUpdated, at)
		}},
		mirror.Memberships: {"organization_memberships", "orgmem_1", membership("orgmem_1").Resource(), func(at time.Time) []byte {
			return membership("orgmem_1").Event(clerk.OrganizationMembershipUpdated, at)
		}},
	}
	for object, kind := range kinds {
		for name, told := range map[string]struct {
			tell func(b *bench, at time.Time) string
			back string
		}{
			"by an event": {func(b *bench, at time.Time) string { return string(b.send(kind.event(at)).Outcome) }, "applied"},
			"by a batch": {func(b *bench, at time.Time) string {
				// The other is there only to make two.
				results := must[[]mirror.Result](b)(b.store.ApplyBatch(b.Context(), []mirror.Delivery{
					delivery(b, "msg_a"+at.String(), kind.event(at)), delivery(b, "msg_b"+at.String(), tomas.Event(clerk.UserUpdated, at)),
				}))
				return string(results[0].Outcome)
			}, "applied"},
			"by a list": {func(b *bench, at time.Time) string {
				tally := must[mirror.Tally](b)(b.store.ApplyPage(b.Context(), object, pageWith(at, kind.id, kind.resource), clerktest.Epoch))
				return fmt.Sprintf("%+v", tally)
			}, fmt.Sprintf("%+v", mirror.Tally{Updated: 1, Drift: 1})},
		} {
			t.Run(fmt.Sprint(object, " ", name), func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.exec(`update clerk_sync.settings set store_private_metadata = true, deletion_grace = '3 days'`)
				for _, k := range []mirror.Object{mirror.Users, mirror.Organizations, mirror.Memberships} {
					b.want(mirror.Applied, kinds[k].event(at(0)))
				}
				before, private := b.row(kind.table, kind.id), scalar[int](b, `select count(*)::int from clerk_sync.private_metadata where object_id <> 'user_tomas'`)
				b.absent(at(60), map[mirror.Object][]string{object: {kind.id}})
				if !b.gone(kind.table, kind.id) {
					t.Fatal("what is absent was not deleted")
				}
				held := `select count(*)::int from clerk_sync.held_back`
				if n := scalar[int](b, held); n == 0 {
					t.Error("nothing is held back")
				}
				// What was asked for, or stated, no later than that.
				for _, when := range []time.Time{at(50), at(60)} {
					if got := told.tell(b, when); got == told.back || !b.gone(kind.table, kind.id) {
						t.Errorf("stated at %s, it is back: %s", when, got)
					}
				}
				if got := told.tell(b, at(61)); got != told.back {
					t.Errorf("stated later: %s, want %s", got, told.back)
				}
				b.has(kind.table, kind.id, before)
				// Its memberships come with the next list, or event.
				if object != mirror.Memberships {
					if !b.gone("organization_memberships", "orgmem_1") {
						t.Error("the membership came back untold")
					}
					b.want(mirror.Applied, kinds[mirror.Memberships].event(at(62)))
					if b.gone("organization_memberships", "orgmem_1") {
						t.Error("the membership is not back")
					}
				}
				b.has("organization_memberships", "orgmem_1", map[string]any{"role": "org:member"})
				if n := scalar[int](b, held); n != 0 {
					t.Errorf("%d are held back of what is there", n)
				}
				if got := scalar[int](b, `select count(*)::int from clerk_sync.private_metadata where object_id <> 'user_tomas'`); got != private {
					t.Errorf("private metadata of %d objects, want %d", got, private)
				}
			})
		}
	}
}

// A membership says that its user and its organization are there; its end does not.
func TestInferredTombstone_YieldsToAChild(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body []byte
		back bool
	}{
		"joining":                      {membership("orgmem_2").Event(clerk.OrganizationMembershipCreated, at(61)), true},
		"joining before":               {membership("orgmem_2").Event(clerk.OrganizationMembershipCreated, at(59)), false},
		"the end of one that is known": {membership("orgmem_1").Deleted(at(61)), false},
		"the end of one that is not":   {membership("orgmem_2").Deleted(at(61)), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.want(mirror.Applied, membership("orgmem_1").Event(clerk.OrganizationMembershipCreated, at(0)))
			b.want(mirror.Applied, ines.Event(clerk.UserUpdated, at(1)))
			b.want(mirror.Applied, acme.Event(clerk.OrganizationUpdated, at(1)))
			b.absent(at(60), map[mirror.Object][]string{mirror.Users: {"user_ines"}, mirror.Organizations: {"org_acme"}})
			b.send(test.body)
			if b.gone("users", "user_ines") == test.back || b.gone("organizations", "org_acme") == test.back {
				t.Errorf("user gone %t, organization gone %t, want back %t", b.gone("users", "user_ines"), b.gone("organizations", "org_acme"), test.back)
			}
			if live := scalar[int](b, `select count(*)::int from public.organization_memberships where deleted_at is null`); (live == 1) != test.back {
				t.Errorf("%d memberships live, want back %t", live, test.back)
			}
			// What Clerk says of the user itself makes it whole in any case.
			b.want(mirror.Applied, ines.Event(clerk.UserUpdated, at(70)))
			b.has("users", "user_ines", map[string]any{"email": "ines@example.com", "is_placeholder": false, "deleted_at": nil})
			b.has("users_public", "user_ines", map[string]any{"first_name": "Inès"})
		})
	}
}

// What Clerk itself has stated is final, whenever that is told.
func TestInferredTombstone_BecomesFinalWhenClerkStatesIt(t *testing.T) {
	t.Parallel()
	for name, deleted := range map[string]time.Time{"before": at(55), "at once": at(60), "later": at(65)} {
		for _, first := range []string{"the sync", "the event"} {
			t.Run(name+", told first by "+first, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.want(mirror.Applied, membership("orgmem_1").Event(clerk.OrganizationMembershipCreated, at(0)))
				infer := func() { b.absent(at(60), map[mirror.Object][]string{mirror.Users: {"user_ines"}}) }
				if first == "the sync" {
					infer()
				}
				b.want(mirror.Applied, ines.Deleted(deleted))
				if first == "the event" {
					infer()
				}
				b.want(mirror.Stale, ines.Event(clerk.UserUpdated, at(70)))
				b.want(mirror.Stale, membership("orgmem_1").Event(clerk.OrganizationMembershipUpdated, at(70)))
				tally := must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users, pageWith(at(71), "user_ines", ines.Resource()), at(71)))
				if want := (mirror.Tally{Stale: 1, DeletedHere: 1, Drift: 1}); tally != want {
					t.Errorf("listed: %+v, want %+v", tally, want)
				}
				for table, id := range map[string]string{"users": "user_ines", "organization_memberships": "orgmem_1"} {
					b.has(table, id, map[string]any{"deleted_at": text(deleted)})
				}
			})
		}
	}
}

// A user whose memberships are ended in steps and who comes back in between keeps those
// that are left, and what is listed of the others.
func TestInferredTombstone_EndsNoMoreOfWhatIsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.members(12, 1)
	b.exec(`update public.organization_memberships set clerk_user_id = 'user_1'`)
	b.few(3)
	b.absent(at(60), map[mirror.Object][]string{mirror.Users: {"user_1"}})
	_, left := b.ended(at(60))
	if left == 0 {
		t.Fatal("no membership was left to be ended later")
	}
	user := clerktest.User("user_1")
	must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users, pageWith(at(61), "user_1", user.Resource()), at(0)))
	for must[bool](t)(b.store.EndSome(t.Context())) {
	}
	if _, live := b.ended(at(60)); live != left {
		t.Errorf("%d memberships live, want the %d that were left", live, left)
	}
	for n := range 12 {
		m := clerktest.Membership(fmt.Sprintf("orgmem_%d", n+1), clerktest.Organization(fmt.Sprintf("org_%d", n+1), "Org"), user)
		must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Memberships, pageWith(at(62), m.Resource().ID, m.Resource()), at(0)))
	}
	if _, live := b.ended(at(60)); live != 12 {
		t.Errorf("%d memberships live, want all 12", live)
	}
}

// What an earlier inference has left to be ended is looked at from the beginning when
// the user is inferred to be gone again: in between all may have come back.
func TestInferredTombstone_EndsAllThatIsBackWhenItIsInferredAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.members(12, 1)
	b.exec(`update public.organization_memberships set clerk_user_id = 'user_1'`)
	b.few(3)
	b.absent(at(60), map[mirror.Object][]string{mirror.Users: {"user_1"}})
	b.exec(`select clerk_sync.end_some_memberships(6)`)
	if ended, live := b.ended(at(60)); ended == 0 || live == 0 {
		t.Fatalf("%d memberships ended and %d live, want some of both", ended, live)
	}
	user := clerktest.User("user_1")
	must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Users, pageWith(at(61), "user_1", user.Resource()), at(0)))
	for n := range 12 {
		m := clerktest.Membership(fmt.Sprintf("orgmem_%d", n+1), clerktest.Organization(fmt.Sprintf("org_%d", n+1), "Org"), user)
		must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Memberships, pageWith(at(62), m.Resource().ID, m.Resource()), at(0)))
	}
	b.absent(at(70), map[mirror.Object][]string{mirror.Users: {"user_1"}})
	b.finish()
	if ended, live := b.ended(at(70)); ended != 12 || live != 0 {
		t.Errorf("%d memberships ended and %d live, want 12 and none", ended, live)
	}
}

// What is left to be ended of an organization that is back goes with nothing any more,
// and so is asked for.
func TestInferredTombstone_HidesNoSuspectOfWhatIsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.members(1, 8)
	b.few(3)
	b.absent(at(60), map[mirror.Object][]string{mirror.Organizations: {"org_1"}})
	suspects := func() int {
		return len(b.suspects(mirror.Memberships, mirror.Span{}, nil))
	}
	if n := suspects(); n != 0 {
		t.Errorf("%d suspects of an organization that is gone, want none", n)
	}
	org := clerktest.Organization("org_1", "Org")
	must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Organizations, pageWith(at(61), "org_1", org.Resource()), at(0)))
	if _, live := b.ended(at(60)); suspects() != live || live == 0 {
		t.Errorf("%d suspects, want all %d that live", suspects(), live)
	}
}

// What is left to be ended of an organization that is back ends no membership, and so those
// that end with their user are counted with that one.
func TestInferredTombstone_CountsWhatEndsBesideWhatIsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.members(1, 8)
	b.few(3)
	b.absent(at(60), map[mirror.Object][]string{mirror.Organizations: {"org_1"}})
	must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Organizations, pageWith(at(61), "org_1", clerktest.Organization("org_1", "Org").Resource()), at(0)))
	user := scalar[string](b, `select clerk_user_id from public.organization_memberships where deleted_at is null limit 1`)
	run := b.mustBegin("one")
	if err := run.NoteAbsent(t.Context(), mirror.Users, []string{user}, at(70)); err != nil {
		t.Fatal(err)
	}
	must[int64](t)(run.DeleteAbsent(t.Context(), mirror.Users, 10))
	if err := run.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	var ended int64
	for _, w := range run.Windows {
		if w.Object == mirror.Memberships {
			ended += w.Tally.Deleted
		}
	}
	if ended != 1 {
		t.Errorf("%d memberships are counted that ended with their user, want 1", ended)
	}
}

// A page that would bring a user back may lose to an event that has just done so.
func TestInferredTombstone_YieldsToAnEventBesideAPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(0)))
	b.absent(at(60), map[mirror.Object][]string{mirror.Users: {"user_ines"}})
	holder := b.db.Conn(t, b.db.Owner())
	tx := must[pgx.Tx](t)(holder.Begin(t.Context()))
	if _, err := tx.Exec(t.Context(), `select clerk_sync.apply_event('msg_back', $1::jsonb)`,
		string(ines.UpdatedAt(at(63)).Event(clerk.UserUpdated, at(63)))); err != nil {
		t.Fatal(err)
	}
	run := b.mustBegin("beside")
	var tally mirror.Tally
	done := make(chan error, 1)
	go func() {
		var err error
		tally, err = run.ApplyPage(t.Context(), mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 1},
			pageWith(at(62), "user_ines", ines.Resource()), at(0))
		done <- err
	}()
	for waiting := false; !waiting; {
		select {
		case err := <-done:
			t.Fatalf("the page did not wait: %v", err)
		default:
		}
		waiting = scalar[bool](b, `select exists (select from pg_stat_activity where $1::int = any (pg_blocking_pids(pid)))`, holder.PgConn().PID())
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if want := (mirror.Tally{Stale: 1}); tally != want {
		t.Errorf("the page: %+v, want %+v", tally, want)
	}
	b.has("users", "user_ines", map[string]any{"deleted_at": nil, "updated_at": text(at(63))})
}

func TestInferredTombstone_OfADefinition(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	permission := clerktest.Permission("perm_1", "org:bills:read")
	role := clerktest.Role("role_1", "org:treasurer", permission)
	list := func(when time.Time) mirror.Tally {
		tally := must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Permissions, pageWith(when, "perm_1", permission), at(0)))
		tally.Add(must[mirror.Tally](t)(b.store.ApplyPage(t.Context(), mirror.Roles, pageWith(when, "role_1", role), at(0))))
		return tally
	}
	granted := func() int { return scalar[int](b, `select count(*)::int from clerk.role_permissions`) }
	list(at(0))
	b.absent(at(60), map[mirror.Object][]string{mirror.Roles: {"role_1"}, mirror.Permissions: {"perm_1"}})
	if n := granted(); n != 0 {
		t.Fatalf("%d permissions are granted by what is gone", n)
	}
	if got, want := list(at(60)), (mirror.Tally{Stale: 2}); got != want {
		t.Errorf("listed no later: %+v, want %+v", got, want)
	}
	if got, want := list(at(61)), (mirror.Tally{Updated: 2, Drift: 2}); got != want || granted() != 1 {
		t.Errorf("listed later: %+v, %d granted; want %+v and 1", got, granted(), want)
	}
}

// A dry run says what would come back, and nothing does.
func TestInferredTombstone_InADryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(mirror.Applied, ines.Event(clerk.UserUpdated, at(0)))
	b.absent(at(60), map[mirror.Object][]string{mirror.Users: {"user_ines"}})
	tally, differences, err := b.store.PreviewPage(t.Context(), mirror.Users, pageWith(at(61), "user_ines", ines.Resource()), at(0))
	if err != nil || tally != (mirror.Tally{Updated: 1, Drift: 1}) || len(differences) != 1 {
		t.Fatalf("%+v, %+v, %v; want one updated, as drift", tally, differences, err)
	}
	var names []string
	for _, f := range differences[0].Fields {
		names = append(names, f.Name)
	}
	if text, _ := json.Marshal(names); !b.gone("users", "user_ines") || len(names) == 0 || names[0] == "" {
		t.Errorf("fields %s, gone %t", text, b.gone("users", "user_ines"))
	}
}

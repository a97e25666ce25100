package mirror_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/histories"
	"clerksync/shared/testkit/testdb"
)

// many is more members than one statement of the writer could end one by one, in
// its 15 seconds, when each was compared with each.
const many = 12_000

// members fills the copy with organizations of so many members each, all of them
// users of their own.
func (b *bench) members(organizations, each int) {
	b.Helper()
	b.exec(`insert into public.organizations (clerk_org_id, name, created_at, updated_at, sync_version)
		select 'org_' || o, 'Org', $2, $2, '2.000000000000001.000000000000001.2.a' from generate_series(1, $1) as o`, organizations, at(0))
	b.exec(`insert into public.users (clerk_id, created_at, updated_at, sync_version)
		select 'user_' || n, $2, $2, '2.000000000000001.000000000000001.2.a' from generate_series(1, $1) as n`, organizations*each, at(0))
	b.exec(`insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role, created_at, updated_at, sync_version)
		select 'orgmem_' || n, 'org_' || (1 + (n - 1) / $2::int), 'user_' || n, 'org:member', $3, $3, '2.000000000000001.000000000000001.2.a'
		from generate_series(1, $1::int * $2::int) as n`, organizations, each, at(0))
}

// ended counts the memberships that ended when, and those that live.
func (b *bench) ended(when time.Time) (ended, live int) {
	b.Helper()
	if err := b.owner.QueryRow(b.Context(), `
		select count(*) filter (where deleted_at = $1), count(*) filter (where deleted_at is null)
		from public.organization_memberships`, when).Scan(&ended, &live); err != nil {
		b.Fatal(err)
	}
	return ended, live
}

func TestDeletion_OfAnOrganizationOfManyMembers(t *testing.T) {
	t.Parallel()
	gone := at(60)
	for name, remove := range map[string]func(b *bench){
		"one event": func(b *bench) {
			b.want(mirror.Applied, clerktest.Organization("org_1", "").Deleted(gone))
		},
		"a batch": func(b *bench) {
			batch := []mirror.Delivery{
				delivery(b, "msg_1", ines.Event(clerk.UserCreated, at(0))),
				delivery(b, "msg_2", clerktest.Organization("org_1", "").Deleted(gone)),
			}
			for _, result := range must[[]mirror.Result](b)(b.store.ApplyBatch(b.Context(), batch)) {
				if result.Outcome != mirror.Applied {
					b.Errorf("%+v, want applied", result)
				}
			}
		},
		"a full sync": func(b *bench) {
			run := b.mustBegin("one")
			if err := run.NoteAbsent(b.Context(), mirror.Organizations, []string{"org_1"}, gone); err != nil {
				b.Fatal(err)
			}
			for must[int64](b)(run.DeleteAbsent(b.Context(), mirror.Organizations, 500)) > 0 {
			}
			for must[bool](b)(b.store.EndSome(b.Context())) {
			}
			if err := run.Reload(b.Context()); err != nil {
				b.Fatal(err)
			}
			got := map[mirror.Object]mirror.Tally{}
			for _, w := range run.Windows {
				tally := got[w.Object]
				tally.Add(w.Tally)
				got[w.Object] = tally
			}
			if diff := cmp.Diff(map[mirror.Object]mirror.Tally{
				mirror.Organizations: {Deleted: 1, Drift: 1}, mirror.Memberships: {Deleted: many, Drift: many},
			}, got); diff != "" {
				b.Errorf("counted (-want +got):\n%s", diff)
			}
		},
		"by hand": func(b *bench) {
			if n := must[int64](b)(b.store.Delete(b.Context(), mirror.Organizations, []string{"org_1"}, gone)); n != 1 {
				b.Errorf("Delete = %d, want 1", n)
			}
			for must[bool](b)(b.store.EndSome(b.Context())) {
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.members(1, many)
			remove(b)
			if ended, live := b.ended(gone); ended != many || live != 0 {
				t.Errorf("%d memberships ended with the organization and %d live, want %d and none", ended, live, many)
			}
			if status := must[mirror.Status](t)(b.store.Status(t.Context())); status.Ending != 0 {
				t.Errorf("something is left to be ended: %+v", status)
			}
		})
	}
}

// 500 organizations that are gone, with 37 members each, are more than one
// transaction takes, and some of their members are gone by themselves.
func TestDeleteAbsent_TakesNoMoreThanTheirMembershipsAllow(t *testing.T) {
	t.Parallel()
	const organizations, each = 500, 37
	b := newBench(t)
	b.members(organizations, each)
	var orgs, users []string
	for n := range organizations {
		orgs = append(orgs, fmt.Sprintf("org_%d", n+1))
		users = append(users, fmt.Sprintf("user_%d", n*each+1))
	}
	run := b.mustBegin("one")
	for object, absent := range map[mirror.Object][]string{mirror.Organizations: orgs, mirror.Users: users} {
		if err := run.NoteAbsent(t.Context(), object, absent, at(60)); err != nil {
			t.Fatal(err)
		}
	}
	first := must[int64](t)(run.DeleteAbsent(t.Context(), mirror.Organizations, organizations))
	if most := int64(5000/each + 1); first != most {
		t.Errorf("the first step took %d organizations, want %d: 5000 memberships", first, most)
	}
	for _, object := range []mirror.Object{mirror.Organizations, mirror.Users} {
		for must[int64](t)(run.DeleteAbsent(t.Context(), object, 500)) > 0 {
		}
	}
	if err := run.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	deleted := map[mirror.Object]int64{}
	for _, w := range run.Windows {
		deleted[w.Object] += w.Tally.Deleted
	}
	// Each counts once, although its user is gone as well.
	if diff := cmp.Diff(map[mirror.Object]int64{
		mirror.Organizations: organizations, mirror.Users: organizations, mirror.Memberships: organizations * each,
	}, deleted); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	for must[bool](t)(b.store.EndSome(t.Context())) {
	}
	if ended, live := b.ended(at(60)); ended != organizations*each || live != 0 {
		t.Errorf("%d ended and %d live, want %d and none", ended, live, organizations*each)
	}
}

// few lets one transaction end so many memberships, and an event of others a
// fifth of them, so that a deletion of a handful comes in steps.
func (b *bench) few(n int) { b.exec(`update clerk_sync.settings set memberships_at_once = $1`, n) }

// applied plays an event by the SQL function alone, which ends what it may and
// leaves the rest.
func (b *bench) applied(svixID string, body []byte) {
	b.Helper()
	if _, err := b.db.Conn(b.T, b.db.Writer()).Exec(b.Context(), `select clerk_sync.apply_event($1, $2)`, svixID, string(body)); err != nil {
		b.Fatalf("apply_event(%s): %v", body, err)
	}
}

func TestDeletion_GoesOnWithLaterEventsUnderItsOwnCause(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.few(5)
	b.exec(`update clerk_sync.settings set keep_applied_payloads = true, store_private_metadata = true`)
	for n := range 12 {
		member := clerktest.Membership(fmt.Sprintf("orgmem_%02d", n), acme, clerktest.User(fmt.Sprintf("user_%02d", n))).
			With(func(m *resource.OrganizationMembership) { m.PrivateMetadata = []byte(`{"secret":1}`) })
		b.applied(fmt.Sprintf("msg_%02d", n), member.Event(clerk.OrganizationMembershipCreated, at(n)))
	}
	org := acme.Resource().ID
	b.applied("msg_deleted", clerktest.Organization(org, "").Deleted(at(60)))
	if ended, live := b.ended(at(60)); ended != 5 || live != 7 {
		t.Errorf("the deletion ended %d memberships and left %d, want 5 and 7", ended, live)
	}
	b.has("organizations", org, map[string]any{"name": nil})
	// What is stated now is born dead, whether it was known or not.
	for _, n := range []int{11, 12} {
		member := clerktest.Membership(fmt.Sprintf("orgmem_%02d", n), acme, clerktest.User(fmt.Sprintf("user_%02d", n))).UpdatedAt(at(70))
		b.applied(fmt.Sprintf("msg_late_%d", n), member.Event(clerk.OrganizationMembershipUpdated, at(70)))
		b.has("organization_memberships", fmt.Sprintf("orgmem_%02d", n), map[string]any{"role": nil})
	}
	steps := 0
	for ; scalar[bool](b, `select exists (select from clerk_sync.endings)`); steps++ {
		if steps > 40 {
			t.Fatal("it does not end")
		}
		b.applied(fmt.Sprintf("msg_step_%d", steps), clerktest.Event(t, "session.created"))
	}
	if steps < 5 {
		t.Errorf("later events ended it in %d steps, want small ones", steps)
	}
	if ended, live := b.ended(at(60)); ended != 13 || live != 0 {
		t.Errorf("%d memberships ended and %d live, want 13 and none", ended, live)
	}
	for what, sql := range map[string]string{
		"payloads about it": `select count(*) from clerk_sync.webhook_events where organization_id = $1 and payload is not null`,
		"private metadata":  `select count(*) from clerk_sync.private_metadata where object = 'organization_membership' or object_id = $1`,
		"records of another cause": `select count(*) from clerk_sync.audit_log
			where table_name = 'organization_memberships' and 'deleted_at' = any (changed) and cause not in ('msg_deleted', 'msg_late_11') and $1 <> ''`,
	} {
		if n := scalar[int](b, sql, org); n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
}

// A constraint of the team that refuses to let a membership end fails no other event.
func TestDeletion_RefusedLaterFailsNoOtherEvent(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"refused":         `raise 'never'`,
		"broken":          `delete from public.gone_since where id = old.clerk_membership_id; return new`,
		"of_its_own_code": `raise exception using errcode = 'PT409'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusedLater(t, body)
		})
	}
}

func refusedLater(t *testing.T, refuse string) {
	b := newBench(t)
	b.few(5)
	b.members(2, 20)
	b.applied("msg_deleted", clerktest.Organization("org_1", "").Deleted(at(60)))
	b.exec(`create function public.refuse() returns trigger language plpgsql as $$ begin ` + refuse + `; end $$`)
	b.exec(`create trigger refuse before update on public.organization_memberships for each row
		when (new.clerk_org_id = 'org_1') execute function public.refuse()`)
	// The first that it comes to have ended with the deletion.
	for n := range 8 {
		b.want(mirror.Applied, clerktest.User(fmt.Sprintf("user_new_%d", n)).Event(clerk.UserCreated, at(61)))
	}
	if left := scalar[bool](b, `select refused_at is not null from clerk_sync.endings`); !left {
		t.Error("the refusal is not noted")
	}
	// The other deletion does not wait behind it.
	b.want(mirror.Applied, clerktest.Organization("org_2", "").Deleted(at(60)))
	if left := scalar[string](b, `select string_agg(object_id, ',') from clerk_sync.endings`); left != "org_1" {
		t.Errorf("left are %s, want org_1", left)
	}
	if _, err := b.store.EndSome(t.Context()); err == nil {
		t.Error("the full sync is not told of the refusal")
	}
	b.exec(`drop trigger refuse on public.organization_memberships`)
	for must[bool](t)(b.store.EndSome(t.Context())) {
	}
	if ended, live := b.ended(at(60)); ended != 40 || live != 0 {
		t.Errorf("%d ended and %d live, want 40 and none", ended, live)
	}
}

// While a step is under way, other events of the organization and its members go
// on without it, and what another transaction holds is not forgotten.
func TestDeletion_InStepsKeepsNoEventWaiting(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.few(5)
	b.members(1, 30)
	b.applied("msg_deleted", clerktest.Organization("org_1", "").Deleted(at(60)))

	step := b.db.Conn(t, b.db.Writer())
	for _, sql := range []string{`begin`, `select clerk_sync.end_some_memberships(3)`} {
		if _, err := step.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i, body := range [][]byte{
		clerktest.User("user_30").Name("Changed", "").UpdatedAt(at(61)).Event(clerk.UserUpdated, at(61)),
		clerktest.User("user_29").Deleted(at(55)),
		clerktest.Organization("org_1", "Late").UpdatedAt(at(59)).Event(clerk.OrganizationUpdated, at(59)),
	} {
		if _, err := b.store.Apply(ctx, delivery(t, fmt.Sprintf("msg_beside_%d", i), body)); err != nil {
			t.Errorf("Apply(%s) beside a step: %v", body, err)
		}
	}
	if _, err := step.Exec(t.Context(), `commit`); err != nil {
		t.Fatal(err)
	}

	// One that somebody else holds is passed over, and found again.
	holder := b.db.Conn(t, b.db.Superuser())
	for _, sql := range []string{`begin`, `select from public.organization_memberships where deleted_at is null for update`} {
		if _, err := holder.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 40 {
		b.send(clerktest.User(fmt.Sprintf("user_new_%d", n)).Event(clerk.UserCreated, at(62)))
	}
	if !scalar[bool](b, `select exists (select from clerk_sync.endings)`) {
		t.Error("memberships that were held are forgotten")
	}
	if _, err := holder.Exec(t.Context(), `commit`); err != nil {
		t.Fatal(err)
	}
	for n := 0; scalar[bool](b, `select exists (select from clerk_sync.endings)`); n++ {
		if n > 100 {
			t.Fatal("it does not end")
		}
		b.send(clerktest.User(fmt.Sprintf("user_newer_%d", n)).Event(clerk.UserCreated, at(63)))
	}
	if ended, live := b.ended(at(60)); ended != 29 || live != 0 {
		t.Errorf("%d ended with the organization and %d live, want 29 and none: one ended before with its user", ended, live)
	}
}

// Nor does one deletion wait behind another of which a row is held.
func TestDeletion_InStepsWaitsForNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.few(5)
	b.members(2, 20)
	holder := b.db.Conn(t, b.db.Superuser())
	for _, sql := range []string{`begin`, `select from public.organization_memberships where clerk_user_id = 'user_20' for update`} {
		if _, err := holder.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	b.applied("msg_first", clerktest.Organization("org_1", "").Deleted(at(60)))
	b.applied("msg_second", clerktest.Organization("org_2", "").Deleted(at(60)))
	for n := range 60 {
		b.send(clerktest.User(fmt.Sprintf("user_new_%d", n)).Event(clerk.UserCreated, at(61)))
	}
	if left := scalar[string](b, `select string_agg(object_id, ',') from clerk_sync.endings`); left != "org_1" {
		t.Errorf("left are %s, want org_1", left)
	}
}

// A full sync that comes while steps are left does not take the memberships for
// ones that Clerk has lost.
func TestSuspects_LeaveOutWhatIsBeingEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.few(5)
	b.members(2, 10)
	b.applied("msg_deleted", clerktest.Organization("org_1", "").Deleted(at(60)))
	suspects := b.suspects(mirror.Memberships, mirror.Span{}, nil)
	if len(suspects) != 10 || slices.ContainsFunc(suspects, func(s mirror.Suspect) bool { return s.OrganizationID != "org_2" }) {
		t.Errorf("suspects: %+v, want the ten of org_2", suspects)
	}
}

// finish ends what is left, as the next full sync does.
func (b *bench) finish() {
	b.Helper()
	for must[bool](b)(b.store.EndSome(b.Context())) {
	}
}

// In whatever order events come and however their deletions are cut into steps
// between them, the rows are those of one transaction an event.
func TestApply_ConvergesWithStepsBetweenEvents(t *testing.T) {
	t.Parallel()
	const orders = 4
	for seed := range histories.Seeds(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := randomHistory(3000+seed, 30)
			whole := newBench(t)
			h.play(t.Context(), t, whole.store, h.inOrder())
			want := dump(t.Context(), t, whole.owner)
			r := rand.New(rand.NewPCG(seed, 6))
			for range orders {
				order := h.shuffled(r)
				b := newBench(t)
				b.exec(`update clerk_sync.settings set keep_applied_payloads = true, store_private_metadata = true, memberships_at_once = $1`, 1+r.IntN(2))
				writer := b.db.Conn(t, b.db.Writer())
				for len(order) > 0 {
					n := min(1+r.IntN(4), len(order))
					var err error
					if batch := h.batch(t, order[:n]); n == 1 {
						_, err = writer.Exec(t.Context(), `select clerk_sync.apply_event($1, $2)`, batch[0].SvixID, string(batch[0].Event.JSON))
					} else {
						_, err = b.store.ApplyBatch(withoutTime{t.Context()}, batch)
					}
					if err != nil {
						t.Fatal(err)
					}
					order = order[n:]
				}
				b.finish()
				h.check(t, b.owner)
				if diff := cmp.Diff(want, dump(t.Context(), t, b.owner)); diff != "" {
					t.Fatalf("in steps it ends elsewhere (-at once +in steps):\n%s", diff)
				}
				if n := scalar[int](b, `
					select count(*) from clerk_sync.webhook_events as e
					where e.payload is not null and (
						exists (select from public.users as u where u.clerk_id = e.user_id and u.deleted_at is not null)
						or exists (select from public.organizations as o where o.clerk_org_id = e.organization_id and o.deleted_at is not null))`); n != 0 {
					t.Errorf("%d payloads about what is deleted are left", n)
				}
			}
		})
	}
}

// withoutTime is a context whose time is over for whatever asks how much there is,
// so that nothing goes on behind an event.
type withoutTime struct{ context.Context }

func (withoutTime) Deadline() (time.Time, bool) { return time.Unix(0, 0), true }

// The same with several clients side by side, each of whose events may take a step.
func TestApply_ConvergesWithStepsSideBySide(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	const clients = 6
	for seed := range histories.Seeds(1) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := randomHistory(4000+seed, 80)
			whole := newBench(t)
			h.play(t.Context(), t, whole.store, h.inOrder())

			db := testdb.New(t)
			owner := db.Conn(t, db.Superuser())
			if _, err := owner.Exec(t.Context(), `update clerk_sync.settings set memberships_at_once = 1`); err != nil {
				t.Fatal(err)
			}
			url := db.Pooled(t, db.Writer())
			order := h.shuffled(rand.New(rand.NewPCG(seed, 7)))
			var all sync.WaitGroup
			for client := range clients {
				store := mirror.New(pool(t, url, 1))
				all.Go(func() {
					for i := client; i < len(order); i += clients {
						h.play(t.Context(), t, store, order[i:i+1])
					}
				})
			}
			all.Wait()
			store := mirror.New(pool(t, db.Writer(), 1))
			for must[bool](t)(store.EndSome(t.Context())) {
			}
			h.check(t, owner)
			if diff := cmp.Diff(dump(t.Context(), t, whole.owner), dump(t.Context(), t, owner)); diff != "" {
				t.Errorf("side by side in steps ends elsewhere (-at once +side by side):\n%s", diff)
			}
		})
	}
}

package mirror_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/histories"
	"clerksync/shared/testkit/testdb"
)

// A history is a set of events about a few objects, crowded on purpose: few ids
// and few moments, so that ties, deletes before creates and children before
// parents are the rule.
type history struct {
	bodies   [][]byte
	expected map[string]expectation
}

// expectation is what a history leaves of one object in whatever order it
// comes, worked out from the set of its events without any order at all.
type expectation struct {
	table string
	// gone is when it ended; zero if it lives.
	gone time.Time
	// names are what it may be called: the newest statement's, and where
	// statements tie in all but their content, any of theirs.
	names       []string
	placeholder bool
}

func (e expectation) String() string {
	if !e.gone.IsZero() {
		return fmt.Sprintf("%s gone at %s", e.table, e.gone.Format("05.000"))
	}
	return fmt.Sprintf("%s called %v, placeholder %t", e.table, e.names, e.placeholder)
}

// statement is what one event says about one object.
type statement struct {
	class, kind     int
	updated, stated time.Time
	name            string
}

func (s statement) compare(o statement) int {
	for _, c := range []int{s.class - o.class, s.updated.Compare(o.updated), s.stated.Compare(o.stated), s.kind - o.kind} {
		if c != 0 {
			return c
		}
	}
	return 0
}

type object struct {
	statements []statement
	ends       []time.Time
	parents    []string
	// stated is whether anything but its end is known of a membership.
	stated bool
}

func randomHistory(seed uint64, events int) history {
	r := rand.New(rand.NewPCG(seed, 1))
	objects := map[string]*object{}
	get := func(id string) *object {
		if objects[id] == nil {
			objects[id] = &object{}
		}
		return objects[id]
	}
	moment := func() time.Time { return at(r.IntN(4)).Add(time.Duration(r.IntN(2)) * time.Millisecond) }
	state := func(id string, o *object, s statement) { o.statements = append(get(id).statements, s) }

	var h history
	for n := range events {
		userID, orgID := fmt.Sprintf("user_%d", r.IntN(3)), fmt.Sprintf("org_%d", r.IntN(2))
		updated, stated, name := moment(), moment(), fmt.Sprintf("name%d", n)
		kind := 1 + r.IntN(2)
		suffix := map[int]string{1: "created", 2: "updated"}[kind]
		user := clerktest.User(userID).Name(name, "").UpdatedAt(updated)
		org := clerktest.Organization(orgID, name).UpdatedAt(updated)
		var body []byte
		switch r.IntN(10) {
		case 0, 1, 2:
			body = user.Event("user."+suffix, stated)
			state(userID, get(userID), statement{2, kind, updated, stated, name})
		case 3:
			body = user.Deleted(stated)
			get(userID).ends = append(get(userID).ends, stated)
		case 4, 5:
			body = org.Event("organization."+suffix, stated)
			state(orgID, get(orgID), statement{2, kind, updated, stated, name})
		case 6:
			body = org.Deleted(stated)
			get(orgID).ends = append(get(orgID).ends, stated)
		default:
			// A membership belongs to the same two for ever, as Clerk's do.
			m := r.IntN(4)
			userID, orgID = fmt.Sprintf("user_%d", m%3), fmt.Sprintf("org_%d", m%2)
			id := fmt.Sprintf("orgmem_%d", m)
			membership := clerktest.Membership(id, clerktest.Organization(orgID, name).UpdatedAt(updated),
				clerktest.User(userID).Name(name, "")).Role("org:" + name).UpdatedAt(updated)
			get(id).parents = []string{userID, orgID}
			switch r.IntN(6) {
			case 0:
				// By its id alone it tells nothing of its parents.
				body = clerktest.Deletion(clerk.OrganizationMembershipDeleted, "organization_membership", id, stated)
				get(id).ends = append(get(id).ends, stated)
				h.bodies = append(h.bodies, body)
				continue
			case 1:
				kind = 2
				body = membership.Deleted(stated)
				get(id).ends = append(get(id).ends, stated)
				get(id).stated = true
			default:
				body = membership.Event("organizationMembership."+suffix, stated)
				state(id, get(id), statement{2, kind, updated, stated, "org:" + name})
				get(id).stated = true
			}
			state(userID, get(userID), statement{1, kind, updated, stated, name})
			state(orgID, get(orgID), statement{1, kind, updated, stated, name})
		}
		h.bodies = append(h.bodies, body)
	}

	h.expected = map[string]expectation{}
	for id, o := range objects {
		e := expectation{table: map[byte]string{'u': "users", 'o': "organizations"}[id[0]]}
		ends := slices.Clone(o.ends)
		if o.parents != nil {
			if !o.stated {
				continue // there is no row without parents
			}
			e.table = "organization_memberships"
			for _, parent := range o.parents {
				ends = append(ends, objects[parent].ends...)
			}
		}
		if len(ends) > 0 {
			e.gone = slices.MinFunc(ends, time.Time.Compare)
			h.expected[id] = e
			continue
		}
		newest := slices.MaxFunc(o.statements, statement.compare)
		e.placeholder = newest.class == 1
		for _, s := range o.statements {
			if s.compare(newest) == 0 {
				e.names = append(e.names, s.name)
			}
		}
		h.expected[id] = e
	}
	return h
}

// check compares every row of the copy with what the history must leave.
func (h history) check(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		select 'users', clerk_id, coalesce(first_name, ''), is_placeholder, deleted_at from public.users
		union all
		select 'organizations', clerk_org_id, coalesce(name, ''), is_placeholder, deleted_at from public.organizations
		union all
		select 'organization_memberships', clerk_membership_id, coalesce(role, ''), false, deleted_at
		from public.organization_memberships`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]expectation{}
	var table, id, name string
	var placeholder bool
	var gone *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&table, &id, &name, &placeholder, &gone}, func() error {
		e := expectation{table: table, placeholder: placeholder, names: []string{name}}
		if gone != nil {
			e = expectation{table: table, gone: *gone}
		} else if want := h.expected[id]; slices.Contains(want.names, name) {
			e.names = want.names
		}
		got[id] = e
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fmt.Sprint(h.expected), fmt.Sprint(got)); diff != "" {
		t.Errorf("the copy is not what the events say (-want +got):\n%s", diff)
	}
}

func (h history) play(ctx context.Context, t testing.TB, store *mirror.Store, order []int) {
	t.Helper()
	for _, n := range order {
		if _, err := store.Apply(ctx, delivery(t, fmt.Sprintf("msg_%d", n), h.bodies[n])); err != nil {
			t.Errorf("Apply(%s): %v", h.bodies[n], err)
		}
	}
}

func (h history) inOrder() []int {
	order := make([]int, len(h.bodies))
	for i := range order {
		order[i] = i
	}
	return order
}

// shuffled is some order of all events, some of them several times.
func (h history) shuffled(r *rand.Rand) []int {
	order := h.inOrder()
	for range len(order) / 2 {
		order = append(order, r.IntN(len(h.bodies)))
	}
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// orderOf describes an order so that a failure can be repeated.
func orderOf(h history, order []int) string {
	var b strings.Builder
	for _, n := range order {
		fmt.Fprintf(&b, "%d\t%s\n", n, h.bodies[n])
	}
	return b.String()
}

func TestApply_ConvergesForAnyOrderAndDuplication(t *testing.T) {
	t.Parallel()
	const orders = 6
	for seed := range histories.Seeds(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := randomHistory(seed, 24)
			r := rand.New(rand.NewPCG(seed, 2))
			var first string
			for i := range orders {
				order := h.shuffled(r)
				if i == 0 {
					order = h.inOrder()
				}
				b := newBench(t)
				h.play(t.Context(), t, b.store, order)
				h.check(t, b.owner)
				got := dump(t.Context(), t, b.owner)
				if i == 0 {
					first = got
				}
				if diff := cmp.Diff(first, got); diff != "" || t.Failed() {
					t.Fatalf("this order\n%sends elsewhere than the first (-first +this):\n%s", orderOf(h, order), diff)
				}
			}
		})
	}
}

// TestApply_ConvergesWithSeveralClientsThroughAPooler is the same property with
// deliveries side by side, each client's statements spread over shared backends.
func TestApply_ConvergesWithSeveralClientsThroughAPooler(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	const clients = 8
	for seed := range histories.Seeds(2) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := randomHistory(100+seed, 80)
			sequential := newBench(t)
			h.play(t.Context(), t, sequential.store, h.inOrder())
			h.check(t, sequential.owner)

			db := testdb.New(t)
			url := db.Pooled(t, db.Writer())
			order := h.shuffled(rand.New(rand.NewPCG(seed, 3)))
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

			owner := db.Conn(t, db.Superuser())
			h.check(t, owner)
			want, got := dump(t.Context(), t, sequential.owner), dump(t.Context(), t, owner)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("side by side ends elsewhere than one by one (-one by one +side by side):\n%s", diff)
			}
			var recorded, events int
			if err := owner.QueryRow(t.Context(), `select count(*), $1::int from clerk_sync.webhook_events`, len(h.bodies)).Scan(&recorded, &events); err != nil {
				t.Fatal(err)
			}
			if recorded != events {
				t.Errorf("%d events recorded, want %d: one for each svix-id", recorded, events)
			}
		})
	}
}

// A user is deleted while its membership is being written, many times over:
// whichever comes first, no live membership of a deleted user may remain.
func TestApply_NeverLeavesALiveMembershipUnderADeletedParent(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	stores := []*mirror.Store{mirror.New(pool(t, db.Writer(), 1)), mirror.New(pool(t, db.Writer(), 1)), mirror.New(pool(t, db.Writer(), 1))}
	owner := db.Conn(t, db.Superuser())
	for n := range 60 {
		user := clerktest.User(fmt.Sprintf("user_%d", n))
		org := clerktest.Organization(fmt.Sprintf("org_%d", n), "Acme")
		if n%2 == 0 { // both parents known already, as in ordinary life
			for i, body := range [][]byte{user.Event(clerk.UserCreated, at(0)), org.Event(clerk.OrganizationCreated, at(0))} {
				if _, err := stores[0].Apply(t.Context(), delivery(t, fmt.Sprintf("msg_%d_%d", n, i), body)); err != nil {
					t.Fatal(err)
				}
			}
		}
		var all sync.WaitGroup
		for i, body := range [][]byte{
			clerktest.Membership(fmt.Sprintf("orgmem_%d", n), org, user).Event(clerk.OrganizationMembershipCreated, at(1)),
			user.Deleted(at(2)),
			org.Deleted(at(2)),
		} {
			if n%3 == 0 && i == 2 {
				break // the user alone
			}
			all.Go(func() {
				if _, err := stores[i].Apply(t.Context(), delivery(t, fmt.Sprintf("race_%d_%d", n, i), body)); err != nil {
					t.Errorf("Apply(%s): %v", body, err)
				}
			})
		}
		all.Wait()
	}
	var alive int
	if err := owner.QueryRow(t.Context(), `select count(*) from public.organization_memberships where deleted_at is null`).Scan(&alive); err != nil {
		t.Fatal(err)
	}
	if alive != 0 {
		t.Errorf("%d memberships are alive under deleted parents", alive)
	}
}

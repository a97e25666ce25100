package clerkinstance_test

import (
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
)

var (
	seedFrom = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)
	seedTo   = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
)

func seeded(t testing.TB, o clerkinstance.SeedOptions) (*clerkinstance.Instance, *log) {
	t.Helper()
	l := &log{}
	instance := clerkinstance.New(clerkinstance.Options{Seed: 3, Now: ticking(time.Millisecond), Emit: l.emit})
	if err := instance.Seed(o); err != nil {
		t.Fatalf("Seed(%+v) = %v", o, err)
	}
	return instance, l
}

func TestSeed_MakesWhatWasOrderedAndTellsNobody(t *testing.T) {
	t.Parallel()
	for _, o := range []clerkinstance.SeedOptions{
		{Users: 2000, Organizations: 100, Memberships: 4000, From: seedFrom, To: seedTo},
		{Users: 10},
		{Users: 10, Organizations: 4, Memberships: 2},
		// Everybody is everywhere.
		{Users: 7, Organizations: 5, Memberships: 35},
		{Users: 1, Organizations: 1, Memberships: 1},
		// All in one millisecond.
		{Users: 50, Organizations: 5, Memberships: 50, From: seedTo, To: seedTo},
		{},
	} {
		instance, l := seeded(t, o)
		system := len(l.events)
		s := instance.Snapshot()
		got := clerkinstance.SeedOptions{Users: len(s.Users), Organizations: len(s.Organizations), Memberships: len(s.Memberships), From: o.From, To: o.To}
		if diff := cmp.Diff(o, got); diff != "" {
			t.Errorf("-ordered +made\n%s", diff)
		}
		if want := len(clerkEvents(t)); system != want {
			t.Errorf("Seed(%+v) made %d events known, want none but the %d of every instance", o, system-want, want)
		}
		from, to := o.From, o.To
		if to.IsZero() {
			from, to = time.Date(2024, time.June, 15, 0, 0, 0, 0, time.UTC), time.Date(2026, time.June, 16, 0, 0, 0, 0, time.UTC)
		}
		within := func(id string, created, updated clerk.Millis) {
			if created.Time().Before(from) || updated.Time().After(to) || updated < created {
				t.Errorf("%s was created at %s and updated at %s, want %s … %s", id, created.Time(), updated.Time(), from, to)
			}
		}
		for id, u := range s.Users {
			within(id, u.CreatedAt, u.UpdatedAt)
		}
		for id, o := range s.Organizations {
			within(id, o.CreatedAt, o.UpdatedAt)
			if o.CreatedAt < s.Users[*o.CreatedBy].CreatedAt {
				t.Errorf("%s is older than who created it", id)
			}
		}
		pairs := map[[2]string]bool{}
		for id, m := range s.Memberships {
			within(id, m.CreatedAt, m.UpdatedAt)
			user, organization := s.Users[m.PublicUserData.UserID], s.Organizations[m.Organization.ID]
			if pairs[[2]string{user.ID, organization.ID}] {
				t.Errorf("%s is in %s twice", user.ID, organization.ID)
			}
			pairs[[2]string{user.ID, organization.ID}] = true
			if m.CreatedAt < user.CreatedAt || m.CreatedAt < organization.CreatedAt {
				t.Errorf("%s is older than its parents", id)
			}
			if (m.Role == clerkinstance.AdminRole) != (user.ID == *organization.CreatedBy) {
				t.Errorf("%s of %s in %s has role %s", id, user.ID, organization.ID, m.Role)
			}
		}
	}
}

// clerkEvents are those of an instance that nothing was done to.
func clerkEvents(t testing.TB) []clerkinstance.Event {
	t.Helper()
	l := &log{}
	clerkinstance.New(clerkinstance.Options{Emit: l.emit})
	return l.events
}

// What windows of creation time have to cope with: imports, bursts and months
// without anybody.
func TestSeed_IsUneven(t *testing.T) {
	t.Parallel()
	instance, _ := seeded(t, clerkinstance.SeedOptions{Users: 20_000, Organizations: 50, Memberships: 20_000, From: seedFrom, To: seedTo})
	s := instance.Snapshot()
	together, months := map[clerk.Millis]int{}, map[int64]int{}
	for _, u := range s.Users {
		together[u.CreatedAt]++
		months[u.CreatedAt.Time().Sub(seedFrom).Milliseconds()*24/(seedTo.Sub(seedFrom).Milliseconds()+1)]++
	}
	var largest, busiest, quietest int
	quietest = len(s.Users)
	for _, n := range together {
		largest = max(largest, n)
	}
	for month := range int64(24) {
		busiest, quietest = max(busiest, months[month]), min(quietest, months[month])
	}
	if largest < 400 {
		t.Errorf("at most %d users were made in one millisecond, want an import of 400", largest)
	}
	if busiest < 10*max(1, quietest) {
		t.Errorf("the busiest month has %d users, the quietest %d: want a tenth", busiest, quietest)
	}
	sizes, sameTime := map[string]int{}, map[clerk.Millis]int{}
	for _, m := range s.Memberships {
		sizes[m.Organization.ID]++
		sameTime[m.CreatedAt]++
	}
	largest, smallest := 0, len(s.Memberships)
	for _, n := range sizes {
		largest, smallest = max(largest, n), min(smallest, n)
	}
	if largest < 10*smallest {
		t.Errorf("organizations have between %d and %d members, want one ten times as large as another", smallest, largest)
	}
	imported := 0
	for _, n := range sameTime {
		imported = max(imported, n)
	}
	if imported <= clerk.MaxLimit {
		t.Errorf("at most %d members joined in one millisecond, want more than a page", imported)
	}
}

func TestSeed_RepeatsItself(t *testing.T) {
	t.Parallel()
	o := clerkinstance.SeedOptions{Users: 500, Organizations: 20, Memberships: 900, From: seedFrom, To: seedTo}
	first, _ := seeded(t, o)
	second, _ := seeded(t, o)
	want := first.Snapshot()
	if diff := cmp.Diff(want, second.Snapshot()); diff != "" {
		t.Errorf("two instances of one seed: -first +second\n%s", diff)
	}
	// Users are made anew at every look.
	if diff := cmp.Diff(want, first.Snapshot()); diff != "" {
		t.Errorf("two looks at one instance: -first +second\n%s", diff)
	}
	if err := first.Seed(o); err != nil {
		t.Fatal(err)
	}
	again := first.Snapshot()
	if len(again.Users) != 1000 || len(again.Organizations) != 40 || len(again.Memberships) != 1800 {
		t.Errorf("seeded twice: %d users, %d organizations, %d memberships, want twice as many",
			len(again.Users), len(again.Organizations), len(again.Memberships))
	}
	for id, u := range want.Users {
		if diff := cmp.Diff(u, again.Users[id]); diff != "" {
			t.Fatalf("the second seed changed %s of the first:\n%s", id, diff)
		}
	}
}

// Seeded people are as alive as the others, and their updates as distinct.
func TestSeed_MakesPeopleWhoLive(t *testing.T) {
	t.Parallel()
	at := seedTo
	l := &log{}
	instance := clerkinstance.New(clerkinstance.Options{Seed: 3, Now: func() time.Time { return at }, Emit: l.emit})
	// Up to this very millisecond, in which they are also changed.
	if err := instance.Seed(clerkinstance.SeedOptions{Users: 1, Organizations: 1, Memberships: 1, From: at, To: at}); err != nil {
		t.Fatal(err)
	}
	before := instance.Snapshot()
	var user resource.User
	var organization resource.Organization
	var membership resource.OrganizationMembership
	for _, user = range before.Users {
	}
	for _, organization = range before.Organizations {
	}
	for _, membership = range before.Memberships {
	}
	from := len(l.events)
	for range 2 {
		for _, err := range []error{
			instance.UpdateUser(user.ID, func(u *resource.User) { u.FirstName = new("Renamed") }),
			instance.UpdateOrganization(organization.ID, func(o *resource.Organization) { o.Name = "Renamed" }),
			instance.UpdateMembership(membership.ID, clerkinstance.MemberRole, nil),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	stated := map[string][]time.Time{}
	for _, e := range l.events[from:] {
		stated[e.ObjectID] = append(stated[e.ObjectID], e.StatedAt)
	}
	for id, times := range stated {
		// A full sync may have read the first state within the same millisecond.
		if len(times) != 2 || !times[0].After(at) || !times[1].After(times[0]) {
			t.Errorf("%s, as it was at %s, was updated at %s: want two later moments", id, at, times)
		}
	}
	after := instance.Snapshot()
	if got := *after.Users[user.ID].FirstName; got != "Renamed" {
		t.Errorf("the user is called %q", got)
	}
	if got := after.Memberships[membership.ID].Role; got != clerkinstance.MemberRole {
		t.Errorf("the role is %q", got)
	}
	if err := instance.DeleteUser(user.ID, true); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(instance.Snapshot().Deleted)); !slices.Equal(got, []string{membership.ID, user.ID}) {
		t.Errorf("deleted are %s, want the user and the membership", got)
	}
}

func TestSeed_RefusesTheImpossible(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]clerkinstance.SeedOptions{
		"fewer than none":           {Users: -1},
		"nobody to found":           {Organizations: 1},
		"members of nothing":        {Users: 1, Memberships: 1},
		"members more than once":    {Users: 2, Organizations: 2, Memberships: 5},
		"the end before the start":  {Users: 1, From: seedTo, To: seedFrom},
		"what has not happened yet": {Users: 1, To: seedTo.AddDate(10, 0, 0)},
	} {
		instance := clerkinstance.New(clerkinstance.Options{Now: ticking(time.Second)})
		if err := instance.Seed(o); err == nil {
			t.Errorf("%s: Seed(%+v) = nil, want an error", name, o)
		}
		if n := len(instance.Snapshot().Users); n > 0 {
			t.Errorf("%s: it was refused, and there are %d users", name, n)
		}
	}
}

func BenchmarkSeed(b *testing.B) {
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	const users = 1_000_000
	for b.Loop() {
		before := heap()
		instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
		if err := instance.Seed(clerkinstance.SeedOptions{Users: users}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(heap()-before)/users, "B/user")
		runtime.KeepAlive(instance)
	}
}

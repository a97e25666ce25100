package clerkinstance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// SeedOptions say who was there before the first event.
type SeedOptions struct {
	Users, Organizations, Memberships int
	// From and To are when they were made; zero means two years before To, and
	// now. To must not lie in the future.
	From, To time.Time
}

// Seed adds users, organizations and memberships that no event tells of. Their
// creation times are as uneven as real ones: months in which hardly a user
// comes, bursts, and imports that make many objects within one millisecond (one
// in fifty of them all, up to 5000). Organizations differ in size.
//
// A seeded user costs under 200 bytes until it is touched: it is made again
// whenever it is looked at, the same every time. A million users take two
// seconds.
func (c *Instance) Seed(o SeedOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if o.To.IsZero() {
		o.To = now
	}
	if o.From.IsZero() {
		o.From = o.To.AddDate(-2, 0, 0)
	}
	switch {
	case o.Users < 0 || o.Organizations < 0 || o.Memberships < 0:
		return fmt.Errorf("seeding %d users, %d organizations and %d memberships: none can be negative", o.Users, o.Organizations, o.Memberships)
	case o.Organizations > 0 && o.Users == 0:
		return fmt.Errorf("seeding %d organizations without users: users create them", o.Organizations)
	case o.Memberships > o.Users*o.Organizations:
		return fmt.Errorf("seeding %d memberships: %d users can only join %d organizations once each", o.Memberships, o.Users, o.Organizations)
	case o.To.After(now) || o.From.After(o.To):
		return fmt.Errorf("seeding from %s to %s: the span must not be negative or end in the future", o.From.Format(time.RFC3339), o.To.Format(time.RFC3339))
	}
	if c.people == 0 {
		c.people = c.rng.Uint64() | 1
	}
	from, to := clerk.MillisOf(o.From), clerk.MillisOf(o.To)
	users := c.seedUsers(o.Users, from, to)
	organizations := c.seedOrganizations(o.Organizations, users, from, to)
	c.seedMemberships(o.Memberships, organizations, users, to)
	return nil
}

// seedIDs makes n ids in one piece of memory.
func (c *Instance) seedIDs(prefix string, n int) func(i int) string {
	size := len(prefix) + idLen
	b := make([]byte, 0, n*size)
	for range n {
		b = appendID(b, prefix, c.rng)
	}
	all := string(b)
	return func(i int) string { return all[i*size : (i+1)*size] }
}

// creations are n moments from one to another, in order.
func (c *Instance) creations(n int, from, to clerk.Millis) []clerk.Millis {
	const months = 24
	var weights [months]float64
	var total float64
	for i := range weights {
		// Every fifth month or so is quiet.
		if weights[i] = c.rng.ExpFloat64(); c.rng.IntN(5) == 0 {
			weights[i] *= 0.01
		}
		total += weights[i]
	}
	times := make([]clerk.Millis, 0, n)
	at := func() clerk.Millis {
		share, month := c.rng.Float64()*total, 0
		for month < months-1 && share >= weights[month] {
			share -= weights[month]
			month++
		}
		return from + clerk.Millis((float64(month)+c.rng.Float64())/months*float64(to-from))
	}
	for len(times) < n {
		moment, together := at(), 1
		switch {
		case len(times) == 0:
			together = max(1, min(n/50, 5000))
		case c.rng.IntN(200) == 0:
			together = 2 + c.rng.IntN(40)
		}
		for range min(together, n-len(times)) {
			times = append(times, moment)
		}
	}
	slices.Sort(times)
	return times
}

func (c *Instance) seedUsers(n int, from, to clerk.Millis) []row[resource.User] {
	id := c.seedIDs("user_", n)
	rows := make([]row[resource.User], n)
	for i, created := range c.creations(n, from, to) {
		c.seeded++
		rows[i] = row[resource.User]{id: id(i), created: created, updated: created, number: c.seeded}
		if c.rng.IntN(3) == 0 {
			rows[i].updated += clerk.Millis(c.rng.Float64() * float64(to-created))
		}
	}
	c.users.load(rows)
	return rows
}

// seededUser is who a seeded row stands for.
func (c *Instance) seededUser(r *row[resource.User]) resource.User {
	rng := rand.New(rand.NewPCG(c.people, uint64(r.number)))
	handle := "member" + strconv.Itoa(r.number)
	u := newUser(r.id, r.created)
	u.UpdatedAt, u.LastSignInAt, u.LastActiveAt = r.updated, r.updated, day(r.updated)
	if rng.IntN(10) > 0 {
		u.FirstName = new(firstNames[rng.IntN(len(firstNames))])
	}
	if rng.IntN(10) > 1 {
		u.LastName = new(lastNames[rng.IntN(len(lastNames))])
	}
	emails, phone := 1, false
	switch kind := rng.IntN(20); {
	case kind < 2:
		emails, phone = 0, true
	case kind < 4:
		emails, u.Username = 0, &handle
	case kind < 7:
		emails, phone = 3, true
	}
	id := func(prefix string) string { return string(appendID(make([]byte, 0, len(prefix)+idLen), prefix, rng)) }
	if emails > 0 {
		u.EmailAddresses = make([]resource.EmailAddress, 0, emails)
	}
	for i := range emails {
		at := [...]string{"@example.com", "@old.example", "@work.example"}[i]
		u.EmailAddresses = append(u.EmailAddresses, resource.NewEmail(id("idn_"), handle+at, rng.IntN(12) != 0, r.created))
	}
	if emails > 0 {
		u.PrimaryEmailAddressID = &u.EmailAddresses[emails-1].ID
	}
	if phone {
		u.PhoneNumbers = append(u.PhoneNumbers, resource.NewPhone(id("idn_"), fmt.Sprintf("+1500%07d", r.number), true, r.created))
		u.PrimaryPhoneNumberID = &u.PhoneNumbers[0].ID
	}
	if rng.IntN(5) == 0 {
		u.ExternalID = new("erp-" + strconv.Itoa(r.number))
	}
	if rng.IntN(2) == 0 {
		u.PublicMetadata = json.RawMessage(`{"plan":"team","seats":` + strconv.Itoa(1+rng.IntN(50)) + `}`)
	}
	if rng.IntN(8) == 0 {
		u.UnsafeMetadata = json.RawMessage(`{"theme":"dark","account":` + strconv.FormatInt(1<<53+int64(r.number), 10) + `}`)
	}
	u.PasswordEnabled = rng.IntN(2) == 0
	u.Banned = rng.IntN(200) == 0
	return u
}

func (c *Instance) seedOrganizations(n int, users []row[resource.User], from, to clerk.Millis) []row[resource.Organization] {
	id := c.seedIDs("org_", n)
	rows := make([]row[resource.Organization], n)
	for i, created := range c.creations(n, from, to) {
		c.seeded++
		name := places[c.rng.IntN(len(places))] + " " + trades[c.rng.IntN(len(trades))]
		// Users are in the order of their creation: one who was there already.
		there, _ := slices.BinarySearchFunc(users, created+1, func(u row[resource.User], at clerk.Millis) int { return cmp.Compare(u.created, at) })
		creator := users[c.rng.IntN(max(1, there))]
		created = max(created, creator.created)
		o := newOrganization(id(i), name, strings.ToLower(strings.Fields(name)[0])+"-s"+strconv.Itoa(c.seeded), creator.id, created)
		o.MaxAllowedMemberships = 0
		rows[i] = row[resource.Organization]{id: o.ID, created: created, updated: created, value: &o}
	}
	c.organizations.load(rows)
	return rows
}

// seedMemberships makes each user who created an organization its admin, as far
// as n goes, and shares out the rest.
func (c *Instance) seedMemberships(n int, organizations []row[resource.Organization], users []row[resource.User], to clerk.Millis) {
	// The two are among Clerk's own, and cannot be deleted while they are used;
	// without them no user is anything.
	admin, _ := c.roleByKey(AdminRole)
	member, _ := c.roleByKey(MemberRole)
	byID := make(map[string]int, len(users))
	for i, u := range users {
		byID[u.id] = i
	}
	id := c.seedIDs("orgmem_", n)
	rows := make([]row[resource.OrganizationMembership], n)
	next := 0
	sizes := c.sizes(n, organizations, len(users))
	largest := slices.Max(append([]int{0}, sizes...))
	for i, size := range sizes {
		o := organizations[i]
		// Some organizations were imported, the largest among them: all who
		// was there in one millisecond.
		imported := c.rng.IntN(20) == 0 || size == largest
		moment := o.created + clerk.Millis(c.rng.Float64()*float64(to-o.created))
		// Steps that have no factor in common with the number of users meet
		// everyone once; the first is the creator.
		user, step := byID[*o.value.CreatedBy], c.step(len(users))
		for k := range size {
			u := users[user]
			user = (user + step) % len(users)
			created := max(o.created, u.created)
			if imported {
				created = max(moment, u.created)
			} else {
				created += clerk.Millis(c.rng.Float64() * c.rng.Float64() * float64(to-created))
			}
			m := resource.NewMembership(id(next), *o.value, c.users.valueOf(&u).Public(), created)
			if k == 0 {
				m.CreatedAt, m.UpdatedAt = o.created, o.created
				assign(&m, admin)
			} else {
				assign(&m, member)
			}
			rows[next] = row[resource.OrganizationMembership]{id: m.ID, created: m.CreatedAt, updated: m.UpdatedAt, value: &m}
			next++
		}
	}
	c.memberships.load(rows)
}

// sizes says how many of n memberships each organization has: one at least, if n
// allows, and none more than there are users.
func (c *Instance) sizes(n int, organizations []row[resource.Organization], users int) []int {
	sizes := make([]int, len(organizations))
	weights := make([]float64, len(organizations))
	var total float64
	for i := range sizes {
		if n > 0 {
			sizes[i] = 1
			n--
		}
		w := c.rng.ExpFloat64()
		weights[i] = w * w
		total += weights[i]
	}
	rest := n
	for i, w := range weights {
		more := min(users-sizes[i], int(w/total*float64(n)), rest)
		sizes[i] += max(0, more)
		rest -= max(0, more)
	}
	// What was rounded off, and what did not fit.
	for i := 0; rest > 0; i = (i + 1) % len(sizes) {
		if sizes[i] < users {
			sizes[i]++
			rest--
		}
	}
	return sizes
}

func (c *Instance) step(n int) int {
	for {
		step := 1 + c.rng.IntN(n)
		a, b := n, step
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return step
		}
	}
}

// seededStamp is what was last said about an object of which no event has told
// yet. What is not seeded has a stamp of its own.
func (c *Instance) seededStamp(id string) (stamp, bool) {
	var updated clerk.Millis
	if r, ok := c.users.byID[id]; ok {
		updated = r.updated
	} else if r, ok := c.organizations.byID[id]; ok {
		updated = r.updated
	} else if r, ok := c.memberships.byID[id]; ok {
		updated = r.updated
	} else {
		return stamp{}, false
	}
	return stamp{updated: int64(updated), stated: int64(updated)}, true
}

package clerkinstance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"clerksync/shared/devstack/clerkdouble/resource"
)

// Traffic is what people do in an instance, made up: they sign up in all the
// ways that Clerk allows, edit, join, leave and come back, are banned and
// deleted. It is not safe for concurrent use.
type Traffic struct {
	instance *Instance
	rng      *rand.Rand
	people   int
	// left remembers who left which organization, to let some come back.
	left []departure
}

type departure struct{ organizationID, userID string }

// maxDepartures bounds that memory.
const maxDepartures = 100

// NewTraffic returns traffic for an instance. One seed makes the same choices,
// as long as nothing else changes the instance.
func NewTraffic(instance *Instance, seed uint64) *Traffic {
	return &Traffic{instance: instance, rng: rand.New(rand.NewPCG(seed, 0x7aff1c))}
}

// SignUps lets n people sign up; every fifth of them founds an organization and
// some of the others join it.
func (t *Traffic) SignUps(n int) error {
	for i := range n {
		user, err := t.signUp()
		if err != nil {
			return err
		}
		switch {
		case i%5 == 0:
			err = t.found(user)
		case i%5 < 4:
			err = t.join()
		}
		if err != nil && !impossible(err) {
			return err
		}
	}
	return nil
}

// Run lets things happen at the given average of events a second until ctx is
// done, which is no error.
func (t *Traffic) Run(ctx context.Context, rate float64) error {
	if rate <= 0 {
		<-ctx.Done()
		return nil
	}
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		before := t.instance.events()
		if err := t.Step(); err != nil {
			return err
		}
		// A step makes several events, and a process that was stopped for a
		// while has not fallen behind.
		due = due.Add(time.Duration(float64(t.instance.events()-before) / rate * float64(time.Second)))
		if late := time.Since(due); late > time.Second {
			due = due.Add(late)
		}
		timer.Reset(time.Until(due))
	}
}

// Step lets one thing happen, which is one event or several.
func (t *Traffic) Step() error {
	for range 20 {
		act := t.choose()
		if err := act(); !impossible(err) {
			return err
		}
	}
	_, err := t.signUp()
	return err
}

// errNoActor says that an act has no one to act.
var errNoActor = errors.New("no one to do it")

// impossible tells what cannot happen now from what went wrong.
func impossible(err error) bool {
	return slices.ContainsFunc([]error{errNoActor, ErrNotFound, ErrMember, ErrInUse}, func(reason error) bool { return errors.Is(err, reason) })
}

// choose weighs the acts by how often a live instance sees them, except that
// rare ones are made frequent enough to be seen at all.
func (t *Traffic) choose() func() error {
	acts := []struct {
		weight int
		act    func() error
	}{
		{14, func() error { _, err := t.signUp(); return err }},
		{14, t.editProfile},
		{10, t.editMetadata},
		{8, func() error { return t.withUser(t.instance.SignIn) }},
		{3, func() error { return t.withUser(t.instance.SignOut) }},
		{3, t.ban},
		{2, t.lock},
		{3, t.changePrimaryEmail},
		{4, t.burst},
		{4, func() error { return with(t, &t.instance.users, t.found) }},
		{4, t.renameOrganization},
		{2, t.editOrganizationMetadata},
		{12, t.join},
		{5, t.invite},
		{3, t.answerInvitation},
		{6, t.changeRole},
		{5, t.leave},
		{4, t.rejoin},
		{4, t.deleteUser},
		{1, t.deleteOrganization},
		{2, t.editRoles},
	}
	total := 0
	for _, a := range acts {
		total += a.weight
	}
	n := t.rng.IntN(total)
	for _, a := range acts {
		if n -= a.weight; n < 0 {
			return a.act
		}
	}
	return t.editProfile
}

func (t *Traffic) chance(share float64) bool { return t.rng.Float64() < share }

func (t *Traffic) oneOf(list []string) string { return list[t.rng.IntN(len(list))] }

var (
	firstNames = []string{"Ada", "Noor", "Mateo", "Zoë", "Tunde", "Yuki", "Priya", "Søren", "Léa", "Ólafur", "Mei", "José", "Anya", "Kofi", "Nguyễn", "Дарья", "美咲", "أمل"}
	lastNames  = []string{"Lindqvist", "Okafor", "García", "Tanaka", "Iyer", "O’Neill", "Moreau", "Þórsson", "van den Berg", "Nowak", "Çelik", "Smith-Jones", "Иванова", "王"}
	places     = []string{"Harbour", "Granite", "Juniper", "Copper", "Northwind", "Tidal", "Meadow", "Quarry", "Lantern", "Saffron"}
	trades     = []string{"Foods", "Robotics", "& Sons", "Labs", "Logistics", "Studio", "Energy", "Books", "Cycles 🚲", "Health"}
)

// signUp makes a person of one of the kinds that Clerk has: with an address,
// with several of which the first is not the primary one, with a number only,
// with a username only; with both names, one or none.
func (t *Traffic) signUp() (resource.User, error) {
	t.people++
	handle := fmt.Sprintf("person%d", t.people)
	var p Person
	if t.chance(0.8) {
		p.FirstName = t.oneOf(firstNames)
	}
	if t.chance(0.7) {
		p.LastName = t.oneOf(lastNames)
	}
	switch kind := t.rng.Float64(); {
	case kind < 0.12:
		p.Phones = []string{t.phone()}
	case kind < 0.22:
		p.Username = handle
	case kind < 0.42:
		p.Emails = []string{handle + "@old.example", handle + "@example.com", handle + "@work.example"}
		p.Primary = 1 + t.rng.IntN(2)
	default:
		p.Emails = []string{handle + "@example.com"}
		p.Unverified = t.chance(0.1)
	}
	if t.chance(0.2) {
		p.Username = handle
	}
	if t.chance(0.15) {
		p.ExternalID = "crm-" + strconv.Itoa(1000+t.people)
	}
	return t.instance.SignUp(p)
}

func (t *Traffic) phone() string { return fmt.Sprintf("+1500555%04d", t.rng.IntN(10000)) }

// pick answers any row of one of the instance's tables.
func pick[T any](t *Traffic, rows *table[T]) (T, bool) {
	t.instance.mu.Lock()
	defer t.instance.mu.Unlock()
	return rows.pick(t.rng)
}

// where lists rows of one of the instance's tables.
func where[T any](t *Traffic, rows *table[T], holds func(T) bool) []T {
	t.instance.mu.Lock()
	defer t.instance.mu.Unlock()
	return rows.where(holds)
}

// with does something with any row of one of the instance's tables.
func with[T any](t *Traffic, rows *table[T], do func(T) error) error {
	value, ok := pick(t, rows)
	if !ok {
		return errNoActor
	}
	return do(value)
}

// withUser does something with any user, for which the id is enough.
func (t *Traffic) withUser(do func(id string) error) error {
	return with(t, &t.instance.users, func(u resource.User) error { return do(u.ID) })
}

func (t *Traffic) update(change func(*resource.User)) error {
	return t.withUser(func(id string) error { return t.instance.UpdateUser(id, change) })
}

func (t *Traffic) editProfile() error {
	return t.update(func(u *resource.User) {
		switch t.rng.IntN(5) {
		case 0:
			u.FirstName = resource.OrNull(t.oneOf(firstNames))
		case 1:
			u.LastName = resource.OrNull(t.oneOf(lastNames))
		case 2:
			u.FirstName, u.LastName = nil, nil
		case 3:
			u.Username = new(fmt.Sprintf("renamed%d", t.rng.IntN(1e6)))
		case 4:
			u.ImageURL = fmt.Sprintf("https://img.clerk.example/%s-%d", u.ID, t.rng.IntN(1000))
			u.HasImage = true
		}
	})
}

// editMetadata writes what a copy could lose: numbers beyond 2^53, fractions
// with trailing zeros, depth, other scripts, names with quotation marks.
func (t *Traffic) editMetadata() error {
	return t.update(func(u *resource.User) {
		switch t.rng.IntN(4) {
		case 0:
			u.PublicMetadata = t.metadata()
		case 1:
			u.UnsafeMetadata = t.metadata()
		case 2:
			u.PrivateMetadata = json.RawMessage(fmt.Sprintf(`{"note":"private %d"}`, t.rng.IntN(1000)))
		case 3:
			u.PublicMetadata = resource.Empty
		}
	})
}

func (t *Traffic) metadata() json.RawMessage {
	return json.RawMessage(t.oneOf([]string{
		fmt.Sprintf(`{"plan":"team","seats":%d}`, 1+t.rng.IntN(50)),
		fmt.Sprintf(`{"account":%d}`, 1<<53+1+2*t.rng.Int64N(1e9)),
		fmt.Sprintf(`{"ledger":123456789012345678901234567890%d,"rate":0.%02d0}`, t.rng.IntN(10), t.rng.IntN(100)),
		fmt.Sprintf(`{"nested":{"list":[1,null,true,{"π":3.14159}],"step":%d}}`, t.rng.IntN(100)),
		`{"a \"quoted\" name":"line\nbreak","emoji":"\ud83d\udc0b","empty":""}`,
	}))
}

func (t *Traffic) ban() error {
	return t.update(func(u *resource.User) { u.Banned = !u.Banned })
}

func (t *Traffic) lock() error {
	return t.update(func(u *resource.User) {
		u.Locked = !u.Locked
		u.LockoutExpiresInSeconds = nil
		if u.Locked {
			u.LockoutExpiresInSeconds = new(int64(3600))
		}
	})
}

// changePrimaryEmail takes another address, adds one, or has none at all.
func (t *Traffic) changePrimaryEmail() error {
	return t.update(func(u *resource.User) {
		switch {
		case len(u.EmailAddresses) > 1:
			other := u.EmailAddresses[t.rng.IntN(len(u.EmailAddresses))]
			u.PrimaryEmailAddressID = new(other.ID)
		case t.chance(0.2):
			u.PrimaryEmailAddressID = nil
		default:
			id, address := fmt.Sprintf("idn_3%026d", t.rng.Int64N(1e18)), fmt.Sprintf("new%d@example.com", t.rng.IntN(1e6))
			added := resource.NewEmail(id, address, !t.chance(0.2), u.UpdatedAt)
			u.EmailAddresses = append(u.EmailAddresses, added)
			u.PrimaryEmailAddressID = new(added.ID)
		}
	})
}

// burst is a person typing into a form that saves by itself: several changes
// within a millisecond, the first of them perhaps to a user just made.
func (t *Traffic) burst() error {
	u, ok := pick(t, &t.instance.users)
	if !ok || t.chance(0.5) {
		var err error
		if u, err = t.signUp(); err != nil {
			return err
		}
	}
	name := t.oneOf(lastNames)
	typed := ""
	for _, letter := range []rune(name)[:min(3, len([]rune(name)))] {
		typed += string(letter)
		if err := t.instance.UpdateUser(u.ID, func(u *resource.User) { u.LastName = new(typed) }); err != nil {
			return err
		}
	}
	return nil
}

func (t *Traffic) organizationName() (name, slug string) {
	name = t.oneOf(places) + " " + t.oneOf(trades)
	slug = strings.ToLower(strings.Fields(name)[0]) + "-" + strconv.Itoa(t.rng.IntN(10000))
	return name, slug
}

func (t *Traffic) found(by resource.User) error {
	name, slug := t.organizationName()
	if t.chance(0.15) {
		slug = "" // slugs can be switched off
	}
	_, err := t.instance.CreateOrganization(by.ID, name, slug)
	return err
}

func (t *Traffic) renameOrganization() error {
	return with(t, &t.instance.organizations, func(o resource.Organization) error {
		name, slug := t.organizationName()
		return t.instance.UpdateOrganization(o.ID, func(o *resource.Organization) { o.Name, o.Slug = name, resource.OrNull(slug) })
	})
}

func (t *Traffic) editOrganizationMetadata() error {
	return with(t, &t.instance.organizations, func(o resource.Organization) error {
		metadata := t.metadata()
		return t.instance.UpdateOrganization(o.ID, func(o *resource.Organization) {
			o.PublicMetadata = metadata
			o.MaxAllowedMemberships = int64(5 * t.rng.IntN(4))
		})
	})
}

// role is the key of a role that a user gets on joining.
func (t *Traffic) role() string {
	if r, ok := pick(t, &t.instance.roles); ok && t.chance(0.4) {
		return r.Key
	}
	return MemberRole
}

func (t *Traffic) join() error {
	return with(t, &t.instance.organizations, func(o resource.Organization) error {
		return t.withUser(func(userID string) error {
			_, err := t.instance.Join(o.ID, userID, t.role())
			return err
		})
	})
}

func (t *Traffic) invite() error {
	return with(t, &t.instance.memberships, func(m resource.OrganizationMembership) error {
		_, err := t.instance.Invite(m.Organization.ID, m.PublicUserData.UserID, fmt.Sprintf("guest%d@example.com", t.rng.IntN(1e6)), t.role())
		return err
	})
}

func (t *Traffic) answerInvitation() error {
	return with(t, &t.instance.invitations, func(i invitation) error {
		if t.chance(0.3) {
			return t.instance.Revoke(i.ID)
		}
		return t.withUser(func(userID string) error {
			_, err := t.instance.Accept(i.ID, userID)
			if errors.Is(err, ErrNotFound) {
				return t.instance.Revoke(i.ID) // the role is gone
			}
			return err
		})
	})
}

func (t *Traffic) changeRole() error {
	return with(t, &t.instance.memberships, func(m resource.OrganizationMembership) error {
		if t.chance(0.2) {
			metadata := t.metadata()
			return t.instance.UpdateMembership(m.ID, "", func(m *resource.OrganizationMembership) { m.PublicMetadata = metadata })
		}
		role, _ := pick(t, &t.instance.roles)
		return t.instance.UpdateMembership(m.ID, role.Key, nil)
	})
}

func (t *Traffic) leave() error {
	return with(t, &t.instance.memberships, func(m resource.OrganizationMembership) error {
		t.left = append(t.left, departure{m.Organization.ID, m.PublicUserData.UserID})
		t.left = t.left[max(0, len(t.left)-maxDepartures):]
		return t.instance.Leave(m.ID)
	})
}

// rejoin brings back who left; the membership is another one than before.
func (t *Traffic) rejoin() error {
	if len(t.left) == 0 {
		return errNoActor
	}
	i := t.rng.IntN(len(t.left))
	back := t.left[i]
	t.left = append(t.left[:i], t.left[i+1:]...)
	_, err := t.instance.Join(back.organizationID, back.userID, t.role())
	return err
}

func (t *Traffic) deleteUser() error {
	return t.withUser(func(id string) error { return t.instance.DeleteUser(id, t.chance(0.5)) })
}

func (t *Traffic) deleteOrganization() error {
	return with(t, &t.instance.organizations, func(o resource.Organization) error {
		return t.instance.DeleteOrganization(o.ID, t.chance(0.5))
	})
}

// editRoles makes, changes and removes roles and permissions of the team's own.
func (t *Traffic) editRoles() error {
	own := where(t, &t.instance.roles, func(r resource.Role) bool { return r.Key != AdminRole && r.Key != MemberRole })
	grants := where(t, &t.instance.permissions, func(p resource.Permission) bool { return p.Type != "system" })
	switch {
	case len(grants) < 3:
		n := t.rng.IntN(1e6)
		_, err := t.instance.CreatePermission(fmt.Sprintf("org:invoices:act%d", n), fmt.Sprintf("Invoices %d", n))
		return err
	case len(own) < 3:
		n := t.rng.IntN(1e6)
		_, err := t.instance.CreateRole(fmt.Sprintf("org:role%d", n), fmt.Sprintf("Role %d", n), grants[t.rng.IntN(len(grants))])
		return err
	}
	role, grant := own[t.rng.IntN(len(own))], grants[t.rng.IntN(len(grants))]
	switch t.rng.IntN(5) {
	case 0:
		return t.instance.UpdatePermission(grant.ID, func(p *resource.Permission) { p.Name += "!" })
	case 1:
		return t.instance.DeletePermission(grant.ID)
	case 2:
		err := t.instance.DeleteRole(role.ID)
		if !errors.Is(err, ErrInUse) {
			return err
		}
		// Those who have it go back to being plain members.
		for _, m := range where(t, &t.instance.memberships, func(m resource.OrganizationMembership) bool { return m.Role == role.Key }) {
			if err := t.instance.UpdateMembership(m.ID, MemberRole, nil); err != nil {
				return err
			}
		}
		return t.instance.DeleteRole(role.ID)
	default:
		return t.instance.UpdateRole(role.ID, func(r *resource.Role) { r.Permissions = []resource.Permission{grant} })
	}
}

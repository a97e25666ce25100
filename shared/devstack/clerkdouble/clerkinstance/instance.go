// Package clerkinstance is a Clerk instance in memory: it holds users,
// organizations, memberships, roles and permissions and changes them as a live
// instance does. Every change is an event.
//
//	instance := clerkinstance.New(clerkinstance.Options{Seed: 1, Emit: sender.Send})
//	err := instance.Seed(clerkinstance.SeedOptions{Users: 1000}) // before the first event
//	ines, err := instance.SignUp(clerkinstance.Person{Emails: []string{"ines@example.com"}})
//	traffic := clerkinstance.NewTraffic(instance, 1)
//	err = traffic.Run(ctx, 5) // five events a second until ctx is done
//	want := instance.Snapshot() // what every copy should say by now
//
// Its neighbours make a whole Clerk of it: package svix delivers the events,
// backendapi lists what there is, tokens signs people's tokens and publishes the
// keys. They read it through a [View] and its lists, or as a [Presence].
//
// One seed gives the same history, ids and contents alike; only times come from
// the clock.
//
// Limits: no billing, domains and waitlist. Two updates of one object are never
// stated in the same millisecond, because nothing in such a pair tells which came
// last; a creation and an update may be, and so may events of different objects. A
// membership has the permissions that its role granted when the membership was
// last stated: what Clerk's own says after a role has changed is not documented.
//
// Source: Clerk OpenAPI webhooks 2025-04-15.
package clerkinstance

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// The reasons for which an instance refuses a change.
var (
	// ErrNotFound: no live object has that id or key.
	ErrNotFound = errors.New("not found")
	// ErrMember: the user is in that organization already.
	ErrMember = errors.New("already a member")
	// ErrInUse: memberships have the role.
	ErrInUse = errors.New("in use")
)

// Options describe an instance. The zero value is a usable one whose events
// are lost.
type Options struct {
	// Seed decides every id.
	Seed uint64
	// Salt tells apart two instances of one seed that meet in one copy.
	Salt uint64
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// Emit is handed every event, in the order of the changes. It is called
	// with the instance locked: it must neither wait nor call back.
	Emit func(Event)
}

// Event is one webhook message before it is signed.
type Event struct {
	// SvixID is the message id, the same on every attempt and endpoint.
	SvixID string
	Type   string
	// ObjectID is the id of the object in the body's data.
	ObjectID string
	// StatedAt is the envelope's timestamp.
	StatedAt time.Time
	// Body is the JSON to be signed and sent.
	Body []byte
}

// Instance is the state of a Clerk instance. Its methods are safe for
// concurrent use. Objects handed out are never changed afterwards.
type Instance struct {
	mu   sync.RWMutex
	now  func() time.Time
	rng  *rand.Rand
	emit func(Event)

	id            string
	users         table[resource.User]
	organizations table[resource.Organization]
	memberships   table[resource.OrganizationMembership]
	roles         table[resource.Role]
	permissions   table[resource.Permission]
	invitations   table[invitation]
	sessions      table[Session]
	// svixApp is "" until there is one.
	svixApp string
	// deleted maps ids of users, organizations, memberships, roles and
	// permissions to the moment of their deletion.
	deleted map[string]time.Time
	stamps  map[string]stamp
	// latest is the moment of the latest statement about anything.
	latest int64
	// published counts the events so far.
	published int
	// people decide what seeded users are like, of whom there are seeded.
	people uint64
	seeded int
}

// The groups of the tables.
const (
	membershipsOfUser = iota
	membershipsOfOrganization
	membershipsOfRole

	sessionsOfUser            = 0
	invitationsOfOrganization = 0
)

// stamp is what was last said about an object: never again the same.
type stamp struct {
	updated, stated int64
	onlyCreated     bool
}

// New returns an instance with Clerk's own roles and permissions and no user.
// It emits the events that create those.
func New(o Options) *Instance {
	c := &Instance{
		now:     o.Now,
		rng:     rand.New(rand.NewPCG(o.Seed, o.Salt)),
		emit:    o.Emit,
		deleted: map[string]time.Time{},
		stamps:  map[string]stamp{},
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.emit == nil {
		c.emit = func(Event) {}
	}
	c.users = newTable("user", func(u *resource.User) head { return head{&u.ID, &u.CreatedAt, &u.UpdatedAt} })
	c.users.remake = c.seededUser
	c.organizations = newTable("organization", func(o *resource.Organization) head { return head{&o.ID, &o.CreatedAt, &o.UpdatedAt} })
	c.memberships = newTable("membership", func(m *resource.OrganizationMembership) head { return head{&m.ID, &m.CreatedAt, &m.UpdatedAt} },
		func(m *resource.OrganizationMembership) string { return m.PublicUserData.UserID },
		func(m *resource.OrganizationMembership) string { return m.Organization.ID },
		func(m *resource.OrganizationMembership) string { return m.Role },
	)
	c.roles = newTable("role", func(r *resource.Role) head { return head{&r.ID, &r.CreatedAt, &r.UpdatedAt} })
	c.permissions = newTable("permission", func(p *resource.Permission) head { return head{&p.ID, &p.CreatedAt, &p.UpdatedAt} })
	c.invitations = newTable("invitation", func(i *invitation) head { return head{&i.ID, &i.CreatedAt, &i.UpdatedAt} },
		func(i *invitation) string { return i.OrganizationID },
	)
	c.sessions = newTable("session", func(s *Session) head { return head{&s.ID, &s.CreatedAt, &s.UpdatedAt} },
		func(s *Session) string { return s.UserID },
	)
	c.id = c.newID("ins_")
	c.addSystemRoles()
	return c
}

// ID is the instance's own id ("ins_…"), which every event carries.
func (c *Instance) ID() string { return c.id }

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// newID returns an id of Clerk's shape: 27 characters after the prefix, the
// first of which has been a 2 or a 3 for years.
func (c *Instance) newID(prefix string) string {
	return string(appendID(nil, prefix, c.rng))
}

// idLen is the length of an id without its prefix.
const idLen = 27

func appendID(b []byte, prefix string, rng *rand.Rand) []byte {
	b = append(append(b, prefix...), '3')
	for range idLen - 1 {
		b = append(b, base62[rng.IntN(len(base62))])
	}
	return b
}

// advance moves an object's times on: updated_at to now, and the moment of the
// statement past every earlier one about the object and before none about any
// other, so that what follows from what can be told from the times.
func (c *Instance) advance(id string) (updated clerk.Millis, stated time.Time) {
	now := c.now().UnixMilli()
	last, known := c.stamps[id]
	if !known {
		last, known = c.seededStamp(id)
	}
	next := stamp{updated: max(now, last.updated), onlyCreated: !known}
	next.stated = max(next.updated, c.latest)
	// An update may share its millisecond with the creation, which every order
	// puts first.
	if known && !last.onlyCreated && next.stated == last.stated {
		next.stated++
	}
	c.latest = next.stated
	c.stamps[id] = next
	return clerk.Millis(next.updated), time.UnixMilli(next.stated).UTC()
}

// envelope is the shape of every event (Clerk OpenAPI WebhookEventPayload).
type envelope struct {
	Object     string     `json:"object"`
	Type       string     `json:"type"`
	InstanceID string     `json:"instance_id"`
	Timestamp  int64      `json:"timestamp"`
	Attributes attributes `json:"event_attributes"`
	Data       any        `json:"data"`
}

// attributes describe the request that caused a change.
type attributes struct {
	HTTPRequest struct {
		ClientIP  string `json:"client_ip"`
		UserAgent string `json:"user_agent"`
	} `json:"http_request"`
}

// publish emits an event. It fails only if data is no valid JSON.
func (c *Instance) publish(eventType, objectID string, stated time.Time, data any) error {
	e := envelope{Object: "event", Type: eventType, InstanceID: c.id, Timestamp: stated.UnixMilli(), Data: data}
	e.Attributes.HTTPRequest.ClientIP = fmt.Sprintf("192.0.2.%d", 1+c.rng.IntN(254))
	e.Attributes.HTTPRequest.UserAgent = "Mozilla/5.0 (clerksync development)"
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding a %s event about %s: %w", eventType, objectID, err)
	}
	c.published++
	c.emit(Event{SvixID: c.newID("msg_"), Type: eventType, ObjectID: objectID, StatedAt: stated, Body: body})
	return nil
}

// update changes an object and states so.
func update[T any](c *Instance, t *table[T], id, eventType string, change func(*T)) error {
	value, err := t.find(id)
	if err != nil {
		return err
	}
	change(&value)
	h := t.head(&value)
	*h.id = id
	var stated time.Time
	*h.updated, stated = c.advance(id)
	if err := c.publish(eventType, id, stated, value); err != nil {
		return err
	}
	t.put(value)
	return nil
}

// bury deletes an object and states so.
func (c *Instance) bury(eventType, object, id string, gone resource.DeletedObject) error {
	_, stated := c.advance(id)
	delete(c.stamps, id)
	c.deleted[id] = stated
	gone.ID, gone.Object, gone.Deleted = id, object, true
	return c.publish(eventType, id, stated, gone)
}

func notFound(kind, id string) error { return fmt.Errorf("%s %s: %w", kind, id, ErrNotFound) }

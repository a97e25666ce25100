package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/testkit/testdb"
)

// How many rows lie in the tables before anything is measured.
const (
	warmUsers         = 10_000
	warmOrganizations = 200
	warmMemberships   = 10_000
	pageSize          = 500
)

// signedRequest is one delivery, signed beforehand: signing is Svix's work.
type signedRequest struct {
	header http.Header
	body   []byte
}

// workload makes deliveries about the warm tables. The same calls make the same
// events; only the time of the signature differs.
type workload struct {
	random      *rand.Rand
	at          time.Time
	deliveries  int
	users       int // with the ids 0 … users-1
	memberships int
}

func newWorkload() *workload {
	return &workload{random: rand.New(rand.NewPCG(1, 2)), at: clerktest.Epoch, users: warmUsers, memberships: warmMemberships}
}

func user(n int) clerktest.UserBuilder {
	return clerktest.User(fmt.Sprintf("user_%08d", n)).
		Email(fmt.Sprintf("person%d@example.com", n)).
		Name(fmt.Sprintf("First%d", n), fmt.Sprintf("Last%d", n)).
		Username(fmt.Sprintf("person%d", n)).
		PublicMetadata(`{"plan":"team","seats":12}`)
}

func userResource(n int) resource.User { return user(n).Resource() }

func organization(n int) clerktest.OrganizationBuilder {
	n %= warmOrganizations
	return clerktest.Organization(fmt.Sprintf("org_%08d", n), fmt.Sprintf("Organization %d", n)).Slug(fmt.Sprintf("organization-%d", n))
}

// membership n is of user n, and its organization is one of the warm ones.
func membership(n int) clerktest.MembershipBuilder {
	return clerktest.Membership(fmt.Sprintf("orgmem_%08d", n), organization(n), user(n%warmUsers))
}

// tick returns the next moment: every event is newer than all before it.
func (w *workload) tick() time.Time {
	w.at = w.at.Add(time.Second)
	return w.at
}

func (w *workload) sign(body []byte) signedRequest {
	w.deliveries++
	header := clerktest.Sign(signingSecret, fmt.Sprintf("msg_%d", w.deliveries), time.Now(), body)
	header.Set("Content-Type", "application/json")
	return signedRequest{header, body}
}

// mixed makes n deliveries as a live instance sends them, and says how many
// are second deliveries of an earlier one among them.
func (w *workload) mixed(n int) (requests []signedRequest, duplicates int) {
	for len(requests) < n {
		at := w.tick()
		switch share := w.random.IntN(100); {
		case share < 10 && len(requests) > 0:
			requests = append(requests, requests[w.random.IntN(len(requests))])
			duplicates++
		case share < 25:
			requests = append(requests, w.sign(user(w.users).CreatedAt(at).UpdatedAt(at).Event(clerk.UserCreated, at)))
			w.users++
		case share < 75:
			requests = append(requests, w.sign(w.update(w.random.IntN(w.users), at)))
		case share < 85:
			joined := membership(w.memberships).CreatedAt(at).UpdatedAt(at)
			requests = append(requests, w.sign(joined.Event(clerk.OrganizationMembershipCreated, at)))
			w.memberships++
		default:
			changed := membership(w.random.IntN(w.memberships)).Role("org:admin", "org:sys_memberships:manage").UpdatedAt(at)
			requests = append(requests, w.sign(changed.Event(clerk.OrganizationMembershipUpdated, at)))
		}
	}
	return requests, duplicates
}

// updates makes n deliveries of user.updated about the warm users in turn.
func (w *workload) updates(n int) []signedRequest {
	requests := make([]signedRequest, n)
	for i := range requests {
		requests[i] = w.sign(w.update(w.deliveries%warmUsers, w.tick()))
	}
	return requests
}

func (w *workload) update(n int, at time.Time) []byte {
	return user(n).Name(fmt.Sprintf("First%d", w.deliveries), "Changed").UpdatedAt(at).Event(clerk.UserUpdated, at)
}

// page is a list of resources as the Backend API answers it, as JSON.
func page[T any](first, n int, resource func(int) T) string {
	list := make([]T, n)
	for i := range list {
		list[i] = resource(first + i)
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// seed fills the copy, and gives the naive handler's tables the same rows.
func (s *stack) seed(b *testing.B) {
	b.Helper()
	writer := s.connect(b, testdb.ServerDatabase, "clerksync_writer")
	apply := func(what, resources string) {
		if _, err := applyPage(b.Context(), writer, what, resources, clerktest.Epoch); err != nil {
			b.Fatal(err)
		}
	}
	for first := 0; first < warmUsers; first += pageSize {
		apply("users", page(first, pageSize, userResource))
	}
	apply("organizations", page(0, warmOrganizations, func(n int) resource.Organization { return organization(n).Resource() }))
	for first := 0; first < warmMemberships; first += pageSize {
		apply("memberships", page(first, pageSize, func(n int) resource.OrganizationMembership { return membership(n).Resource() }))
	}

	superuser := s.connect(b, testdb.ServerDatabase, "postgres")
	execute(b, superuser, naiveTables, pgx.QueryExecModeSimpleProtocol)
	execute(b, superuser, naiveRows, pgx.QueryExecModeSimpleProtocol)
	execute(b, superuser, "vacuum analyze")
	execute(b, superuser, "checkpoint")
}

// applyPage hands a page to the sync rules and returns how many of its rows
// were written.
func applyPage(ctx context.Context, conn *pgx.Conn, what, resources string, requested time.Time) (written int, err error) {
	err = conn.QueryRow(ctx, `
		select count(*) filter (where result in ('created', 'updated'))
		from clerk_sync.apply_`+what+`($1::jsonb, array[$2::bigint])`,
		pgx.QueryExecModeExec, resources, requested.UnixMilli()).Scan(&written)
	if err != nil {
		err = fmt.Errorf("applying a page of %s: %w", what, err)
	}
	return written, err
}

package mirror_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

const benchPage = 500

func pageOf[R any](first, n int, requested time.Time, resource func(int) R, id func(int) string) clerk.Page {
	page := clerk.Page{RequestedAt: requested, Total: -1}
	list := make([]R, n)
	for i := range list {
		list[i] = resource(first + i)
		page.Items = append(page.Items, clerk.Item{
			ID: id(first + i), CreatedAt: clerk.MillisOf(clerktest.Epoch), UpdatedAt: clerk.MillisOf(clerktest.Epoch),
		})
	}
	var err error
	if page.Resources, err = json.Marshal(list); err != nil {
		panic(err)
	}
	return page
}

func benchUser(n int) clerktest.UserBuilder {
	return clerktest.User(fmt.Sprintf("user_%08d", n)).Name(fmt.Sprintf("First%d", n), "Last").Email(fmt.Sprintf("u%d@example.com", n))
}

func benchOrganization(n int) clerktest.OrganizationBuilder {
	return clerktest.Organization(fmt.Sprintf("org_%08d", n), fmt.Sprintf("Organization %d", n)).Slug(fmt.Sprintf("organization-%d", n))
}

// kinds of pages: what a full sync brings to the store.
var benchKinds = []struct {
	object mirror.Object
	page   func(first int, requested time.Time) clerk.Page
}{
	{mirror.Users, func(first int, requested time.Time) clerk.Page {
		return pageOf(first, benchPage, requested, func(n int) resource.User { return benchUser(n).Resource() },
			func(n int) string { return fmt.Sprintf("user_%08d", n) })
	}},
	{mirror.Organizations, func(first int, requested time.Time) clerk.Page {
		return pageOf(first, benchPage, requested, func(n int) resource.Organization { return benchOrganization(n).Resource() },
			func(n int) string { return fmt.Sprintf("org_%08d", n) })
	}},
	{mirror.Memberships, func(first int, requested time.Time) clerk.Page {
		return pageOf(first, benchPage, requested, func(n int) resource.OrganizationMembership {
			return clerktest.Membership(fmt.Sprintf("orgmem_%08d", n), benchOrganization(n%benchPage), benchUser(n%(8*benchPage))).Resource()
		}, func(n int) string { return fmt.Sprintf("orgmem_%08d", n) })
	}},
}

// BenchmarkApplyPage measures the store alone, on a database that forces its
// commits to disk: pages of 500 new objects, and the same again, requested
// later, which must write nothing.
func BenchmarkApplyPage(b *testing.B) {
	const pages = 16 // an iteration
	server := testdb.NewServer(b, nil)
	super, err := pgx.Connect(b.Context(), server.URL(testdb.ServerDatabase, postgres.Superuser, ""))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = super.Close(context.Background()) })
	one := func(sql string) (n int64) {
		if err := super.QueryRow(b.Context(), sql).Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	wal := func() int64 { return one("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint") }

	next := 0
	for _, connections := range []int{1, 2} {
		store := mirror.New(pool(b, server.URL(testdb.ServerDatabase, "clerksync_writer", ""), int32(connections)))
		apply := func(object mirror.Object, list []clerk.Page) (time.Duration, mirror.Tally) {
			var total mirror.Tally
			var mu sync.Mutex
			var working sync.WaitGroup
			var at atomic.Int64
			begun := time.Now()
			for range connections {
				working.Go(func() {
					for i := int(at.Add(1)) - 1; i < len(list); i = int(at.Add(1)) - 1 {
						tally, err := store.ApplyPage(b.Context(), object, list[i], begun)
						if err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						total.Add(tally)
						mu.Unlock()
					}
				})
			}
			working.Wait()
			return time.Since(begun), total
		}
		for _, kind := range benchKinds {
			b.Run(fmt.Sprintf("%s/connections=%d", kind.object, connections), func(b *testing.B) {
				var fresh, again time.Duration
				var bytes, rows int64
				for b.Loop() {
					first, second := make([]clerk.Page, pages), make([]clerk.Page, pages)
					for i := range first {
						first[i] = kind.page(next, clerktest.Epoch)
						second[i] = first[i]
						second[i].RequestedAt = clerktest.Epoch.Add(time.Hour)
						next += benchPage
					}
					elapsed, tally := apply(kind.object, first)
					if tally.Created != pages*benchPage {
						b.Fatalf("%+v of %d new objects", tally, pages*benchPage)
					}
					fresh += elapsed
					rows += tally.Created
					if _, err := super.Exec(b.Context(), "vacuum"); err != nil {
						b.Fatal(err)
					}
					before := wal()
					elapsed, tally = apply(kind.object, second)
					bytes += wal() - before
					if tally.Unchanged != pages*benchPage {
						b.Fatalf("%+v of %d unchanged objects", tally, pages*benchPage)
					}
					again += elapsed
				}
				b.ReportMetric(float64(rows)/fresh.Seconds(), "new-rows/s")
				b.ReportMetric(float64(rows)/again.Seconds(), "unchanged-rows/s")
				b.ReportMetric(float64(bytes)/float64(b.N), "unchanged-wal-B")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkApplyBatch compares many events in one statement with as many
// statements, on one connection to the same database: what an import sends, a
// user, its organization now and then, and its membership.
func BenchmarkApplyBatch(b *testing.B) {
	const events = 3_000 // an iteration
	server := testdb.NewServer(b, nil)
	store := mirror.New(pool(b, server.URL(testdb.ServerDatabase, "clerksync_writer", ""), 1))
	next := 0
	history := func() []mirror.Delivery {
		list := make([]mirror.Delivery, 0, events)
		add := func(body []byte) {
			list = append(list, delivery(b, fmt.Sprintf("msg_%d_%d", next, len(list)), body))
		}
		for ; len(list) < events; next++ {
			organization := benchOrganization(next / 20)
			add(benchUser(next).Event(clerk.UserCreated, at(next)))
			if next%20 == 0 {
				add(organization.Event(clerk.OrganizationCreated, at(next)))
			}
			add(clerktest.Membership(fmt.Sprintf("orgmem_%08d", next), organization, benchUser(next)).Event(clerk.OrganizationMembershipCreated, at(next)))
		}
		return list[:events]
	}
	var baseline float64
	for _, size := range []int{0, 1, 10, 100, 500} {
		name := fmt.Sprintf("batch=%d", size)
		if size == 0 {
			name = "one-by-one"
		}
		b.Run(name, func(b *testing.B) {
			var elapsed time.Duration
			for b.Loop() {
				list := history()
				begun := time.Now()
				for len(list) > 0 {
					n := min(max(size, 1), len(list))
					var err error
					if size == 0 {
						_, err = store.Apply(b.Context(), list[0])
					} else {
						_, err = store.ApplyBatch(b.Context(), list[:n])
					}
					if err != nil {
						b.Fatal(err)
					}
					list = list[n:]
				}
				elapsed += time.Since(begun)
			}
			rate := float64(events) * float64(b.N) / elapsed.Seconds()
			b.ReportMetric(rate, "events/s")
			if size == 0 {
				baseline = rate
			} else if baseline > 0 {
				b.ReportMetric(rate/baseline, "x-one-by-one")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkApplyBatch_Shapes is what a batch of a hundred costs, by what is in it,
// in a copy of ten thousand.
func BenchmarkApplyBatch_Shapes(b *testing.B) {
	const events, known = 100, 10_000
	server := testdb.NewServer(b, nil)
	store := mirror.New(pool(b, server.URL(testdb.ServerDatabase, "clerksync_writer", ""), 1))
	for first := 0; first < known; first += benchPage {
		for _, kind := range benchKinds {
			if _, err := store.ApplyPage(b.Context(), kind.object, kind.page(first, clerktest.Epoch), clerktest.Epoch); err != nil {
				b.Fatal(err)
			}
		}
	}
	next, gone := 0, 0
	for _, shape := range []struct {
		name string
		body func(n int) []byte
	}{
		{"distinct users", func(n int) []byte {
			return benchUser(n%known).Name(fmt.Sprint(next), "Last").UpdatedAt(at(next)).Event(clerk.UserUpdated, at(next))
		}},
		{"one user", func(int) []byte {
			return benchUser(0).Name(fmt.Sprint(next), "Last").UpdatedAt(at(next)).Event(clerk.UserUpdated, at(next))
		}},
		{"deleted memberships", func(int) []byte {
			gone++
			m := gone % known
			return clerktest.Membership(fmt.Sprintf("orgmem_%08d", m), benchOrganization(m%benchPage), benchUser(m%(8*benchPage))).Deleted(at(next))
		}},
		{"deleted users", func(int) []byte {
			gone++
			return benchUser(gone % known).Deleted(at(next))
		}},
	} {
		b.Run(shape.name, func(b *testing.B) {
			var elapsed time.Duration
			for b.Loop() {
				batch := make([]mirror.Delivery, events)
				for i := range batch {
					next++
					batch[i] = delivery(b, fmt.Sprintf("msg_%d", next), shape.body(next))
				}
				begun := time.Now()
				if _, err := store.ApplyBatch(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				elapsed += time.Since(begun)
			}
			b.ReportMetric(elapsed.Seconds()*1000/float64(b.N), "ms/batch")
			b.ReportMetric(0, "ns/op")
		})
	}
}

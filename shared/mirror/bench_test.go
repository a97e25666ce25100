package mirror_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/devstack/testdb"
	"clerksync/shared/mirror"
	"clerksync/sql/migrations"
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
		return pageOf(first, benchPage, requested, func(n int) clerk.User { return benchUser(n).Resource() },
			func(n int) string { return fmt.Sprintf("user_%08d", n) })
	}},
	{mirror.Organizations, func(first int, requested time.Time) clerk.Page {
		return pageOf(first, benchPage, requested, func(n int) clerk.Organization { return benchOrganization(n).Resource() },
			func(n int) string { return fmt.Sprintf("org_%08d", n) })
	}},
	{mirror.Memberships, func(first int, requested time.Time) clerk.Page {
		return pageOf(first, benchPage, requested, func(n int) clerk.OrganizationMembership {
			return clerktest.Membership(fmt.Sprintf("orgmem_%08d", n), benchOrganization(n%benchPage), benchUser(n%(8*benchPage))).Resource()
		}, func(n int) string { return fmt.Sprintf("orgmem_%08d", n) })
	}},
}

// BenchmarkApplyPage measures the store alone, on a database that forces its
// commits to disk: pages of 500 new objects, and the same again, requested
// later, which must write nothing.
func BenchmarkApplyPage(b *testing.B) {
	const pages = 16 // an iteration
	server, err := postgres.Start(b.Context(), postgres.Options{Major: testdb.Major(b), Fsync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Stop(b.Context()) })
	super, err := pgx.Connect(b.Context(), server.URL("postgres", postgres.Superuser, ""))
	if err != nil {
		b.Fatal(err)
	}
	if err := postgres.Stubs(b.Context(), super, postgres.Explicit); err != nil {
		b.Fatal(err)
	}
	owner, err := pgx.ParseConfig(server.URL("postgres", postgres.Owner, ""))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := migrations.Up(b.Context(), owner, migrations.Options{}); err != nil {
		b.Fatal(err)
	}
	one := func(sql string) (n int64) {
		if err := super.QueryRow(b.Context(), sql).Scan(&n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	wal := func() int64 { return one("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint") }

	next := 0
	for _, connections := range []int{1, 2} {
		store := mirror.New(pool(b, server.URL("postgres", "clerksync_writer", ""), int32(connections)))
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

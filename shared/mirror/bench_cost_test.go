package mirror_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
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

var costRows = flag.Int("cost-rows", 100_000, "the largest copy that BenchmarkCost fills, in rows of each table")

// costCopy is a copy of one size.
type costCopy struct {
	name  string
	rows  int
	owner *pgx.Conn
	store *mirror.Store
	next  int
}

func (c *costCopy) exec(b *testing.B, sql string, args ...any) {
	b.Helper()
	if _, err := c.owner.Exec(b.Context(), sql, args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// organization makes one with so many members and returns its id.
func (c *costCopy) organization(b *testing.B, members int) string {
	b.Helper()
	c.next++
	id := fmt.Sprintf("org_cost_%d_%d", members, c.next)
	c.exec(b, `insert into public.organizations (clerk_org_id, created_at, updated_at, sync_version)
		values ($1, '2024-01-01', '2024-01-01', '2.001700000000000.001700000000000.1.a')`, id)
	c.exec(b, `insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, created_at, updated_at, sync_version)
		select $1 || '_' || n, $1, 'user_' || lpad((1 + n % $3)::text, 8, '0'), '2024-01-01', '2024-01-01', '2.001700000000000.001700000000000.1.a'
		from generate_series(1, $2::int) as n`, id, members, c.rows)
	return id
}

// page is a page of users as Clerk lists them now.
func (c *costCopy) page(first int, name string, updated time.Time) clerk.Page {
	return pageOf(first, benchPage, time.Now(), func(n int) resource.User {
		return clerktest.User(fmt.Sprintf("user_%08d", n)).Name(name, "Last").UpdatedAt(updated).Resource()
	}, func(n int) string { return fmt.Sprintf("user_%08d", n) })
}

// BenchmarkCost measures the same work on copies of growing size, side by side:
// what costs more on a larger one reads more than it should. The median of a few.
func BenchmarkCost(b *testing.B) {
	server := testdb.NewServer(b, nil)
	var copies []*costCopy
	for _, size := range []struct {
		name string
		rows int
	}{{"10k", 10_000}, {"100k", 100_000}, {"1M", 1_000_000}} {
		if size.rows > *costRows {
			break
		}
		database := "cost_" + size.name
		testdb.NewDatabase(b, server, database)
		owner, err := pgx.Connect(b.Context(), server.URL(database, postgres.Superuser, ""))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = owner.Close(context.Background()) })
		fill(b, owner, size.rows)
		if _, err := owner.Exec(b.Context(), "vacuum analyze"); err != nil {
			b.Fatal(err)
		}
		copies = append(copies, &costCopy{
			name: size.name, rows: size.rows, owner: owner, store: mirror.New(pool(b, server.URL(database, "clerksync_writer", ""), 1)),
		})
	}

	apply := func(c *costCopy, body []byte) error {
		c.next++
		_, err := c.store.Apply(b.Context(), delivery(b, fmt.Sprintf("cost_%d", c.next), body))
		return err
	}
	moment := func(c *costCopy) time.Time { c.next++; return at(1000 + c.next) }
	deletion := func(members int) func(*costCopy) func() error {
		return func(c *costCopy) func() error {
			id := c.organization(b, members)
			return func() error { return apply(c, clerktest.Organization(id, "").Deleted(moment(c))) }
		}
	}
	for _, work := range []struct {
		name string
		// items is how many the work is for; the cost is told for one.
		items int
		// prepare returns what is measured.
		prepare func(*costCopy) func() error
	}{
		{"user-event", 1, func(c *costCopy) func() error {
			when := moment(c)
			body := clerktest.User("user_00000100").Name(fmt.Sprint(c.next), "").UpdatedAt(when).Event(clerk.UserUpdated, when)
			return func() error { return apply(c, body) }
		}},
		{"page-changed", benchPage, func(c *costCopy) func() error {
			when := moment(c)
			page := c.page(1000, fmt.Sprint(c.next), when)
			return func() error { _, err := c.store.ApplyPage(b.Context(), mirror.Users, page, at(0)); return err }
		}},
		{"page-unchanged", benchPage, func(c *costCopy) func() error {
			page := c.page(3000, "Same", at(0))
			if _, err := c.store.ApplyPage(b.Context(), mirror.Users, page, at(0)); err != nil {
				b.Fatal(err)
			}
			return func() error { _, err := c.store.ApplyPage(b.Context(), mirror.Users, page, at(0)); return err }
		}},
		{"page-new", benchPage, func(c *costCopy) func() error {
			c.next++
			page := c.page(50_000_000+c.next*benchPage, "New", at(0))
			return func() error { _, err := c.store.ApplyPage(b.Context(), mirror.Users, page, at(0)); return err }
		}},
		{"suspects-of-5000", 5000, func(c *costCopy) func() error {
			from := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
			var listed []string
			for n := range 5000 {
				listed = append(listed, fmt.Sprintf("user_%08d", n))
			}
			return func() error {
				_, _, err := c.store.Suspects(b.Context(), 0, mirror.Users, mirror.Span{From: clerk.MillisOf(from), To: clerk.MillisOf(from.Add(5000 * time.Second))}, listed, nil, 1000)
				return err
			}
		}},
		{"delete-org-of-1000", 1000, deletion(1000)},
		{"delete-org-of-10000", 10_000, deletion(10_000)},
		{"purge-of-nothing", 1, func(c *costCopy) func() error {
			return func() error { _, err := c.store.Purge(b.Context(), 10_000); return err }
		}},
		{"purge-1000-users", 1000, func(c *costCopy) func() error {
			c.next++
			c.exec(b, `insert into public.users (clerk_id, deleted_at, sync_version)
				select 'user_old_' || $1::int || '_' || n, now() - interval '1 year', '9' from generate_series(1, 1000) as n`, c.next)
			return func() error {
				purged, err := c.store.Purge(b.Context(), 10_000)
				if err == nil && purged.Users != 1000 {
					err = fmt.Errorf("%+v, want 1000 users purged", purged)
				}
				return err
			}
		}},
		{"undated", 1, func(c *costCopy) func() error {
			return func() error {
				_, err := c.store.Undated(b.Context(), mirror.Memberships, time.Now(), "", 1000)
				return err
			}
		}},
		{"status", 1, func(c *costCopy) func() error {
			return func() error { _, err := c.store.Status(b.Context()); return err }
		}},
	} {
		b.Run(work.name, func(b *testing.B) {
			took := make([][]time.Duration, len(copies))
			for b.Loop() {
				for range 3 {
					for i, c := range copies {
						measured := work.prepare(c)
						begun := time.Now()
						if err := measured(); err != nil {
							b.Fatal(err)
						}
						took[i] = append(took[i], time.Since(begun))
					}
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, c := range copies {
				slices.Sort(took[i])
				b.ReportMetric(float64(took[i][len(took[i])/2].Microseconds())/float64(work.items), "µs-"+c.name)
			}
		})
	}
}

package mirror_test

import (
	"context"
	"fmt"
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

// auditKinds are pages of one kind, and the same objects changed by Clerk later.
var auditKinds = []struct {
	object mirror.Object
	page   func(first int, changed bool, requested time.Time) clerk.Page
}{
	{mirror.Users, func(first int, changed bool, requested time.Time) clerk.Page {
		return pageOf(first, benchPage, requested, func(n int) resource.User {
			user := benchUser(n)
			if changed {
				user = user.Name("Changed", "Last").UpdatedAt(clerktest.Epoch.Add(time.Hour))
			}
			return user.Resource()
		}, func(n int) string { return fmt.Sprintf("user_%08d", n) })
	}},
	{mirror.Memberships, func(first int, changed bool, requested time.Time) clerk.Page {
		return pageOf(first, benchPage, requested, func(n int) resource.OrganizationMembership {
			member := clerktest.Membership(fmt.Sprintf("orgmem_%08d", n), benchOrganization(n%benchPage), benchUser(n%(8*benchPage)))
			if changed {
				member = member.Role("org:admin").UpdatedAt(clerktest.Epoch.Add(time.Hour))
			}
			return member.Resource()
		}, func(n int) string { return fmt.Sprintf("orgmem_%08d", n) })
	}},
}

// auditCopies are two copies on one server that forces its commits to disk: as
// migrated, and with the audit taken away. The connection
// is the superuser's to the first.
func auditCopies(b *testing.B) (stores [2]*mirror.Store, audited *pgx.Conn) {
	b.Helper()
	server := testdb.StartServer(b, postgres.Options{Fsync: true})
	var supers [2]*pgx.Conn
	for i, database := range [2]string{"audited", "plain"} {
		testdb.NewDatabase(b, server, database)
		conn, err := pgx.Connect(b.Context(), server.URL(database, postgres.Superuser, ""))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close(context.Background()) })
		supers[i], stores[i] = conn, mirror.New(pool(b, server.URL(database, "clerksync_writer", ""), 1))
	}
	_, err := supers[1].Exec(b.Context(), `
		select clerk_sync.unaudit_table(format('%I.%I', table_schema, table_name)::regclass) from clerk_sync.audited_tables()`)
	if err != nil {
		b.Fatal(err)
	}
	return stores, supers[0]
}

// BenchmarkAudit measures what the audit log costs: the same work on a copy with
// it and on one without, a page or an event at a time on each in turn. The ratios
// are of the time with to the time without.
func BenchmarkAudit(b *testing.B) {
	stores, audited := auditCopies(b)
	// both times one piece of work on each copy; which goes first alternates, for
	// each of two or three kinds of work that take turns.
	turn := 0
	both := func(b *testing.B, spent *[2]time.Duration, work func(*mirror.Store) error) {
		turn++
		for k := range stores {
			i := (turn/2 + k) % 2
			begun := time.Now()
			if err := work(stores[i]); err != nil {
				b.Fatal(err)
			}
			spent[i] += time.Since(begun)
		}
	}
	ratio := func(b *testing.B, spent [2]time.Duration, name string) {
		b.ReportMetric(spent[0].Seconds()/spent[1].Seconds(), name+"-ratio")
	}

	next := 0
	for _, kind := range auditKinds {
		b.Run(fmt.Sprintf("%s/pages of %d", kind.object, benchPage), func(b *testing.B) {
			const pages = 16 // an iteration
			var fresh, changed, again [2]time.Duration
			apply := func(spent *[2]time.Duration, page clerk.Page, want mirror.Tally) {
				both(b, spent, func(store *mirror.Store) error {
					tally, err := store.ApplyPage(b.Context(), kind.object, page, clerktest.Epoch)
					tally.Drift = 0
					if err == nil && tally != want {
						err = fmt.Errorf("%+v, want %+v", tally, want)
					}
					return err
				})
			}
			for b.Loop() {
				for range pages {
					apply(&fresh, kind.page(next, false, clerktest.Epoch), mirror.Tally{Created: benchPage})
					apply(&changed, kind.page(next, true, clerktest.Epoch.Add(time.Hour)), mirror.Tally{Updated: benchPage})
					apply(&again, kind.page(next, true, clerktest.Epoch.Add(2*time.Hour)), mirror.Tally{Unchanged: benchPage})
					next += benchPage
				}
			}
			ratio(b, fresh, "new")
			ratio(b, changed, "changed")
			ratio(b, again, "unchanged")
			b.ReportMetric(float64(b.N*pages*benchPage)/fresh[0].Seconds(), "new-rows/s")
			b.ReportMetric(float64(b.N*pages*benchPage)/changed[0].Seconds(), "changed-rows/s")
			b.ReportMetric(0, "ns/op")
		})
	}

	b.Run("user/events", func(b *testing.B) {
		const events = 200 // an iteration
		var created, updated [2]time.Duration
		apply := func(b *testing.B, spent *[2]time.Duration, svixID string, body []byte) {
			d := delivery(b, svixID, body)
			both(b, spent, func(store *mirror.Store) error {
				result, err := store.Apply(b.Context(), d)
				if err == nil && result.Outcome != mirror.Applied {
					err = fmt.Errorf("%s is %s", svixID, result.Outcome)
				}
				return err
			})
		}
		for b.Loop() {
			for range events {
				user, later := benchUser(next), clerktest.Epoch.Add(time.Hour)
				apply(b, &created, fmt.Sprintf("msg_%d_created", next), user.Event("user.created", clerktest.Epoch))
				apply(b, &updated, fmt.Sprintf("msg_%d_updated", next), user.Name("Changed", "Last").UpdatedAt(later).Event("user.updated", later))
				next++
			}
		}
		ratio(b, created, "created")
		ratio(b, updated, "updated")
		b.ReportMetric(float64(created[0].Microseconds())/float64(b.N*events), "created-us")
		b.ReportMetric(float64(updated[0].Microseconds())/float64(b.N*events), "updated-us")
		b.ReportMetric(0, "ns/op")
	})

	b.Run("log", func(b *testing.B) {
		var size, records int64
		for b.Loop() {
			err := audited.QueryRow(b.Context(), `
				select pg_total_relation_size('clerk_sync.audit_log'), count(*) from clerk_sync.audit_log`).Scan(&size, &records)
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(size)/float64(records), "B/record")
		b.ReportMetric(0, "ns/op")
	})
}

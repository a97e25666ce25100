package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"testing"
	"time"

	main "clerksync/functions/full-sync"
	"clerksync/shared/fullsync"
)

// BenchmarkFullSync measures a run of the function from its event to its report:
// an empty copy of 100,000 users, 5,000 organizations and 200,000 memberships, and
// the same once more, when nothing has changed. Clerk's double answers over
// loopback after 100 ms and enforces the production limit; it, the database with
// its pooler, and the function share the machine.
//
//	go test -run '^$' -bench 'FullSync/share=1' -benchtime 1x ./functions/full-sync
//
// share is the part of Clerk's limit that the function may use. x_bound is the
// time that a run takes divided by bound-s, the time that the limit alone would
// make full pages of everything take. The baseline is the tutorials' backfill,
// of which a sample is measured and the whole of it estimated; x_sequential is
// its time divided by ours. unchanged-rows-written counts rows of the copy, and
// unchanged-wal-B is all that the server wrote ahead, the run's own record
// included.
//
// An iteration takes up to a minute and a half; -short makes it a fiftieth.
func BenchmarkFullSync(b *testing.B) {
	all := size{users: 100_000, organizations: 5_000, memberships: 200_000}.orLess()
	s := startStack(b)
	instance := all.seed(b)
	for _, share := range []float64{1, 0.2} {
		b.Run(fmt.Sprintf("share=%g", share), func(b *testing.B) {
			url := serve(b, instance)
			environment := map[string]string{
				"DATABASE_URL": s.url("clerksync_writer"), "CLERK_SECRET_KEY": secretKey, "CLERK_API_URL": url,
				"SYNC_RATE_SHARE": fmt.Sprint(share),
			}
			var first, again, sequential time.Duration
			var requests, refused, written, wal int64
			for b.Loop() {
				s.empty(b)
				superuser := s.connect(b, benchDatabase)
				took, report := handle(b, environment)
				if got := report.Users.Created + report.Organizations.Created + report.Memberships.Created; got != int64(all.objects()) {
					b.Fatalf("%d of %d objects created: %+v", got, all.objects(), report)
				}
				first += took
				requests += report.Requests
				refused += report.RateLimited

				execute(b, superuser, "vacuum analyze")
				execute(b, superuser, "checkpoint")
				lsn := query[string](b, superuser, "select pg_current_wal_lsn()::text")
				before := query[int64](b, superuser, "select pg_current_xact_id()::text::bigint")
				took, report = handle(b, environment)
				wal += query[int64](b, superuser, "select pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::bigint", lsn)
				written += query[int64](b, superuser, rowsSince, before)
				if got := report.Users.Unchanged + report.Organizations.Unchanged + report.Memberships.Unchanged; got != int64(all.objects()) {
					b.Fatalf("%d of %d objects unchanged: %+v", got, all.objects(), report)
				}
				again += took
				refused += report.RateLimited

				sequential += s.sequentially(b, url, all)
			}
			bound := all.limitAlone(share).Seconds()
			seconds := func(d time.Duration) float64 { return d.Seconds() / float64(b.N) }
			each := func(n int64) float64 { return float64(n) / float64(b.N) }
			b.ReportMetric(seconds(first), "s")
			b.ReportMetric(bound, "bound-s")
			b.ReportMetric(seconds(first)/bound, "x_bound")
			b.ReportMetric(float64(all.objects())/seconds(first), "new-rows/s")
			b.ReportMetric(each(requests), "requests")
			b.ReportMetric(each(refused), "429s")
			b.ReportMetric(seconds(again), "unchanged-s")
			b.ReportMetric(seconds(again)/bound, "unchanged-x_bound")
			b.ReportMetric(each(written), "unchanged-rows-written")
			b.ReportMetric(each(wal), "unchanged-wal-B")
			b.ReportMetric(seconds(sequential), "sequential-s")
			b.ReportMetric(sequential.Seconds()/first.Seconds(), "x_sequential")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// rowsSince counts the rows of the copy that were written by a transaction or by
// any after it.
const rowsSince = `
select (select count(*) from public.users as r where r.xmin::text::bigint >= $1)
     + (select count(*) from public.users_public as r where r.xmin::text::bigint >= $1)
     + (select count(*) from public.organizations as r where r.xmin::text::bigint >= $1)
     + (select count(*) from public.organization_memberships as r where r.xmin::text::bigint >= $1)
     + (select count(*) from clerk.organization_roles as r where r.xmin::text::bigint >= $1)
     + (select count(*) from clerk.organization_permissions as r where r.xmin::text::bigint >= $1)`

// handle has a new handler sync once, in this process, and returns how long that
// took. Everything must be complete.
func handle(b *testing.B, environment map[string]string) (time.Duration, fullsync.Report) {
	b.Helper()
	handler, closeDB := main.NewHandler(func(key string) (string, bool) {
		value, ok := environment[key]
		return value, ok
	}, io.Discard)
	defer closeDB()
	begun := time.Now()
	answer, err := handler.Invoke(b.Context(), []byte(`{}`))
	took := time.Since(begun)
	if err != nil {
		b.Fatal(err)
	}
	return took, readReport(b, answer)
}

func readReport(b *testing.B, answer []byte) fullsync.Report {
	b.Helper()
	var report fullsync.Report
	if err := json.Unmarshal(answer, &report); err != nil {
		b.Fatalf("answer %s: %v", answer, err)
	}
	if report.State != fullsync.Complete {
		b.Fatalf("the run is not complete: %s", answer)
	}
	return report
}

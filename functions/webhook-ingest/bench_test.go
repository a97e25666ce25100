package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	svix "github.com/svix/svix-webhooks/go" //nolint:depguard // the baseline of a verification is the library's own

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/secret"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/testdb"
	"clerksync/shared/webhook"
)

// The benchmarks print figures beside a baseline that the same run measures, so
// that they mean something on any machine:
//
//	make bench
//	go test -run '^$' -bench 'Webhook/route=pgbouncer' -benchtime 10s ./functions/webhook-ingest
//
// Those that report events/s or rows/s do a fixed amount of work an iteration;
// -benchtime says how long to repeat it, and -count gives benchstat its samples.

// rounds is how often two contenders take turns in an iteration.
const rounds = 12

// roundSize is enough for each instance to answer many requests, so that the
// end of a round, when some have nothing left to do, weighs little.
func roundSize(concurrency int) int { return 30 + 30*concurrency }

// BenchmarkWebhook measures a delivery from its bytes to its commit, beside the
// handler that tutorials teach. x_naive is ours divided by theirs.
func BenchmarkWebhook(b *testing.B) {
	s := startStack(b)
	s.seed(b)
	w := newWorkload()
	forEachRoute(b, func(b *testing.B, route string, concurrency int) {
		ours := instances(b, concurrency, s.url(b, route, testdb.ServerDatabase, "clerksync_writer"))
		theirs := naiveInstances(b, concurrency, s.url(b, route, testdb.ServerDatabase, "postgres"))
		size := roundSize(concurrency)

		warm, duplicates := w.mixed(size)
		deliverOurs(b, ours, warm, duplicates)
		deliver(b, theirs, warm)

		var a, n tally
		for b.Loop() {
			requests, duplicates := make([][]signedRequest, rounds), make([]int, rounds)
			for i := range rounds {
				requests[i], duplicates[i] = w.mixed(size)
			}
			first, second := interleave(rounds,
				func(round int) tally { return deliverOurs(b, ours, requests[round], duplicates[round]) },
				func(round int) tally {
					t, _ := deliver(b, theirs, requests[round])
					return t
				})
			a.add(first)
			n.add(second)
		}
		a.report(b, "")
		n.report(b, "naive-")
		b.ReportMetric(a.rate()/n.rate(), "x_naive")
		b.ReportMetric(0, "ns/op")
	})
}

func forEachRoute(b *testing.B, measure func(b *testing.B, route string, concurrency int)) {
	b.Helper()
	for _, route := range []string{direct, pooled, distant} {
		for _, concurrency := range []int{1, 10} {
			b.Run(fmt.Sprintf("route=%s/concurrency=%d", route, concurrency), func(b *testing.B) {
				measure(b, route, concurrency)
			})
		}
	}
}

// BenchmarkRoundTrips counts, on the wire, how often an event waits for the
// database and how many statements it sends.
func BenchmarkRoundTrips(b *testing.B) {
	const events = 500
	s := startStack(b)
	s.seed(b)
	w := newWorkload()
	for _, route := range []string{direct, pooled} {
		b.Run("route="+route, func(b *testing.B) {
			ourURL, theirURL := s.url(b, route, testdb.ServerDatabase, "clerksync_writer"), s.url(b, route, testdb.ServerDatabase, "postgres")
			ourProxy, theirProxy := startProxy(b, ourURL, 0), startProxy(b, theirURL, 0)
			ours := instances(b, 1, through(b, ourURL, ourProxy.listener.Addr()))
			theirs := naiveInstances(b, 1, through(b, theirURL, theirProxy.listener.Addr()))

			// Logging in takes round trips of its own, once.
			warm, duplicates := w.mixed(1)
			deliverOurs(b, ours, warm, duplicates)
			deliver(b, theirs, warm)
			ourTrips, ourStatements := ourProxy.trips.Load(), ourProxy.statements.Load()
			theirTrips := theirProxy.trips.Load()

			n := 0
			for b.Loop() {
				requests, duplicates := w.mixed(events)
				deliverOurs(b, ours, requests, duplicates)
				deliver(b, theirs, requests)
				n += events
			}
			each := func(after, before int64) float64 { return float64(after-before) / float64(n) }
			b.ReportMetric(each(ourProxy.trips.Load(), ourTrips), "round_trips/event")
			b.ReportMetric(each(ourProxy.statements.Load(), ourStatements), "statements/event")
			b.ReportMetric(each(theirProxy.trips.Load(), theirTrips), "naive-round_trips/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkStripeSync measures ours beside supabase/stripe-sync-engine, a mirror
// of the same make for Stripe, each applying updates of one object in turn to a
// table of as many rows. Ours is called as an http.Handler; theirs by its own
// entry point, processWebhook, which an HTTP server would come on top of.
// Theirs is a single upsert that records no deliveries and compares whole
// seconds. x_stripe_sync is ours divided by theirs.
func BenchmarkStripeSync(b *testing.B) {
	packages := installStripeSync(b)
	s := startStack(b)
	s.seed(b)
	w := newWorkload()
	s.createDatabase(b, stripeDatabase)
	check := s.connect(b, stripeDatabase, "postgres")
	sent := 0
	forEachRoute(b, func(b *testing.B, route string, concurrency int) {
		ours := instances(b, concurrency, s.url(b, route, testdb.ServerDatabase, "clerksync_writer"))
		theirs := startStripeSync(b, packages, stripeSyncOptions{
			URL:          s.url(b, route, stripeDatabase, "postgres"),
			MigrationURL: s.url(b, direct, stripeDatabase, "postgres"),
			Concurrency:  concurrency, Customers: warmUsers, First: sent,
		})
		size := roundSize(concurrency)
		deliverTheirs := func(n int) tally {
			sent += n
			return theirs.deliver(b, n)
		}

		// A JavaScript engine takes a while to compile what is hot.
		deliverOurs(b, ours, w.updates(4*size), 0)
		deliverTheirs(4 * size)

		var a, t tally
		for b.Loop() {
			requests := make([][]signedRequest, rounds)
			for i := range rounds {
				requests[i] = w.updates(size)
			}
			first, second := interleave(rounds,
				func(round int) tally { return deliverOurs(b, ours, requests[round], 0) },
				func(int) tally { return deliverTheirs(size) })
			a.add(first)
			t.add(second)
		}
		// Each of its events says in balance which one it was.
		if got := query[int](b, check, `select count(*) from stripe.customers where balance > 0`); got != min(sent, warmUsers) {
			b.Fatalf("stripe-sync-engine changed %d rows for %d events", got, sent)
		}
		a.report(b, "")
		t.report(b, "stripe-")
		b.ReportMetric(a.rate()/t.rate(), "x_stripe_sync")
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkApplyUsers measures the set-based form that a full sync uses, in
// pages of 500: users that are new, and the same ones again, unchanged but
// requested later, which must write nothing. The baseline is the naive handler's
// way, on one connection: a select and an insert for each of the same users.
func BenchmarkApplyUsers(b *testing.B) {
	const pages = 16 // an iteration
	s := startStack(b)
	superuser := s.connect(b, testdb.ServerDatabase, "postgres")
	execute(b, superuser, naiveTables, pgx.QueryExecModeSimpleProtocol)
	// Whatever is written while users are unchanged would be the rules' doing.
	execute(b, superuser, "alter system set autovacuum = off")
	execute(b, superuser, "select pg_reload_conf()")
	// Every figure is about a table that has rows in it.
	next := warmUsers
	applyPages(b, []*pgx.Conn{s.connect(b, testdb.ServerDatabase, "clerksync_writer")}, userPages(0, warmUsers/pageSize), clerktest.Epoch)
	execute(b, superuser, "vacuum analyze")

	for _, connections := range []int{1, 2} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			writers := make([]*pgx.Conn, connections)
			for i := range writers {
				writers[i] = s.connect(b, testdb.ServerDatabase, "clerksync_writer")
			}
			baseline := newNaive(b, s.server.URL(testdb.ServerDatabase, "postgres", ""))

			var fresh, again, oneByOne time.Duration
			var rows, naiveRows int
			var wrote, wal int64
			for b.Loop() {
				list := userPages(next, pages)
				next += pages * pageSize
				elapsed, written := applyPages(b, writers, list, clerktest.Epoch)
				if written != pages*pageSize {
					b.Fatalf("%d rows written for %d new users", written, pages*pageSize)
				}
				fresh += elapsed
				rows += written

				// All tables: what is dead in the catalog is also tidied up by whoever comes past it.
				execute(b, superuser, "vacuum")
				execute(b, superuser, "checkpoint")
				before, lsn := s.rowWrites(b, writers), query[string](b, superuser, "select pg_current_wal_lsn()::text")
				elapsed, written = applyPages(b, writers, list, clerktest.Epoch.Add(time.Hour))
				wal += query[int64](b, superuser, "select pg_wal_lsn_diff(pg_current_wal_lsn(), $1::text::pg_lsn)::bigint", lsn)
				wrote += s.rowWrites(b, writers) - before
				if written != 0 {
					b.Fatalf("%d rows written for unchanged users", written)
				}
				again += elapsed

				var users []json.RawMessage
				if err := json.Unmarshal([]byte(list[0]), &users); err != nil {
					b.Fatal(err)
				}
				begun := time.Now()
				for _, user := range users {
					if err := baseline.syncUser(b.Context(), user); err != nil {
						b.Fatal(err)
					}
				}
				oneByOne += time.Since(begun)
				naiveRows += len(users)
			}
			rate := func(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
			b.ReportMetric(rate(rows, fresh), "new-rows/s")
			b.ReportMetric(rate(rows, again), "unchanged-rows/s")
			b.ReportMetric(float64(wrote), "unchanged-rows-written")
			b.ReportMetric(float64(wal)/float64(b.N), "unchanged-wal-B")
			b.ReportMetric(rate(naiveRows, oneByOne), "naive-rows/s")
			b.ReportMetric(rate(rows, fresh)/rate(naiveRows, oneByOne), "x_naive")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func userPages(first, n int) []string {
	pages := make([]string, n)
	for i := range pages {
		pages[i] = page(first+i*pageSize, pageSize, userResource)
	}
	return pages
}

// applyPages hands the pages to the writers in turn, all at once, and returns
// how many rows were written.
func applyPages(b *testing.B, writers []*pgx.Conn, pages []string, requested time.Time) (elapsed time.Duration, written int) {
	b.Helper()
	rows, problems := make([]int, len(pages)), make([]error, len(pages))
	var working sync.WaitGroup
	begun := time.Now()
	for n, writer := range writers {
		working.Go(func() {
			for i := n; i < len(pages); i += len(writers) {
				rows[i], problems[i] = applyPage(b.Context(), writer, "users", pages[i], requested)
			}
		})
	}
	working.Wait()
	elapsed = time.Since(begun)
	if err := errors.Join(problems...); err != nil {
		b.Fatal(err)
	}
	for _, n := range rows {
		written += n
	}
	return elapsed, written
}

// rowWrites is how many rows of the copy have been inserted, updated or deleted
// so far, by PostgreSQL's own count.
func (s *stack) rowWrites(b *testing.B, writers []*pgx.Conn) int64 {
	b.Helper()
	for _, writer := range writers {
		// A session reports what it did once a second, unless it is told to.
		execute(b, writer, "select pg_stat_force_next_flush()")
	}
	return query[int64](b, s.connect(b, testdb.ServerDatabase, "postgres"), `
		select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables
		where schemaname in ('public', 'clerk_sync')`)
}

// idle is the smallest function, which cold starts and memory are compared with.
func idle(b *testing.B) string {
	b.Helper()
	return lambdatest.Build(b, "clerksync/functions/webhook-ingest/testdata/idle")
}

// BenchmarkColdStart measures the function's own part of a cold start on one
// core, from exec until it asks for an event, and the first delivery, which
// connects to the database; directly that starts a server process, which has to
// plan everything, while a pooler has one at hand. The baseline of ready-ms is a
// function that does nothing.
func BenchmarkColdStart(b *testing.B) {
	const starts = 20 // an iteration
	s := startStack(b)
	ours, baseline := binary(b), idle(b)
	w := newWorkload()
	for _, route := range []string{direct, pooled} {
		b.Run("route="+route, func(b *testing.B) {
			settings := environment(s.url(b, route, testdb.ServerDatabase, "clerksync_writer"))
			var ready, idleReady, first, second []time.Duration
			for b.Loop() {
				for range starts {
					var f, i *lambdatest.Function
					lambdatest.OnOneCore(b, func() {
						f = lambdatest.Start(b, ours, settings)
						i = lambdatest.Start(b, baseline, nil)
					})
					i.Kill()
					ready, idleReady = append(ready, f.Ready), append(idleReady, i.Ready)
					first = append(first, timeInvocation(b, f, w.updates(1)[0]))
					second = append(second, timeInvocation(b, f, w.updates(1)[0]))
					f.Kill()
				}
			}
			b.ReportMetric(milliseconds(median(ready)), "ready-ms")
			b.ReportMetric(milliseconds(slices.Min(ready)), "ready-min-ms")
			b.ReportMetric(milliseconds(median(idleReady)), "idle-ready-ms")
			b.ReportMetric(float64(median(ready))/float64(median(idleReady)), "x_idle")
			b.ReportMetric(milliseconds(median(first)), "first-request-ms")
			b.ReportMetric(milliseconds(median(second)), "second-request-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(durations []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[len(sorted)/2]
}

func timeInvocation(b *testing.B, f *lambdatest.Function, delivery signedRequest) time.Duration {
	b.Helper()
	payload := request(delivery.header, delivery.body, false)
	begun := time.Now()
	got, err := invoke(b.Context(), f, payload)
	elapsed := time.Since(begun)
	if err != nil || got.Status != 200 {
		b.Fatalf("delivery %s: %+v, %v\n%s", delivery.header.Get("svix-id"), got, err, f.Logs())
	}
	return elapsed
}

// BenchmarkMemory measures the most memory that the function's process ever
// held over 2,000 deliveries, beside one that does nothing as often.
func BenchmarkMemory(b *testing.B) {
	const deliveries = 2000
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("peak memory is read from /proc, which this system does not have")
	}
	s := startStack(b)
	ours, baseline := binary(b), idle(b)
	var peak, idlePeak int64
	for b.Loop() {
		f := lambdatest.Start(b, ours, environment(s.server.URL(testdb.ServerDatabase, "clerksync_writer", "")))
		w := newWorkload()
		requests, _ := w.mixed(deliveries)
		for _, delivery := range requests {
			timeInvocation(b, f, delivery)
		}
		peak = max(peak, lambdatest.PeakMemory(b, ours))
		f.Kill()

		i := lambdatest.Start(b, baseline, nil)
		for range deliveries {
			if _, err := i.Invoke(b.Context(), []byte(`{}`)); err != nil {
				b.Fatal(err)
			}
		}
		idlePeak = max(idlePeak, lambdatest.PeakMemory(b, baseline))
		i.Kill()
	}
	b.ReportMetric(mebibytes(peak), "peak-MiB")
	b.ReportMetric(mebibytes(idlePeak), "idle-peak-MiB")
	b.ReportMetric(float64(peak)/float64(idlePeak), "x_idle")
	b.ReportMetric(0, "ns/op")
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// BenchmarkBinarySize reports what Lambda has to load, built as it is deployed.
func BenchmarkBinarySize(b *testing.B) { lambdatest.ReportSize(b, "WebhookIngestFunction") }

// BenchmarkVerify measures what a delivery costs before the database, beside the
// library's own verification and a plain decoding.
func BenchmarkVerify(b *testing.B) {
	body := user(1).Event(clerk.UserUpdated, clerktest.Epoch)
	header := clerktest.Sign(signingSecret, "msg_1", time.Now(), body)
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		verifier, err := webhook.NewVerifier([]secret.Value{secret.New(signingSecret)}, time.Now)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := verifier.Verify(header, body); err != nil {
				b.Fatal(err)
			}
			if _, err := clerk.ParseEvent(body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		verifier, err := svix.NewWebhook(signingSecret)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := verifier.Verify(body, header); err != nil {
				b.Fatal(err)
			}
			var event map[string]any
			if err := json.Unmarshal(body, &event); err != nil {
				b.Fatal(err)
			}
		}
	})
}

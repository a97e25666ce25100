package main_test

import (
	"context"
	"os"
	"testing"
	"time"

	"clerksync/shared/testkit/lambdatest"
)

// BenchmarkMemory measures the most memory that the function's process ever held
// while it copied 1,000,000 users, 20,000 organizations and 200,000 memberships,
// beside an instance of a tenth of that: it grows with a window and not with the
// instance.
//
// It takes about two minutes; -short makes it a fiftieth.
func BenchmarkMemory(b *testing.B) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		b.Skip("peak memory is read from /proc, which this system does not have")
	}
	all := size{users: 1_000_000, organizations: 20_000, memberships: 200_000}.orLess()
	tenth := size{all.users / 10, all.organizations / 10, all.memberships / 10}
	s := startStack(b)
	function := binary(b)
	peaks := map[size]int64{}
	var took time.Duration
	for b.Loop() {
		for _, n := range []size{tenth, all} {
			s.empty(b)
			url := serve(b, n.seed(b))
			f := lambdatest.Start(b, function, map[string]string{
				"DATABASE_URL": s.url("clerksync_writer"), "CLERK_SECRET_KEY": secretKey, "CLERK_API_URL": url, "SYNC_RATE_SHARE": "1",
			})
			// The most that Lambda gives.
			ctx, cancel := context.WithTimeout(b.Context(), 15*time.Minute)
			begun := time.Now()
			answer, err := f.Invoke(ctx, []byte(`{}`))
			took = time.Since(begun)
			cancel()
			if err != nil {
				b.Fatalf("%v\n%.8000s", err, f.Logs())
			}
			if report := readReport(b, answer); report.Users.Created != int64(n.users) || report.Memberships.Created != int64(n.memberships) {
				b.Fatalf("%s, want %+v", answer, n)
			}
			peaks[n] = max(peaks[n], lambdatest.PeakMemory(b, function))
			f.Kill()
		}
	}
	b.ReportMetric(mebibytes(peaks[all]), "peak-MiB")
	b.ReportMetric(mebibytes(peaks[tenth]), "tenth-peak-MiB")
	b.ReportMetric(float64(peaks[all])/float64(peaks[tenth]), "x_tenth")
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric(0, "ns/op")
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

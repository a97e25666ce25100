package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"clerksync/shared/testkit/need"
)

// stripeDatabase is the one that stripe-sync-engine mirrors to.
const stripeDatabase = "stripe_sync_bench"

// stripePackages are the versions that are measured.
var stripePackages = []string{"@supabase/stripe-sync-engine@0.48.5", "stripe@23.1.0"}

// installStripeSync installs stripe-sync-engine below the user's cache folder,
// once, and returns where. Without Node, npm or its registry the benchmark is
// skipped, or fails when CI=true.
func installStripeSync(b *testing.B) string {
	b.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			need.Missing(b, fmt.Errorf("stripe-sync-engine runs on Node 20 or later and comes from npm; %s is not on PATH", program))
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	home := filepath.Join(cache, "clerksync", "stripe-sync-engine-0.48.5")
	if _, err := os.Stat(home); err == nil {
		return home
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o755); err != nil {
		b.Fatal(err)
	}
	// The folder appears when it is complete.
	fresh, err := os.MkdirTemp(filepath.Dir(home), "installing-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	if err := os.WriteFile(filepath.Join(fresh, "package.json"), []byte(`{"private": true}`), 0o600); err != nil {
		b.Fatal(err)
	}
	command := exec.CommandContext(b.Context(), "npm", append([]string{"install", "--ignore-scripts", "--no-audit", "--no-fund"}, stripePackages...)...)
	command.Dir = fresh
	if out, err := command.CombinedOutput(); err != nil {
		need.Missing(b, fmt.Errorf("npm cannot install %v: %w\n%s", stripePackages, err, out))
	}
	if err := os.Rename(fresh, home); err != nil && !errors.Is(err, fs.ErrExist) {
		b.Fatal(err)
	}
	return home
}

// stripeSyncOptions are read by testdata/stripesync.mjs.
type stripeSyncOptions struct {
	URL          string `json:"url"`
	MigrationURL string `json:"migration_url"`
	// Concurrency is the number of events under way and of connections.
	Concurrency int `json:"concurrency"`
	Customers   int `json:"customers"`
	// First is how many events earlier processes have applied.
	First int `json:"first"`
}

// stripeSync is a running stripe-sync-engine.
type stripeSync struct {
	requests io.Writer
	answers  *bufio.Scanner
	errors   *bytes.Buffer
}

// startStripeSync returns once the engine has migrated and filled its database.
// It ends with the benchmark.
func startStripeSync(b *testing.B, packages string, options stripeSyncOptions) *stripeSync {
	b.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		b.Fatal(err)
	}
	s := &stripeSync{errors: &bytes.Buffer{}}
	command := exec.Command("node", filepath.Join("testdata", "stripesync.mjs"), packages)
	command.Env = append(os.Environ(), "STRIPE_SYNC_OPTIONS="+string(text), "NODE_ENV=production")
	command.Stderr = s.errors
	requests, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	answers, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	s.requests, s.answers = requests, bufio.NewScanner(answers)
	s.answers.Buffer(nil, 16<<20)
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		// Whether or not it notices that nothing more will come.
		requests.Close()
		stop := time.AfterFunc(10*time.Second, func() { _ = command.Process.Kill() })
		defer stop.Stop()
		if err := command.Wait(); err != nil && !b.Failed() {
			b.Errorf("stripe-sync-engine: %v\n%s", err, s.errors)
		}
	})
	s.receive(b, &struct{}{})
	return s
}

// deliver has the engine apply n events and returns what it took.
func (s *stripeSync) deliver(b *testing.B, n int) tally {
	b.Helper()
	if _, err := fmt.Fprintf(s.requests, "{\"events\": %d}\n", n); err != nil {
		b.Fatalf("stripe-sync-engine: %v\n%s", err, s.errors)
	}
	var answer struct {
		Latencies []float64 `json:"latencies_ms"`
		Elapsed   float64   `json:"elapsed_ms"`
	}
	s.receive(b, &answer)
	if len(answer.Latencies) != n {
		b.Fatalf("stripe-sync-engine timed %d of %d events", len(answer.Latencies), n)
	}
	latencies := make([]time.Duration, n)
	for i, latency := range answer.Latencies {
		latencies[i] = duration(latency)
	}
	return newTally(latencies, duration(answer.Elapsed))
}

func duration(milliseconds float64) time.Duration {
	return time.Duration(milliseconds * float64(time.Millisecond))
}

func (s *stripeSync) receive(b *testing.B, answer any) {
	b.Helper()
	if !s.answers.Scan() {
		b.Fatalf("stripe-sync-engine ended: %v\n%s", s.answers.Err(), s.errors)
	}
	if err := json.Unmarshal(s.answers.Bytes(), answer); err != nil {
		b.Fatalf("stripe-sync-engine answered %q: %v", s.answers.Text(), err)
	}
}

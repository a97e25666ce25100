package config_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"clerksync/shared/config"
)

// vault is a secret store whose content, error and clock a test sets. Fetches can be held up to see who waits.
type vault struct {
	mu      sync.Mutex
	text    string
	err     error
	fetches int
	running int
	overlap bool
	entered chan struct{} // if set, receives at the start of a fetch
	gate    chan struct{} // if set, a fetch waits for it
	now     time.Time
	stale   []error
}

func (v *vault) source(t *testing.T, opts ...config.Option) *config.Source {
	t.Helper()
	if v.now.IsZero() {
		v.now = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	}
	opts = append([]config.Option{
		config.WithClock(func() time.Time { v.mu.Lock(); defer v.mu.Unlock(); return v.now }),
		config.OnStale(func(err error) { v.mu.Lock(); defer v.mu.Unlock(); v.stale = append(v.stale, err) }),
	}, opts...)
	return config.NewSource(env("CLERKSYNC_SECRET_ID", "clerksync/prod", "LOG_LEVEL", "error"), v.fetch, opts...)
}

func (v *vault) fetch(ctx context.Context, _ string) (string, error) {
	v.mu.Lock()
	v.fetches++
	v.running++
	v.overlap = v.overlap || v.running > 1
	entered, gate := v.entered, v.gate
	v.mu.Unlock()
	if entered != nil {
		entered <- struct{}{}
	}
	if gate != nil {
		<-gate
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running--
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return v.text, v.err
}

func (v *vault) set(text string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.text, v.err = text, err
}

func (v *vault) advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
}

func (v *vault) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.fetches
}

func level(t *testing.T, s *config.Source) string {
	t.Helper()
	cfg, err := s.Ingest(t.Context())
	if err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	return strings.ToLower(cfg.LogLevel.String())
}

func TestSource_FetchesOnceWithinItsTTL(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{"LOG_LEVEL": "debug"}`}
	s := v.source(t)
	if v.count() != 0 {
		t.Fatal("making a source fetched the secret")
	}
	level(t, s)
	v.set(`{"LOG_LEVEL": "warn"}`, nil)
	v.advance(5*time.Minute - time.Second)
	if got := level(t, s); got != "debug" || v.count() != 1 {
		t.Errorf("within the TTL: level %s after %d fetches, want debug after 1", got, v.count())
	}
	v.advance(time.Second)
	if got := level(t, s); got != "warn" || v.count() != 2 {
		t.Errorf("after the TTL: level %s after %d fetches, want warn after 2", got, v.count())
	}
}

func TestRefresh_SeesAChangeAtOnce(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{"LOG_LEVEL": "debug"}`}
	s := v.source(t)
	level(t, s)

	v.advance(time.Minute)
	if changed, err := s.Refresh(t.Context()); changed || err != nil {
		t.Errorf("Refresh of an unchanged secret = %t, %v, want false, nil", changed, err)
	}
	v.set(`{"LOG_LEVEL": "warn"}`, nil)
	v.advance(time.Minute)
	if changed, err := s.Refresh(t.Context()); !changed || err != nil {
		t.Errorf("Refresh of a changed secret = %t, %v, want true, nil", changed, err)
	}
	if got := level(t, s); got != "warn" || v.count() != 3 {
		t.Errorf("level %s after %d fetches, want warn after 3", got, v.count())
	}
}

func TestRefresh_FetchesAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{"LOG_LEVEL": "debug"}`}
	s := v.source(t)
	level(t, s)
	for range 100 {
		if changed, err := s.Refresh(t.Context()); changed || err != nil {
			t.Fatalf("Refresh = %t, %v, want false, nil", changed, err)
		}
	}
	if v.count() != 1 {
		t.Errorf("%d fetches within a minute, want 1", v.count())
	}
	v.advance(time.Minute)
	for range 100 {
		if _, err := s.Refresh(t.Context()); err != nil {
			t.Fatalf("Refresh: %v", err)
		}
	}
	if v.count() != 2 {
		t.Errorf("%d fetches after a minute, want 2", v.count())
	}
}

func TestRefresh_WithoutASecretDoesNothing(t *testing.T) {
	t.Parallel()
	if changed, err := config.NewSource(env(), noFetch(t)).Refresh(t.Context()); changed || err != nil {
		t.Errorf("Refresh = %t, %v, want false, nil", changed, err)
	}
}

func TestRefresh_BeforeTheFirstReadFetches(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{}`}
	if changed, err := v.source(t).Refresh(t.Context()); !changed || err != nil {
		t.Errorf("Refresh = %t, %v, want true, nil", changed, err)
	}
}

func TestSource_NeverHasTwoFetchesUnderWay(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{"LOG_LEVEL": "debug"}`, entered: make(chan struct{}), gate: make(chan struct{})}
	s := v.source(t)

	var wg sync.WaitGroup
	errs := make(chan error, 40)
	for range 20 {
		wg.Go(func() { _, err := s.Ingest(t.Context()); errs <- err })
		wg.Go(func() { _, err := s.Refresh(t.Context()); errs <- err })
	}
	<-v.entered
	close(v.gate)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Errorf("waiter: %v", err)
		}
	}
	if v.overlap || v.count() != 1 {
		t.Errorf("%d fetches, overlapping: %t; want 1", v.count(), v.overlap)
	}
}

// Fetches that end while others are asked for neither overlap nor lose count of the minute.
func TestRefresh_KeepsItsPaceForManyAtOnce(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{"LOG_LEVEL": "debug"}`}
	s := v.source(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1500 {
				_, _ = s.Refresh(t.Context())
				v.advance(time.Second)
				_, _ = s.Ingest(t.Context())
			}
		})
	}
	wg.Wait()
	if n := v.count(); v.overlap || n > 201 {
		t.Errorf("%d fetches in 200 minutes, overlapping: %t; want one a minute at the most", n, v.overlap)
	}
	v.advance(time.Minute)
	for range 2 {
		_, _ = s.Refresh(t.Context())
	}
	n := v.count()
	for range 100 {
		_, _ = s.Refresh(t.Context())
	}
	if v.count() != n {
		t.Errorf("%d fetches more within a minute, want none", v.count()-n)
	}
}

// A request that gives up must neither hang nor take the fetch down with it, since others wait for the same one.
func TestSource_AWaiterMayGiveUp(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{"LOG_LEVEL": "debug"}`, entered: make(chan struct{}), gate: make(chan struct{})}
	s := v.source(t)

	reason := errors.New("request limit of 10s")
	ctx, cancel := context.WithCancelCause(t.Context())
	gaveUp := make(chan error)
	go func() { _, err := s.Ingest(ctx); gaveUp <- err }()
	<-v.entered
	other := make(chan error)
	go func() { _, err := s.Ingest(t.Context()); other <- err }()
	cancel(reason)
	if err := <-gaveUp; !errors.Is(err, reason) {
		t.Errorf("the one that gave up got %v, want its own reason", err)
	}
	close(v.gate)
	if err := <-other; err != nil {
		t.Errorf("the one that waited got %v", err)
	}
	if v.count() != 1 {
		t.Errorf("%d fetches, want 1", v.count())
	}
}

func TestSource_KeepsServingWhileTheSecretCannotBeRead(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{"LOG_LEVEL": "debug"}`}
	s := v.source(t)
	level(t, s)

	outage := errors.New("outage")
	v.set("", outage)
	v.advance(time.Hour)
	for range 5 {
		if got := level(t, s); got != "debug" {
			t.Fatalf("level %s during the outage, want debug", got)
		}
	}
	// Not at every request: each would wait for the time limit.
	if v.count() != 2 || len(v.stale) != 1 || !errors.Is(v.stale[0], outage) {
		t.Errorf("%d fetches, reported %v; want 2 and the outage once", v.count(), v.stale)
	}
	v.advance(time.Minute)
	if _, err := s.Refresh(t.Context()); !errors.Is(err, outage) {
		t.Errorf("Refresh = %v, want the outage", err)
	}
	v.set(`{"LOG_LEVEL": "warn"}`, nil)
	v.advance(time.Minute)
	if got := level(t, s); got != "warn" {
		t.Errorf("level %s after the outage, want warn", got)
	}
}

func TestSource_KeepsServingAfterABadEdit(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]string{
		"not JSON":     `{"LOG_LEVEL": "warn"`,
		"bad value":    `{"LOG_LEVEL": "loud"}`,
		"another type": `{"LOG_LEVEL": 1}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &vault{text: `{"LOG_LEVEL": "debug"}`}
			s := v.source(t)
			level(t, s)
			v.set(bad, nil)
			v.advance(5 * time.Minute)
			for range 3 {
				if got := level(t, s); got != "debug" {
					t.Fatalf("level %s after a bad edit, want debug", got)
				}
			}
			if len(v.stale) != 1 || !errors.Is(v.stale[0], config.ErrInvalid) {
				t.Errorf("reported %v, want one ErrInvalid", v.stale)
			}
			v.set(`{"LOG_LEVEL": "warn"}`, nil)
			v.advance(5 * time.Minute)
			if got := level(t, s); got != "warn" {
				t.Errorf("level %s after the repair, want warn", got)
			}
		})
	}
}

func TestSource_WithoutAnythingToServeFailsAndRecovers(t *testing.T) {
	t.Parallel()
	outage := errors.New("outage")
	v := &vault{err: fmt.Errorf("reading: %w", outage)}
	s := v.source(t)
	if _, err := s.Ingest(t.Context()); !errors.Is(err, outage) {
		t.Errorf("Ingest = %v, want the outage", err)
	}
	v.set(`{"LOG_LEVEL": "debug"}`, nil)
	if got := level(t, s); got != "debug" {
		t.Errorf("level %s after the outage, want debug", got)
	}
	if len(v.stale) != 0 {
		t.Errorf("reported %v as stale, but nothing was served", v.stale)
	}
}

func TestSource_ChecksConnectionStringsInDepth(t *testing.T) {
	t.Parallel()
	v := &vault{text: `{"LOG_LEVEL": "loud"}`}
	var checked []config.Database
	check := func(d config.Database) error {
		checked = append(checked, d)
		if strings.Contains(d.URL.Reveal(), "/bad") {
			return errors.New(d.Setting + " leads nowhere")
		}
		return nil
	}
	s := v.source(t, config.CheckDatabase(check))
	put := func(settings map[string]string) {
		t.Helper()
		text, err := json.Marshal(settings)
		if err != nil {
			t.Fatal(err)
		}
		v.set(string(text), nil)
		v.advance(time.Hour)
	}
	put(map[string]string{"DATABASE_URL": "postgres://h/bad", "CLERK_WEBHOOK_SIGNING_SECRET": signing, "LOG_LEVEL": "loud", "SUPABASE_PROJECT_REF": "short"})
	_, err := s.Ingest(t.Context())
	if !errors.Is(err, config.ErrInvalid) {
		t.Fatalf("Ingest = %v, want ErrInvalid", err)
	}
	// With all the others, and without what cannot be used of them.
	checkText(t, err, "leads nowhere", "LOG_LEVEL", "SUPABASE_PROJECT_REF")
	if n := len(checked); n != 1 || checked[0].ProjectRef != "" {
		t.Errorf("checked %v, want the connection string once and no reference", checked)
	}

	put(map[string]string{"DATABASE_URL": "postgres://h/good", "CLERK_WEBHOOK_SIGNING_SECRET": signing})
	if _, err := s.Ingest(t.Context()); err != nil {
		t.Fatalf("Ingest of the mended secret: %v", err)
	}
	// What works goes on working when the secret is edited into something that does not.
	put(map[string]string{"DATABASE_URL": "postgres://h/bad", "CLERK_WEBHOOK_SIGNING_SECRET": signing})
	cfg, err := s.Ingest(t.Context())
	if err != nil || cfg.Database.URL.Reveal() != "postgres://h/good" {
		t.Errorf("Ingest after a bad edit = %v, want the earlier string to serve", err)
	}
	if len(v.stale) != 1 || !strings.Contains(v.stale[0].Error(), "leads nowhere") {
		t.Errorf("told of %v, want the bad edit once", v.stale)
	}

	// The diagnostics have a string of their own, and one is all they need.
	put(map[string]string{"DIAGNOSTICS_DATABASE_URL": "postgres://h/bad"})
	if _, err := s.Diagnostics(t.Context()); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "DIAGNOSTICS_DATABASE_URL leads nowhere") {
		t.Errorf("Diagnostics = %v, want ErrInvalid that names the setting", err)
	}
	checked = nil
	put(map[string]string{"LOG_LEVEL": "info"})
	if _, err := s.Diagnostics(t.Context()); err != nil || len(checked) != 0 {
		t.Errorf("Diagnostics without a database = %v, checked %d strings", err, len(checked))
	}
}

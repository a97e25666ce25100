// Package config reads a function's configuration from the environment and, where one is named, from a secret in AWS
// Secrets Manager, and hands it over typed and checked.
//
//	source := config.NewSource(os.LookupEnv, config.SecretsManager(os.LookupEnv))
//	cfg, err := source.Ingest(ctx) // every problem at once
//
// The variable CLERKSYNC_SECRET_ID (name or ARN) names the secret: a JSON object of strings whose keys are those of
// [Keys]. What it sets wins over the environment; what it leaves out, or leaves empty, comes from the environment.
// Without CLERKSYNC_SECRET_ID the environment serves alone and nothing is called.
//
// Nothing is read before the first call, so that building a Source costs a cold start nothing. Afterwards the secret
// is kept for five minutes; see [Source] for what happens when it changes, breaks or cannot be read.
//
// No error of this package quotes a value, only keys, positions and the secret's id.
package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"clerksync/shared/secret"
)

// SecretIDKey is the environment variable that names the secret.
const SecretIDKey = "CLERKSYNC_SECRET_ID"

// Lookup reads one variable of the environment: os.LookupEnv, or a map in tests.
type Lookup func(key string) (string, bool)

// Fetch returns the text of a secret. [SecretsManager] makes one.
type Fetch func(ctx context.Context, secretID string) (string, error)

// ErrInvalid is wrapped by errors that report wrong or missing settings, one line for each.
var ErrInvalid = errors.New("configuration is not usable")

// Ingest is what the webhook function needs.
type Ingest struct {
	Database Database
	// SigningSecrets are the live ones, in the order given; at least one. Each is whsec_ and standard base64.
	SigningSecrets []secret.Value
	// InstanceID pins the Clerk instance (ins_…). Empty: events of any instance are taken.
	InstanceID string
	// QueueURL is where verified events go, https or on this machine. Empty: they are applied at once.
	QueueURL string
	LogLevel slog.Level
}

// Consumer is what the function needs that applies queued events.
type Consumer struct {
	Database Database
	// InstanceID pins the Clerk instance (ins_…). Empty: events of any instance are taken.
	InstanceID string
	LogLevel   slog.Level
}

// Sync is what the full sync needs.
type Sync struct {
	Database Database
	// SecretKey is sk_test_… or sk_live_…, of the instance that is copied.
	SecretKey secret.Value
	// APIURL is the base URL of Clerk's Backend API without a slash at its end, https or on this machine. Empty: Clerk's.
	APIURL string
	// RateShare is the share of Clerk's rate limit that may be used, above 0 and up to 1. 0: the reader's default.
	RateShare float64
	// InstanceID pins the Clerk instance (ins_…). Empty: the one that the copy was made of.
	InstanceID string
	// InstanceOrigin is where InstanceID was read: the environment, or a secret by its name.
	InstanceOrigin string
	LogLevel       slog.Level
}

// Diagnostics is what is known for judging tokens. Nothing of it is required: what is zero is not checked.
type Diagnostics struct {
	// Database is the one of DIAGNOSTICS_DATABASE_URL, zero without.
	Database Database
	// PublishableKey begins with pk_test_ or pk_live_; what follows was not read.
	PublishableKey string
	// Issuer is the issuer of session tokens, https or on this machine, without a slash at its end.
	Issuer string
	// JWKSURL is where the instance publishes its keys, https or on this machine.
	JWKSURL string
	// PublicKey is PEM text of a public key or certificate, or base64 of a key; what is in it was not read.
	PublicKey string
	// InstanceID is the Clerk instance (ins_…).
	InstanceID string
	// AuthorizedParties are origins as browsers write them, such as https://app.example.com.
	AuthorizedParties []string
	// AccessToken is for Supabase's Management API (sbp_…).
	AccessToken secret.Value
	// ProjectRef is the Supabase project's reference: SUPABASE_PROJECT_REF, or else the one that SUPABASE_URL names.
	ProjectRef string
	// ProjectURL and ManagementURL are base URLs without a slash at their end, https or on this machine.
	ProjectURL, ManagementURL string
	// Page is whether the page may be served.
	Page     bool
	LogLevel slog.Level
}

// Common is what every function has.
func (c Ingest) Common() (Database, slog.Level) { return c.Database, c.LogLevel }

// Common is what every function has.
func (c Consumer) Common() (Database, slog.Level) { return c.Database, c.LogLevel }

// Common is what every function has.
func (c Sync) Common() (Database, slog.Level) { return c.Database, c.LogLevel }

// Common is what every function has.
func (c Diagnostics) Common() (Database, slog.Level) { return c.Database, c.LogLevel }

// Database says how to reach Postgres. The URL is checked in depth by package supabase, which knows its forms.
type Database struct {
	URL secret.Value
	// CACert is PEM text of the certificate authorities to trust, or empty.
	CACert string
	// ProjectRef is the Supabase project's reference, or empty.
	ProjectRef string
	// Setting is the name of the setting that URL comes from, where it is not DATABASE_URL.
	Setting string
}

// Intervals of a Source.
const (
	// defaultTTL is how long a fetched secret is served before it is read again.
	defaultTTL = 5 * time.Minute
	// minInterval is between two fetches, once there is something to serve.
	minInterval = time.Minute // at least
)

// Source reads configuration and keeps it. It is safe for concurrent use and never has two fetches under way.
//
// Once it has served something, it goes on serving: a secret that cannot be fetched, or that was edited into something
// unusable, leaves the last usable configuration in place and is reported through [OnStale]. A process that starts with
// such a secret has nothing to fall back on and gets the error.
type Source struct {
	lookup  Lookup
	fetch   Fetch
	now     func() time.Time
	onStale func(error)
	check   func(Database) error // nil: none

	mu          sync.Mutex
	flights     singleflight.Group
	fetching    bool              // whether a fetch is under way
	secret      map[string]string // nil until the first fetch succeeded
	generation  int               // counts changes of secret
	fetchedAt   time.Time         // when secret was last read
	attemptedAt time.Time         // when reading it was last tried
	memos       [readers]memo
}

// memo is the last usable configuration of a reader and the generation of the secret it was made from.
type memo struct {
	values     values
	usable     bool
	generation int
	reported   int // generation whose problems were reported
}

// Option changes a Source.
type Option func(*Source)

// OnStale has f called, once for each failure, when an older configuration is served because a newer one cannot be
// had. The error is meant for the log.
func OnStale(f func(error)) Option {
	return func(s *Source) { s.onStale = f }
}

// CheckDatabase has f called with every connection string that a configuration holds, for what this package does not
// know of them: package supabase does. Its error is one of the configuration's problems, and quotes no value either.
func CheckDatabase(f func(Database) error) Option {
	return func(s *Source) { s.check = f }
}

// NewSource returns a Source. It reads nothing yet, and calls fetch only where CLERKSYNC_SECRET_ID is set.
func NewSource(lookup Lookup, fetch Fetch, opts ...Option) *Source {
	s := &Source{
		lookup: lookup,
		fetch:  fetch,
		// Without the monotonic reading: a Lambda sandbox is frozen between requests, and only the wall clock counts
		// that time.
		now:     func() time.Time { return time.Now().Round(0) },
		onStale: func(error) {},
	}
	for _, o := range opts {
		o(s)
	}
	return s
}

// Ingest returns the webhook function's configuration. Its errors wrap [ErrInvalid] with every problem, or say why the
// secret could not be read (one of the errors of [SecretsManager]).
func (s *Source) Ingest(ctx context.Context) (Ingest, error) {
	v, err := s.read(ctx, ReaderIngest)
	return Ingest{v.Database, v.signingSecrets, v.InstanceID, v.queueURL, v.LogLevel}, err
}

// Consumer returns the configuration of the function that applies queued events. Its errors are those of [Source.Ingest].
func (s *Source) Consumer(ctx context.Context) (Consumer, error) {
	v, err := s.read(ctx, ReaderConsumer)
	return Consumer{v.Database, v.InstanceID, v.LogLevel}, err
}

// Sync returns the configuration of the full sync. Its errors are those of [Source.Ingest].
func (s *Source) Sync(ctx context.Context) (Sync, error) {
	v, err := s.read(ctx, ReaderSync)
	return Sync{v.Database, v.secretKey, v.apiURL, v.rateShare, v.InstanceID, v.instanceOrigin, v.LogLevel}, err
}

// Diagnostics returns what is known for judging tokens. What is not set is no problem, what cannot be used is; its errors
// are those of [Source.Ingest].
func (s *Source) Diagnostics(ctx context.Context) (Diagnostics, error) {
	v, err := s.read(ctx, ReaderDiagnostics)
	return v.Diagnostics, err
}

// Database returns how to reach Postgres, for programs that need nothing else. Its errors are those of [Source.Ingest].
func (s *Source) Database(ctx context.Context) (Database, error) {
	v, err := s.read(ctx, readerDatabase)
	return v.Database, err
}

// Refresh reads the secret again, as after a signature that no secret verifies or a refused password, and reports
// whether its contents changed. It does so at most once a minute, counting every fetch; sooner, and without
// CLERKSYNC_SECRET_ID, it returns false and no error. After an error the configuration served is the earlier one.
func (s *Source) Refresh(ctx context.Context) (changed bool, err error) {
	id, ok := s.secretID()
	if !ok {
		return false, nil
	}
	s.mu.Lock()
	if s.secret != nil && !s.fetching && s.now().Sub(s.attemptedAt) < minInterval {
		s.mu.Unlock()
		return false, nil
	}
	done := s.join(ctx, id)
	s.mu.Unlock()
	fetched, err := wait(ctx, done)
	return fetched.changed, err
}

// read returns what a reader needs, as it was read before where the settings have not changed since.
func (s *Source) read(ctx context.Context, r Reader) (values, error) {
	set, generation, err := s.settings(ctx)
	if err != nil {
		return values{}, err
	}

	m := &s.memos[r]
	s.mu.Lock()
	if m.usable && m.generation == generation {
		defer s.mu.Unlock()
		return m.values, nil
	}
	s.mu.Unlock()

	v, err := set.read(r)
	s.mu.Lock()
	if err == nil {
		m.values, m.usable, m.generation = v, true, generation
		defer s.mu.Unlock()
		return v, nil
	}
	last, usable, report := m.values, m.usable, m.reported != generation
	m.reported = generation
	s.mu.Unlock()
	if !usable {
		return v, err
	}
	if report {
		s.onStale(err)
	}
	return last, nil
}

// settings returns what is set now and which generation of the secret it holds, fetching the secret where there is
// none yet or the one at hand is too old.
func (s *Source) settings(ctx context.Context) (settings, int, error) {
	id, ok := s.secretID()
	if !ok {
		return settings{lookup: s.lookup, check: s.check}, 0, nil
	}

	s.mu.Lock()
	now := s.now()
	if s.secret != nil && (now.Sub(s.fetchedAt) < defaultTTL || now.Sub(s.attemptedAt) < minInterval) {
		defer s.mu.Unlock()
		return s.atHand(id), s.generation, nil
	}
	done := s.join(ctx, id)
	s.mu.Unlock()

	fetched, err := wait(ctx, done)
	s.mu.Lock()
	set, generation, have := s.atHand(id), s.generation, s.secret != nil
	s.mu.Unlock()
	switch {
	case err == nil:
		return set, generation, nil
	case !have:
		return settings{}, 0, err
	default:
		fetched.report.Do(func() { s.onStale(err) })
		return set, generation, nil
	}
}

// atHand is called with the lock held. The map is replaced and never written to, so it may be read without.
func (s *Source) atHand(id string) settings {
	return settings{lookup: s.lookup, secretID: id, secret: s.secret, check: s.check}
}

func (s *Source) secretID() (string, bool) {
	id, _ := s.lookup(SecretIDKey)
	id = clean(id)
	return id, id != ""
}

// theSecret is what fetches are of, whatever it is called at the moment: one at a time.
const theSecret = "secret"

// fetched is how a fetch ended, for all who waited for it.
type fetched struct {
	changed bool
	report  *sync.Once // of its failure
}

// join returns what the fetch under way will say, or that of one it starts. It is called with the lock held.
//
// The fetch does not end with the request that started it: others may wait for it, and the next request needs it
// anyway. Its own time limit ends it.
func (s *Source) join(ctx context.Context, id string) <-chan singleflight.Result {
	if !s.fetching {
		s.fetching, s.attemptedAt = true, s.now()
	}
	return s.flights.DoChan(theSecret, func() (any, error) {
		text, err := s.fetch(context.WithoutCancel(ctx), id)
		var values map[string]string
		if err == nil {
			values, err = decodeSecret(id, text)
		}

		s.mu.Lock()
		defer s.mu.Unlock()
		// Who comes from here on is not to be told of a fetch that has ended.
		s.fetching = false
		s.flights.Forget(theSecret)
		end := fetched{report: new(sync.Once)}
		if err != nil {
			return end, err
		}
		s.fetchedAt = s.now()
		if end.changed = s.secret == nil || !maps.Equal(s.secret, values); end.changed {
			s.secret = values
			s.generation++
		}
		return end, nil
	})
}

// wait returns how a fetch ended, or that the caller stopped waiting.
func wait(ctx context.Context, done <-chan singleflight.Result) (fetched, error) {
	select {
	case r := <-done:
		end, _ := r.Val.(fetched)
		return end, r.Err
	case <-ctx.Done():
		return fetched{report: new(sync.Once)}, fmt.Errorf("waiting for the secret: %w", context.Cause(ctx))
	}
}

package doctor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/doctor"
	"clerksync/shared/finding"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/managementdouble"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) {
	code := testdb.Main(m)
	moto.Stop()
	os.Exit(code)
}

// setup is a whole set-up: a Clerk instance with its APIs, a project and a database that
// holds its copy.
type setup struct {
	*testing.T
	options []testdb.Option

	mu       sync.Mutex
	api      backendapi.Options
	settings map[string]string
	instance *clerkinstance.Instance
	mint     *tokens.Mint
	// keySet answers for the Frontend API in its place, if set.
	keySet http.HandlerFunc
	db     *testdb.DB
	users  int
	// elapsed is how much later than it is the examination is made.
	elapsed time.Duration
	deep    bool
	version string
	// differs, if set, is what else differs.
	differs func(*setup)
	// deployed is whether there is a stack, which takes time.
	deployed bool
	stack    *stack
	// management are Supabase's, for the project; issuers are what it trusts.
	management managementdouble.Options
	issuers    []string
	supabase   *managementdouble.API
	// registered, if set, happens when the project trusts them.
	registered func()
}

// A live key, so that the limit is the higher one.
const secretKey = "sk_live_" + "NotARealKeyButLongEnough"

func (s *setup) execute(sql string, args ...any) {
	s.Helper()
	if _, err := s.db.Conn(s, s.db.Owner()).Exec(s.Context(), sql, args...); err != nil {
		s.Fatalf("%s: %v", sql, err)
	}
}

// answering makes Clerk's API answer so, whatever is asked.
func answering(status int, body string, header ...string) func(*setup) {
	return func(s *setup) {
		s.intercept(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})
	}
}

func (s *setup) intercept(f func(http.ResponseWriter, *http.Request, http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.api.Intercept = f
}

// serve answers for the Frontend API; nil is its own answer.
func (s *setup) serve(keySet http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keySet = keySet
}

// serving answers for the Frontend API with a text.
func serving(text string) func(*setup) {
	return func(s *setup) {
		s.serve(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
	}
}

// unresolved has the instance's domain answer nothing when it is registered.
func (s *setup) unresolved() {
	s.serve(http.NotFound)
	s.registered = func() { s.serve(nil) }
}

// rotate changes the instance's key, which Supabase has not noticed yet. The new one has
// the old one's id.
func (s *setup) rotate() { s.mint.RotateKey(tokens.Rotation{}) }

// cut breaks every answer off in the middle.
func cut(w http.ResponseWriter, r *http.Request, next http.Handler) {
	recorded := httptest.NewRecorder()
	next.ServeHTTP(recorded, r)
	body := recorded.Body.Bytes()
	maps.Copy(w.Header(), recorded.Header())
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(recorded.Code)
	_, _ = w.Write(body[:len(body)/2])
	panic(http.ErrAbortHandler)
}

func set(key, value string) func(*setup) { return func(s *setup) { s.settings[key] = value } }

func unset(key string) func(*setup) { return func(s *setup) { delete(s.settings, key) } }

func sqlSays(statements ...string) func(*setup) {
	return func(s *setup) {
		for _, sql := range statements {
			s.execute(sql)
		}
	}
}

const clerkError = `{"errors":[{"message":"m","long_message":"l","code":"%s"}],"clerk_trace_id":"0123"}`

const (
	projectRef  = "abcdefghijklmnopqrst"
	accessToken = "sbp_" + "0123456789abcdef0123456789abcdef01234567"
)

// accidents are what happens to a set-up that stands, by the name in testdata/setups.txt.
func accidents() map[string]func(*setup) {
	nothing := func(*setup) {}
	all := map[string]func(*setup){
		"sound":                     nothing,
		"secret-key-missing":        unset("CLERK_SECRET_KEY"),
		"secret-key-is-publishable": func(s *setup) { s.settings["CLERK_SECRET_KEY"] = s.mint.PublishableKey() },
		"password-not-escaped":      set("DATABASE_URL", "postgresql://clerksync_writer.abcdefghijklmnopqrst:p@ss/word@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"),
		"ca-certificate-cut":        set("DATABASE_CA_CERT", "-----BEGIN CERTIFICATE-----\nMIIB"),
		"string-of-another-project": func(s *setup) {
			s.settings["DATABASE_URL"] = "postgresql://clerksync_writer.abcdefghijklmnopqrst:password@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
			s.settings["SUPABASE_PROJECT_REF"] = "tsrqponmlkjihgfedcba"
		},
		"keys-of-two-kinds":          func(s *setup) { s.settings["CLERK_PUBLISHABLE_KEY"] = s.mint.PublishableKey() },
		"clerk-refuses-connections":  set("CLERK_API_URL", "http://127.0.0.1:9/v1"),
		"clerk-answers-500":          answering(500, fmt.Sprintf(clerkError, "internal_clerk_error")),
		"clerk-answer-cut":           func(s *setup) { s.intercept(cut) },
		"clerk-answers-html":         answering(200, "<!doctype html><title>Sign in to the proxy</title>"),
		"secret-key-revoked":         set("CLERK_SECRET_KEY", "sk_live_"+"AnotherKeyThatIsNoLongerValid"),
		"clerk-limit-spent":          answering(429, fmt.Sprintf(clerkError, "too_many_requests"), "Retry-After", "60"),
		"clock-six-minutes-fast":     func(s *setup) { s.elapsed = 6 * time.Minute },
		"clock-six-minutes-slow":     func(s *setup) { s.elapsed = -6 * time.Minute },
		"pinned-to-another-instance": set("CLERK_INSTANCE_ID", "ins_2someoneelses"),
		"keys-of-two-instances": func(s *setup) {
			other := tokens.New(clerkinstance.New(clerkinstance.Options{Seed: 99}), s.mint.Issuer())
			s.serve(other.FrontendAPI().ServeHTTP)
		},
		"domain-not-verified":          func(s *setup) { s.serve(http.NotFound) },
		"key-set-is-a-page":            serving("<html>Parked</html>"),
		"key-set-empty":                serving(`{"keys":[]}`),
		"database-refuses-connections": set("DATABASE_URL", "postgresql://clerksync_writer:secret@127.0.0.1:9/postgres?sslmode=disable"),
		"database-wrong-password": func(s *setup) {
			s.settings["DATABASE_URL"] = strings.Replace(s.settings["DATABASE_URL"], "clerksync_writer:", "clerksync_writer:wrong", 1)
		},
		"database-host-unknown": set("DATABASE_URL", "postgresql://clerksync_writer:secret@db.no-such-host.invalid:5432/postgres"),
		"database-without-login": func(s *setup) {
			s.settings["DATABASE_URL"] = strings.Replace(s.settings["DATABASE_URL"], "clerksync_writer:", "clerksync_rewriter:", 1)
		},
		"database-as-owner": func(s *setup) { s.settings["DATABASE_URL"] = s.db.Owner() },
		"pooler-in-session-mode": func(s *setup) {
			pooler := testdb.NewPooler(s, s.db.Server(), pgbouncer.Options{PoolMode: "session"})
			s.settings["DATABASE_URL"] = through(s, s.settings["DATABASE_URL"], pooler)
		},
		"migration-pending":         sqlSays(`delete from clerk_sync.migrations where version = (select max(version) from clerk_sync.migrations)`),
		"rules-of-another-version":  sqlSays(`update clerk_sync.rules set checksum = 'another'`),
		"row-security-switched-off": sqlSays(`alter table public.users disable row level security`),
		"writer-without-functions":  sqlSays(`revoke execute on function clerk_sync.apply_event(text, jsonb, text, text) from clerksync_writer`),
		"copy-of-another-instance":  sqlSays(`update clerk_sync.sync_runs set instance_id = 'ins_another'`),
		"own-table-open":            sqlSays(`create table public.notes (id int primary key, user_id text not null, body text)`, `grant select, insert, update, delete on public.notes to anon, authenticated`),
		"webhooks-silent": func(s *setup) {
			s.change()
			s.elapsed, s.settings["CLERK_API_URL"] = 24*time.Hour, s.later(24*time.Hour)
			s.execute(`update clerk_sync.sync_runs set started_at = now() + interval '23 hours', ended_at = now() + interval '23 hours'`)
		},
		"webhooks-never": func(s *setup) {
			s.execute(`delete from clerk_sync.webhook_events`)
			s.change()
			s.elapsed, s.settings["CLERK_API_URL"] = 2*time.Hour, s.later(2*time.Hour)
		},
		"events-rejected":               sqlSays(`select clerk_sync.apply_event('msg_rejected', '{"type":"user.updated","data":{"id":7,"updated_at":1716883200000}}')`),
		"full-sync-overdue":             sqlSays(`update clerk_sync.sync_runs set started_at = now() - interval '2 days', ended_at = now() - interval '2 days'`),
		"full-sync-stopped":             sqlSays(`update clerk_sync.sync_runs set state = 'stopped', reason = 'too_many_deletions'`),
		"sound-without-aws":             func(s *setup) { s.stack = nil },
		"sound-without-management":      unset("SUPABASE_ACCESS_TOKEN"),
		"sound-two-providers":           func(s *setup) { s.issuers = append(s.issuers, "https://login.example.com") },
		"access-token-expired":          set("SUPABASE_ACCESS_TOKEN", "sbp_"+"expired"),
		"access-token-without-scope":    set("SUPABASE_ACCESS_TOKEN", "sbp_"+"mayNothing"),
		"project-of-another-org":        func(s *setup) { s.management.Projects = []string{"tsrqponmlkjihgfedcba"} },
		"project-paused":                func(s *setup) { s.management.Statuses = map[string]string{projectRef: "INACTIVE"} },
		"project-restoring":             func(s *setup) { s.management.Statuses = map[string]string{projectRef: "RESTORING"} },
		"provider-missing":              func(s *setup) { s.issuers = nil },
		"provider-of-another-domain":    func(s *setup) { s.issuers = []string{"https://clerk.another.example"} },
		"provider-twice":                func(s *setup) { s.issuers = append(s.issuers, s.issuers[0]) },
		"provider-without-keys":         func(s *setup) { s.unresolved() },
		"provider-with-old-keys":        func(s *setup) { s.registered = s.rotate },
		"private-schema-exposed":        func(s *setup) { s.management.Schemas = "public, graphql_public, clerk_sync" },
		"sound-without-publishable-key": nothing,
		"sound-without-organizations":   nothing,
		"sound-empty-instance":          nothing,
		"sound-other-schema":            nothing,
		"nothing-migrated":              nothing,
		"users-taken":                   sqlSays(`create table public.users (id uuid primary key, email text)`, `alter table public.users enable row level security`),
		"sound-quiet-instance": func(s *setup) {
			s.execute(`delete from clerk_sync.webhook_events`)
			s.elapsed, s.settings["CLERK_API_URL"] = 30*24*time.Hour, s.later(30*24*time.Hour)
			s.execute(`update clerk_sync.sync_runs set ended_at = now() + interval '30 days'`)
		},
		"sound-clock-two-seconds": func(s *setup) { s.elapsed = 2 * time.Second },
		"sound-rotating-secret":   set("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_"+"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,whsec_"+"AfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"),
		"sound-pooler":            func(s *setup) { s.settings["DATABASE_URL"] = s.db.Pooled(s, s.settings["DATABASE_URL"]) },
	}
	maps.Copy(all, stackAccidents())
	return all
}

// preparations are what differs before a set-up is put up.
func preparations() map[string]func(*setup) {
	return map[string]func(*setup){
		"sound-without-organizations": func(s *setup) { s.api.OrganizationsDisabled = true },
		"sound-empty-instance":        func(s *setup) { s.users = 0 },
		"sound-other-schema": func(s *setup) {
			s.options = []testdb.Option{testdb.WithSchema("clerk_mirror"), testdb.WithHelpers("clerk_claims")}
		},
		"nothing-migrated": func(s *setup) { s.options = []testdb.Option{testdb.WithoutMigrations()} },
		"users-taken":      func(s *setup) { s.options = []testdb.Option{testdb.WithoutMigrations()} },
	}
}

// through is a connection string with the pooler's address.
func through(t testing.TB, url string, pooler *pgbouncer.Pooler) string {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal("not a connection string")
	}
	return strings.Replace(url, fmt.Sprintf("%s:%d", config.Host, config.Port), fmt.Sprintf("%s:%d", pooler.Host(), pooler.Port()), 1)
}

// change changes a user in Clerk, of which no webhook tells.
func (s *setup) change() {
	s.Helper()
	if _, err := s.instance.SignUp(clerkinstance.Person{Emails: []string{"new@example.com"}}); err != nil {
		s.Fatal(err)
	}
}

// later is Clerk's API at a later time: of its answers that have a Date.
func (s *setup) later(d time.Duration) string {
	api := backendapi.New(s.instance, s.api)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(d).UTC().Format(http.TimeFormat))
		api.ServeHTTP(w, r)
	}))
	s.Cleanup(server.Close)
	return server.URL + "/v1"
}

// put puts a set-up up, examines it and returns the report.
func (s *setup) examine(name string) doctor.Report {
	s.Helper()
	if f := preparations()[name]; f != nil {
		f(s)
	}
	s.instance = clerkinstance.New(clerkinstance.Options{Seed: 1})
	if s.users > 0 {
		if err := s.instance.Seed(clerkinstance.SeedOptions{Users: s.users, Organizations: 3, Memberships: 10, To: time.Now().Add(-48 * time.Hour)}); err != nil {
			s.Fatal(err)
		}
	}
	frontend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		keySet := s.keySet
		s.mu.Unlock()
		if keySet == nil {
			keySet = s.mint.FrontendAPI().ServeHTTP
		}
		keySet(w, r)
	}))
	s.Cleanup(frontend.Close)
	s.mint = tokens.New(s.instance, frontend.URL)
	s.api.SecretKeys, s.api.Tokens = []string{secretKey}, s.mint
	s.api.Intercept = func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		options := s.api
		s.mu.Unlock()
		backendapi.New(s.instance, options).ServeHTTP(w, r)
	}))
	s.Cleanup(api.Close)
	s.management.Tokens = map[string]managementdouble.Access{accessToken: managementdouble.Read, "sbp_" + "mayNothing": managementdouble.NoAccess}
	s.management.Projects = []string{projectRef}
	s.issuers = []string{frontend.URL}
	s.db = testdb.New(s.T, s.options...)
	s.settings = map[string]string{
		"CLERK_SECRET_KEY": secretKey, "CLERK_API_URL": api.URL + "/v1", "CLERK_JWKS_URL": frontend.URL + tokens.JWKSPath, "CLERK_ISSUER": frontend.URL,
		"SUPABASE_ACCESS_TOKEN": accessToken, "SUPABASE_PROJECT_REF": projectRef,
		"CLERK_WEBHOOK_SIGNING_SECRET": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "CLERK_INSTANCE_ID": s.instance.ID(),
		"DATABASE_URL": s.db.Writer(),
	}
	if name != "nothing-migrated" && name != "users-taken" {
		s.fill()
	}
	if s.deployed {
		s.stack = newStack(s)
	}
	accidents()[name](s)
	if s.differs != nil {
		s.differs(s)
	}
	s.supabase = managementdouble.New(s.management)
	management := httptest.NewServer(s.supabase)
	s.Cleanup(management.Close)
	s.settings["SUPABASE_API_URL"] = management.URL
	for _, issuer := range s.issuers {
		if _, err := s.supabase.Register(s.Context(), projectRef, managementdouble.Registration{OIDCIssuerURL: issuer}); err != nil {
			s.Fatal(err)
		}
	}
	if s.registered != nil {
		s.registered()
	}
	o := doctor.Options{
		Stack: s.stack.deploy(), Version: s.version,
		Lookup: func(key string) (string, bool) { value, ok := s.settings[key]; return value, ok },
		Deep:   s.deep,
		Now:    func() time.Time { return time.Now().Add(s.elapsed) },
	}
	return doctor.Examine(s.Context(), o)
}

// fill copies the instance, and tells of one of its users by a webhook.
func (s *setup) fill() {
	s.Helper()
	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: secret.New(secretKey), URL: s.settings["CLERK_API_URL"], Share: 1})
	if err != nil {
		s.Fatal(err)
	}
	config, err := supabase.Parse(supabase.Options{URL: secret.New(s.db.Writer()), MaxConns: 2})
	if err != nil {
		s.Fatal(err)
	}
	db := supabase.Open(supabase.Fixed(config))
	defer db.Close()
	if _, err := fullsync.Run(s.Context(), fullsync.Options{Clerk: backend, Store: mirror.New(db), Trigger: "schedule"}); err != nil {
		s.Fatal(err)
	}
	for id := range s.instance.Snapshot().Users {
		s.execute(`select clerk_sync.apply_event('msg_sound', jsonb_build_object('type', 'user.updated', 'instance_id', $1::text, 'data',
			jsonb_build_object('id', $2::text, 'object', 'user', 'updated_at', 1000)))`, s.instance.ID(), id)
		break
	}
}

// line is one of testdata/setups.txt.
type line struct{ name, what, cause string }

func setups(t *testing.T) []line {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "setups.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	for l := range bytes.Lines(text) {
		cells := strings.Split(string(l), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "#") {
			continue
		}
		lines = append(lines, line{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])})
	}
	return lines
}

// The set-ups and their causes were written down before the checks were.
func TestExamine_NamesTheCauseFirst(t *testing.T) {
	t.Parallel()
	for _, l := range setups(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			if accidents()[l.name] == nil {
				t.Fatalf("nothing makes the set-up in which %s", l.what)
			}
			s := &setup{T: t, users: 12, deployed: l.cause == "-" || strings.HasPrefix(l.cause, "aws.")}
			report := s.examine(l.name)
			text, err := json.MarshalIndent(report, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			cause := report.Cause()
			switch {
			case l.cause == "-" && finding.Failed(report.Findings):
				t.Errorf("a sound set-up (%s) fails:\n%s", l.what, text)
			case l.cause != "-" && (cause == nil || cause.ID != l.cause):
				t.Errorf("%s: the first cause is %v, want %s\n%s", l.what, cause, l.cause, text)
			case cause != nil && (cause.Remedy == "" || cause.Detail == ""):
				t.Errorf("the cause has no remedy, or does not say what was seen: %v", cause)
			}
			for key, value := range s.settings {
				if strings.Contains(key, "SECRET") && len(value) > 8 && strings.Contains(string(text), value) || strings.Contains(string(text), "postgresql://") {
					t.Errorf("the report shows %s", key)
				}
			}
		})
	}
}

// Where nothing answers, nothing passes but what needs no answer.
func TestExamine_PassesNothingThatItCouldNotReach(t *testing.T) {
	t.Parallel()
	settings := map[string]string{
		"CLERK_SECRET_KEY": secretKey, "CLERK_API_URL": "http://127.0.0.1:9/v1", "CLERK_JWKS_URL": "http://127.0.0.1:9/jwks", "CLERK_ISSUER": "http://127.0.0.1:9",
		"SUPABASE_ACCESS_TOKEN": accessToken, "SUPABASE_PROJECT_REF": projectRef, "SUPABASE_API_URL": "http://127.0.0.1:9",
		"DATABASE_URL": "postgresql://clerksync_writer:secret@127.0.0.1:9/postgres?sslmode=disable",
		"AWS_REGION":   "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "notarealkey", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
	}
	report := doctor.Examine(t.Context(), doctor.Options{
		Lookup: func(key string) (string, bool) { value, ok := settings[key]; return value, ok }, Stack: "clerksync",
	})
	for _, f := range report.Findings {
		if f.Status == finding.Pass && f.ID != "config.settings" && f.ID != "clerk.keys" {
			t.Errorf("%s passes: %s %s", f.ID, f.Title, f.Detail)
		}
	}
	if len(report.Findings) < 25 {
		t.Errorf("%d findings, want one for each check", len(report.Findings))
	}
}

package devstack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/config"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// environment is a configuration of exactly these variables.
func environment(variables map[string]string) config.Lookup {
	return func(key string) (string, bool) {
		value, ok := variables[key]
		return value, ok
	}
}

func start(t *testing.T, o devstack.Options) *devstack.Stack {
	t.Helper()
	stack, err := devstack.Start(t.Context(), o)
	need.Success(t, err, postgres.ErrNotFound)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := stack.Stop(ctx); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	return stack
}

// play lets a double live through steps, under the given disorder, and returns
// its state once everything is delivered.
func play(t *testing.T, stack *devstack.Stack, seed uint64, steps int, o svix.SenderOptions) clerkinstance.Snapshot {
	t.Helper()
	o.Endpoints = stack.Endpoints()
	sender, err := svix.NewSender(o)
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Close()
	instance := clerkinstance.New(clerkinstance.Options{Seed: seed, Emit: sender.Send})
	traffic := clerkinstance.NewTraffic(instance, seed)
	if err := traffic.SignUps(10); err != nil {
		t.Fatal(err)
	}
	for range steps {
		if err := traffic.Step(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sender.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if c := sender.Counts(); c.GivenUp > 0 {
		t.Fatalf("deliveries given up: %+v", c)
	}
	return instance.Snapshot()
}

func status(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestStart_BringsUpEverythingByItself(t *testing.T) {
	t.Parallel()
	major, err := strconv.Atoi("0" + os.Getenv("CLERKSYNC_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	var steps []string
	stack := start(t, devstack.Options{
		Lookup: environment(nil), Postgres: major, DataDir: t.TempDir(),
		Progress: func(step string) { steps = append(steps, step) },
	})
	if len(stack.RealClerk()) > 0 || stack.EmbeddedURL() == "" {
		t.Errorf("without settings: real Clerk %v, embedded database at %q", stack.RealClerk(), stack.EmbeddedURL())
	}
	if len(steps) == 0 {
		t.Error("nothing was said about the steps of the start")
	}
	if got := status(t, stack.URL()+"/healthz"); got != http.StatusOK {
		t.Errorf("GET /healthz = %d, want 200", got)
	}

	want := play(t, stack, 11, 300, svix.SenderOptions{Late: 0.5, Twice: 0.5, LateBy: time.Second, Seed: 11})
	differences, err := stack.Diff(t.Context(), want, nil)
	if err != nil {
		t.Fatalf("Diff = %v", err)
	}
	for _, d := range differences {
		t.Errorf("after all deliveries: %s", d)
	}
	rows, err := stack.Rows(t.Context())
	if err != nil {
		t.Fatalf("Rows = %v", err)
	}
	if n := len(want.IDs()) + len(want.Deleted); len(rows) != n {
		t.Errorf("Rows lists %d ids, want %d", len(rows), n)
	}
}

func TestStart_UsesAGivenDatabase(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": db.Owner()})})
	if stack.EmbeddedURL() != "" {
		t.Error("with DATABASE_URL a database was started nevertheless")
	}
	if !strings.Contains(stack.Database(), db.Name()) {
		t.Errorf("Database() = %q, want it to name %s", stack.Database(), db.Name())
	}
	rows, err := stack.Rows(t.Context())
	if err != nil || len(rows) > 0 {
		t.Errorf("Rows = %v, %v, want none: it was migrated a moment ago", rows, err)
	}
	want := play(t, stack, 12, 100, svix.SenderOptions{Twice: 1, Late: 1, LateBy: time.Second})
	differences, err := stack.Diff(t.Context(), want, nil)
	if err != nil || len(differences) > 0 {
		t.Errorf("Diff = %v, %v, want no difference", differences, err)
	}

	// The runtime role may apply events and nothing else; that it cannot check
	// the migrations is no reason not to start.
	limited := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": db.Writer()})})
	if _, err := limited.Diff(t.Context(), want, nil); !errors.Is(err, devstack.ErrUnreadable) {
		t.Errorf("Diff as the runtime role = %v, want ErrUnreadable", err)
	}
	if s, err := limited.Status(t.Context()); err != nil || s.Users.Live != int64(len(want.Users)) {
		t.Errorf("Status as the runtime role = %+v, %v, want %d users", s, err, len(want.Users))
	}
	if len(limited.Warnings) == 0 {
		t.Error("nothing was said about migrations that could not be checked")
	}
}

func TestStart_TakesRealWebhooks(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	seen := make(chan devstack.Request, 10)
	stack := start(t, devstack.Options{
		Lookup: environment(map[string]string{
			"DATABASE_URL": db.Owner(), "CLERK_WEBHOOK_SIGNING_SECRET": clerktest.Secret,
		}),
		Observe: func(r devstack.Request) { seen <- r },
	})
	if got := stack.RealClerk(); len(got) != 1 || got[0] != "CLERK_WEBHOOK_SIGNING_SECRET" {
		t.Errorf("RealClerk() = %v, want the variable that was set", got)
	}
	body := clerktest.User("user_ines").Email("ines@example.com").Event(clerk.UserCreated, time.Now())
	send := func(below string, header http.Header) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, stack.WebhookURL()+below, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = header
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
	}

	send("", clerktest.Sign(clerktest.Secret, "msg_1", time.Now(), body))
	got := <-seen
	if got.SvixID != "msg_1" || got.Type != clerk.UserCreated || got.ObjectID != "user_ines" || got.Status != http.StatusOK || got.Outcome != mirror.Applied {
		t.Errorf("a signed request was observed as %+v", got)
	}
	send("", clerktest.Sign("whsec_YW5vdGhlci1zaWduaW5nLXNlY3JldC1mb3ItdGVzdHM=", "msg_2", time.Now(), body))
	got = <-seen
	if got.SvixID != "msg_2" || got.Type != "" || got.ObjectID != "" || got.Status != http.StatusUnauthorized || got.Code != "invalid_signature" {
		t.Errorf("a request with a wrong signature was observed as %+v", got)
	}
	// As a stack on AWS has its address, so that a tunnel can be given the same.
	send("/5b2c9f40-7a1e-11f0-8c3d-0a1b2c3d4e5f", clerktest.Sign(clerktest.Secret, "msg_1", time.Now(), body))
	if got = <-seen; got.Status != http.StatusOK || got.Outcome != mirror.Duplicate {
		t.Errorf("the same delivery, to an address with a segment, was observed as %+v", got)
	}
}

func TestServeBackend_ServesThisMachine(t *testing.T) {
	t.Parallel()
	// On every address, as in a container whose ports are forwarded.
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": testdb.New(t).Owner()}), Addr: "0.0.0.0:0"})
	if got := status(t, stack.BackendURL()+"/instance"); got != http.StatusNotFound {
		t.Errorf("before there is a double: GET %s/instance = %d, want 404", stack.BackendURL(), got)
	}
	instance := clerkinstance.New(clerkinstance.Options{})
	if _, err := stack.ServeBackend(instance); err != nil {
		t.Fatalf("ServeBackend = %v", err)
	}
	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: stack.SecretKey(), URL: stack.BackendURL()})
	if err != nil {
		t.Fatalf("the stack's own key and URL are refused: %v", err)
	}
	if got, err := backend.Instance(t.Context()); err != nil || got.ID != instance.ID() || got.EnvironmentType != "development" {
		t.Errorf("Instance = %+v, %v, want %s, development", got, err, instance.ID())
	}
	if got := status(t, stack.BackendURL()+"/instance"); got != http.StatusUnauthorized {
		t.Errorf("without the key: GET %s/instance = %d, want 401", stack.BackendURL(), got)
	}
	for _, path := range []string{"/healthz", "/v1"} {
		if got, want := status(t, stack.URL()+path), map[string]int{"/healthz": 200, "/v1": 404}[path]; got != want {
			t.Errorf("GET %s = %d, want %d", path, got, want)
		}
	}

	another := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": testdb.New(t).Owner()})})
	if another.SecretKey() == stack.SecretKey() {
		t.Error("two stacks have one key")
	}
	outside := need.OutsideAddress(t)
	url := strings.Replace(stack.URL(), "127.0.0.1", outside, 1)
	if got := status(t, url+"/healthz"); got != http.StatusOK {
		t.Fatalf("GET %s/healthz = %d, want 200", url, got)
	}
	stack.ServeDiagnostics(http.NotFoundHandler())
	for _, path := range []string{"/v1/instance", tokens.JWKSPath, "/diagnostics/jwt"} {
		if got := status(t, url+path); got != http.StatusNotFound {
			t.Errorf("from %s: GET %s = %d, want 404", outside, path, got)
		}
	}
}

func TestServeBackend_MakesTokensThatItsKeysVerify(t *testing.T) {
	t.Parallel()
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": testdb.New(t).Owner()})})
	if got := status(t, stack.JWKSURL()); got != http.StatusNotFound {
		t.Errorf("before there is a double: GET %s = %d, want 404", stack.JWKSURL(), got)
	}
	instance := clerkinstance.New(clerkinstance.Options{})
	ines, err := instance.SignUp(clerkinstance.Person{Username: "ines"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stack.ServeBackend(instance); err != nil {
		t.Fatal(err)
	}
	var session struct{ ID string }
	post(t, stack, "/sessions", `{"user_id":"`+ines.ID+`"}`, &session)
	var token struct{ JWT string }
	post(t, stack, "/sessions/"+session.ID+"/tokens", "", &token)

	source, err := keyset.NewSource(keyset.SourceOptions{URL: stack.JWKSURL()})
	if err != nil {
		t.Fatalf("the address of the stack's own keys is refused: %v", err)
	}
	claims := jwt.MapClaims{}
	_, err = jwt.NewParser(jwt.WithIssuer(stack.Issuer()), jwt.WithValidMethods([]string{"RS256"})).ParseWithClaims(token.JWT, claims, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		set, err := source.Keys(t.Context(), kid)
		key, _ := set.Find(kid)
		return key.Public, err
	})
	if err != nil || claims["sub"] != ines.ID || claims["sid"] != session.ID {
		t.Errorf("the token says %v, %v; want one for %s by %s", claims, err, ines.ID, stack.Issuer())
	}
}

// post asks the stack's Backend API with its key.
func post(t *testing.T, stack *devstack.Stack, path, body string, answer any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, stack.BackendURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+stack.SecretKey().Reveal())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s = %d, %v", path, response.StatusCode, err)
	}
}

func TestServeDiagnostics_ServesItsPathAlone(t *testing.T) {
	t.Parallel()
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": testdb.New(t).Owner()})})
	for _, mounted := range []bool{false, true, false} {
		stack.ServeDiagnostics(nil)
		if mounted {
			stack.ServeDiagnostics(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
		}
		for path, here := range map[string]bool{"/diagnostics/jwt": true, "/diagnostics/jwt/page.css": true, "/diagnostics/jwts": false, "/diagnostics": false} {
			want := http.StatusNotFound
			if here && mounted {
				want = http.StatusTeapot
			}
			if got := status(t, stack.URL()+path); got != want {
				t.Errorf("mounted: %v, GET %s = %d, want %d", mounted, path, got, want)
			}
		}
	}
}

// A browser on this machine is on loopback, whosever page it shows: neither by a name
// of the page's that was pointed here, nor from another origin, is anything private
// reached.
func TestPrivateRoutes_AnswerNoPageOfAnotherSite(t *testing.T) {
	t.Parallel()
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": testdb.New(t).Owner()})})
	if _, err := stack.ServeBackend(clerkinstance.New(clerkinstance.Options{})); err != nil {
		t.Fatal(err)
	}
	reached := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	stack.ServeDiagnostics(reached)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(stack.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	own := "http://127.0.0.1:" + port
	tests := map[string]struct {
		method, host string
		header       map[string]string
		code         string // "" is let through
	}{
		"a program":                     {"POST", "", nil, ""},
		"by name":                       {"POST", "localhost:" + port, nil, ""},
		"by name without a port":        {"GET", "localhost", nil, ""},
		"by IPv6":                       {"GET", "[::1]:" + port, nil, ""},
		"its own page":                  {"POST", "", map[string]string{"Origin": own, "Sec-Fetch-Site": "same-origin"}, ""},
		"typed in":                      {"GET", "", map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, ""},
		"a link elsewhere":              {"GET", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, ""},
		"a name that was pointed here":  {"POST", "evil.example:" + port, map[string]string{"Origin": "http://evil.example:" + port, "Sec-Fetch-Site": "same-origin"}, "unknown_host"},
		"one that begins like ours":     {"GET", "localhost.evil.example", nil, "unknown_host"},
		"one that is every address":     {"GET", "0.0.0.0:" + port, nil, "unknown_host"},
		"a form of another site":        {"POST", "", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, "cross_site"},
		"a script of another site":      {"POST", "", map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, "cross_site"},
		"an old browser's":              {"POST", "", map[string]string{"Origin": "https://evil.example"}, "cross_site"},
		"a sandboxed frame's":           {"POST", "", map[string]string{"Origin": "null"}, "cross_site"},
		"another port of this machine":  {"POST", "", map[string]string{"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, "cross_site"},
		"another name of this machine":  {"POST", "", map[string]string{"Origin": "http://localhost:" + port}, "cross_site"},
		"with TLS":                      {"POST", "", map[string]string{"Origin": "https://127.0.0.1:" + port}, "cross_site"},
		"an image of another site":      {"GET", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, "cross_site"},
		"a frame of another site":       {"GET", "", map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, "cross_site"},
		"a request with two of its own": {"GET", "", map[string]string{"Sec-Fetch-Site": "same-origin,cross-site"}, "cross_site"},
	}
	for name, test := range tests {
		for _, path := range []string{"/diagnostics/jwt", "/diagnostics/jwt/token", "/v1/instance", "/v1/sessions", tokens.JWKSPath} {
			request, err := http.NewRequestWithContext(t.Context(), test.method, own+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = test.host
			for key, value := range test.header {
				request.Header.Set(key, value)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			var answer struct{ Error struct{ Code string } }
			_ = json.NewDecoder(response.Body).Decode(&answer) // what is let through answers otherwise
			if err := response.Body.Close(); err != nil {
				t.Fatal(err)
			}
			refused := response.StatusCode == http.StatusForbidden
			if refused != (test.code != "") || answer.Error.Code != test.code {
				t.Errorf("%s: %s %s = %d %q, want %q", name, test.method, path, response.StatusCode, answer.Error.Code, test.code)
			}
		}
	}
}

func TestServeBackend_LeavesARealClerkAlone(t *testing.T) {
	t.Parallel()
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{
		"DATABASE_URL": testdb.New(t).Owner(), "CLERK_WEBHOOK_SIGNING_SECRET": clerktest.Secret,
	})})
	_, err := stack.ServeBackend(clerkinstance.New(clerkinstance.Options{}))
	if err == nil || !strings.Contains(err.Error(), "CLERK_WEBHOOK_SIGNING_SECRET") {
		t.Errorf("ServeBackend = %v, want a refusal that names the setting", err)
	}
	if got := status(t, stack.BackendURL()+"/instance"); got != http.StatusNotFound {
		t.Errorf("GET /v1/instance = %d, want 404", got)
	}
	if !stack.SecretKey().IsZero() || stack.Issuer() != "" || stack.JWKSURL() != "" {
		t.Errorf("there are a secret key (%v), an issuer (%q) and keys (%q) for nothing", !stack.SecretKey().IsZero(), stack.Issuer(), stack.JWKSURL())
	}
}

func TestStart_RefusesBeforeAnythingIsStarted(t *testing.T) {
	t.Parallel()
	taken := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": testdb.New(t).Owner()})})
	tests := []struct {
		name      string
		variables map[string]string
		addr      string
		want      error
		text      string
	}{
		{"address in use", nil, strings.TrimPrefix(taken.URL(), "http://"), devstack.ErrAddressInUse, "another address"},
		// Somebody's application sets this, and expects their users here.
		{"a Clerk instance without its signing secret", map[string]string{"CLERK_SECRET_KEY": "sk_test_1"}, "", config.ErrInvalid, "CLERK_SECRET_KEY"},
		{"a signing secret that is none", map[string]string{"CLERK_WEBHOOK_SIGNING_SECRET": "sk_test_1"}, "", config.ErrInvalid, "whsec_"},
		{"a web address for a database", map[string]string{"DATABASE_URL": "https://abcdefghijklmnopqrst.supabase.co"}, "", config.ErrInvalid, "SUPABASE_URL"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			stack, err := devstack.Start(t.Context(), devstack.Options{
				Lookup: environment(test.variables), Addr: test.addr,
				Progress: func(step string) { t.Errorf("it began with %q", step) },
			})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("Start = %v, want %v and a word on %q", err, test.want, test.text)
			}
			if stack != nil {
				t.Error("Start returned a stack with its error")
			}
		})
	}
}

func TestStack_SaysWhenItsDatabaseIsGone(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": db.Owner()})})
	conn := db.Conn(t, db.Server().URL("postgres", postgres.Superuser, ""))
	// Nobody gets in any more, which is what a database that is gone looks like.
	if _, err := conn.Exec(t.Context(), `alter database `+db.Name()+` allow_connections false`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`, db.Name()); err != nil {
		t.Fatal(err)
	}
	if got := status(t, stack.URL()+"/healthz"); got != http.StatusServiceUnavailable {
		t.Errorf("GET /healthz without a database = %d, want 503", got)
	}
}

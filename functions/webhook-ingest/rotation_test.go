package main_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

func forgetfulBinary(t testing.TB) string {
	t.Helper()
	return lambdatest.BuildForgetful(t, "clerksync/functions/webhook-ingest")
}

func start(t *testing.T, binary string, n int, settings map[string]string) []*lambdatest.Function {
	t.Helper()
	functions := make([]*lambdatest.Function, n)
	for i := range functions {
		functions[i] = lambdatest.Start(t, binary, settings)
	}
	return functions
}

// checkRecorded compares the events in the inbox with those that were made.
func checkRecorded(t *testing.T, conn *pgx.Conn, made int) {
	t.Helper()
	var recorded int
	if err := conn.QueryRow(t.Context(), `select count(distinct svix_id) from clerk_sync.webhook_events where svix_id like 'msg\_%'`).Scan(&recorded); err != nil || recorded != made {
		t.Errorf("%d events are recorded, %v, want all %d", recorded, err, made)
	}
}

// checkSilent looks for what no log may hold.
func checkSilent(t *testing.T, functions []*lambdatest.Function, hidden ...string) {
	t.Helper()
	for _, f := range functions {
		for _, leak := range append(hidden, "whsec_", "postgres://", "postgresql://") {
			if strings.Contains(f.Logs(), leak) {
				t.Errorf("the logs hold %q", leak)
			}
		}
	}
}

// Both ways to replace a signing secret, with deliveries all the while.
func TestBootstrap_LosesNothingWhileTheSigningSecretIsReplaced(t *testing.T) {
	t.Parallel()
	moto.Need(t)
	whsec := func(text string) string { return "whsec_" + strings.Repeat(text, 8) }
	first, second, third := whsec("QUJD"), whsec("REVG"), whsec("R0hJ")
	db := testdb.New(t)
	content := func(secrets ...string) map[string]string {
		return map[string]string{"DATABASE_URL": db.Writer(), "CLERK_WEBHOOK_SIGNING_SECRET": strings.Join(secrets, ",")}
	}
	kept := moto.NewSecret(t, content(first))
	functions := start(t, forgetfulBinary(t), 2, kept.Environment())
	old, replacement := endpoint{"old", []string{first}}, endpoint{"new", []string{second}}
	// settle waits until every function refuses, or takes, what a secret signs:
	// each reads the secret when its own time has come.
	settle := func(s *stream, secret string, refused bool) {
		t.Helper()
		body := []byte(`{}`)
		for n, f := range functions {
			s.await("a secret that each function refuses or takes", func() bool {
				got, err := invoke(t.Context(), f, request(clerktest.Sign(secret, fmt.Sprintf("probe_%d", n), time.Now(), body), body, false))
				return err == nil && (got.Code == "invalid_signature") == refused
			})
		}
	}

	s := startStream(t, functions, old)
	s.await("deliveries", func() bool { return s.count("old ") > 50 })

	// A second endpoint, whose secret nobody knows yet: its deliveries wait, those of the first one are taken.
	s.from(old, replacement)
	s.await("a refusal", func() bool { return s.count("new invalid_signature") > 0 })
	kept.Put(t, content(first, second))
	settle(s, second, false)
	s.await("both secrets in force", func() bool { return s.waiting() == 0 && s.count("new duplicate") > 50 })
	refusals := s.count("new invalid_signature")

	// The first one goes, and then its secret.
	s.from(replacement)
	kept.Put(t, content(second))
	settle(s, first, true)

	// The other way: the endpoint's secret is replaced, and Svix signs with both for a day.
	s.from(endpoint{"new", []string{third, second}})
	kept.Put(t, content(third))
	settle(s, second, true)
	s.from(endpoint{"new", []string{third}})
	before := s.count("new ")
	s.await("deliveries", func() bool { return s.count("new ") > before+50 })

	made := s.finish()
	got := s.notTaken()
	if len(got) != 1 || got["new invalid_signature"] != refusals {
		t.Errorf("refused: %v, want only the %d deliveries of the second endpoint before its secret was known", got, refusals)
	}
	checkRecorded(t, db.Conn(t, db.Owner()), made)
	checkSilent(t, functions)
	t.Logf("%d events, %d deliveries; refused until the second secret was known: %d, all delivered again", made, s.count(""), refusals)
}

// clerksync runs a command as an operator does and returns what it prints.
func clerksync(t *testing.T, databaseURL string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), lambdatest.Build(t, "clerksync/cmd/clerksync"), args...)
	command.Env = []string{"DATABASE_URL=" + databaseURL, "HOME=" + os.Getenv("HOME")}
	var said strings.Builder
	command.Stderr = &said
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("clerksync %q: %v\n%s", args, err, said.String())
	}
	return strings.TrimSpace(string(printed))
}

// route is a way to a server that asks for passwords.
type route struct {
	server *postgres.Server
	owner  string
	super  *pgx.Conn
	// host replaces the server's in the strings of the login roles; "" for none.
	host string
	// logs are those of whatever refuses a password.
	logs func() string
}

func newRoute(t *testing.T, pooled bool) *route {
	t.Helper()
	server, owner := testdb.NewPasswordServer(t, map[string]string{"max_connections": "150"})
	super, err := pgx.Connect(t.Context(), server.URL(database, postgres.Superuser, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = super.Close(context.Background()) })
	r := &route{server: server, owner: owner, super: super, logs: server.Log}
	clerksync(t, owner, "migrate", "up")
	if !pooled {
		return r
	}
	// As Supabase's poolers do: they ask the server for a role's verifier and log in with what the client has shown.
	parsed, err := url.Parse(server.URL(database, postgres.Superuser, ""))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := parsed.User.Password()
	pooler := testdb.NewPooler(t, server, pgbouncer.Options{
		Users: map[string]string{postgres.Superuser: password},
		Settings: map[string]string{
			"auth_user": postgres.Superuser, "auth_query": "select usename, passwd from pg_catalog.pg_shadow where usename = $1",
			"server_idle_timeout": "1",
		},
	})
	r.host = fmt.Sprintf("%s:%d", pooler.Host(), pooler.Port())
	r.logs = func() string { return server.Log() + pooler.Log() }
	return r
}

// login runs a step of migrate login and returns the string for functions.
func (r *route) login(t *testing.T, args ...string) string {
	t.Helper()
	printed := clerksync(t, r.owner, append([]string{"migrate", "login", "writer"}, args...)...)
	u, err := url.Parse(printed)
	if err != nil {
		t.Fatal("migrate login prints no URL")
	}
	if r.host != "" {
		u.Host = r.host
	}
	return u.String()
}

// refusedLogins is how often a password was refused.
func (r *route) refusedLogins() int {
	logs := r.logs()
	return strings.Count(logs, "password authentication failed") + strings.Count(logs, "SASL authentication failed")
}

func (r *route) connections(t *testing.T, role string) (n int) {
	t.Helper()
	if err := r.super.QueryRow(t.Context(), `select count(*) from pg_stat_activity where usename = $1`, role).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *route) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := r.super.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// The documented way to replace the database's password: two roles take turns.
func TestBootstrap_NoticesNothingOfAPasswordThatIsReplaced(t *testing.T) {
	t.Parallel()
	for _, pooled := range []bool{false, true} {
		t.Run(map[bool]string{false: "direct", true: "pooled"}[pooled], func(t *testing.T) {
			t.Parallel()
			r := newRoute(t, pooled)
			content := func(url string) map[string]string {
				return map[string]string{"DATABASE_URL": url, "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret}
			}
			urls := []string{r.login(t)}
			kept := moto.NewSecret(t, content(urls[0]))
			functions := start(t, forgetfulBinary(t), 4, kept.Environment())
			s := startStream(t, functions, endpoint{"clerk", []string{signingSecret}})
			s.await("deliveries", func() bool { return s.count("clerk ") > 50 })

			roles := []string{"clerksync_writer", "clerksync_writer_b"}
			for turn := range 3 { // there, back and there again
				old, role := roles[turn%2], roles[(turn+1)%2]
				next := r.login(t, "--rotate")
				urls = append(urls, next)
				kept.Put(t, content(next))
				s.await("the other role", func() bool { return r.connections(t, role) > 0 })
				// Functions keep their secret for a second here, not for the five minutes that the command waits.
				for n, one := range []string{old, role} {
					at := time.Now().Add(time.Duration(n-2) * time.Hour).UTC().Format(time.RFC3339)
					r.exec(t, fmt.Sprintf(`comment on role %s is 'clerksync: password set %s'`, one, at))
				}
				retired := clerksync(t, r.owner, "migrate", "login", "writer", "--retire", "--wait", "1m")
				if !strings.Contains(retired, old) || !strings.Contains(retired, role) {
					t.Errorf("--retire prints %q, want %s and %s", retired, old, role)
				}
				before := s.count("clerk ")
				s.await("deliveries", func() bool { return s.count("clerk ") > before+100 })
			}
			made := s.finish()
			if refused := s.notTaken(); len(refused) > 0 {
				t.Errorf("not taken: %v, want none\n%s", refused, functions[0].Logs())
			}
			if n := r.refusedLogins(); n > 0 {
				t.Errorf("%d logins were refused, want none:\n%s", n, r.logs())
			}
			checkRecorded(t, r.super, made)
			var passwords []string
			for _, text := range urls {
				u, err := url.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				password, _ := u.User.Password()
				passwords = append(passwords, password)
			}
			checkSilent(t, functions, passwords...)
			// All but the last are worth nothing any more.
			for n, text := range urls {
				conn, err := pgx.Connect(t.Context(), text)
				if (err == nil) != (n == len(urls)-1) {
					t.Errorf("string %d of %d: connecting = %v", n+1, len(urls), err)
				}
				if conn != nil {
					_ = conn.Close(t.Context())
				}
			}
			t.Logf("%d events in three rotations, none refused", made)
		})
	}
}

// The quick way, for a password that has leaked: everybody who connects before
// the secret is read again is refused. Nothing is lost by it, since Svix delivers
// again; but refused logins count against a limit of the whole project.
func TestBootstrap_LosesNothingWhenThePasswordInUseIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRoute(t, false)
	content := func(url string) map[string]string {
		return map[string]string{"DATABASE_URL": url, "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret}
	}
	kept := moto.NewSecret(t, content(r.login(t)))
	functions := start(t, forgetfulBinary(t), 4, kept.Environment())
	s := startStream(t, functions, endpoint{"clerk", []string{signingSecret}})
	s.await("deliveries", func() bool { return s.count("clerk ") > 50 })

	next := r.login(t, "--force")
	// Connections that stand keep working until they end, as they do every ten minutes.
	r.exec(t, `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'clerksync_writer'`)
	s.await("a refusal", func() bool { return s.count("clerk unavailable") > 0 })
	kept.Put(t, content(next))
	s.await("the new password", func() bool { return s.waiting() == 0 && r.connections(t, "clerksync_writer") == len(functions) })
	made := s.finish()
	refused := s.notTaken()
	if len(refused) != 1 || refused["clerk unavailable"] == 0 {
		t.Errorf("not taken: %v, want 503 unavailable and nothing else", refused)
	}
	if n := r.refusedLogins(); n < len(functions) {
		t.Errorf("%d logins were refused by %d functions: the test proves nothing", n, len(functions))
	}
	checkRecorded(t, r.super, made)
	t.Logf("%d events; %d answered %d and delivered again; %d refused logins of %d functions", made, refused["clerk unavailable"], http.StatusServiceUnavailable, r.refusedLogins(), len(functions))
}

package configured_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/config"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/configured"
	"clerksync/shared/secret"
	"clerksync/shared/telemetry"
	"clerksync/shared/testkit/managementdouble"
)

const project = "abcdefghijklmnopqrst"

// instance is a Clerk instance that publishes its keys.
type instance struct {
	*clerkinstance.Instance
	*tokens.Mint
	url     string
	fetches atomic.Int32
}

func newInstance(t *testing.T) *instance {
	t.Helper()
	c := &instance{Instance: clerkinstance.New(clerkinstance.Options{Seed: 1})}
	c.Mint = tokens.New(c.Instance, "")
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.url = server.URL
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) {
		c.fetches.Add(1)
		_, _ = w.Write(c.JWKS())
	})
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"jwks_uri":"`+server.URL+`/.well-known/jwks.json"}`)
	})
	return c
}

// token is a session token of the instance.
func (c *instance) token(t *testing.T) string {
	t.Helper()
	now := time.Now().Unix()
	token, err := c.Sign(nil, map[string]any{
		"iss": c.url, "sub": "user_1", "sid": "sess_1", "azp": "https://app.example.com", "role": "authenticated", "v": 2, "sts": "active",
		"iat": now - 1, "nbf": now - 11, "exp": now + 59, "jti": "1", "fva": []int{0, -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func fixed(c config.Diagnostics) func(context.Context) (config.Diagnostics, error) {
	return func(context.Context) (config.Diagnostics, error) { return c, nil }
}

func diagnose(t *testing.T, d *configured.Diagnoser, token string) jwtdiag.Report {
	t.Helper()
	report, err := d.Diagnose(t.Context(), jwtdiag.Request{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// status is that of a finding.
func status(t *testing.T, report jwtdiag.Report, id string) finding.Status {
	t.Helper()
	for _, f := range report.Findings {
		if f.ID == id {
			return f.Status
		}
	}
	t.Fatalf("the report has no finding %s", id)
	return ""
}

// check compares the status of some findings.
func check(t *testing.T, report jwtdiag.Report, want map[string]finding.Status) {
	t.Helper()
	for id, w := range want {
		if got := status(t, report, id); got != w {
			t.Errorf("%s = %s, want %s\n%+v", id, got, w, report.Findings)
		}
	}
}

func TestDiagnose_SkipsWhatIsNotConfigured(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	report := diagnose(t, configured.New(configured.Options{Configure: fixed(config.Diagnostics{})}), clerk.token(t))
	check(t, report, map[string]finding.Status{
		"token.format": finding.Pass, "claim.exp": finding.Pass, "jwks.fetch": finding.Skip, "signature": finding.Skip, "supabase.provider": finding.Skip, "database.claims": finding.Skip,
	})
	if clerk.fetches.Load() != 0 {
		t.Error("the address in the token was called")
	}
}

func TestDiagnose_DerivesTheKeySetFromTheIssuer(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	report := diagnose(t, configured.New(configured.Options{Configure: fixed(config.Diagnostics{Issuer: clerk.url})}), clerk.token(t))
	check(t, report, map[string]finding.Status{"jwks.fetch": finding.Pass, "signature": finding.Pass, "claim.iss": finding.Pass})
}

func TestDiagnose_DerivesTheIssuerFromThePublishableKey(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	c := config.Diagnostics{PublishableKey: "pk_test_Y2FsbS1vdHRlci0xMi5jbGVyay5hY2NvdW50cy5kZXYk", JWKSURL: clerk.url + "/.well-known/jwks.json"}
	token, err := clerk.Sign(nil, map[string]any{"iss": "https://calm-otter-12.clerk.accounts.dev", "sub": "user_1", "sid": "sess_1"})
	if err != nil {
		t.Fatal(err)
	}
	report := diagnose(t, configured.New(configured.Options{Configure: fixed(c)}), token)
	check(t, report, map[string]finding.Status{"signature": finding.Pass, "claim.iss": finding.Pass})
	// An issuer of one's own wins.
	c.Issuer = clerk.url
	report = diagnose(t, configured.New(configured.Options{Configure: fixed(c)}), token)
	check(t, report, map[string]finding.Status{"signature": finding.Pass, "claim.iss": finding.Warn})
}

func TestDiagnose_FetchesNothingWithAKeyAtHand(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	for _, offline := range []bool{false, true} {
		c := config.Diagnostics{Issuer: clerk.url, PublicKey: clerk.PublicKeyPEM()}
		report := diagnose(t, configured.New(configured.Options{Configure: fixed(c), Offline: offline}), clerk.token(t))
		check(t, report, map[string]finding.Status{"jwks.fetch": finding.Pass, "signature": finding.Pass, "claim.iss": finding.Pass})
	}
	if clerk.fetches.Load() != 0 {
		t.Errorf("%d key sets were fetched, want none", clerk.fetches.Load())
	}
}

func TestDiagnose_AsksNobodyOffline(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	api := managementdouble.New(managementdouble.Options{})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	report := diagnose(t, configured.New(configured.Options{Offline: true, Configure: fixed(config.Diagnostics{
		Issuer: clerk.url, AccessToken: secret.New("sbp_a"), ProjectRef: project, ManagementURL: server.URL,
	})}), clerk.token(t))
	check(t, report, map[string]finding.Status{"jwks.fetch": finding.Skip, "signature": finding.Skip, "supabase.provider": finding.Skip})
	if clerk.fetches.Load() != 0 || api.Requests() != 0 {
		t.Errorf("%d key sets and %d lists of providers were fetched, want none", clerk.fetches.Load(), api.Requests())
	}
}

func TestDiagnose_AsksSupabaseWhomItTrusts(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	api := managementdouble.New(managementdouble.Options{})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	if _, err := api.Register(t.Context(), project, managementdouble.Registration{OIDCIssuerURL: clerk.url}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		c    config.Diagnostics
		want finding.Status
	}{
		{"a project that trusts the instance", config.Diagnostics{ProjectRef: project}, finding.Pass},
		{"a project that trusts nobody", config.Diagnostics{ProjectRef: "zyxwvutsrqponmlkjihg"}, finding.Fail},
		{"the project of the connection string", config.Diagnostics{Database: config.Database{
			URL: secret.New("postgresql://clerksync_diagnostics." + project + ":x@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"),
		}}, finding.Pass},
		{"no project", config.Diagnostics{}, finding.Skip},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := tt.c
			c.Issuer, c.AccessToken, c.ManagementURL = clerk.url, secret.New("sbp_a"), server.URL
			report := diagnose(t, configured.New(configured.Options{Configure: fixed(c)}), clerk.token(t))
			check(t, report, map[string]finding.Status{"supabase.provider": tt.want})
		})
	}
}

// beginner is a database that says whether it was asked.
type beginner struct{ asked atomic.Bool }

func (b *beginner) Begin(context.Context) (pgx.Tx, error) {
	b.asked.Store(true)
	return nil, errors.New("no database here")
}

func TestDiagnose_LooksAtADatabaseOnlyWhereOneIsSet(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	for _, url := range []string{"", "postgresql://clerksync_diagnostics:x@127.0.0.1:5432/postgres"} {
		var db beginner
		var logs bytes.Buffer
		c := config.Diagnostics{Issuer: clerk.url, Database: config.Database{URL: secret.New(url)}}
		diagnose(t, configured.New(configured.Options{Configure: fixed(c), Database: &db, Logger: telemetry.NewLogger(&logs, nil)}), clerk.token(t))
		if db.asked.Load() != (url != "") {
			t.Errorf("with the URL %q the database was asked: %t", url, db.asked.Load())
		}
		// What went wrong is for whoever reads the log.
		if strings.Contains(logs.String(), "no database here") != (url != "") {
			t.Errorf("with the URL %q the log says:\n%s", url, logs.String())
		}
	}
}

func TestDiagnose_ShowsRowsOfAForgedTokenToAnOperatorAlone(t *testing.T) {
	t.Parallel()
	clerk, other := newInstance(t), newInstance(t)
	other.url = clerk.url
	for _, operator := range []bool{false, true} {
		var db beginner
		c := config.Diagnostics{Issuer: clerk.url, Database: config.Database{URL: secret.New("postgresql://clerksync_diagnostics:x@127.0.0.1:5432/postgres")}}
		diagnose(t, configured.New(configured.Options{Configure: fixed(c), Database: &db, Operator: operator}), other.token(t))
		if db.asked.Load() != operator {
			t.Errorf("with any signature allowed: %t, the database was asked: %t", operator, db.asked.Load())
		}
	}
}

func TestDiagnose_FollowsTheConfigurationAndKeepsItsKeys(t *testing.T) {
	t.Parallel()
	first, second := newInstance(t), newInstance(t)
	var mu sync.Mutex
	var current config.Diagnostics
	set := func(c config.Diagnostics) {
		mu.Lock()
		defer mu.Unlock()
		current = c
	}
	var logs bytes.Buffer
	d := configured.New(configured.Options{Logger: telemetry.NewLogger(&logs, nil), Configure: func(context.Context) (config.Diagnostics, error) {
		mu.Lock()
		defer mu.Unlock()
		return current, nil
	}})
	set(config.Diagnostics{Issuer: first.url})
	diagnose(t, d, first.token(t))
	check(t, diagnose(t, d, first.token(t)), map[string]finding.Status{"claim.azp": finding.Skip, "signature": finding.Pass})

	// The keys are as fresh as they were.
	set(config.Diagnostics{Issuer: first.url, AuthorizedParties: []string{"https://another.example.com"}})
	check(t, diagnose(t, d, first.token(t)), map[string]finding.Status{"claim.azp": finding.Fail, "signature": finding.Pass})
	if first.fetches.Load() != 1 {
		t.Errorf("%d fetches of the first instance's keys, want 1", first.fetches.Load())
	}

	set(config.Diagnostics{Issuer: second.url})
	check(t, diagnose(t, d, second.token(t)), map[string]finding.Status{"signature": finding.Pass, "claim.iss": finding.Pass})
	if second.fetches.Load() != 1 {
		t.Errorf("%d fetches of the second instance's keys, want 1", second.fetches.Load())
	}
	if n := strings.Count(logs.String(), `"msg":"diagnostics configured"`); n != 3 {
		t.Errorf("%d configurations were logged, want 3:\n%s", n, logs.String())
	}
}

func TestDiagnose_AsksSupabaseAnewOnlyForAnotherProjectOrToken(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	api := managementdouble.New(managementdouble.Options{})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	c := config.Diagnostics{Issuer: clerk.url, AccessToken: secret.New("sbp_a"), ProjectRef: project, ManagementURL: server.URL}
	d := configured.New(configured.Options{Configure: func(context.Context) (config.Diagnostics, error) { return c, nil }})
	for i, step := range []struct {
		change   func()
		requests int // so far
	}{
		{func() {}, 1},
		{func() { c.InstanceID = clerk.ID() }, 1},
		{func() { c.AccessToken = secret.New("sbp_b") }, 2},
		{func() { c.ProjectRef = "zyxwvutsrqponmlkjihg" }, 3},
	} {
		step.change()
		diagnose(t, d, clerk.token(t))
		if api.Requests() != step.requests {
			t.Errorf("step %d: %d requests so far, want %d", i, api.Requests(), step.requests)
		}
	}
}

func TestDiagnose_FailsWithoutAConfiguration(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	broken := errors.New("no secret")
	d := configured.New(configured.Options{Configure: func(context.Context) (config.Diagnostics, error) { return config.Diagnostics{}, broken }})
	token := clerk.token(t)
	if _, err := d.Diagnose(t.Context(), jwtdiag.Request{Token: token}); !errors.Is(err, broken) || strings.Contains(err.Error(), token) {
		t.Errorf("Diagnose = %v, want it to wrap %v", err, broken)
	}
	d = configured.New(configured.Options{Configure: fixed(config.Diagnostics{PublishableKey: "pk_test_x"})})
	if _, err := d.Diagnose(t.Context(), jwtdiag.Request{Token: token}); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("Diagnose = %v, want config.ErrInvalid", err)
	}
}

func TestCheck_NamesEveryProblemAndQuotesNoValue(t *testing.T) {
	t.Parallel()
	const hidden = "Tr0ub4dor"
	tests := []struct {
		name string
		c    config.Diagnostics
		want string
	}{
		{"publishable key cut off", config.Diagnostics{PublishableKey: "pk_test_" + hidden}, "CLERK_PUBLISHABLE_KEY"},
		{"public key damaged", config.Diagnostics{PublicKey: "-----BEGIN PUBLIC KEY-----\n" + hidden + "\n-----END PUBLIC KEY-----"}, "CLERK_JWT_KEY"},
		{"key set in clear", config.Diagnostics{JWKSURL: "http://example.com/" + hidden}, "CLERK_JWKS_URL"},
		{"database in clear", config.Diagnostics{Database: config.Database{
			URL: secret.New("postgresql://clerksync_diagnostics:" + hidden + "@db.example.com/postgres?sslmode=disable"), Setting: "DIAGNOSTICS_DATABASE_URL",
		}}, "DIAGNOSTICS_DATABASE_URL: "},
		{"another project's database", config.Diagnostics{Database: config.Database{
			URL:        secret.New("postgresql://clerksync_diagnostics." + project + ":" + hidden + "@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"),
			ProjectRef: "zyxwvutsrqponmlkjihg", Setting: "DIAGNOSTICS_DATABASE_URL",
		}}, "DIAGNOSTICS_DATABASE_URL: "},
		{"access token of two lines", config.Diagnostics{AccessToken: secret.New("sbp_" + hidden + "\nx"), ProjectRef: project}, "SUPABASE_ACCESS_TOKEN"},
	}
	var all config.Diagnostics
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := configured.Check(tt.c)
			if !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), hidden) {
				t.Errorf("Check = %v, want config.ErrInvalid that names %s and quotes nothing", err, tt.want)
			}
		})
	}
	all.PublishableKey, all.PublicKey, all.JWKSURL, all.Database = tests[0].c.PublishableKey, tests[1].c.PublicKey, tests[2].c.JWKSURL, tests[3].c.Database
	err := configured.Check(all)
	for _, tt := range tests[:4] {
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Check of several problems lacks %s: %v", tt.want, err)
		}
	}
	if err := configured.Check(config.Diagnostics{}); err != nil {
		t.Errorf("Check of nothing = %v", err)
	}
}

func TestChecked_ChecksEveryConfigurationOnce(t *testing.T) {
	t.Parallel()
	broken := errors.New("no secret")
	var current config.Diagnostics
	var failure error
	configure := configured.Checked(func(context.Context) (config.Diagnostics, error) { return current, failure })
	for i, step := range []struct {
		config  config.Diagnostics
		failure error
		want    error
	}{
		{config.Diagnostics{}, nil, nil},
		{config.Diagnostics{PublishableKey: "pk_test_x"}, nil, config.ErrInvalid},
		{config.Diagnostics{PublishableKey: "pk_test_x"}, nil, config.ErrInvalid}, // remembered
		{config.Diagnostics{PublishableKey: "pk_test_x"}, broken, broken},
		{config.Diagnostics{AuthorizedParties: []string{"https://app.example.com"}}, nil, nil},
	} {
		current, failure = step.config, step.failure
		if _, err := configure(t.Context()); !errors.Is(err, step.want) {
			t.Errorf("step %d: %v, want %v", i, err, step.want)
		}
	}
}

// The report goes to whoever has the token, and nothing of it to the log.
func TestDiagnose_LogsNoToken(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	var logs bytes.Buffer
	d := configured.New(configured.Options{Logger: telemetry.NewLogger(&logs, nil), Configure: fixed(config.Diagnostics{Issuer: clerk.url})})
	token := clerk.token(t)
	report := diagnose(t, d, token)
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(token, ".") {
		if strings.Contains(logs.String(), part) || strings.Contains(string(text), part) {
			t.Errorf("log or report hold a part of the token:\n%s\n%s", logs.String(), text)
		}
	}
}

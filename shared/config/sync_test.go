package config_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/config"
	"clerksync/shared/secret"
)

const secretKey = "sk_live_" + password

// syncEnv returns a lookup of a valid minimal environment of the full sync, changed by pairs of key and value.
func syncEnv(pairs ...string) config.Lookup {
	return env(append([]string{"CLERK_WEBHOOK_SIGNING_SECRET", "", "CLERK_SECRET_KEY", secretKey}, pairs...)...)
}

func TestSync_ReadsWhatItNeedsAndNoSigningSecret(t *testing.T) {
	t.Parallel()
	got, err := config.NewSource(syncEnv(
		"CLERK_SECRET_KEY", " "+secretKey+"\n",
		"CLERK_API_URL", "https://clerk-proxy.example.com/v1/",
		"SYNC_RATE_SHARE", "0.35",
		"CLERK_INSTANCE_ID", "ins_2abcDEF",
		"SUPABASE_PROJECT_REF", "abcdefghijklmnopqrst",
		"LOG_LEVEL", "debug",
	), noFetch(t)).Sync(t.Context())
	if err != nil {
		t.Fatalf("Sync: %v", err)
	}
	want := config.Sync{
		Database:   config.Database{URL: secret.New(dsn), ProjectRef: "abcdefghijklmnopqrst"},
		SecretKey:  secret.New(secretKey),
		APIURL:     "https://clerk-proxy.example.com/v1",
		RateShare:  0.35,
		InstanceID: "ins_2abcDEF", InstanceOrigin: "environment",
		LogLevel: slog.LevelDebug,
	}
	if diff := cmp.Diff(want, got, compareSecrets); diff != "" {
		t.Errorf("Sync (-want +got):\n%s", diff)
	}
}

func TestSync_LeavesDefaultsToTheReader(t *testing.T) {
	t.Parallel()
	got, err := config.NewSource(syncEnv("CLERK_API_URL", "<url>", "SYNC_RATE_SHARE", ""), noFetch(t)).Sync(t.Context())
	if err != nil {
		t.Fatalf("Sync: %v", err)
	}
	want := config.Sync{Database: config.Database{URL: secret.New(dsn)}, SecretKey: secret.New(secretKey)}
	if diff := cmp.Diff(want, got, compareSecrets); diff != "" {
		t.Errorf("Sync (-want +got):\n%s", diff)
	}
}

// One who only receives webhooks need not hold the key that reads everything.
func TestIngest_NeedsNoSecretKey(t *testing.T) {
	t.Parallel()
	if _, err := config.NewSource(env("CLERK_SECRET_KEY", "nonsense", "CLERK_API_URL", "nonsense", "SYNC_RATE_SHARE", "nonsense"), noFetch(t)).Ingest(t.Context()); err != nil {
		t.Errorf("Ingest beside an unusable secret key: %v", err)
	}
}

func TestSync_TakesEveryUsableAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"https://api.clerk.com/v1", "https://api.clerk.com/v1"},
		{"https://api.clerk.com/v1//", "https://api.clerk.com/v1"},
		{"HTTPS://api.clerk.com/v1", "https://api.clerk.com/v1"},
		{"https://example.com", "https://example.com"},
		{"https://example.com:8443/clerk/v1", "https://example.com:8443/clerk/v1"},
		{"http://localhost:8787/v1", "http://localhost:8787/v1"},
		{"http://LOCALHOST/v1", "http://LOCALHOST/v1"},
		{"http://127.0.0.1:8787", "http://127.0.0.1:8787"},
		{"http://127.1.2.3/v1", "http://127.1.2.3/v1"},
		{"http://[::1]:8787/v1/", "http://[::1]:8787/v1"},
	} {
		got, err := config.NewSource(syncEnv("CLERK_API_URL", tt.in), noFetch(t)).Sync(t.Context())
		if err != nil || got.APIURL != tt.want {
			t.Errorf("CLERK_API_URL=%q: %q, %v, want %q", tt.in, got.APIURL, err, tt.want)
		}
	}
}

func TestSync_TakesEveryKindOfKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"sk_test_" + password, "sk_live_" + password, "test_" + password, "live_" + password} {
		got, err := config.NewSource(syncEnv("CLERK_SECRET_KEY", key), noFetch(t)).Sync(t.Context())
		if err != nil || got.SecretKey.Reveal() != key {
			t.Errorf("CLERK_SECRET_KEY=%q: %v, %v, want it as it is", key, got.SecretKey, err)
		}
	}
}

func TestSync_TakesEveryShareOfTheLimit(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]float64{"1": 1, "1.0": 1, ".5": 0.5, "0.001": 0.001, "2e-1": 0.2} {
		got, err := config.NewSource(syncEnv("SYNC_RATE_SHARE", in), noFetch(t)).Sync(t.Context())
		if err != nil || got.RateShare != want {
			t.Errorf("SYNC_RATE_SHARE=%q: %v, %v, want %v", in, got.RateShare, err, want)
		}
	}
}

func TestSync_NamesEveryProblemAndQuotesNoValue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		key  string
		in   string
		want []string // parts of the text
	}{
		{"key missing", "CLERK_SECRET_KEY", "", []string{"CLERK_SECRET_KEY is not set", "API keys page"}},
		{"key placeholder", "CLERK_SECRET_KEY", "<secret key>", []string{"CLERK_SECRET_KEY is not set"}},
		{"key quoted", "CLERK_SECRET_KEY", "'" + secretKey + "'", []string{"CLERK_SECRET_KEY (environment)", "quotation marks"}},
		{"publishable key", "CLERK_SECRET_KEY", "pk_live_" + password, []string{"Clerk publishable key", "sk_live_"}},
		{"signing secret", "CLERK_SECRET_KEY", signing, []string{"webhook signing secret"}},
		{"Supabase key", "CLERK_SECRET_KEY", "sb_secret_" + password, []string{"Supabase secret key"}},
		{"session token", "CLERK_SECRET_KEY", "eyJhbGciOiJSUzI1NiJ9." + password, []string{"JSON web token"}},
		{"header", "CLERK_SECRET_KEY", "Bearer " + secretKey, []string{"header's scheme"}},
		{"prefix missing", "CLERK_SECRET_KEY", password, []string{"does not begin with sk_test_ or sk_live_"}},
		{"prefix in capitals", "CLERK_SECRET_KEY", strings.Replace(secretKey, "sk_", "SK_", 1), []string{"does not begin with sk_test_ or sk_live_"}},
		// What the dashboard shows before one asks for the value.
		{"masked", "CLERK_SECRET_KEY", "sk_live_••••••••" + password, []string{"hidden in part", "copy button"}},
		{"masked with asterisks", "CLERK_SECRET_KEY", "sk_test_" + password + "****", []string{"hidden in part"}},
		{"nothing after the prefix", "CLERK_SECRET_KEY", "sk_test_", []string{"goes on with nothing"}},
		{"two keys", "CLERK_SECRET_KEY", secretKey + "," + secretKey, []string{"more than one key"}},
		{"line break inside", "CLERK_SECRET_KEY", "sk_live_\n" + password, []string{"more than one key"}},

		{"address in clear", "CLERK_API_URL", "http://api.example.com/v1", []string{"CLERK_API_URL", "secret key in clear", "https://"}},
		{"loopback in name only", "CLERK_API_URL", "http://127.0.0.1.example.com/v1", []string{"secret key in clear"}},
		{"this host from a container", "CLERK_API_URL", "http://host.docker.internal:8787/v1", []string{"secret key in clear"}},
		{"address without a scheme", "CLERK_API_URL", "api.clerk.com/v1", []string{"no web address"}},
		{"address without a host", "CLERK_API_URL", "https:///v1", []string{"no web address"}},
		{"another scheme", "CLERK_API_URL", "ftp://api.clerk.com/v1", []string{"no web address"}},
		{"no address", "CLERK_API_URL", "https://api.clerk.com:port/v1", []string{"no web address"}},
		{"key for the address", "CLERK_API_URL", secretKey, []string{"Clerk secret key", "Backend API"}},
		{"database for the address", "CLERK_API_URL", dsn, []string{"database connection string"}},
		{"address with a password", "CLERK_API_URL", "https://user:" + password + "@example.com/v1", []string{"user name or password"}},
		{"address with a query", "CLERK_API_URL", "https://api.clerk.com/v1?limit=1", []string{"a ? or a #"}},
		{"address with an empty query", "CLERK_API_URL", "https://api.clerk.com/v1?", []string{"a ? or a #"}},
		{"address with a fragment", "CLERK_API_URL", "https://api.clerk.com/v1#users", []string{"a ? or a #"}},
		{"address quoted", "CLERK_API_URL", `"https://api.clerk.com/v1"`, []string{"quotation marks"}},
		{"Frontend API", "CLERK_API_URL", "https://calm-otter-12.clerk.accounts.dev", []string{"Frontend API"}},
		// Clerk's JavaScript packages have the version in a variable of its own.
		{"version missing", "CLERK_API_URL", "https://api.clerk.com", []string{"https://api.clerk.com/v1"}},
		{"one endpoint", "CLERK_API_URL", "https://api.clerk.com/v1/users", []string{"https://api.clerk.com/v1,"}},

		{"share nought", "SYNC_RATE_SHARE", "0", []string{"SYNC_RATE_SHARE", "above 0 and up to 1"}},
		{"share negative", "SYNC_RATE_SHARE", "-0.2", []string{"above 0"}},
		{"share above one", "SYNC_RATE_SHARE", "1.01", []string{"up to 1"}},
		{"share in per cent", "SYNC_RATE_SHARE", "20%", []string{"such as 0.2"}},
		{"share with a comma", "SYNC_RATE_SHARE", "0,2", []string{"with a point"}},
		{"share no number", "SYNC_RATE_SHARE", "NaN", []string{"is no share"}},
		{"share infinite", "SYNC_RATE_SHARE", "Inf", []string{"is no share"}},

		{"instance id", "CLERK_INSTANCE_ID", "inst_1", []string{"CLERK_INSTANCE_ID", "ins_"}},
		{"level", "LOG_LEVEL", "loud", []string{"LOG_LEVEL"}},
		{"database", "DATABASE_URL", "", []string{"DATABASE_URL is not set"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.NewSource(syncEnv(tt.key, tt.in), noFetch(t)).Sync(t.Context())
			if !errors.Is(err, config.ErrInvalid) {
				t.Fatalf("%s=%q: error %v, want ErrInvalid", tt.key, tt.in, err)
			}
			checkText(t, err, tt.want...)
			if n := len(strings.Split(err.Error(), "\n")); n != 2 {
				t.Errorf("%d lines, want a heading and one problem: %v", n, err)
			}
		})
	}
}

func TestSync_ReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.NewSource(lookup(map[string]string{
		"CLERK_SECRET_KEY": "pk_test_x", "CLERK_API_URL": "x", "SYNC_RATE_SHARE": "x",
		"CLERK_INSTANCE_ID": "x", "LOG_LEVEL": "loud", "SUPABASE_PROJECT_REF": "ref", "DATABASE_CA_CERT": "ca.pem",
	}), noFetch(t)).Sync(t.Context())
	checkText(t, err, "DATABASE_URL", "CLERK_SECRET_KEY", "CLERK_API_URL", "SYNC_RATE_SHARE", "CLERK_INSTANCE_ID", "LOG_LEVEL", "SUPABASE_PROJECT_REF", "DATABASE_CA_CERT")
}

// The two kinds of configuration are kept apart: what is wrong for one leaves the other in service.
func TestSource_ServesOneConfigurationWhileAnotherIsUnusable(t *testing.T) {
	t.Parallel()
	source := config.NewSource(env("CLERKSYNC_SECRET_ID", "clerksync/prod"), fixed(`{"SYNC_RATE_SHARE": "2"}`))
	if _, err := source.Ingest(t.Context()); err != nil {
		t.Errorf("Ingest: %v", err)
	}
	_, err := source.Sync(t.Context())
	checkText(t, err, "CLERK_SECRET_KEY is not set", `SYNC_RATE_SHARE (secret "clerksync/prod")`)
}

package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/config"
	"clerksync/shared/secret"
)

const (
	publishableKey = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k"
	accessToken    = "sbp_" + password
	diagnosticsDSN = "postgresql://clerksync_diagnostics.abcdefghijklmnopqrst:" + password + "@aws-0-eu-central-1.pooler.supabase.com:6543/postgres"
)

// diagnostics reads a configuration of pairs of key and value and nothing else.
func diagnostics(t *testing.T, pairs ...string) (config.Diagnostics, error) {
	t.Helper()
	vars := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		vars[pairs[i]] = pairs[i+1]
	}
	return config.NewSource(lookup(vars), noFetch(t)).Diagnostics(t.Context())
}

// keyPair returns a public key and its private key as PEM text.
func keyPair(t *testing.T) (public, private string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}))
}

func TestDiagnostics_NeedsNothing(t *testing.T) {
	t.Parallel()
	got, err := diagnostics(t)
	if err != nil {
		t.Fatalf("Diagnostics: %v", err)
	}
	if diff := cmp.Diff(config.Diagnostics{}, got, compareSecrets); diff != "" {
		t.Errorf("Diagnostics of nothing (-want +got):\n%s", diff)
	}
}

// Neither the sync's settings nor what the database would need are looked at.
func TestDiagnostics_LeavesOtherSettingsAlone(t *testing.T) {
	t.Parallel()
	got, err := diagnostics(t, "DATABASE_URL", dsn, "CLERK_SECRET_KEY", "nonsense", "CLERK_API_URL", "nonsense", "DATABASE_CA_CERT", "nonsense")
	if err != nil || got.Database != (config.Database{}) {
		t.Errorf("Diagnostics = %+v, %v, want nothing set", got, err)
	}
}

func TestDiagnostics_ReadsEverything(t *testing.T) {
	t.Parallel()
	public, _ := keyPair(t)
	ca := certificate(t)
	got, err := diagnostics(t,
		"DIAGNOSTICS_DATABASE_URL", diagnosticsDSN, "DATABASE_CA_CERT", ca, "DIAGNOSTICS_PAGE", "On",
		"CLERK_PUBLISHABLE_KEY", " "+publishableKey+"\n", "CLERK_ISSUER", "https://Clerk.example.com/", "CLERK_JWKS_URL", "https://clerk.example.com/.well-known/jwks.json",
		"CLERK_JWT_KEY", strings.ReplaceAll(public, "\n", `\n`), "CLERK_INSTANCE_ID", "ins_2abcDEF",
		"CLERK_AUTHORIZED_PARTIES", "https://App.example.com, http://localhost:3000,https://app.example.com:443,,chrome-extension://abcdefgh",
		"SUPABASE_ACCESS_TOKEN", accessToken, "SUPABASE_PROJECT_REF", "abcdefghijklmnopqrst", "SUPABASE_URL", "https://abcdefghijklmnopqrst.supabase.co/",
		"SUPABASE_API_URL", "http://127.0.0.1:8787/", "LOG_LEVEL", "debug",
	)
	if err != nil {
		t.Fatalf("Diagnostics: %v", err)
	}
	want := config.Diagnostics{
		Database:       config.Database{URL: secret.New(diagnosticsDSN), CACert: strings.TrimSpace(ca), ProjectRef: "abcdefghijklmnopqrst", Setting: "DIAGNOSTICS_DATABASE_URL"},
		PublishableKey: publishableKey, Issuer: "https://clerk.example.com", JWKSURL: "https://clerk.example.com/.well-known/jwks.json",
		PublicKey: public, InstanceID: "ins_2abcDEF",
		AuthorizedParties: []string{"https://app.example.com", "http://localhost:3000", "chrome-extension://abcdefgh"},
		AccessToken:       secret.New(accessToken), ProjectRef: "abcdefghijklmnopqrst",
		ProjectURL: "https://abcdefghijklmnopqrst.supabase.co", ManagementURL: "http://127.0.0.1:8787",
		Page: true, LogLevel: slog.LevelDebug,
	}
	if diff := cmp.Diff(want, got, compareSecrets); diff != "" {
		t.Errorf("Diagnostics (-want +got):\n%s", diff)
	}
}

func TestDiagnostics_TakesTheReferenceFromTheProjectsURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, want string }{
		{"https://abcdefghijklmnopqrst.supabase.co", "abcdefghijklmnopqrst"},
		{"https://api.example.com", ""}, // a domain of its own
		{"http://localhost:54321", ""},  // supabase start
	} {
		got, err := diagnostics(t, "SUPABASE_URL", tt.url)
		if err != nil || got.ProjectRef != tt.want {
			t.Errorf("SUPABASE_URL=%q: reference %q, %v, want %q", tt.url, got.ProjectRef, err, tt.want)
		}
	}
}

func TestDiagnostics_TakesEveryFormOfPublicKey(t *testing.T) {
	t.Parallel()
	public, _ := keyPair(t)
	for name, text := range map[string]string{
		"public key": public, "certificate": certificate(t), "both": public + certificate(t),
		"on one line":            strings.ReplaceAll(public, "\n", " "),
		"line breaks of Windows": strings.ReplaceAll(public, "\n", "\r\n"), "literal line breaks of Windows": strings.ReplaceAll(public, "\n", `\r\n`),
	} {
		got, err := diagnostics(t, "CLERK_JWT_KEY", text)
		if err != nil || strings.Contains(got.PublicKey, `\`) || strings.Contains(got.PublicKey, "\r") || !strings.HasPrefix(got.PublicKey, "-----BEGIN ") {
			t.Errorf("%s: %q, %v, want PEM text", name, got.PublicKey, err)
		}
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(public, "-----BEGIN PUBLIC KEY-----\n"), "\n-----END PUBLIC KEY-----\n")
	if got, err := diagnostics(t, "CLERK_JWT_KEY", bare); err != nil || got.PublicKey != bare {
		t.Errorf("base64 alone: %q, %v, want it as it is", got.PublicKey, err)
	}
}

func TestDiagnostics_NamesEveryProblemAndQuotesNoValue(t *testing.T) {
	t.Parallel()
	public, private := keyPair(t)
	const token = "eyJhbGciOiJSUzI1NiJ9." + password
	for _, tt := range []struct {
		name string
		key  string
		in   string
		want []string // parts of the text
	}{
		{"secret key for the publishable key", "CLERK_PUBLISHABLE_KEY", secretKey, []string{"CLERK_PUBLISHABLE_KEY (environment)", "Clerk secret key", "pk_test_"}},
		{"Supabase's publishable key", "CLERK_PUBLISHABLE_KEY", "sb_publishable_" + password, []string{"Supabase publishable key"}},
		{"publishable key quoted", "CLERK_PUBLISHABLE_KEY", "'" + publishableKey + "'", []string{"quotation marks"}},
		{"publishable key without prefix", "CLERK_PUBLISHABLE_KEY", "Y2xlcmsuZXhhbXBsZS5jb20k", []string{"does not begin with pk_test_ or pk_live_"}},
		{"publishable key cut off", "CLERK_PUBLISHABLE_KEY", "pk_live_", []string{"goes on with nothing"}},
		{"two publishable keys", "CLERK_PUBLISHABLE_KEY", publishableKey + "," + publishableKey, []string{"more than one key"}},

		{"issuer is a host", "CLERK_ISSUER", "clerk.example.com", []string{"CLERK_ISSUER", "no web address", "https://clerk.example.com"}},
		{"issuer is a key", "CLERK_ISSUER", publishableKey, []string{"Clerk publishable key", "not an issuer"}},
		{"issuer in clear", "CLERK_ISSUER", "http://clerk.example.com", []string{"in clear", "https://"}},
		{"issuer is a key set", "CLERK_ISSUER", "https://clerk.example.com/.well-known/jwks.json", []string{"what the issuer publishes"}},
		{"issuer is the Backend API", "CLERK_ISSUER", "https://api.clerk.com/v1", []string{"Backend API"}},
		{"issuer with a password", "CLERK_ISSUER", "https://u:" + password + "@clerk.example.com", []string{"user name or password"}},
		{"issuer quoted", "CLERK_ISSUER", `"https://clerk.example.com"`, []string{"quotation marks"}},

		{"key set of the Backend API", "CLERK_JWKS_URL", "https://api.clerk.com/v1/jwks", []string{"CLERK_JWKS_URL", "secret key", "Frontend API"}},
		{"key set in clear", "CLERK_JWKS_URL", "http://clerk.example.com/.well-known/jwks.json", []string{"in clear"}},
		{"key set is the issuer", "CLERK_JWKS_URL", "https://clerk.example.com/", []string{"no key set", "/.well-known/jwks.json"}},
		{"key set is JSON", "CLERK_JWKS_URL", `{"keys":[]}`, []string{"no web address"}},

		{"private key", "CLERK_JWT_KEY", private, []string{"CLERK_JWT_KEY", "private key", "sign in as anybody", "replace"}},
		{"private key on one line", "CLERK_JWT_KEY", strings.ReplaceAll(private, "\n", `\n`), []string{"private key"}},
		{"private key of the old form", "CLERK_JWT_KEY", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x")})), []string{"private key"}},
		{"private key behind the public one", "CLERK_JWT_KEY", public + private, []string{"private key"}},
		{"secret key for the public key", "CLERK_JWT_KEY", secretKey, []string{"Clerk secret key", "PEM"}},
		{"token for the public key", "CLERK_JWT_KEY", token, []string{"JSON web token"}},
		{"key set for the public key", "CLERK_JWT_KEY", `{"keys":[]}`, []string{"is JSON", "CLERK_JWKS_URL"}},
		{"key quoted", "CLERK_JWT_KEY", `"` + strings.TrimSpace(public) + `"`, []string{"quotation marks"}},
		{"key in base64 once more", "CLERK_JWT_KEY", base64.StdEncoding.EncodeToString([]byte(public)), []string{"encoded once more", "BEGIN PUBLIC KEY"}},
		{"request for a certificate", "CLERK_JWT_KEY", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")})), []string{"neither a public key nor a certificate"}},
		{"something else for the key", "CLERK_JWT_KEY", "none", []string{"no PEM text"}},
		{"key is a path", "CLERK_JWT_KEY", "./clerk.pem", []string{"file name"}},

		{"any origin", "CLERK_AUTHORIZED_PARTIES", "*", []string{"CLERK_AUTHORIZED_PARTIES", "holds a *", "leave it out"}},
		{"any host below a domain", "CLERK_AUTHORIZED_PARTIES", "https://*.example.com", []string{"holds a *"}},
		{"origin without a scheme", "CLERK_AUTHORIZED_PARTIES", "app.example.com", []string{"no origin", "https://app.example.com"}},
		{"host and port for an origin", "CLERK_AUTHORIZED_PARTIES", "localhost:3000", []string{"no origin"}},
		{"page for an origin", "CLERK_AUTHORIZED_PARTIES", "https://app.example.com/sign-in", []string{"goes on after the host"}},
		{"origin with a slash", "CLERK_AUTHORIZED_PARTIES", "https://app.example.com/", []string{"without a slash"}},
		{"origin with a password", "CLERK_AUTHORIZED_PARTIES", "https://u:" + password + "@app.example.com", []string{"user name or password"}},
		{"what sandboxed pages send", "CLERK_AUTHORIZED_PARTIES", "null", []string{"no origin"}},
		{"one bad origin of a list", "CLERK_AUTHORIZED_PARTIES", "https://app.example.com,nowhere", []string{"(environment, item 2)", "no origin"}},
		{"origins quoted", "CLERK_AUTHORIZED_PARTIES", `https://a.example.com,"https://b.example.com"`, []string{"item 2", "quotation marks"}},
		{"key for an origin", "CLERK_AUTHORIZED_PARTIES", secretKey, []string{"Clerk secret key"}},

		{"service key for the access token", "SUPABASE_ACCESS_TOKEN", "sb_secret_" + password, []string{"SUPABASE_ACCESS_TOKEN", "Supabase secret key", "access tokens page"}},
		{"token for the access token", "SUPABASE_ACCESS_TOKEN", token, []string{"JSON web token"}},
		{"header for the access token", "SUPABASE_ACCESS_TOKEN", "Bearer " + accessToken, []string{"header's scheme"}},
		{"access token as the dashboard shows it", "SUPABASE_ACCESS_TOKEN", "sbp_••••" + password, []string{"hidden in part"}},
		{"access token cut off", "SUPABASE_ACCESS_TOKEN", "sbp_", []string{"goes on with nothing"}},
		{"access token of another kind", "SUPABASE_ACCESS_TOKEN", password, []string{"does not begin with sbp_"}},
		{"access token quoted", "SUPABASE_ACCESS_TOKEN", `"` + accessToken + `"`, []string{"quotation marks"}},

		{"dashboard for the project", "SUPABASE_URL", "https://supabase.com/dashboard/project/abcdefghijklmnopqrst", []string{"SUPABASE_URL", "dashboard"}},
		{"database for the project", "SUPABASE_URL", dsn, []string{"database connection string"}},
		{"database's host for the project", "SUPABASE_URL", "https://db.abcdefghijklmnopqrst.supabase.co", []string{"database's host"}},
		{"Management API for the project", "SUPABASE_URL", "https://api.supabase.com", []string{"SUPABASE_API_URL"}},
		{"project in clear", "SUPABASE_URL", "http://abcdefghijklmnopqrst.supabase.co", []string{"in clear"}},
		{"one service of the project", "SUPABASE_URL", "https://abcdefghijklmnopqrst.supabase.co/rest/v1", []string{"goes on after the host"}},
		{"reference for the project", "SUPABASE_URL", "abcdefghijklmnopqrst", []string{"no web address", "https://<ref>.supabase.co"}},

		{"project for the Management API", "SUPABASE_API_URL", "https://abcdefghijklmnopqrst.supabase.co", []string{"SUPABASE_API_URL", "belongs in SUPABASE_URL"}},
		{"Management API in clear", "SUPABASE_API_URL", "http://api.supabase.com", []string{"access token in clear"}},
		{"Management API with its version", "SUPABASE_API_URL", "https://api.supabase.com/v1/", []string{"version"}},
		{"dashboard for the Management API", "SUPABASE_API_URL", "https://supabase.com/dashboard/account/tokens", []string{"dashboard"}},
		{"token for the Management API", "SUPABASE_API_URL", accessToken, []string{"Supabase access token"}},

		{"API URL for the database", "DIAGNOSTICS_DATABASE_URL", "https://abcdefghijklmnopqrst.supabase.co", []string{"DIAGNOSTICS_DATABASE_URL", "API URL"}},
		{"database quoted", "DIAGNOSTICS_DATABASE_URL", "'" + diagnosticsDSN + "'", []string{"quotation marks"}},
		{"the writer's database", "DIAGNOSTICS_DATABASE_URL", strings.Replace(dsn, "clerksync_sync", "clerksync_writer", 1), []string{"clerksync_writer", "clerksync_diagnostics"}},
		{"the writer's second login", "DIAGNOSTICS_DATABASE_URL", strings.Replace(dsn, "clerksync_sync", "clerksync_writer_b", 1), []string{"of clerksync_writer_b,", "clerksync_diagnostics"}},
		{"the writer's database, direct", "DIAGNOSTICS_DATABASE_URL", "postgres://clerksync_writer@127.0.0.1/app", []string{"clerksync_writer"}},

		{"page neither on nor off", "DIAGNOSTICS_PAGE", "yes", []string{"DIAGNOSTICS_PAGE", "neither on nor off"}},
		{"instance id", "CLERK_INSTANCE_ID", publishableKey, []string{"CLERK_INSTANCE_ID", "ins_"}},
		{"level", "LOG_LEVEL", "loud", []string{"LOG_LEVEL"}},
		{"project ref", "SUPABASE_PROJECT_REF", "abc", []string{"SUPABASE_PROJECT_REF"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := diagnostics(t, tt.key, tt.in)
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

func TestDiagnostics_ChecksTheCertificateOfItsDatabase(t *testing.T) {
	t.Parallel()
	_, err := diagnostics(t, "DIAGNOSTICS_DATABASE_URL", diagnosticsDSN, "DATABASE_CA_CERT", "ca.pem")
	checkText(t, err, "DATABASE_CA_CERT", "file name")
}

func TestDiagnostics_RefusesTwoProjects(t *testing.T) {
	t.Parallel()
	_, err := diagnostics(t, "SUPABASE_PROJECT_REF", "zyxwvutsrqponmlkjihg", "SUPABASE_URL", "https://abcdefghijklmnopqrst.supabase.co")
	checkText(t, err, "SUPABASE_URL (environment)", "another project", "SUPABASE_PROJECT_REF")
}

func TestDiagnostics_ReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	keys := []string{
		"CLERK_PUBLISHABLE_KEY", "CLERK_ISSUER", "CLERK_JWKS_URL", "CLERK_JWT_KEY", "CLERK_INSTANCE_ID", "SUPABASE_ACCESS_TOKEN", "SUPABASE_PROJECT_REF",
		"SUPABASE_URL", "SUPABASE_API_URL", "DIAGNOSTICS_PAGE", "LOG_LEVEL",
	}
	var pairs []string
	for _, key := range keys {
		pairs = append(pairs, key, "x")
	}
	pairs = append(pairs, "DIAGNOSTICS_DATABASE_URL", "https://x", "DATABASE_CA_CERT", "x", "CLERK_AUTHORIZED_PARTIES", "x,y")
	_, err := diagnostics(t, pairs...)
	checkText(t, err, append(keys, "DIAGNOSTICS_DATABASE_URL", "DATABASE_CA_CERT", "item 1", "item 2")...)
}

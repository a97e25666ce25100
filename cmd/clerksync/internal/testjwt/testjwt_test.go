package testjwt

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/config"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/configured"
	"clerksync/shared/jwtdiag/jwttest"
	"clerksync/shared/testkit/testdb"
)

// testJWT is a command line of test-jwt at the time of package jwttest's tokens.
func testJWT(t *testing.T, settings map[string]string, input io.Reader, args ...string) clitest.Result {
	t.Helper()
	return testJWTUntil(t.Context(), settings, input, args...)
}

func testJWTUntil(ctx context.Context, settings map[string]string, input io.Reader, args ...string) clitest.Result {
	return clitest.AboutToken[program](ctx, settings, input, args...)
}

// session is a token that nothing is wrong with.
func session() string { return jwttest.Sign(jwttest.Header(), jwttest.Claims()) }

// expired is one that is over.
func expired() string {
	return jwttest.Sign(jwttest.Header(), jwttest.Claims().With("exp", "1700000000").With("iat", "1699999940").With("nbf", "1699999930"))
}

func tokenFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// shows finds a part of a token in an output.
func shows(got clitest.Result, token string) string {
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 20 && strings.Contains(got.Stdout+got.Stderr, part) {
			return part
		}
	}
	return ""
}

// standard reports whether a case has the options that jwtSettings says.
func standard(t *testing.T, o jwtdiag.Options) bool {
	t.Helper()
	p, ok := o.Providers.(jwttest.Providers)
	if !ok || len(p) != 1 || p[0].OIDCIssuerURL != jwttest.Issuer || !bytes.Equal(p[0].ResolvedJWKS, jwttest.JWKS()) || o.Keys == nil || o.AuthorizedParties == nil {
		return false
	}
	_, err := o.Keys.Keys(t.Context(), "")
	return err == nil
}

func TestTestJWT_ExitsAsTheVerdictsAndFindingsSay(t *testing.T) {
	t.Parallel()
	settings := clitest.JWTSettings(t)
	tried := 0
	for _, c := range jwttest.Corpus() {
		if !standard(t, c.Options) || c.Token == "" {
			continue
		}
		tried++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			want := commandline.ExitOK
			if strings.HasPrefix(c.Clerk, "refused") || strings.HasPrefix(c.Supabase, "refused") || len(c.Fail) > 0 {
				want = commandline.ExitFailed
			}
			got := testJWT(t, settings, strings.NewReader(c.Token))
			if got.Code != want || got.Stdout == "" {
				t.Errorf("%s: exit %d, want %d\n%s%s", c.Token, got.Code, want, got.Stdout, got.Stderr)
			}
			if (want == commandline.ExitFailed) != strings.Contains(got.Stderr, "clerksync: error: ") {
				t.Errorf("%s: stderr is %q", c.Token, got.Stderr)
			}
			for _, id := range append(slices.Clone(c.Fail), c.Warn...) {
				if !strings.Contains(got.Stdout, "\n      "+id+"\n") {
					t.Errorf("%s: no problem %s in\n%s", c.Token, id, got.Stdout)
				}
			}
			if part := shows(got, c.Token); part != "" && c.Kind != jwtdiag.ClerkID {
				t.Errorf("%s: shown: %s", c.Token, part)
			}
		})
	}
	if tried < 60 {
		t.Errorf("%d tokens of the corpus were tried", tried)
	}
}

func TestTestJWT_SaysTheSentenceFirst(t *testing.T) {
	t.Parallel()
	settings := clitest.JWTSettings(t)
	got := testJWT(t, settings, strings.NewReader(expired()))
	first, rest, _ := strings.Cut(got.Stdout, "\n")
	if !strings.HasPrefix(first, "The token expired") || !strings.HasSuffix(first, ".") {
		t.Errorf("the first line is %q", first)
	}
	for _, want := range []string{
		"\nClerk's verifier  refused token-expired: ", "\nData API          refused 401 PGRST303 \"JWT expired\": ", "\nthis is           a Clerk session token, made at 2023-11-14T22:12:20Z, until 2023-11-14T22:13:20Z\n",
		"\nRealtime ", "\nEdge Functions  refused ", "\nfail  ", "\n      claim.exp\n", "\nskip  database.claims, database.role, database.uid, mirror.user  No database was named", "\npass  18 checks; --all shows them\n",
	} {
		if !strings.Contains("\n"+rest, want) {
			t.Errorf("stdout is\n%s\nwant %q in it", got.Stdout, want)
		}
	}
	if want := "clerksync: 1 failure, 4 checks skipped\nclerksync: error: refused by Clerk's verifier and the Data API; 1 failure to mend\n" +
		"clerksync: hint: each failure says what to do about it; then run the same command again\n"; got.Stderr != want {
		t.Errorf("stderr is %q, want %q", got.Stderr, want)
	}
	// Personal data and what is right are for those who ask.
	if strings.Contains(got.Stdout, jwttest.User) || strings.Contains(got.Stdout, "\npass  The") {
		t.Errorf("shown without being asked for:\n%s", got.Stdout)
	}
	if got = testJWT(t, settings, strings.NewReader(expired()), "--all", "--claims"); !strings.Contains(got.Stdout, "\npass  ") || strings.Contains(got.Stdout, "--all shows") ||
		!strings.Contains(got.Stdout, "\nHeader:\n{\n  \"alg\": \"RS256\",") || !strings.Contains(got.Stdout, "\n  \"sub\": \""+jwttest.User+"\",") {
		t.Errorf("--all --claims:\n%s", got.Stdout)
	}
}

func TestTestJWT_WritesTheReportAsJSON(t *testing.T) {
	t.Parallel()
	settings := clitest.JWTSettings(t)
	source := config.NewSource(func(key string) (string, bool) { value, ok := settings[key]; return value, ok }, nil)
	diagnoser := configured.New(configured.Options{Configure: source.Diagnostics, Operator: true, Now: jwttest.Clock})
	for _, token := range []string{session(), expired(), "Bearer " + session(), "sk_live_4fGh7Jk9Lm2Np5Qr8St1Uv4Wx7Yz", "hello"} {
		want, err := diagnoser.Diagnose(t.Context(), jwtdiag.Request{Token: token, Symptom: "JWT expired"})
		if err != nil {
			t.Fatal(err)
		}
		got := testJWT(t, settings, strings.NewReader(token), "--json", "--symptom", "JWT expired")
		var is, should any
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &should); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(got.Stdout), &is); err != nil {
			t.Fatalf("%s: %v\n%+v", token, err, got)
		}
		if diff := cmp.Diff(should, is); diff != "" {
			t.Errorf("%s (-want +got):\n%s", token, diff)
		}
		if strings.Count(got.Stdout, "\n") != 1 || shows(got, token) != "" {
			t.Errorf("%s: stdout is\n%s", token, got.Stdout)
		}
	}
}

func TestTestJWT_TakesTheTokenFromStdinOrAFile(t *testing.T) {
	t.Parallel()
	settings := clitest.JWTSettings(t)
	path := tokenFile(t, session()+"\n")
	for name, test := range map[string]struct {
		input string
		args  []string
	}{
		"stdin":                     {session(), nil},
		"stdin, with a line break":  {session() + "\r\n", nil},
		"stdin by name":             {session(), []string{"--file", "-"}},
		"a file":                    {"", []string{"--file", path}},
		"a file, and stdin is left": {"not this", []string{"--file=" + path}},
	} {
		if got := testJWT(t, settings, strings.NewReader(test.input), test.args...); got.Code != commandline.ExitOK || !strings.HasPrefix(got.Stdout, "Nothing is wrong with this token") {
			t.Errorf("%s: exit %d\n%s%s", name, got.Code, got.Stdout, got.Stderr)
		}
	}
}

func TestTestJWT_RefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	token := session()
	der, err := x509.MarshalPKCS8PrivateKey(jwttest.Key())
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	const secretKey = "sk_live_4fGh7Jk9Lm2Np5Qr8St1Uv4Wx7Yz"
	const history = "in the shell's history"
	for name, test := range map[string]struct {
		args   []string
		input  string
		stderr string
	}{
		"no token":                            {nil, "", "there is no token"},
		"white space":                         {nil, " \n\t", "there is no token"},
		"an empty file":                       {[]string{"--file", tokenFile(t, "")}, "", "there is no token"},
		"a token as an argument":              {[]string{token}, "", history},
		"with its scheme":                     {[]string{"Bearer " + token}, "", history},
		"the beginning of one":                {[]string{token[:12]}, "", history},
		"a key as an argument":                {[]string{secretKey}, "", history},
		"an argument behind flags":            {[]string{"--offline", secretKey}, "", history},
		"a flag that there is none of":        {[]string{"--token=" + token}, "", history},
		"a token in place of a file":          {[]string{"--file", token}, "", history},
		"a token in place of a symptom":       {[]string{"--symptom", "401 " + token}, "", history},
		"a token in place of a table":         {[]string{"--table", token}, "", history},
		"no such file":                        {[]string{"--file", "/nowhere/token"}, "", "opening /nowhere/token: no such file"},
		"something else than a file":          {[]string{"--file", strings.Repeat("x", 300)}, "", "opening the file: file name too long"},
		"a folder":                            {[]string{"--file", t.TempDir()}, "", "is a directory"},
		"too much":                            {nil, strings.Repeat("x", 2<<20), "more than 1024 KiB"},
		"a file of too much":                  {[]string{"--file", tokenFile(t, strings.Repeat("x", 2<<20))}, "", "more than 1024 KiB"},
		"an empty symptom":                    {[]string{"--symptom", ""}, token, "it is empty"},
		"an empty file name":                  {[]string{"--file="}, token, "it is empty"},
		"what is no table":                    {[]string{"--table", "a b"}, token, "--table"},
		"a private key":                       {[]string{"--pem", tokenFile(t, private)}, token, "private key"},
		"a private key in place of a file":    {[]string{"--pem", private}, token, history},
		"a key in place of a file":            {[]string{"--pem=" + jwttest.PEM()}, token, "give the name of a file"},
		"no key":                              {[]string{"--pem", tokenFile(t, "hello")}, token, "--pem: "},
		"no such key":                         {[]string{"--pem", "/nowhere/key.pem"}, token, "opening /nowhere/key.pem: no such file"},
		"a secret key as the publishable one": {[]string{"--publishable-key", secretKey}, token, history},
		"half a publishable key":              {[]string{"--publishable-key", "pk_test_x"}, token, "--publishable-key: "},
		"an issuer without a scheme":          {[]string{"--issuer", "clerk.example.com"}, token, "--issuer: "},
		"a key set without TLS":               {[]string{"--jwks-url", "http://clerk.example.com/.well-known/jwks.json"}, token, "--jwks-url: "},
		"asking and not asking":               {[]string{"--jwks-url", "https://clerk.example.com/.well-known/jwks.json", "--offline"}, token, "--pem"},
	} {
		got := testJWT(t, nil, strings.NewReader(test.input), test.args...)
		if got.Code != commandline.ExitUsage || got.Stdout != "" || !strings.Contains(got.Stderr, test.stderr) {
			t.Errorf("%s: exit %d\n%s%s\nwant exit 2 and %q", name, got.Code, got.Stdout, got.Stderr, test.stderr)
		}
		for _, secret := range []string{token[:12], secretKey, private[40:80]} {
			if strings.Contains(got.Stderr, secret) {
				t.Errorf("%s: stderr repeats it: %s", name, got.Stderr)
			}
		}
	}
	// Before and in place of the command, too.
	for _, args := range [][]string{{token}, {token, "test-jwt"}, {"test_jwt", token}, {"--env-file", token, "test-jwt"}} {
		if got := clerksync(t, nil, args...); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, history) || strings.Contains(got.Stderr, token[:12]) {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestTestJWT_FlagsComeBeforeSettings(t *testing.T) {
	t.Parallel()
	settings := clitest.JWTSettings(t)
	keys := settings["CLERK_JWKS_URL"]
	other := maps.Clone(settings)
	other["CLERK_ISSUER"], other["CLERK_INSTANCE_ID"], other["CLERK_JWKS_URL"] = jwttest.DevIssuer, jwttest.OtherInstance, strings.Replace(keys, "jwks.json", "gone", 1)
	other["CLERK_AUTHORIZED_PARTIES"] = "https://elsewhere.example.com"
	key := tokenFile(t, jwttest.PEM())
	publishable := "pk_live_" + base64.StdEncoding.EncodeToString([]byte("clerk.example.com$"))
	for name, test := range map[string]struct {
		settings map[string]string
		args     []string
		want     map[string]finding.Status
	}{
		"the settings of another instance": {other, nil, map[string]finding.Status{"claim.iss": finding.Fail, "jwks.fetch": finding.Fail}},
		"an issuer and its keys":           {other, []string{"--issuer", jwttest.Issuer, "--jwks-url", keys}, map[string]finding.Status{"claim.iss": finding.Pass, "header.kid": finding.Pass, "claim.azp": finding.Skip, "signature": finding.Pass}},
		"a publishable key":                {other, []string{"--publishable-key", publishable, "--offline"}, map[string]finding.Status{"claim.iss": finding.Pass, "header.kid": finding.Skip, "signature": finding.Skip}},
		"a publishable key and a key":      {other, []string{"--publishable-key", publishable, "--offline", "--pem", key}, map[string]finding.Status{"claim.iss": finding.Pass, "signature": finding.Pass}},
		"a key alone":                      {settings, []string{"--pem", key}, map[string]finding.Status{"claim.iss": finding.Pass, "signature": finding.Pass}},
		"a key set in place of a key":      {map[string]string{"CLERK_JWT_KEY": strings.Replace(jwttest.PEM(), "M", "x", 1)}, []string{"--jwks-url", keys}, map[string]finding.Status{"signature": finding.Pass}},
		"nothing at all":                   {nil, nil, map[string]finding.Status{"token.format": finding.Pass, "signature": finding.Skip, "supabase.provider": finding.Skip, "database.claims": finding.Skip}},
	} {
		got := testJWT(t, test.settings, strings.NewReader(session()), append(test.args, "--json")...)
		var report jwtdiag.Report
		if err := json.Unmarshal([]byte(got.Stdout), &report); err != nil {
			t.Errorf("%s: %v\n%+v", name, err, got)
			continue
		}
		for id, want := range test.want {
			i := slices.IndexFunc(report.Findings, func(f finding.Finding) bool { return f.ID == id })
			if i < 0 || report.Findings[i].Status != want {
				t.Errorf("%s: want %s %s in\n%+v", name, want, id, report.Findings)
			}
		}
	}
}

func TestTestJWT_RefusesSettingsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings map[string]string
		stderr   string
	}{
		"an issuer":                   {map[string]string{"CLERK_ISSUER": "clerk.example.com"}, "CLERK_ISSUER"},
		"a publishable key":           {map[string]string{"CLERK_PUBLISHABLE_KEY": "pk_test_x"}, "CLERK_PUBLISHABLE_KEY"},
		"a database":                  {map[string]string{"DIAGNOSTICS_DATABASE_URL": "https://abc.supabase.co"}, "DIAGNOSTICS_DATABASE_URL"},
		"a connection string's parts": {map[string]string{"DIAGNOSTICS_DATABASE_URL": "postgresql://u:topsecret@h:notaport/db"}, "DIAGNOSTICS_DATABASE_URL"},
	} {
		got := testJWT(t, test.settings, strings.NewReader(session()))
		if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, test.stderr) || strings.Contains(got.Stderr, "topsecret") || strings.Contains(got.Stderr, "DIAGNOSTICS_DIAGNOSTICS") {
			t.Errorf("%s: %+v, want exit 1 and %s", name, got, test.stderr)
		}
	}
	// A database that nobody has asked for is no reason to say nothing.
	got := testJWT(t, map[string]string{"DATABASE_URL": "https://abc.supabase.co"}, strings.NewReader(session()))
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "warning: the database is not looked at: ") || !strings.Contains(got.Stdout, "database.claims") {
		t.Errorf("a DATABASE_URL that is none: %+v", got)
	}
}

func TestTestJWT_ExplainsSymptoms(t *testing.T) {
	t.Parallel()
	settings := clitest.JWTSettings(t)
	const body = `{"code":"22P02","details":null,"hint":null,"message":"invalid input syntax for type uuid: \"user_2nQ8\""}`
	for name, test := range map[string]struct {
		input  string
		args   []string
		code   int
		stdout []string
		stderr string
	}{
		"a code":           {"", []string{"--symptom", "22P02"}, commandline.ExitOK, []string{"likely  ", "uuid.auth_uid\n", "possible  "}, "this holds for any token"},
		"an error's body":  {"", []string{"--symptom", body}, commandline.ExitOK, []string{"uuid.column\n"}, "this holds for any token"},
		"with a token":     {expired(), []string{"--symptom", "JWT expired"}, commandline.ExitFailed, []string{"The token expired", "\nconfirmed  ", "token.cached, by claim.exp\n"}, "1 failure"},
		"ruled out":        {session(), []string{"--symptom", "No suitable key or wrong key type"}, commandline.ExitOK, []string{"\nruled out  "}, ""},
		"one that is none": {"", []string{"--symptom", "xyzzy"}, commandline.ExitFailed, nil, "nothing is known about this symptom"},
	} {
		got := testJWT(t, settings, strings.NewReader(test.input), test.args...)
		if got.Code != test.code || !strings.Contains(got.Stderr, test.stderr) || test.stdout == nil && got.Stdout != "" {
			t.Errorf("%s: exit %d\n%s%s\nwant exit %d and %q", name, got.Code, got.Stdout, got.Stderr, test.code, test.stderr)
		}
		for _, want := range test.stdout {
			if !strings.Contains(got.Stdout, want) {
				t.Errorf("%s: stdout is\n%s\nwant %q in it", name, got.Stdout, want)
			}
		}
	}
	for symptom, want := range map[string]int{"22P02": commandline.ExitOK, "xyzzy": commandline.ExitFailed} {
		got := testJWT(t, settings, strings.NewReader(""), "--json", "--symptom", symptom)
		var alone explainedSymptom
		if err := json.Unmarshal([]byte(got.Stdout), &alone); err != nil || got.Code != want {
			t.Fatalf("%s as JSON: %+v, %v", symptom, got, err)
		}
		if diff := cmp.Diff(append([]jwtdiag.Cause{}, jwtdiag.Explain(symptom)...), alone.Causes); diff != "" {
			t.Errorf("%s as JSON (-want +got):\n%s", symptom, diff)
		}
	}
}

// Whoever makes a token, or a table, decides what is in it.
func TestTestJWT_HostileTextsDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	quoted := `"` + clitest.Hostile + `"`
	clitest.Execute(t, db.Conn(t, db.Owner()), "create table public."+quoted+" (owner_id text); grant select on public."+quoted+
		" to authenticated; alter table public."+quoted+" enable row level security; create policy "+quoted+" on public."+quoted+" using (owner_id = '"+clitest.Hostile+"')")
	settings := clitest.JWTSettings(t)
	evil, err := json.Marshal(clitest.Hostile)
	if err != nil {
		t.Fatal(err)
	}
	// Raw, as no encoder would write it, where JSON allows that.
	raw := "\"x\u009b2J\u202e\u2028\""
	tokens := map[string]string{
		"claims it does not know": jwttest.Sign(jwttest.Header().With("oiat", string(evil)), jwttest.Claims().With("theme", string(evil)).With("dark", raw)),
		"no token":                clitest.Hostile,
		"in the middle":           session()[:40] + clitest.Hostile + session()[40:],
	}
	for _, name := range []string{"iss", "sub", "role", "azp", "aud", "exp", "sts", "v", "o", "fea"} {
		tokens["claim "+name] = jwttest.Sign(jwttest.Header(), jwttest.Claims().With(name, string(evil)))
		tokens["claim "+name+", raw"] = jwttest.Sign(jwttest.Header(), jwttest.Claims().With(name, raw))
	}
	for _, name := range []string{"alg", "kid", "typ", "cat", "crit"} {
		tokens["header "+name] = jwttest.Sign(jwttest.Header().With(name, raw), jwttest.Claims())
	}
	tokens["a claim's name"] = jwttest.Sign(jwttest.Header(), jwttest.Claims().With(clitest.Hostile, "1").Again(clitest.Hostile, "2"))
	check := func(name, token string, settings map[string]string, args ...string) {
		got := testJWT(t, settings, strings.NewReader(token), args...)
		if got.Stdout == "" || strings.ContainsAny(got.Stdout+got.Stderr, "\x1b\a\r\u009b\u202e\u2028") || strings.Contains("\n"+got.Stdout+"\n"+got.Stderr, "\nclerksync: all is well") {
			t.Errorf("%s, %q: %+v", name, args, got)
		}
	}
	for name, token := range tokens {
		check(name, token, settings, "--claims", "--all", "--symptom", clitest.Hostile+" 22P02")
		check(name, token, settings)
		check(name, token, settings, "--json")
	}
	settings = maps.Clone(settings)
	settings["DIAGNOSTICS_DATABASE_URL"] = db.Diagnostics()
	check("a table", session(), settings)
	check("a table by name", session(), settings, "--table", quoted, "--all")
	check("a table as JSON", session(), settings, "--json")
	check("no such table", session(), settings, "--table", `"`+clitest.Hostile+`2"`)
}

func TestTestJWT_InterruptedSaysNothing(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	endless, writer := io.Pipe()
	t.Cleanup(func() { _ = writer.Close() })
	for name, test := range map[string]struct {
		input io.Reader
		when  func()
	}{
		"while it reads": {endless, func() {
			if _, err := writer.Write([]byte("eyJ")); err != nil {
				t.Error(err)
			}
		}},
		"while it asks": {strings.NewReader(session()), func() { <-asked }},
	} {
		ctx, interrupt := context.WithCancel(t.Context())
		done := make(chan clitest.Result, 1)
		go func() { done <- testJWTUntil(ctx, map[string]string{"CLERK_ISSUER": server.URL}, test.input) }()
		test.when()
		interrupt()
		if got := <-done; got != (clitest.Result{Code: commandline.ExitInterrupted, Stderr: "clerksync: interrupted\n"}) {
			t.Errorf("%s: %+v, want exit 130 and no report", name, got)
		}
	}
}

// trap listens and counts who comes.
func trap(t *testing.T) (address string, visits *atomic.Int32) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	visits = new(atomic.Int32)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			visits.Add(1)
			_ = conn.Close()
		}
	}()
	return listener.Addr().String(), visits
}

func TestTestJWT_OfflineAsksNobody(t *testing.T) {
	t.Parallel()
	address, visits := trap(t)
	settings := map[string]string{
		"CLERK_ISSUER": jwttest.Issuer, "CLERK_JWKS_URL": "http://" + address + "/jwks.json", "SUPABASE_PROJECT_REF": "abcdefghijklmnopqrst",
		"SUPABASE_ACCESS_TOKEN": "sbp_test", "SUPABASE_API_URL": "http://" + address,
		"DIAGNOSTICS_DATABASE_URL": "postgresql://clerksync_diagnostics@" + address + "/postgres",
	}
	withSecret := maps.Clone(settings)
	withSecret[config.SecretIDKey], withSecret["DATABASE_URL"] = "clerksync", "postgresql://postgres@"+address+"/postgres"
	maps.Copy(withSecret, map[string]string{"AWS_ENDPOINT_URL": "http://" + address, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})
	key := tokenFile(t, jwttest.PEM())
	for name, s := range map[string]map[string]string{"settings": settings, "a secret": withSecret} {
		got := testJWT(t, s, strings.NewReader(session()), "--offline", "--pem", key, "--all")
		if got.Code != commandline.ExitOK || visits.Load() > 0 || !strings.Contains(got.Stdout, "\n      signature\n") || strings.Contains(got.Stderr, config.SecretIDKey) != (name == "a secret") {
			t.Errorf("%s: %d visits, %+v", name, visits.Load(), got)
		}
	}
	// The same settings do lead there.
	if got := testJWT(t, settings, strings.NewReader(session())); visits.Load() < 3 {
		t.Errorf("online there were %d visits: %+v", visits.Load(), got)
	}
	before := visits.Load()
	if got := testJWT(t, settings, strings.NewReader(session()), "--no-database", "--pem", key); visits.Load() == before || !strings.Contains(got.Stdout, "No database was named") {
		t.Errorf("without a database: %+v", got)
	}
}

func TestTestJWT_ShowsTheRowsOfTheTokensUser(t *testing.T) {
	t.Parallel()
	settings, conn := clitest.Project(t, clitest.OwnNotesSQL+`
		insert into public.notes (owner_id) values ('`+jwttest.User+`'), ('`+jwttest.User+`'), ('user_x');
		create table public.hidden (id int);`)
	db := settings["DATABASE_URL"]
	role := func(name string) string { return strings.Replace(db, "supabase_postgres", name, 1) }
	for name, test := range map[string]struct {
		settings map[string]string
		token    string
		args     []string
		code     int
		stdout   []string
		not      string
	}{
		"as the diagnostics":   {map[string]string{"DIAGNOSTICS_DATABASE_URL": role("clerksync_diagnostics")}, session(), nil, commandline.ExitOK, []string{"\npublic.notes ", "  own (2)\n"}, "No database"},
		"as the owner":         {map[string]string{"DATABASE_URL": db}, session(), nil, commandline.ExitOK, []string{"\npublic.notes ", "2        3 ", "  own (2)\n"}, "about 3"},
		"the first is asked":   {map[string]string{"DIAGNOSTICS_DATABASE_URL": role("clerksync_diagnostics"), "DATABASE_URL": "postgresql://127.0.0.1:1/x"}, session(), nil, commandline.ExitOK, []string{"  own (2)\n"}, ""},
		"as the writer":        {map[string]string{"DATABASE_URL": role("clerksync_writer")}, session(), nil, commandline.ExitOK, []string{"clerksync_writer cannot take", "may not become"}, "own (2)"},
		"one table":            {map[string]string{"DATABASE_URL": db}, session(), []string{"--table", "notes", "--table", "NOTES"}, commandline.ExitOK, []string{"\npublic.notes ", "  own (2)\n"}, "organizations"},
		"a forbidden table":    {map[string]string{"DATABASE_URL": db}, session(), []string{"--table", "hidden"}, commandline.ExitFailed, []string{"\npublic.hidden ", "a grant is missing (42501)", "rls.public.hidden\n"}, "own (2)"},
		"no such table":        {map[string]string{"DATABASE_URL": db}, session(), []string{"--table", "nots"}, commandline.ExitFailed, []string{"Did you mean public.notes?"}, "own (2)"},
		"a table without one":  {map[string]string{"DATABASE_URL": db}, session(), []string{"--table", "notes", "--no-database"}, commandline.ExitUnknown, []string{"No database was named"}, "own (2)"},
		"a table out of reach": {map[string]string{"DATABASE_URL": role("clerksync_writer")}, session(), []string{"--table", "notes"}, commandline.ExitUnknown, []string{"may not become"}, "own (2)"},
		"nobody":               {map[string]string{"DATABASE_URL": db}, session(), []string{"--no-database"}, commandline.ExitOK, []string{"No database was named"}, "own (2)"},
		"of somebody's making": {map[string]string{"DATABASE_URL": db}, jwttest.SignOther(jwttest.Header(), jwttest.Claims()), nil, commandline.ExitOK, []string{"  own (2)\n"}, ""},
	} {
		got := testJWT(t, test.settings, strings.NewReader(test.token), append(test.args, "--all")...)
		if got.Code != test.code {
			t.Errorf("%s: exit %d, want %d\n%s", name, got.Code, test.code, got.Stderr)
		}
		for _, want := range test.stdout {
			if !strings.Contains(got.Stdout, want) {
				t.Errorf("%s: stdout is\n%s\nwant %q in it", name, got.Stdout, want)
			}
		}
		if test.not != "" && strings.Contains(got.Stdout, test.not) {
			t.Errorf("%s: stdout is\n%s\nwant no %q in it", name, got.Stdout, test.not)
		}
	}
	var rows int
	if err := conn.QueryRow(t.Context(), "select count(*) from public.notes").Scan(&rows); err != nil || rows != 3 {
		t.Errorf("there are %d notes now, %v", rows, err)
	}
}

// Two settings can hold the connection string: a warning names the one that does.
func TestTestJWT_WarnsOfTheSettingThatItMeans(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"DATABASE_URL", "DIAGNOSTICS_DATABASE_URL"} {
		got := testJWT(t, map[string]string{key: "postgresql://clerksync_diagnostics@127.0.0.1:1/x?search_path=a"}, strings.NewReader(session()))
		if !strings.Contains(got.Stderr, "clerksync: warning: "+key+": ") {
			t.Errorf("%s: stderr is\n%s", key, got.Stderr)
		}
	}
}

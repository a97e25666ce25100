package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/managementdouble"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) {
	code := testdb.Main(m)
	moto.Stop()
	os.Exit(code)
}

func binary(t testing.TB) string {
	t.Helper()
	return lambdatest.Build(t, "clerksync/functions/jwt-diagnostics")
}

// instance is a Clerk instance that publishes its keys, and whose user signs in.
type instance struct {
	*tokens.Mint
	url, token string
}

func newInstance(t testing.TB) *instance {
	t.Helper()
	c := &instance{Mint: tokens.New(clerkinstance.New(clerkinstance.Options{Seed: 1}), "")}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.url = server.URL
	mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(c.JWKS()) })
	now := time.Now().Unix()
	var err error
	if c.token, err = c.Sign(nil, map[string]any{
		"iss": c.url, "sub": "user_ines", "sid": "sess_ines", "azp": "https://app.example.com", "role": "authenticated", "v": 2, "sts": "active",
		"iat": now - 1, "nbf": now - 11, "exp": now + 3600, "jti": "1", "fva": []int{0, -1}, "email": "ines@example.com",
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// question is the body of a request, and an event by itself.
func question(t testing.TB, token string, tables ...string) []byte {
	t.Helper()
	body, err := json.Marshal(jwtdiag.Request{Token: token, Tables: tables})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// request is an event of API Gateway, changed by the functions.
func request(t testing.TB, body []byte, changes ...func(*events.APIGatewayV2HTTPRequest)) []byte {
	t.Helper()
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST /diagnostics/jwt", RawPath: "/diagnostics/jwt", Body: string(body),
		Headers: map[string]string{"content-type": "application/json", "host": "example.execute-api.eu-west-1.amazonaws.com"},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			Stage: "$default", RequestID: "gateway-1",
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: http.MethodPost, Path: "/diagnostics/jwt", Protocol: "HTTP/1.1", SourceIP: "203.0.113.7"},
		},
	}
	for _, change := range changes {
		change(&event)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// fromPage makes a request one of the page, through a function URL.
func fromPage(e *events.APIGatewayV2HTTPRequest) {
	const host = "q1w2e3.lambda-url.eu-west-1.on.aws"
	e.RouteKey, e.RequestContext.RouteKey = "$default", "$default"
	e.Headers = map[string]string{"content-type": "application/json", "host": host, "origin": "https://" + host, "sec-fetch-site": "same-origin"}
	e.RequestContext.DomainName = host
}

// get makes a request one for a file.
func get(path string) func(*events.APIGatewayV2HTTPRequest) {
	return func(e *events.APIGatewayV2HTTPRequest) {
		e.RequestContext.HTTP.Method, e.RequestContext.HTTP.Path, e.RawPath, e.Body = http.MethodGet, path, path, ""
		delete(e.Headers, "content-type")
		delete(e.Headers, "origin")
	}
}

// ask has the function answer a request.
func ask(t testing.TB, f *lambdatest.Function, payload []byte) events.APIGatewayV2HTTPResponse {
	t.Helper()
	raw, err := f.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Logs())
	}
	var response events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(raw, &response); err != nil {
		t.Fatalf("answer %s: %v", raw, err)
	}
	return response
}

func readReport(t testing.TB, text []byte) jwtdiag.Report {
	t.Helper()
	var report jwtdiag.Report
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatalf("report %s: %v", text, err)
	}
	return report
}

func status(report jwtdiag.Report, id string) finding.Status {
	for _, f := range report.Findings {
		if f.ID == id {
			return f.Status
		}
	}
	return "none"
}

// checkLogs fails if the log holds any part of a token, or of who it is for.
func checkLogs(t testing.TB, f *lambdatest.Function, token string) {
	t.Helper()
	logs := f.Logs()
	parts := append(strings.Split(token, "."), "user_ines", "sess_ines", "ines@example.com", "postgresql://clerksync", "postgres://clerksync", "sbp_0")
	for _, part := range parts {
		if part != "" && strings.Contains(logs, part) {
			t.Errorf("the logs hold %.40q:\n%s", part, logs)
		}
	}
}

func TestBootstrap_DiagnosesATokenWithEverythingConfigured(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	clerk := newInstance(t)
	db := testdb.New(t)
	if _, err := db.Conn(t, db.Owner()).Exec(t.Context(), `
		create table public.notes (id int primary key, user_id text not null);
		alter table public.notes enable row level security;
		grant select on public.notes to authenticated;
		create policy own on public.notes for select to authenticated using (user_id = (select ((select auth.jwt())->>'sub')));
		insert into public.notes values (1, 'user_ines'), (2, 'user_ines'), (3, 'user_other')`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	const project = "abcdefghijklmnopqrst"
	api := managementdouble.New(managementdouble.Options{})
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	if _, err := api.Register(t.Context(), project, managementdouble.Registration{JWKSURL: clerk.url + "/.well-known/jwks.json"}); err != nil {
		t.Fatal(err)
	}
	f := lambdatest.Start(t, binary(t), map[string]string{
		"CLERK_ISSUER": clerk.url, "DIAGNOSTICS_DATABASE_URL": db.Pooled(t, db.Diagnostics()), "LOG_LEVEL": "debug",
		"SUPABASE_ACCESS_TOKEN": "sbp_0123456789abcdef0123456789abcdef01234567", "SUPABASE_PROJECT_REF": project, "SUPABASE_API_URL": server.URL,
	})
	t.Logf("ready in %v", f.Ready)
	body := question(t, clerk.token, "public.notes")
	check := func(name string, report jwtdiag.Report) {
		t.Helper()
		if report.Verdicts.Clerk.Outcome != jwtdiag.Accepted || report.Verdicts.Supabase.Outcome != jwtdiag.Accepted || report.Verdicts.Supabase.Role != "authenticated" {
			t.Errorf("%s: verdicts = %+v, want both accepted, as authenticated\n%s", name, report.Verdicts, f.Logs())
		}
		if status(report, "signature") != finding.Pass || status(report, "database.role") != finding.Pass || status(report, "supabase.provider") == finding.Skip {
			t.Errorf("%s: findings = %+v", name, report.Findings)
		}
		if len(report.Tables) != 1 || report.Tables[0].Visible != 2 {
			t.Errorf("%s: tables = %+v, want two rows of one table", name, report.Tables)
		}
	}
	for name, event := range map[string][]byte{
		"API Gateway":  request(t, body),
		"function URL": request(t, body, fromPage),
		"base64": request(t, body, func(e *events.APIGatewayV2HTTPRequest) {
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
		}),
	} {
		response := ask(t, f, event)
		if response.StatusCode != http.StatusOK || response.Headers["Content-Type"] != "application/json" || response.Headers["Cache-Control"] != "no-store" {
			t.Fatalf("%s: %+v, want 200\n%s", name, response, f.Logs())
		}
		check(name, readReport(t, []byte(response.Body)))
	}
	answer, err := f.Invoke(t.Context(), body)
	if err != nil {
		t.Fatalf("plain event: %v\n%s", err, f.Logs())
	}
	check("plain event", readReport(t, answer))

	logs := f.Logs()
	for _, part := range []string{`"request_id":"00000000-0000-4000-8000-000000000001"`, `"_aws"`, `"diagnoses"`, `"kind"`, `"duration"`, `"supabase":"accepted"`} {
		if !strings.Contains(logs, part) {
			t.Errorf("the logs lack %s:\n%s", part, logs)
		}
	}
	checkLogs(t, f, clerk.token)
}

func TestBootstrap_NeedsNoConfiguration(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	f := lambdatest.Start(t, binary(t), nil)
	answer, err := f.Invoke(t.Context(), question(t, clerk.token))
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Logs())
	}
	report := readReport(t, answer)
	for id, want := range map[string]finding.Status{"token.format": finding.Pass, "claim.sub": finding.Pass, "signature": finding.Skip, "database.claims": finding.Skip} {
		if got := status(report, id); got != want {
			t.Errorf("%s = %s, want %s", id, got, want)
		}
	}
	if strings.Contains(f.Logs(), `"level":"ERROR"`) {
		t.Errorf("an error was logged:\n%s", f.Logs())
	}
	checkLogs(t, f, clerk.token)
}

func TestBootstrap_ShowsNoRowsForAForgedToken(t *testing.T) {
	t.Parallel()
	clerk, other := newInstance(t), newInstance(t)
	db := testdb.New(t)
	f := lambdatest.Start(t, binary(t), map[string]string{"CLERK_ISSUER": clerk.url, "DIAGNOSTICS_DATABASE_URL": db.Diagnostics()})
	answer, err := f.Invoke(t.Context(), question(t, other.token))
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Logs())
	}
	report := readReport(t, answer)
	if status(report, "signature") != finding.Fail || status(report, "database.claims") != finding.Skip || status(report, "mirror.user") != finding.Skip || len(report.Tables) != 0 {
		t.Errorf("findings = %+v, tables = %+v, want nothing of the database", report.Findings, report.Tables)
	}
	checkLogs(t, f, other.token)
}

func TestBootstrap_RefusesWhatIsNoQuestion(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	f := lambdatest.Start(t, binary(t), map[string]string{"LOG_LEVEL": "debug"})
	large := question(t, clerk.token+strings.Repeat("A", 64<<10))
	tests := []struct {
		name   string
		event  []byte
		status int
		code   string
	}{
		{"no JSON", request(t, []byte("token="+clerk.token)), 400, "invalid_json"},
		{"the bare token", request(t, []byte(clerk.token)), 400, "invalid_json"},
		{"no token", request(t, []byte(`{}`)), 400, "missing_token"},
		{"a field that there is not", request(t, []byte(`{"jwt":"`+clerk.token+`"}`)), 400, "unknown_field"},
		{"too large", request(t, large), 413, "body_too_large"},
		{"too large for an event to be read", request(t, bytes.Repeat([]byte("x"), 5<<20)), 413, "body_too_large"},
		{"a form", request(t, question(t, clerk.token), func(e *events.APIGatewayV2HTTPRequest) { e.Headers["content-type"] = "text/plain" }), 415, "unsupported_media_type"},
		{"another site's page", request(t, question(t, clerk.token), fromPage, func(e *events.APIGatewayV2HTTPRequest) { e.Headers["sec-fetch-site"] = "cross-site" }), 403, "cross_site"},
		{"another path", request(t, question(t, clerk.token), func(e *events.APIGatewayV2HTTPRequest) { e.RawPath = "/" }), 404, "not_found"},
		// The page is off.
		{"the page", request(t, nil, fromPage, get("/diagnostics/jwt")), 405, "method_not_allowed"},
		{"a file of the page", request(t, nil, fromPage, get("/diagnostics/jwt/page.js")), 404, "not_found"},
		{"the token in the address", request(t, nil, get("/diagnostics/jwt/"+clerk.token)), 404, "not_found"},
	}
	for _, tt := range tests {
		response := ask(t, f, tt.event)
		var body struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(response.Body), &body); err != nil || response.StatusCode != tt.status || body.Error.Code != tt.code || body.Error.Message == "" {
			t.Errorf("%s: %d %s, %v, want %d %s", tt.name, response.StatusCode, response.Body, err, tt.status, tt.code)
		}
	}

	plain := []struct {
		name, event, code string
	}{
		{"no token", `{}`, "missing_token"},
		{"null", `null`, "invalid_json"},
		{"a string", `"` + clerk.token + `"`, "invalid_json"},
		{"a field that there is not", `{"jwt":"` + clerk.token + `"}`, "unknown_field"},
		{"the token as a field's name", `{"` + clerk.token + `":1}`, "unknown_field"},
		{"too large", string(large), "body_too_large"},
		{"too large for an event to be read", strings.Repeat("[", 5<<20), "body_too_large"},
		{"a schedule", `{"source":"aws.events","detail-type":"Scheduled Event"}`, "unknown_field"},
	}
	for _, tt := range plain {
		_, err := f.Invoke(t.Context(), []byte(tt.event))
		failure, ok := errors.AsType[*lambdatest.FunctionError](err)
		if !ok {
			t.Errorf("event %s: %v, want the function's error", tt.name, err)
			continue
		}
		var said struct{ ErrorType, ErrorMessage string }
		if err := json.Unmarshal(failure.Payload, &said); err != nil || said.ErrorType != tt.code || said.ErrorMessage == "" {
			t.Errorf("event %s: %s, %v, want %s", tt.name, failure.Payload, err, tt.code)
		}
		for part := range strings.SplitSeq(clerk.token, ".") {
			if strings.Contains(string(failure.Payload), part) {
				t.Errorf("event %s: the answer %s holds a part of the token", tt.name, failure.Payload)
			}
		}
	}
	if !strings.Contains(f.Logs(), `"failures"`) {
		t.Errorf("the logs lack the metric:\n%s", f.Logs())
	}
	checkLogs(t, f, clerk.token)
}

func TestBootstrap_ServesThePageWhereItIsOn(t *testing.T) {
	t.Parallel()
	f := lambdatest.Start(t, binary(t), map[string]string{"DIAGNOSTICS_PAGE": "on"})
	for path, kind := range map[string]string{"/diagnostics/jwt": "text/html", "/diagnostics/jwt/page.css": "text/css", "/diagnostics/jwt/page.js": "text/javascript"} {
		response := ask(t, f, request(t, nil, fromPage, get(path)))
		if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Headers["Content-Type"], kind) || response.Headers["Content-Security-Policy"] == "" || response.Body == "" || response.IsBase64Encoded {
			t.Errorf("GET %s = %d %v, want 200 and %s", path, response.StatusCode, response.Headers, kind)
		}
	}
	if n := strings.Count(f.Logs(), `"pages"`); n == 0 {
		t.Errorf("the logs lack the metric:\n%s", f.Logs())
	}
}

func TestBootstrap_NamesEverySettingThatIsWrong(t *testing.T) {
	t.Parallel()
	clerk := newInstance(t)
	f := lambdatest.Start(t, binary(t), map[string]string{
		"CLERK_PUBLISHABLE_KEY": "sk_test_oops", "CLERK_AUTHORIZED_PARTIES": "*", "DIAGNOSTICS_DATABASE_URL": "https://oops.example.com", "SUPABASE_ACCESS_TOKEN": "eyJoops",
	})
	response := ask(t, f, request(t, question(t, clerk.token)))
	if response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(response.Body, `"not_configured"`) || response.Headers["Retry-After"] == "" {
		t.Errorf("answer = %+v, want 503 not_configured", response)
	}
	for _, name := range []string{"CLERK_PUBLISHABLE_KEY", "CLERK_AUTHORIZED_PARTIES", "DIAGNOSTICS_DATABASE_URL", "SUPABASE_ACCESS_TOKEN"} {
		if !strings.Contains(f.Logs(), name) {
			t.Errorf("the logs do not name %s:\n%s", name, f.Logs())
		}
	}
	if strings.Contains(f.Logs(), "oops") {
		t.Errorf("the logs hold a value:\n%s", f.Logs())
	}
	checkLogs(t, f, clerk.token)
}

// A key that is cut off is known only when it is read.
func TestBootstrap_LogsAtItsStartWhatIsDerivedWrongly(t *testing.T) {
	t.Parallel()
	f := lambdatest.Start(t, binary(t), map[string]string{"CLERK_PUBLISHABLE_KEY": "pk_test_oops"})
	if logs := f.Logs(); !strings.Contains(logs, "CLERK_PUBLISHABLE_KEY") || strings.Contains(logs, "pk_test_oops") {
		t.Errorf("the logs are to name the setting and no value:\n%s", logs)
	}
}

// The function as deployed: everything in one secret, with what the others need.
func TestBootstrap_TakesItsConfigurationFromSecretsManager(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	clerk := newInstance(t)
	db := testdb.New(t)
	server := moto.Start(t)
	id := "clerksync/" + t.Name()
	text, err := json.Marshal(map[string]string{
		"DATABASE_URL": db.Writer(), "CLERK_SECRET_KEY": "sk_test_x", "CLERK_WEBHOOK_SIGNING_SECRET": "whsec_x",
		"CLERK_ISSUER": clerk.url, "DIAGNOSTICS_DATABASE_URL": db.Pooled(t, db.Diagnostics()),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &id, SecretString: new(string(text))}); err != nil {
		t.Fatal(err)
	}
	settings := server.Environment()
	settings["CLERKSYNC_SECRET_ID"] = id
	f := lambdatest.Start(t, binary(t), settings)
	answer, err := f.Invoke(t.Context(), question(t, clerk.token))
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Logs())
	}
	if report := readReport(t, answer); status(report, "signature") != finding.Pass || status(report, "database.role") != finding.Pass {
		t.Errorf("findings = %+v, want signature and role to pass", report.Findings)
	}
	checkLogs(t, f, clerk.token)

	settings = maps.Clone(settings)
	settings["CLERKSYNC_SECRET_ID"] = id + "/missing"
	f = lambdatest.Start(t, binary(t), settings)
	if response := ask(t, f, request(t, question(t, clerk.token))); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without its secret: %+v, want 503", response)
	}
	if !strings.Contains(f.Logs(), settings["CLERKSYNC_SECRET_ID"]) {
		t.Errorf("the logs do not name the secret:\n%s", f.Logs())
	}
}

// The sample events say with the sample environment what infra/README.md says of them.
func TestBootstrap_AnswersTheSampleEvents(t *testing.T) {
	t.Parallel()
	f := lambdatest.Start(t, binary(t), lambdatest.SampleEnvironment(t, "JWTDiagnosticsFunction"))
	read := func(name string) []byte { return lambdatest.SampleEvent(t, name) }
	plain, err := f.Invoke(t.Context(), read("jwt-diagnostics-plain.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Logs())
	}
	for name, text := range map[string][]byte{"jwt-diagnostics-plain.json": plain, "jwt-diagnostics.json": []byte(ask(t, f, read("jwt-diagnostics.json")).Body)} {
		report := readReport(t, text)
		if status(report, "signature") != finding.Pass || status(report, "claim.iss") != finding.Pass || report.Cause != "claim.exp" {
			t.Errorf("%s: cause %s, %+v, want nothing but an expired token", name, report.Cause, report.Findings)
		}
	}
	if report := readReport(t, plain); len(report.Causes) == 0 {
		t.Error("the symptom is not explained")
	}
}

package dev

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/endpoint"
	"clerksync/shared/jwtdiag/jwttest"
	"clerksync/shared/rls/access"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/testdb"
)

var (
	pageLine  = regexp.MustCompile(`(?m)^page\s+(http://\S+/diagnostics/jwt)  `)
	tokenLine = regexp.MustCompile(`(?m)^\s+curl -sX POST (http://\S+) \| ((?:[A-Z_]+=\S+ )+)clerksync ((?:--env-file \S+ )?test-jwt)$`)
)

// ask sends a request and returns the answer's status and body.
func ask(t *testing.T, method, url, body string, header http.Header) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	request.Host = header.Get("Host")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

var asJSON = http.Header{"Content-Type": {"application/json"}}

// diagnosed asks the page's own question.
func diagnosed(t *testing.T, page string, request jwtdiag.Request) jwtdiag.Report {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := ask(t, http.MethodPost, page, string(body), asJSON)
	var report jwtdiag.Report
	if err := json.Unmarshal([]byte(answer), &report); err != nil || status != http.StatusOK {
		t.Fatalf("POST %s = %d, %v\n%s", page, status, err, answer)
	}
	return report
}

// statusOf is the status of a finding.
func statusOf(r jwtdiag.Report, id string) finding.Status {
	i := slices.IndexFunc(r.Findings, func(f finding.Finding) bool { return f.ID == id })
	if i < 0 {
		return ""
	}
	return r.Findings[i].Status
}

// A newcomer's first minute: the page, a token of the double, and what it shows.
func TestDev_DiagnosesTheTokensOfItsDouble(t *testing.T) {
	t.Parallel()
	for name, given := range map[string]bool{"embedded database": false, "given database": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environment := map[string]string{}
			if given {
				environment["DATABASE_URL"] = testdb.New(t).Owner()
			}
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			term := clitest.NewTerminal(environment)
			cmd := command()
			cmd.Rate, cmd.Late, cmd.Twice = 0, 0, 0
			done := make(chan error, 1)
			go func() {
				err := cmd.Run(ctx, term.Console(false))
				if err != nil && !given {
					fmt.Fprint(term.Console(false).Stdout, strings.Repeat(clerk.UserCreated, cmd.Users)) // ends the wait
				}
				done <- err
			}()
			term.Await(t, "the last of 20 people", done, func() bool { return strings.Count(term.Stdout(), clerk.UserCreated) >= cmd.Users })
			page, line := pageLine.FindStringSubmatch(term.Stderr()), tokenLine.FindStringSubmatch(term.Stderr())
			if page == nil || line == nil {
				interrupt()
				needPostgres(t, <-done)
				t.Fatalf("the banner names no page, or no line to type:\n%s", term.Stderr())
			}

			if status, html := ask(t, http.MethodGet, page[1], "", nil); status != http.StatusOK || !strings.Contains(html, "<textarea") {
				t.Errorf("GET %s = %d\n%s", page[1], status, html)
			}
			status, text := ask(t, http.MethodPost, line[1], "", nil)
			token := strings.TrimSpace(text)
			if status != http.StatusOK || strings.Count(token, ".") != 2 {
				t.Fatalf("POST %s = %d\n%s", line[1], status, text)
			}
			report := diagnosed(t, page[1], jwtdiag.Request{Token: token})
			if report.Verdicts.Clerk.Outcome != jwtdiag.Accepted || report.Verdicts.Supabase.Outcome != jwtdiag.Accepted || report.Verdicts.Supabase.Role != "authenticated" {
				t.Errorf("a token of the double: %+v\n%+v", report.Verdicts, report.Findings)
			}
			for _, id := range []string{"jwks.fetch", "signature", "claim.iss", "header.kid", "supabase.provider", "database.claims", "database.role", "mirror.user"} {
				if got := statusOf(report, id); got != finding.Pass {
					t.Errorf("%s is %q in\n%+v", id, got, report.Findings)
				}
			}
			i := slices.IndexFunc(report.Tables, func(x access.Table) bool { return x.Name == "public.users" })
			if i < 0 || report.Tables[i].Visible != 1 || report.Tables[i].Decision != access.ByPolicy {
				t.Errorf("the token's user sees %+v, want one row of public.users", report.Tables)
			}

			// Who may look at every row of the database without a token may do so with
			// a bad one.
			forged := diagnosed(t, page[1], jwtdiag.Request{Token: token[:strings.LastIndex(token, ".")+1] + "AAAA"})
			if looked := statusOf(forged, "database.role") == finding.Pass; forged.Verdicts.Clerk.Outcome != jwtdiag.Refused || looked == given {
				t.Errorf("a forged token, given database %t: %+v", given, forged)
			}

			// The line for a second terminal does the same.
			settings := map[string]string{}
			for setting := range strings.FieldsSeq(line[2]) {
				key, value, _ := strings.Cut(setting, "=")
				settings[key] = value
			}
			if settings["CLERK_ISSUER"] == "" || strings.HasPrefix(line[3], "--env-file ") == given {
				t.Errorf("the line sets %v, given database %t", settings, given)
			}
			got := clitest.On[program](t.Context(), console.Console{Stdin: strings.NewReader(text)}, settings, strings.Fields(line[3])...)
			if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "\nClerk's verifier  accepted: ") || strings.Contains(got.Stdout, "\npublic.users ") == given {
				t.Errorf("%s: exit %d\n%s%s", line[0], got.Code, got.Stdout, got.Stderr)
			}

			// Pages of other sites, and names that were pointed here, get nothing.
			if status, answer := ask(t, http.MethodPost, page[1], `{"token":"x"}`, http.Header{"Content-Type": {"application/json"}, "Sec-Fetch-Site": {"cross-site"}}); status != http.StatusForbidden {
				t.Errorf("asked by another site: %d %s", status, answer)
			}
			if status, answer := ask(t, http.MethodPost, page[1], `{"token":"x"}`, http.Header{"Content-Type": {"application/json"}, "Host": {"rebound.example.com"}}); status != http.StatusForbidden {
				t.Errorf("asked under another name: %d %s", status, answer)
			}
			interrupt()
			if err := <-done; err != nil {
				t.Errorf("dev, interrupted = %v; stderr:\n%s", err, term.Stderr())
			}
			for part := range strings.SplitSeq(token, ".") {
				if len(part) > 20 && strings.Contains(term.Stdout()+term.Stderr(), part) {
					t.Error("the token was logged")
				}
			}
		})
	}
}

func TestDev_DiagnosesTheTokensOfARealInstance(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	environment := clitest.JWTSettings(t)
	environment["DATABASE_URL"], environment["CLERK_WEBHOOK_SIGNING_SECRET"] = db.Owner(), clerktest.Secret
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := clitest.NewTerminal(environment)
	cmd := command()
	done := make(chan error, 1)
	go func() { done <- cmd.Run(ctx, term.Console(false)) }()
	term.Await(t, "the banner", done, func() bool { return strings.Contains(term.Stderr(), "Ctrl-C ends it") })
	page := pageLine.FindStringSubmatch(term.Stderr())
	if page == nil || tokenLine.MatchString(term.Stderr()) {
		t.Fatalf("the banner names no page, or a double's tokens:\n%s", term.Stderr())
	}
	// It is over, but the instance's key made it, a short while ago.
	ago := func(seconds int64) string { return strconv.FormatInt(time.Now().Unix()-seconds, 10) }
	late := jwttest.Sign(jwttest.Header(), jwttest.Claims().With("exp", ago(90)).With("iat", ago(150)).With("nbf", ago(160)))
	report := diagnosed(t, page[1], jwtdiag.Request{Token: late, Tables: []string{"users"}})
	for id, want := range map[string]finding.Status{"signature": finding.Pass, "claim.iss": finding.Pass, "supabase.provider": finding.Pass, "claim.exp": finding.Fail, "database.role": finding.Pass, "rls.public.users": finding.Pass} {
		if got := statusOf(report, id); got != want {
			t.Errorf("%s is %q, want %q in\n%+v", id, got, want, report.Findings)
		}
	}
	for name, token := range map[string]string{"a forged token": jwttest.SignOther(jwttest.Header(), jwttest.Claims()), "a token of years ago": jwttest.Sign(jwttest.Header(), jwttest.Claims().With("exp", "1700000000").With("iat", "1699999940").With("nbf", "1699999930"))} {
		report = diagnosed(t, page[1], jwtdiag.Request{Token: token})
		if got := statusOf(report, "database.role"); got != finding.Skip {
			t.Errorf("%s gets to the database: %+v", name, report.Findings)
		}
	}
	address, err := url.Parse(page[1])
	if err != nil {
		t.Fatal(err)
	}
	address.Path += "/token"
	if status, answer := ask(t, http.MethodPost, address.String(), "", nil); status != http.StatusNotFound {
		t.Errorf("a token of no double: %d %s", status, answer)
	}
	interrupt()
	if err := <-done; err != nil {
		t.Errorf("dev, interrupted = %v", err)
	}
}

// Settings for diagnostics that are wrong keep nobody from their webhooks.
func TestDev_WarnsOfSettingsThatDiagnoseNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.Owner(), "CLERK_WEBHOOK_SIGNING_SECRET": clerktest.Secret, "CLERK_PUBLISHABLE_KEY": "pk_test_x"})
	cmd := command()
	done := make(chan error, 1)
	go func() { done <- cmd.Run(ctx, term.Console(false)) }()
	term.Await(t, "the banner", done, func() bool { return strings.Contains(term.Stderr(), "Ctrl-C ends it") })
	if got := term.Stderr(); !strings.Contains(got, "warning: tokens cannot be diagnosed: ") || !strings.Contains(got, "CLERK_PUBLISHABLE_KEY") {
		t.Errorf("stderr is\n%s", got)
	}
	page := pageLine.FindStringSubmatch(term.Stderr())
	if status, answer := ask(t, http.MethodPost, page[1], `{"token":"hello"}`, asJSON); status != http.StatusServiceUnavailable {
		t.Errorf("asked nevertheless: %d %s", status, answer)
	}
	interrupt()
	if err := <-done; err != nil {
		t.Errorf("dev, interrupted = %v", err)
	}
}

// Nobody has signed up, so there is nobody to make a token for.
func TestDev_MakesNoTokenOfNobody(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": testdb.New(t).Owner()})
	cmd := command()
	cmd.Users, cmd.Rate = 0, 0
	done := make(chan error, 1)
	go func() { done <- cmd.Run(ctx, term.Console(false)) }()
	term.Await(t, "the banner", done, func() bool { return strings.Contains(term.Stderr(), "Ctrl-C ends it") })
	line := tokenLine.FindStringSubmatch(term.Stderr())
	if status, answer := ask(t, http.MethodPost, line[1], "", nil); status != http.StatusServiceUnavailable || !strings.Contains(answer, "signed up") {
		t.Errorf("POST %s = %d %s", line[1], status, answer)
	}
	interrupt()
	if err := <-done; err != nil {
		t.Errorf("dev, interrupted = %v", err)
	}
}

// At an address of the network there are diagnostics for nobody, and everything
// else is as usual.
func TestDev_ListensWhereTheDiagnosticsAreOutOfReach(t *testing.T) {
	t.Parallel()
	ip := need.OutsideAddress(t)
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": testdb.New(t).Owner()})
	cmd := command()
	cmd.Addr, cmd.Duration = net.JoinHostPort(ip, "0"), time.Second
	if err := cmd.Run(t.Context(), term.Console(true)); err != nil {
		t.Errorf("dev --addr %s = %v; stderr:\n%s", cmd.Addr, err, term.Stderr())
	}
	if strings.Contains(term.Stderr(), endpoint.Path) {
		t.Errorf("the banner names what is not served:\n%s", term.Stderr())
	}
}

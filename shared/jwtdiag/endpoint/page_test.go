package endpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/endpoint"
	"clerksync/shared/rls/access"
	"clerksync/shared/testkit/browser"
)

// full is a report with every part that the page shows: the token of a user
// whose policies ask for an organization that is not active.
func full() jwtdiag.Report {
	return jwtdiag.Report{
		Sentence: "The token has expired: it was valid until 12:01:00 UTC, 95 seconds before it was checked.",
		Cause:    "claim.exp",
		Verdicts: jwtdiag.Verdicts{
			Clerk: jwtdiag.Verdict{Outcome: jwtdiag.Refused, Code: "token-expired", Because: "The token expired 95 seconds ago, and 5 seconds are tolerated.", Finding: "claim.exp"},
			Supabase: jwtdiag.Verdict{
				Outcome: jwtdiag.Refused, Status: 401, Code: "PGRST303", Message: "JWT expired",
				Because: "The Data API tolerates 30 seconds.", Finding: "claim.exp",
			},
		},
		Surfaces: []jwtdiag.Surface{
			{Name: "data_api", Title: "Data API", Outcome: jwtdiag.Refused, Detail: "401 PGRST303 before any query runs."},
			{Name: "realtime", Title: "Realtime", Outcome: jwtdiag.Refused, Detail: "Channels are closed when their token expires; the client must send a new one."},
			{Name: "storage", Title: "Storage", Outcome: jwtdiag.Unknown, Detail: "Storage verifies by itself; owner_id holds the Clerk id as text."},
			{Name: "edge_functions", Title: "Edge Functions", Outcome: jwtdiag.Accepted, Detail: "Only where verify_jwt is off for the function."},
		},
		Token: jwtdiag.Token{
			Kind: "clerk_session", Name: "a Clerk session token, version 2",
			Header: json.RawMessage(`{"alg":"RS256","cat":"cl_B7d4PD111AAA","kid":"ins_2tKn3Wm9","typ":"JWT"}`),
			Claims: json.RawMessage(`{"azp":"http://localhost:3000","exp":1795694460,"fva":[12,-1],"iat":1795694400,"iss":"https://clean-mantis-62.clerk.accounts.dev",` +
				`"jti":"6a0f8e","nbf":1795694390,"o":{"id":"org_2xA","per":"read,manage","rol":"admin","slg":"harbour","fpm":"3,2"},"role":"authenticated",` +
				`"big":12345678901234567890,"10":"ten","2":"two","sid":"sess_2xB","sts":"active","sub":"user_2xQ9","v":2,"zero":{},"none":[]}`),
			IssuedAt:    time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC),
			ExpiresAt:   time.Date(2026, 11, 26, 12, 1, 0, 0, time.UTC),
			Permissions: []string{"org:projects:read", "org:projects:manage", "org:billing:read"},
		},
		Findings: []finding.Finding{
			{ID: "token.format", Status: finding.Pass, Title: "Three parts of base64url, as a JSON web token has"},
			{ID: "token.kind", Status: finding.Pass, Title: "A Clerk session token of version 2", Detail: "Its claims v, sid and fva say so."},
			{ID: "header.alg", Status: finding.Pass, Title: "Signed with RS256"},
			{ID: "header.kid", Status: finding.Pass, Title: "Names the key ins_2tKn3Wm9"},
			{ID: "jwks.fetch", Status: finding.Pass, Title: "One key at clean-mantis-62.clerk.accounts.dev"},
			{ID: "signature", Status: finding.Pass, Title: "The signature is right"},
			{ID: "claim.iss", Status: finding.Pass, Title: "The issuer is that of the instance"},
			{
				ID: "claim.exp", Status: finding.Fail, Title: "The token expired 95 seconds before it was checked",
				Detail: "Clerk's session tokens are valid for 60 seconds.\n\nClients that are made once with a fixed Authorization header keep the first token for ever.",
				Remedy: "const supabase = createClient(url, key, {\n  accessToken: async () => session?.getToken() ?? null,\n})",
			},
			{ID: "claim.azp", Status: finding.Warn, Title: "Any origin may use this token", Detail: "CLERK_AUTHORIZED_PARTIES is not set, so that azp is not compared.", Remedy: "CLERK_AUTHORIZED_PARTIES=http://localhost:3000"},
			{ID: "claim.role", Status: finding.Pass, Title: "The role claim is authenticated"},
			{ID: "supabase.provider", Status: finding.Skip, Title: "Whether Supabase trusts the issuer is not known", Detail: "SUPABASE_ACCESS_TOKEN is not set."},
			{ID: "database.claims", Status: finding.Pass, Title: "Postgres reads user_2xQ9 and org_2xA"},
			{ID: "database.uid", Status: finding.Warn, Title: "auth.uid() fails for this token", Detail: "A Clerk id is no uuid.", Remedy: "select clerk.user_id();"},
			{ID: "mirror.user", Status: finding.Pass, Title: "The user is in the copy"},
			{ID: "rls.public.projects", Status: finding.Fail, Object: "public.projects", Title: "No row of public.projects is visible", Detail: "The policy compares o.id as one key.", Remedy: "alter policy \"members read\" on public.projects\n  using (org_id = (select clerk.org_id()));"},
			{ID: "rls.public.users", Status: finding.Pass, Object: "select", Title: "1 row of public.users is visible"},
			{ID: "release.notes", Status: finding.Skip, Title: "Something of a later version"},
		},
		Tables: []access.Table{
			{
				Name: "public.projects", Visible: 0, Estimate: 1240, Decision: access.ByPolicy, Detail: "Two policies apply, and none lets a row through.",
				Policies: []access.Policy{
					{Name: "members read", Permissive: true, Using: "(org_id = (( SELECT (auth.jwt() ->> 'o.id'::text))))", Passes: 0, Values: []access.Value{{Expression: "auth.jwt() ->> 'o.id'"}}},
					{Name: "not archived", Permissive: false, Using: "(archived_at IS NULL)", Passes: -1},
				},
			},
			{Name: "public.users", Visible: 1, Total: new(int64(8431)), Estimate: 8400, Decision: access.ByPolicy, Detail: "The owner's own row.", Policies: []access.Policy{
				{Name: "owner reads", Permissive: true, Using: "(clerk_id = clerk.user_id())", Passes: 1, Values: []access.Value{{Expression: "clerk.user_id()", Value: new("user_2xQ9")}, {Expression: "auth.uid()", Code: "22P02"}, {Expression: "app.tenant()", Value: new("a text of 9 characters"), Withheld: true}}},
			}},
			{Name: "public.events", Visible: 1000, More: true, Estimate: -1, Decision: access.ByRLSOff, Detail: "Everybody with the key reads this table."},
			{Name: "public.secrets", Estimate: 3, Decision: access.ByGrant, Code: "42501", Message: "permission denied for table secrets", Detail: "authenticated lacks select."},
		},
		Causes: []jwtdiag.Cause{
			{ID: "expired.cached", Likelihood: jwtdiag.Confirmed, Title: "The client keeps a token that has expired", Detail: "It was made with a fixed header.", Remedy: "accessToken: async () => session?.getToken() ?? null", Finding: "claim.exp"},
			{ID: "clock", Likelihood: jwtdiag.Possible, Title: "The server's clock is ahead", Detail: "More than 30 seconds are not tolerated."},
			{ID: "provider", Likelihood: jwtdiag.RuledOut, Title: "The key is not known", Detail: "The signature was verified.", Finding: "signature"},
		},
		CheckedAt: time.Date(2026, 11, 26, 12, 2, 35, 0, time.UTC),
	}
}

// hostile is a report whose every text wants to be more than text.
func hostile() jwtdiag.Report {
	const markup = `<img src=x onerror="document.title='run'"><script>document.title='run'</script>&lt;`
	text := markup + "\u202Eesrever\u202C\u200B\x00 " + strings.Repeat("W", 400) + " שלום"
	claim, _ := json.Marshal(map[string]any{
		"</pre>" + text: text, "exp": 1e300, "iat": "soon", "nbf": -1, "long": strings.Repeat("x", 10000),
		"deep": json.RawMessage(strings.Repeat("[", 500) + strings.Repeat("]", 500)), "__proto__": map[string]any{"polluted": true},
	})
	r := full()
	r.Sentence, r.Verdicts.Supabase.Message, r.Verdicts.Clerk.Because, r.Verdicts.Supabase.Role = text, text, text, text
	r.Verdicts.Clerk.Outcome, r.Verdicts.Supabase.Outcome = "constructor", "__proto__"
	r.Surfaces = []jwtdiag.Surface{{Name: text, Title: text, Outcome: jwtdiag.Outcome(text), Detail: text}}
	r.Token.Name, r.Token.Claims, r.Token.Header, r.Token.Permissions = text, claim, claim, []string{text}
	r.Findings = []finding.Finding{
		{ID: text, Status: finding.Fail, Object: text, Title: text, Detail: text, Remedy: text},
		{ID: "claim." + text, Status: "toString", Title: text, Detail: text},
	}
	r.Cause, r.Verdicts.Clerk.Finding = text, text
	r.Tables = []access.Table{{Name: text, Decision: access.Decision(text), Detail: text, Code: text, Message: text, Policies: []access.Policy{
		{Name: text, Using: text, Values: []access.Value{{Expression: text, Value: &text}}},
	}}}
	r.Causes = []jwtdiag.Cause{{ID: text, Likelihood: jwtdiag.Likelihood(text), Title: text, Detail: text, Remedy: text, Finding: text}}
	return r
}

// diagnosis is what the server under a page does.
type diagnosis func(context.Context, jwtdiag.Request) (jwtdiag.Report, error)

func always(r jwtdiag.Report) diagnosis {
	return func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) { return r, nil }
}

// visit opens the page over a diagnosis.
func visit(t *testing.T, chromium *browser.Browser, diagnose diagnosis, before ...chromedp.Action[chromedp.Void]) (*browser.Tab, *bundle) {
	t.Helper()
	b := setup(t, func(o *endpoint.Options) {
		o.Diagnose = diagnose
		o.Hosts = endpoint.Loopback()
	})
	server := httptest.NewServer(b)
	tab := chromium.Open(t)
	t.Cleanup(func() {
		// Chromium keeps connections for later.
		server.CloseClientConnections()
		server.Close()
	})
	tab.Do(before...)
	tab.Do(chromedp.Navigate(server.URL + endpoint.Path))
	return tab, b
}

// fill writes into a field.
func fill(id, text string) chromedp.Action[chromedp.Void] {
	encoded, _ := json.Marshal(text)
	return chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.getElementById(%q).value = %s; undefined`, id, encoded))
}

// submit fills the form in and sends it.
func submit(tab *browser.Tab) {
	tab.Do(fill("token", token), chromedp.Click(chromedp.ID("submit")))
}

const (
	reportShown = `!document.getElementById("result-heading").hidden && document.activeElement.id === "result-heading"`
	statusText  = `document.getElementById("status").textContent`
)

func scheme(name string) chromedp.Action[chromedp.Void] {
	return browser.Command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
}

// wantQuiet fails the test if the developer tools show anything, or if anything
// but the page's own server was asked.
func wantQuiet(t *testing.T, tab *browser.Tab, expected ...string) {
	t.Helper()
	complaints := slices.DeleteFunc(tab.Complaints(), func(c string) bool {
		return slices.ContainsFunc(expected, func(e string) bool { return strings.Contains(c, e) })
	})
	if len(complaints) > 0 {
		t.Errorf("the developer tools show %q, want nothing", complaints)
	}
	origin := browser.Evaluate[string](tab, "location.origin")
	for _, r := range tab.Requests() {
		if !strings.HasPrefix(r.URL, origin+"/") && !strings.HasPrefix(r.URL, "data:image/svg+xml,") {
			t.Errorf("the page asked %s %s, which is not on %s", r.Method, r.URL, origin)
		}
		if strings.Contains(r.URL, token[:20]) {
			t.Errorf("the page asked %s, which has the token in it", r.URL)
		}
	}
}

// shoot keeps a picture of the page where somebody asks for one.
func shoot(t *testing.T, tab *browser.Tab, name string) {
	t.Helper()
	dir := os.Getenv("CLERKSYNC_TEST_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture := browser.Value(tab, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600); err != nil {
		t.Error(err)
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	chromium := browser.Start(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *browser.Browser)
	}{
		{"AnswersAKeyboard", pageAnswersAKeyboard},
		{"SendsWhatWasTyped", pageSendsWhatWasTyped},
		{"ShowsTheReport", pageShowsTheReport},
		{"ColoursTheSentenceByItsCause", pageColoursTheSentenceByItsCause},
		{"FiltersAndJumps", pageFiltersAndJumps},
		{"CopiesRemedies", pageCopiesRemedies},
		{"SelectsWhatItMayNotCopy", pageSelectsWhatItMayNotCopy},
		{"ShowsHostileTextAsText", pageShowsHostileTextAsText},
		{"ShowsEmptyReports", pageShowsEmptyReports},
		{"ShowsTheCorpus", pageShowsTheCorpus},
		{"ForgetsTheToken", pageForgetsTheToken},
		{"SaysWhatWentWrong", pageSaysWhatWentWrong},
		{"CanBeCancelled", pageCanBeCancelled},
		{"GivesUp", pageGivesUp},
		{"HasContrast", pageHasContrast},
		{"FitsNarrowScreens", pageFitsNarrowScreens},
		{"HasNamesForEverything", pageHasNamesForEverything},
		{"PrintsEverything", pagePrintsEverything},
		{"SendsNothingWithoutJavaScript", pageSendsNothingWithoutJavaScript},
		{"CannotBeFramed", pageCannotBeFramed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, chromium)
		})
	}
}

func pageAnswersAKeyboard(t *testing.T, chromium *browser.Browser) {
	tab, b := visit(t, chromium, always(full()), scheme("light"))
	focused := func() string {
		return browser.Evaluate[string](tab, `document.activeElement.id || document.activeElement.className || document.activeElement.tagName`)
	}
	var order []string
	for range 6 {
		tab.Do(chromedp.KeyEvent(kb.Tab))
		order = append(order, focused())
		if style := browser.Evaluate[string](tab, `getComputedStyle(document.activeElement).outlineStyle`); style != "solid" {
			t.Errorf("%s has the focus and an outline of style %s, want a solid one", focused(), style)
		}
	}
	if diff := cmp.Diff([]string{"bypass", "token", "tables", "symptom", "submit", "clear"}, order); diff != "" {
		t.Errorf("order of focus: -want +got\n%s", diff)
	}
	tab.Do(chromedp.Focus(chromedp.CSS(".bypass")), chromedp.KeyEvent(kb.Enter))
	tab.Await(`document.activeElement.id === "main"`)
	tab.Do(chromedp.KeyEvent(kb.Tab))
	if got := focused(); got != "token" {
		t.Fatalf("after the skip link, Tab leads to %s, want token", got)
	}
	tab.Do(chromedp.KeyEvent(token), chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	tab.Await(reportShown)
	if got, want := browser.Evaluate[string](tab, statusText), full().Sentence; got != want {
		t.Errorf("status = %q, want %q", got, want)
	}
	if diff := cmp.Diff([]jwtdiag.Request{{Token: token}}, b.requests()); diff != "" {
		t.Errorf("questions: -want +got\n%s", diff)
	}

	// On to the first link, which leads to the finding.
	tab.Do(chromedp.KeyEvent(kb.Tab))
	if got := browser.Evaluate[string](tab, `document.activeElement.textContent`); got != "See claim.exp" {
		t.Errorf("Tab from the heading leads to %q, want the link to the finding", got)
	}
	tab.Do(chromedp.KeyEvent(kb.Enter))
	tab.Await(`document.activeElement.tagName === "SUMMARY" && document.activeElement.parentElement.dataset.id === "claim.exp"`)
	tab.Do(chromedp.KeyEvent(" "))
	tab.Await(`!document.activeElement.parentElement.open`)

	// Enter in the form alone is a line break.
	tab.Do(fill("token", ""), chromedp.Focus(chromedp.ID("token")), chromedp.KeyEvent("a"+kb.Enter+"b"))
	if got := browser.Evaluate[string](tab, `document.getElementById("token").value`); got != "a\nb" {
		t.Errorf("a, Enter and b in the field = %q, want two lines", got)
	}
	if got := len(b.requests()); got != 1 {
		t.Errorf("%d questions were asked, want 1", got)
	}
	wantQuiet(t, tab)
}

func pageSendsWhatWasTyped(t *testing.T, chromium *browser.Browser) {
	tab, b := visit(t, chromium, always(full()))
	pasted := "  Bearer \"" + token + "\"\n"
	tab.Do(
		fill("token", pasted),
		fill("tables", "public.users, \"Odd, \"\"name\"\"\"\n\n projects ,"),
		fill("symptom", ` {"code":"22P02","message":"…"} `),
		chromedp.Click(chromedp.ID("submit")),
	)
	tab.Await(reportShown)
	want := []jwtdiag.Request{{Token: pasted, Tables: []string{"public.users", `"Odd, ""name"""`, "projects"}, Symptom: `{"code":"22P02","message":"…"}`}}
	if diff := cmp.Diff(want, b.requests()); diff != "" {
		t.Errorf("questions: -want +got\n%s", diff)
	}
	wantQuiet(t, tab)
}

// A token may be right, and what it meets in the database not.
func pageColoursTheSentenceByItsCause(t *testing.T, chromium *browser.Browser) {
	for tone, change := range map[string]func(*jwtdiag.Report){
		"fail": func(r *jwtdiag.Report) { r.Cause = "rls.public.projects" },
		"warn": func(r *jwtdiag.Report) { r.Cause = "database.uid" },
		"pass": func(r *jwtdiag.Report) { r.Cause = "" },
	} {
		report := full()
		report.Verdicts.Clerk.Outcome, report.Verdicts.Supabase.Outcome = jwtdiag.Accepted, jwtdiag.Accepted
		change(&report)
		tab, _ := visit(t, chromium, always(report))
		submit(tab)
		tab.Await(reportShown)
		if got := browser.Evaluate[string](tab, `document.getElementById("result").dataset.tone`); got != tone {
			t.Errorf("the cause is %q: tone %q, want %q", report.Cause, got, tone)
		}
	}
}

func pageShowsTheReport(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, always(full()), scheme("light"),
		browser.Command(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Kolkata"}))
	shoot(t, tab, "empty-light")
	tab.Do(fill("symptom", "PGRST303"))
	submit(tab)
	tab.Await(reportShown)
	shoot(t, tab, "report-light")

	texts := func(selector string) []string {
		return browser.Evaluate[[]string](tab, fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => e.innerText.replace(/\s+/g, " ").trim())`, selector))
	}
	for _, test := range []struct {
		selector string
		want     []string
	}{
		{".part > h3", []string{"Verdicts", "Causes of the symptom", "Findings", "Visible rows", "Parts of Supabase", "The token"}},
		{".verdict h4", []string{"Clerk", "Supabase"}},
		{".verdict .outcome .word", []string{"Refused", "Refused"}},
		{".verdict .answer", []string{"token-expired", "HTTP 401 PGRST303 “JWT expired”"}},
		{".counts .word", []string{"2 failed", "2 with a warning", "11 passed", "2 not checked"}},
		{".group h4", []string{"Form and header", "Keys and signature", "Claims", "Supabase", "Database and copy", "Tables", "Others"}},
		// What failed is open and first, and what follows is in order.
		{".group:nth-of-type(4) summary .id", []string{"claim.expfirst cause", "claim.azp", "claim.iss", "claim.role"}},
		{".finding[open] > summary .id code:first-child", []string{"claim.exp", "rls.public.projects"}},
		{".part > .causes .word", []string{"Confirmed", "Possible"}},
		{".part > .causes .title", []string{"The client keeps a token that has expired", "The server's clock is ahead"}},
		{".out > summary", []string{"1 cause is ruled out"}},
		{"td:nth-child(2)", []string{"0 of about 1,240", "1 of 8,431", "more than 1,000; how many there are was never counted", "could not be read", "✕ Refused", "✕ Refused", "? Uncertain", "✓ Accepted"}},
		{".policies > li > p", []string{"members read permits; 0 visible rows pass", "not archived restricts", "owner reads permits; 1 visible row passes"}},
		{".values dd", []string{"NULL, which matches no row", "user_2xQ9", "fails with 22P02", "a text of 9 characters"}},
		{".permissions li", []string{"org:projects:read", "org:projects:manage", "org:billing:read"}},
		{".facts dd:nth-of-type(3)", []string{"2026-11-26 12:01:00 UTC · 2026-11-26 17:31:00 +05:30 here · 95 seconds ago"}},
		{".json .when", []string{
			"2026-11-26 12:01:00 UTC · 2026-11-26 17:31:00 +05:30 here · 95 seconds ago",
			"2026-11-26 12:00:00 UTC · 2026-11-26 17:30:00 +05:30 here · 2 minutes ago",
			"2026-11-26 11:59:50 UTC · 2026-11-26 17:29:50 +05:30 here · 2 minutes ago",
		}},
	} {
		if diff := cmp.Diff(test.want, texts(test.selector)); diff != "" {
			t.Errorf("texts of %s: -want +got\n%s", test.selector, diff)
		}
	}
	// As it was sent: numbers to the last digit, and keys in their order.
	claims := browser.Evaluate[string](tab, `document.querySelector(".json").textContent`)
	for _, want := range []string{
		"{\n  \"azp\": \"http://localhost:3000\",\n  \"exp\": 1795694460,", `"big": 12345678901234567890,` + "\n  \"10\": \"ten\",\n  \"2\": \"two\",",
		"\"fva\": [\n    12,\n    -1\n  ],", "\"zero\": {},\n  \"none\": []\n}",
	} {
		if !strings.Contains(claims, want) {
			t.Errorf("claims = %s, want them to hold %s", claims, want)
		}
	}
	if tone := browser.Evaluate[string](tab, `document.getElementById("result").dataset.tone`); tone != "fail" {
		t.Errorf("tone of the result = %q, want fail", tone)
	}
	// Status is never a colour alone.
	if bare := browser.Evaluate[int](tab, `[...document.querySelectorAll(".badge")].filter((b) => !b.querySelector(".symbol").textContent.trim() || !b.querySelector(".word").textContent.trim()).length`); bare != 0 {
		t.Errorf("%d badges lack a symbol or a word", bare)
	}
	wantQuiet(t, tab)
}

func pageFiltersAndJumps(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, always(full()))
	submit(tab)
	tab.Await(reportShown)
	visible := func() []string {
		return browser.Evaluate[[]string](tab, `[...document.querySelectorAll("details.finding")].filter((d) => d.checkVisibility()).map((d) => d.dataset.id)`)
	}
	if got := len(visible()); got != len(full().Findings) {
		t.Errorf("%d findings are shown, want %d", got, len(full().Findings))
	}
	tab.Do(chromedp.Focus(chromedp.ID("only-problems")), chromedp.KeyEvent(" "))
	tab.Await(`document.querySelector(".shown").textContent === "4 of 17 shown"`)
	problems := []string{"claim.exp", "claim.azp", "database.uid", "rls.public.projects"}
	if diff := cmp.Diff(problems, visible()); diff != "" {
		t.Errorf("problems: -want +got\n%s", diff)
	}
	if headings := browser.Evaluate[int](tab, `[...document.querySelectorAll(".group h4")].filter((h) => h.checkVisibility()).length`); headings != 3 {
		t.Errorf("%d groups are shown, want 3", headings)
	}
	// It holds for the next answer too.
	tab.Do(chromedp.Click(chromedp.ID("submit")))
	tab.Await(`document.querySelector(".shown")?.textContent === "4 of 17 shown"`)
	if diff := cmp.Diff(problems, visible()); diff != "" {
		t.Errorf("problems of the second answer: -want +got\n%s", diff)
	}
	// A link to a finding that is hidden ends it.
	tab.Do(chromedp.Click(chromedp.CSS(".out > summary")), chromedp.Click(chromedp.CSS(".out .link")))
	tab.Await(`document.activeElement.parentElement.dataset.id === "signature" && document.activeElement.checkVisibility() && document.activeElement.parentElement.open`)
	if got := len(visible()); got != len(full().Findings) {
		t.Errorf("%d findings are shown, want %d", got, len(full().Findings))
	}
	wantQuiet(t, tab)
}

// paste presses the keys that paste.
var paste = browser.Command(input.DispatchKeyEvent, input.DispatchKeyEventParams{
	Type: input.DispatchKeyEventTypeKeyDown, Key: "v", Code: "KeyV", Modifiers: 2, Commands: []string{"paste"},
})

func pageCopiesRemedies(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, always(full()))
	submit(tab)
	tab.Await(reportShown)
	tab.Do(chromedp.Focus(chromedp.CSS(`details[data-id="claim.exp"] .copy`)), chromedp.KeyEvent(kb.Enter))
	tab.Await(`document.getElementById("announcement").textContent === "Copied"`)
	tab.Do(chromedp.Focus(chromedp.ID("symptom")), paste)
	remedy := full().Findings[7].Remedy
	if got := browser.Evaluate[string](tab, `document.getElementById("symptom").value`); got != remedy {
		t.Errorf("pasted %q, want %q", got, remedy)
	}
	wantQuiet(t, tab)
}

func pageSelectsWhatItMayNotCopy(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, always(full()))
	submit(tab)
	tab.Await(reportShown)
	// As where the page is not served over TLS.
	browser.Evaluate[any](tab, `Object.defineProperty(navigator, "clipboard", { value: undefined }), document.execCommand = () => false, 1`)
	tab.Do(chromedp.Click(chromedp.CSS(`details[data-id="rls.public.projects"] .copy`)))
	tab.Await(`document.getElementById("announcement").textContent.startsWith("Selected")`)
	if got, want := browser.Evaluate[string](tab, `getSelection().toString()`), full().Findings[14].Remedy; got != want {
		t.Errorf("selected %q, want %q", got, want)
	}
	wantQuiet(t, tab)
}

func pageShowsHostileTextAsText(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, always(hostile()), scheme("light"))
	tab.Do(fill("symptom", "22P02"))
	submit(tab)
	tab.Await(reportShown)
	shoot(t, tab, "hostile-light")
	if got := browser.Evaluate[int](tab, `document.querySelectorAll("#result img, #result script, #result iframe, #result a, #result [style], #result [onerror]").length`); got != 0 {
		t.Errorf("%d elements were made from text", got)
	}
	if got := browser.Evaluate[string](tab, "document.title"); got != "JWT diagnostics · clerksync" {
		t.Errorf("title = %q, which a script of a text has set", got)
	}
	if browser.Evaluate[bool](tab, `"polluted" in Object.prototype`) {
		t.Error("a claim has changed all objects")
	}
	shown := browser.Evaluate[string](tab, `document.getElementById("result").textContent`)
	for _, want := range []string{`<img src=x onerror=`, `</script>&lt;`, `\u202eesrever\u202c\u200b\u0000`, strings.Repeat("x", 10000), "שלום"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not show %.60q as text", want)
		}
	}
	if strings.ContainsAny(shown, "\u202E\u202C\u200B\x00") {
		t.Error("the page has characters in it that cannot be seen")
	}
	wantFits(t, tab)
	wantQuiet(t, tab)
}

func pageShowsEmptyReports(t *testing.T, chromium *browser.Browser) {
	// Everything that can be absent is.
	tab, _ := visit(t, chromium, always(jwtdiag.Report{Sentence: "This is empty."}))
	submit(tab)
	tab.Await(reportShown)
	if got := browser.Evaluate[string](tab, statusText); got != "This is empty." {
		t.Errorf("status = %q, want the sentence", got)
	}
	wantQuiet(t, tab)
}

// everywhere is everything of a page that could hold the token.
const everywhere = `JSON.stringify([location.href, document.cookie, { ...localStorage }, { ...sessionStorage }, history.state, window.name,
	[...document.querySelectorAll("textarea")].map((e) => e.value), document.documentElement.outerHTML, performance.getEntries().map((e) => e.name)])`

func pageForgetsTheToken(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, always(full()))
	submit(tab)
	tab.Await(reportShown)
	elsewhere := strings.Replace(everywhere, `[...document.querySelectorAll("textarea")].map((e) => e.value)`, "0", 1)
	if got := browser.Evaluate[string](tab, elsewhere); strings.Contains(got, token[:20]) {
		t.Errorf("the token is elsewhere than in its field: %s", got)
	}
	if got := browser.Evaluate[int](tab, "history.length"); got > 2 {
		t.Errorf("the history has %d entries, want none for the answer", got)
	}
	if got := browser.Evaluate[[]string](tab, `indexedDB.databases().then((all) => caches.keys().then((keys) => [...all.map((d) => d.name), ...keys]))`); len(got) != 0 {
		t.Errorf("databases and caches = %q, want none", got)
	}

	tab.Do(chromedp.Click(chromedp.ID("clear")))
	tab.Await(`document.activeElement.id === "token"`)
	wantNothing := func(when string) {
		t.Helper()
		got := browser.Evaluate[string](tab, everywhere)
		for _, secret := range []string{token[:20], "user_2xQ9", "claim.exp", full().Sentence} {
			if strings.Contains(got, secret) {
				t.Errorf("%s the page still has %q: %s", when, secret, got)
			}
		}
	}
	wantNothing("once cleared")

	// Leaving and coming back, whether or not the browser kept the page.
	submit(tab)
	tab.Await(reportShown)
	tab.Do(chromedp.Navigate("about:blank"), chromedp.NavigateBack())
	tab.Await(`document.readyState === "complete" && !document.getElementById("form").hidden`)
	wantNothing("after coming back")

	submit(tab)
	tab.Await(reportShown)
	tab.Do(chromedp.Reload())
	tab.Await(`document.readyState === "complete" && !document.getElementById("form").hidden`)
	wantNothing("after reloading")
}

func pageSaysWhatWentWrong(t *testing.T, chromium *browser.Browser) {
	var answer func() (jwtdiag.Report, error)
	tab, b := visit(t, chromium, func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) { return answer() })
	await := func(want string) {
		t.Helper()
		tab.Await(fmt.Sprintf(`%s.includes(%q) && document.getElementById("cancel").hidden`, statusText, want))
		if !browser.Evaluate[bool](tab, `document.getElementById("result-heading").hidden && document.getElementById("report").childElementCount === 0`) {
			t.Errorf("there is a result beside %q", want)
		}
	}
	tab.Do(chromedp.Click(chromedp.ID("submit")))
	await("Paste a token first.")
	if got := browser.Evaluate[string](tab, `document.activeElement.id + document.activeElement.getAttribute("aria-invalid")`); got != "tokentrue" || len(b.requests()) != 0 {
		t.Errorf("without a token the focus is on %s and %d questions were asked, want the field, invalid, and none", got, len(b.requests()))
	}

	answer = func() (jwtdiag.Report, error) { return jwtdiag.Report{}, later(90 * time.Second) }
	submit(tab)
	await("Try again in 90 seconds.")
	answer = func() (jwtdiag.Report, error) { panic("no") }
	submit(tab)
	await("broke down")
	tab.Do(fill("tables", strings.Repeat("t,", 21)))
	submit(tab)
	await("names 21 tables")
	shoot(t, tab, "error")
	tab.Do(fill("tables", ""))
	tab.Do(fill("token", strings.Repeat("x", 70000)), chromedp.Click(chromedp.ID("submit")))
	await("That is too much to send")

	// Somebody else's answers.
	fetched := func(script string) {
		browser.Evaluate[any](tab, "window.fetch = async () => { "+script+" }, 1")
		submit(tab)
	}
	fetched(`return new Response("<html>Bad gateway", { status: 502 })`)
	await("answered 502 with something that is no report")
	fetched(`return new Response("{\"message\":\"Forbidden\"}", { status: 403 })`)
	await("does not let this page ask (403)")
	fetched(`return new Response("{}", { status: 200 })`)
	await("answered 200 with something that is no report")
	fetched(`return new Response("{\"verdicts\":1,\"findings\":[null]}", { status: 200 })`)
	await("could not be shown")
	fetched(`throw new TypeError("Failed to fetch")`)
	await("could not be reached")
	wantQuiet(t, tab, "Failed to load resource")
}

func pageCanBeCancelled(t *testing.T, chromium *browser.Browser) {
	began, left := make(chan bool, 1), make(chan error, 1)
	tab, b := visit(t, chromium, func(ctx context.Context, _ jwtdiag.Request) (jwtdiag.Report, error) {
		began <- true
		<-ctx.Done()
		left <- context.Cause(ctx)
		return jwtdiag.Report{}, ctx.Err()
	}, scheme("light"))
	for _, cancel := range []chromedp.Action[chromedp.Void]{
		chromedp.Steps(chromedp.Focus(chromedp.ID("cancel")), chromedp.KeyEvent(kb.Enter)),
		chromedp.KeyEvent(kb.Escape),
	} {
		submit(tab)
		tab.Await(`!document.getElementById("cancel").hidden && ` + statusText + ` === "Checking…"`)
		<-began
		if got := browser.Evaluate[string](tab, `getComputedStyle(document.getElementById("status")).animationName`); got != "none" {
			t.Errorf("where less motion is preferred the status has the animation %q, want none", got)
		}
		// A second one does not start meanwhile.
		tab.Do(chromedp.Click(chromedp.ID("submit")), cancel)
		tab.Await(statusText + ` === "Cancelled." && document.getElementById("cancel").hidden`)
		if got := browser.Evaluate[string](tab, "document.activeElement.id"); got != "submit" {
			t.Errorf("the focus is on %q, want submit", got)
		}
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the diagnosis ended with %v, want it cancelled", err)
		}
	}
	if got := len(b.requests()); got != 2 {
		t.Errorf("%d questions were asked, want 2", got)
	}
	wantQuiet(t, tab)
}

func pageGivesUp(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, func(ctx context.Context, _ jwtdiag.Request) (jwtdiag.Report, error) {
		<-ctx.Done()
		return jwtdiag.Report{}, ctx.Err()
	})
	browser.Evaluate[any](tab, `{ const wait = window.setTimeout; window.setTimeout = (f, ms) => wait(f, ms > 10000 ? 0 : ms); } 1`)
	submit(tab)
	tab.Await(statusText + ` === "There was no answer within 12 seconds. Try again."`)
	wantQuiet(t, tab)
}

// contrasts returns, for every text that can be seen, a line where its colour
// stands out from what is behind it by less than 4.5 to 1, or 3 to 1 for large
// text, after WCAG 2.2; and the same at 3 to 1 for the edges of fields and the
// outline of the one that has the focus.
const contrasts = `(() => {
	const parse = (c) => { const [r, g, b, a = 1] = c.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
	const over = (top, under) => ({ r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1 });
	const light = ({ r, g, b }) => { const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * x + 0.7152 * y + 0.0722 * z; };
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
	const behind = (e) => { const layers = []; for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor)); return layers.reverse().reduce((under, top) => over(top, under), parse("rgb(255, 0, 255)")); };
	const bad = []; let seen = 0;
	for (const e of document.querySelectorAll("body *")) {
		if (!e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
		const style = getComputedStyle(e);
		const field = e.matches("textarea, button:not(.link), input");
		const text = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim()) || e.matches("textarea");
		if (text) {
			seen++;
			const large = parseFloat(style.fontSize) >= 24 || parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700;
			const got = ratio(over(parse(style.color), behind(e)), behind(e));
			if (got < (large ? 3 : 4.5)) bad.push(got.toFixed(2) + " text " + e.tagName + "." + e.className + " " + e.textContent.slice(0, 30));
		}
		if (field && !e.matches("input, .primary")) {
			const got = ratio(parse(style.borderTopColor), behind(e.parentElement));
			if (got < 3) bad.push(got.toFixed(2) + " edge " + e.tagName + "#" + e.id + "." + e.className);
		}
	}
	const token = document.getElementById("token");
	token.focus();
	const outline = ratio(parse(getComputedStyle(token).outlineColor), behind(token.parentElement));
	if (outline < 3) bad.push(outline.toFixed(2) + " outline of what has the focus");
	return seen < 40 ? ["only " + seen + " texts were found"] : bad;
})()`

func pageHasContrast(t *testing.T, chromium *browser.Browser) {
	for _, name := range []string{"light", "dark"} {
		tab, _ := visit(t, chromium, always(full()), scheme(name), chromedp.EmulateViewport(1280, 900))
		tab.Do(fill("symptom", "PGRST303"))
		submit(tab)
		tab.Await(reportShown)
		shoot(t, tab, "report-"+name)
		browser.Evaluate[any](tab, `document.querySelectorAll("details").forEach((d) => { d.open = true; }), 1`)
		if bad := browser.Evaluate[[]string](tab, contrasts); len(bad) > 0 {
			t.Errorf("%s: too little contrast:\n%s", name, strings.Join(bad, "\n"))
		}
		for _, tone := range []string{"warn", "pass", "error"} {
			browser.Evaluate[any](tab, fmt.Sprintf(`document.getElementById("result").dataset.tone = %q, 1`, tone))
			if bad := browser.Evaluate[[]string](tab, contrasts); len(bad) > 0 {
				t.Errorf("%s, %s: too little contrast:\n%s", name, tone, strings.Join(bad, "\n"))
			}
		}
		wantQuiet(t, tab)
	}
}

// overflowing returns what is wider than the page.
const overflowing = `(() => {
	const width = document.documentElement.clientWidth;
	const bad = [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && !e.closest(".unseen, thead") && e.getBoundingClientRect().right > width + 0.5)
		.map((e) => e.tagName + "." + e.className + " reaches " + e.getBoundingClientRect().right + " of " + width);
	if (document.documentElement.scrollWidth > width) bad.push("the page scrolls to " + document.documentElement.scrollWidth + " of " + width);
	return bad.slice(0, 5);
})()`

func wantFits(t *testing.T, tab *browser.Tab) {
	t.Helper()
	if bad := browser.Evaluate[[]string](tab, overflowing); len(bad) > 0 {
		t.Errorf("too wide:\n%s", strings.Join(bad, "\n"))
	}
}

func pageFitsNarrowScreens(t *testing.T, chromium *browser.Browser) {
	for _, test := range []struct {
		name          string
		width, height int64
		scale         float64
		text          string
		report        jwtdiag.Report
	}{
		{"320", 320, 640, 2, "100%", full()},
		{"320 hostile", 320, 640, 2, "100%", hostile()},
		// 1280 pixels at 200 percent.
		{"zoomed", 640, 512, 2, "100%", full()},
		// Text alone twice as large.
		{"large text", 640, 800, 1, "200%", full()},
		{"tablet", 768, 1024, 1, "100%", full()},
	} {
		tab, _ := visit(t, chromium, always(test.report), scheme("light"), chromedp.EmulateViewport(test.width, test.height, chromedp.EmulateScale(test.scale)))
		browser.Evaluate[any](tab, fmt.Sprintf(`document.documentElement.style.fontSize = %q, 1`, test.text))
		wantFits(t, tab)
		tab.Do(fill("symptom", "PGRST303"))
		submit(tab)
		tab.Await(reportShown)
		shoot(t, tab, "narrow-"+strings.ReplaceAll(test.name, " ", "-"))
		browser.Evaluate[any](tab, `document.querySelectorAll("details").forEach((d) => { d.open = true; }), 1`)
		wantFits(t, tab)
		if t.Failed() {
			t.Fatalf("on the screen %q", test.name)
		}
		wantQuiet(t, tab)
	}
}

func pageHasNamesForEverything(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, always(full()))
	submit(tab)
	tab.Await(reportShown)
	for _, test := range []struct{ what, expression string }{
		{"fields without a label", `[...document.querySelectorAll("textarea, input")].filter((e) => !e.labels.length).map((e) => e.id)`},
		{"buttons without a name", `[...document.querySelectorAll("button, summary")].filter((e) => !e.textContent.trim()).map((e) => e.outerHTML)`},
		{"ids that come twice", `[...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)`},
		{"references to nothing", `[...document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")].flatMap((e) => (e.getAttribute("aria-labelledby") ?? e.getAttribute("aria-describedby") ?? e.htmlFor).split(" ")).filter((id) => !document.getElementById(id))`},
		{"headings that skip a level", `[...document.querySelectorAll("h1, h2, h3, h4")].filter((h, i, all) => i > 0 && h.tagName[1] - all[i - 1].tagName[1] > 1).map((h) => h.textContent)`},
		{"targets smaller than 24 pixels", `[...document.querySelectorAll("button, textarea, summary, .filter")].filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24).map((e) => e.outerHTML)`},
		{"boxes that scroll and cannot be reached", `[...document.querySelectorAll("pre")].filter((e) => e.scrollHeight > e.clientHeight + 1 && e.tabIndex < 0).map((e) => e.textContent)`},
	} {
		if got := browser.Evaluate[[]string](tab, test.expression); len(got) > 0 {
			t.Errorf("%s: %q", test.what, got)
		}
	}
	if got := browser.Evaluate[[]int](tab, `["main", "header", "footer", "h1"].map((name) => document.querySelectorAll("body > " + name + ", main > h1").length && document.querySelectorAll(name).length)`); !slices.Equal(got, []int{1, 1, 1, 1}) {
		t.Errorf("main, header, footer and h1 are there %v times, want each once", got)
	}
}

func pagePrintsEverything(t *testing.T, chromium *browser.Browser) {
	tab, _ := visit(t, chromium, always(full()))
	submit(tab)
	tab.Await(reportShown)
	if pdf := browser.Value(tab, chromedp.PrintToPDF()); len(pdf) == 0 {
		t.Error("printing yields nothing")
	}
	opened := browser.Evaluate[[]int](tab, `(() => {
		const open = () => document.querySelectorAll("details[open]").length;
		const before = open(); dispatchEvent(new Event("beforeprint"));
		const printed = open(); dispatchEvent(new Event("afterprint"));
		return [before, printed, open()];
	})()`)
	if want := []int{2, 18, 2}; !slices.Equal(opened, want) {
		t.Errorf("open before, while and after printing = %v, want %v", opened, want)
	}
	tab.Do(browser.Command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}))
	if browser.Evaluate[bool](tab, `document.getElementById("form").checkVisibility()`) {
		t.Error("the form, and the token in it, is printed")
	}
	shoot(t, tab, "print")
}

func pageSendsNothingWithoutJavaScript(t *testing.T, chromium *browser.Browser) {
	tab, b := visit(t, chromium, always(full()), scheme("light"),
		browser.Command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	text := browser.Value(tab, chromedp.Text(chromedp.CSS("main")))
	if !strings.Contains(text, "This page needs JavaScript.") || !strings.Contains(text, "clerksync test-jwt") {
		t.Errorf("the page says %q, want that it needs JavaScript and what to do instead", text)
	}
	shoot(t, tab, "no-script")
	tab.Do(chromedp.WaitNotVisible(chromedp.ID("form")))
	// Should somebody bring the form back, the policy stops it, and its fields have no names.
	names := browser.Value(tab, chromedp.AttributesAll(chromedp.CSSAll("textarea")))
	for _, attributes := range names {
		if _, ok := attributes["name"]; ok {
			t.Errorf("the field %s has a name, under which a form would send it", attributes["id"])
		}
	}
	if got := len(b.requests()); got != 0 {
		t.Errorf("%d questions were asked, want none", got)
	}
}

func pageCannotBeFramed(t *testing.T, chromium *browser.Browser) {
	b := setup(t, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/frame" {
			b.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<iframe src="%s" onload="document.title = 'loaded'"></iframe>`, endpoint.Path)
	}))
	tab := chromium.Open(t)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	tab.Do(chromedp.Navigate(server.URL + "/frame"))
	tab.Await(`document.title === "loaded"`)
	if browser.Evaluate[bool](tab, `document.querySelector("iframe").contentDocument !== null`) {
		t.Error("the page is shown in a frame")
	}
}

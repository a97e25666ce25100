package browser_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"clerksync/shared/testkit/browser"
)

// page does everything that a tab has to complain of.
const page = `<!doctype html><title>Test</title>
<script>document.title = "inline"</script>
<script defer src="page.js"></script>
<button id="b" style="color: red">Press</button>`

const script = `
	fetch("https://elsewhere.example/?q=1").catch(() => {});
	console.warn("careful", 7);
	document.getElementById("b").addEventListener("click", () => { throw new Error("pressed"); });
`

func TestTab_NotesWhatTheDeveloperToolsShow(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'")
			_, _ = w.Write([]byte(page))
		case "/page.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write([]byte(script))
		default:
			http.NotFound(w, r)
		}
	}))
	tab := browser.Start(t).Open(t)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	tab.Do(chromedp.Navigate(server.URL), chromedp.Click(chromedp.ID("b")))
	tab.Await(`document.readyState === "complete"`)

	complaints := strings.Join(tab.Complaints(), "\n")
	for _, want := range []string{
		"violates script-src-elem: inline", "violates style-src-attr: inline", "violates connect-src: https://elsewhere.example/?q=1",
		`console.warning: "careful" 7`, "exception: Uncaught Error: pressed", "issue: ContentSecurityPolicyIssue",
	} {
		if !strings.Contains(complaints, want) {
			t.Errorf("complaints = %s\nwant them to hold %q", complaints, want)
		}
	}
	for _, want := range []browser.Request{{Method: "GET", URL: server.URL + "/"}, {Method: "GET", URL: server.URL + "/page.js"}} {
		if !slices.Contains(tab.Requests(), want) {
			t.Errorf("requests = %v, want %v among them", tab.Requests(), want)
		}
	}
	if got := browser.Evaluate[string](tab, "Promise.resolve(document.title)"); got != "Test" {
		t.Errorf("title = %q, want Test", got)
	}
}

func TestTab_HasAProfileOfItsOwn(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
	}))
	chromium := browser.Start(t)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	for _, name := range []string{"first", "second"} {
		tab := chromium.Open(t)
		tab.Do(chromedp.Navigate(server.URL))
		if got := browser.Evaluate[int](tab, `localStorage.setItem("`+name+`", 1), localStorage.length`); got != 1 {
			t.Errorf("the %s tab has %d items in its storage, want its own", name, got)
		}
	}
}

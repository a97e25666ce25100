// Package browser runs Chromium for tests of pages.
//
//	chromium := browser.Start(t)
//	tab := chromium.Open(t)
//	tab.Do(chromedp.Navigate(server.URL), chromedp.Click(chromedp.ID("submit")))
//	tab.Await(`document.querySelector("h2") !== null`)
//	if complaints := tab.Complaints(); len(complaints) > 0 { … }
//
// Every tab has a profile of its own and notes what a person would see only in
// the developer tools: requests, console messages, exceptions and violations of
// content security policies.
//
// Chromium or Chrome must be on the PATH. A test is skipped where neither is,
// and fails there when CI=true. It runs without its sandbox, which containers
// refuse it, so open only pages that the test serves itself; names other than
// those of this machine do not resolve.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"clerksync/shared/devstack/process"
	"clerksync/shared/testkit/need"
)

// How long things may take: Chromium's start on a cold disk, and what is done
// or awaited in one call.
const (
	startLimit = time.Minute
	callLimit  = time.Minute
)

// names are those under which Chromium is installed.
var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// Browser is a Chromium that runs until the test ends.
type Browser struct{ ctx context.Context }

// Start starts Chromium for a test and its subtests, with an empty profile that
// goes with it. Chromium ends with its pipe, and so with a test that is killed, whose
// profile the next start removes.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := find()
	if err != nil {
		need.Missing(t, err)
	}
	profile, err := process.NewTempDir("clerksync-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile.Path()),
		chromedp.Flag("headless", "new"),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.WSURLReadTimeout(startLimit),
	)
	// The test's own context ends before its cleanup, and Chromium would with it.
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("ending Chromium: %v", err)
		}
		cancel()
		stop()
		// Some of its processes may still write; what is left is removed by the next start.
		_ = profile.Remove()
	})
	// Chromium lives as long as the context of this first call.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return &Browser{ctx}
}

func find() (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser: install Chromium (apt-get install chromium) or Chrome, so that one of %s is on the PATH", strings.Join(names, ", "))
}

// Tab is a tab with a profile of its own. It closes when its test ends.
type Tab struct {
	t   testing.TB
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	requests   []Request
}

// Request is a request that a page made.
type Request struct{ Method, URL string }

// violations tells of content security policies as the page sees them; the log
// leaves out some.
const violations = `addEventListener("securitypolicyviolation", (e) =>
	console.error("violates " + e.effectiveDirective + ": " + e.blockedURI + " " + e.sample), true)`

// Open opens an empty tab.
func (b *Browser) Open(t testing.TB) *Tab {
	t.Helper()
	tab := &Tab{t: t}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(tab.note))
	t.Cleanup(cancel)
	tab.ctx = ctx
	// As Chromium, a tab lives as long as the context of its first call.
	err := chromedp.Do(ctx,
		Command(network.Enable, network.EnableParams{}),
		Command(audits.Enable, cdp.Empty{}),
		// Several tabs can be the one in front.
		Command(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}),
		Command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: violations}),
	)
	if err != nil {
		t.Fatalf("opening a tab: %v", err)
	}
	return tab
}

// Command is an action for a command of the DevTools protocol whose result does
// not matter.
func Command[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, command, params)
		return chromedp.Void{}, err
	}
}

// note keeps what an event tells.
func (tab *Tab) note(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	complain := func(format string, values ...any) {
		tab.complaints = append(tab.complaints, fmt.Sprintf(format, values...))
	}
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		tab.requests = append(tab.requests, Request{e.Request.Method, e.Request.URL})
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		complain("exception: %s", text)
	case *runtime.EventConsoleAPICalled:
		texts := make([]string, len(e.Args))
		for i, argument := range e.Args {
			if texts[i] = string(argument.Value); texts[i] == "" {
				texts[i] = argument.Description // of what is no JSON
			}
		}
		complain("console.%s: %s", e.Type, strings.Join(texts, " "))
	case *log.EventEntryAdded:
		complain("%s %s: %s %s", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *audits.EventIssueAdded:
		complain("issue: %s", e.Issue.Code)
	}
}

// Do does things in the tab, and fails the test where one does not succeed in
// time. Actions that need an element wait for it.
func (tab *Tab) Do(actions ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	for i, action := range actions {
		if _, err := run(tab, action); err != nil {
			tab.t.Fatalf("action %d of %d: %v; complaints: %q", i+1, len(actions), err, tab.Complaints())
		}
	}
}

// Await waits until an expression is true in the page.
func (tab *Tab) Await(expression string) {
	tab.t.Helper()
	// Not chromedp's Poll: it makes a function from text, which policies forbid.
	promise := "new Promise((resolve) => { const look = () => (" + expression + ") ? resolve(true) : setTimeout(look, 10); look(); })"
	if _, err := run(tab, chromedp.Evaluate[bool](promise, chromedp.EvalAwaitPromise)); err != nil {
		text, _ := run(tab, chromedp.Evaluate[string]("document.body.innerText"))
		tab.t.Fatalf("awaiting %s: %v; complaints: %q; the page:\n%s", expression, err, tab.Complaints(), text)
	}
}

// Value returns what an action returns, and fails the test where it does not
// succeed in time.
func Value[T any](tab *Tab, action chromedp.Action[T]) T {
	tab.t.Helper()
	value, err := run(tab, action)
	if err != nil {
		tab.t.Fatalf("%v; complaints: %q", err, tab.Complaints())
	}
	return value
}

// Evaluate returns the value of an expression in the page. A promise is awaited.
func Evaluate[T any](tab *Tab, expression string) T {
	tab.t.Helper()
	return Value(tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

func run[T any](tab *Tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeoutCause(tab.ctx, callLimit, fmt.Errorf("the page did not get there within %s", callLimit))
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return value, err
}

// Complaints are the messages that the developer tools show.
func (tab *Tab) Complaints() []string {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.complaints)
}

// Requests are all that the tab's pages asked for, in order.
func (tab *Tab) Requests() []Request {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	return slices.Clone(tab.requests)
}

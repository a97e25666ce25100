package createwebhooks_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/webhook"
)

// A stranger whose instance has no webhooks at all: one command, and what has to be given.
func TestCreateWebhooks_TakesAStrangerToAFirstProvedDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint(one) // which the person makes when the portal is open
	code, _, shown := clitest.AtTerminal[program](t, w.settings, nil, []clitest.Answer{
		{Asks: "Where does the endpoint answer?", Typed: w.url},
		{Asks: "Svix app will be made. Go on?", Typed: "y"},
		{Asks: "Signing secret of the endpoint", Typed: " " + one + "  "},
		{Asks: "goes into .env", Typed: "y"},
		{Asks: "an organization is made and deleted at once. Go on?", Typed: "y"},
	}, "create-webhooks", "--into", w.env)
	if code != commandline.ExitOK {
		t.Fatalf("exit %d\n%s", code, shown)
	}
	for _, part := range []string{"organizationMembership.deleted", w.url, "https://", "made and deleted the organization org_"} {
		if !strings.Contains(shown, part) {
			t.Errorf("the terminal does not show %q:\n%s", part, shown)
		}
	}
	if got := w.file()["CLERK_WEBHOOK_SIGNING_SECRET"]; got != one {
		t.Errorf("the file has another secret than the one that was typed")
	}
	if strings.Contains(shown, one) || strings.Contains(shown, clitest.ClerkKey) {
		t.Errorf("a secret is shown:\n%s", shown)
	}
	if made, deleted := w.asked("POST /v1/organizations"), w.asked("DELETE /v1/organizations/"); made != 1 || deleted != 1 {
		t.Errorf("%d organizations were made and %d deleted, want one", made, deleted)
	}
	if info, err := os.Stat(w.env); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v, want 0600", info.Mode(), err)
	}

	// What was written is on record, for uninstall.
	state, err := setup.NewStateFile(filepath.Dir(w.env)).Read()
	if err != nil || len(state.Settings) != 1 || state.Settings[0].Key != "CLERK_WEBHOOK_SIGNING_SECRET" || strings.Contains(fmt.Sprintf("%+v", state), "AAAA") {
		t.Errorf("the record has %+v, %v, want the setting without its value", state.Settings, err)
	}

	// The second time everything is there.
	got := w.run("--wait", "0s")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "organization.") || strings.Contains(got.Stdout+got.Stderr, one) {
		t.Errorf("the second time: %+v", got)
	}
}

func TestCreateWebhooks_SaysUnknownWhereNoDeliveryIsVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.endpoint(one)
	given := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(given, []byte(two+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The secret is that of another endpoint.
	got := w.run("--url", w.url, "--secret-file", given, "--yes", "--provoke", "--wait", "1ms")
	if got.Code != commandline.ExitUnknown || !strings.Contains(got.Stderr, "401 says") || !strings.Contains(got.Stdout, "nothing yet") {
		t.Errorf("%+v, want 3 and where to look", got)
	}
	if made, deleted := w.asked("POST /v1/organizations"), w.asked("DELETE /v1/organizations/"); made != 1 || deleted != 1 {
		t.Errorf("%d organizations were made and %d deleted, want one", made, deleted)
	}
	// Nothing asks Clerk to change anything unless that is wanted.
	if got := w.run("--wait", "1ms", "--yes"); got.Code != commandline.ExitUnknown || w.asked("POST /v1/organizations") != 1 {
		t.Errorf("%+v, want 3 and no further organization", got)
	}
	w.endpoint(two)
	w.happens()
	got = w.run("--json", "--wait", "0s")
	var result struct {
		SignedWith string `json:"signed_with"`
		Proof      struct{ Type string }
		Coverage   struct{ Unseen []string }
	}
	if err := json.Unmarshal([]byte(got.Stdout), &result); err != nil || got.Code != commandline.ExitOK || result.Proof.Type != "user.created" ||
		result.SignedWith != webhook.Fingerprint(secret.New(two)) {
		t.Errorf("once it has come: %+v, %v", got, err)
	}
}

func TestCreateWebhooks_RefusesWhatIsNoSigningSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, typed := range map[string]string{
		"an API key": clitest.ClerkKey, "cut short": one[:20], "spaces within": one[:20] + " " + one[20:], "the endpoint's id": "ep_2abcdefghijklmnopqrstuvwxyz0",
		"nothing": "", "two of them": one + "," + two,
	} {
		given := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(given, []byte(typed), 0o600); err != nil {
			t.Fatal(err)
		}
		got := w.run("--url", w.url, "--secret-file", given, "--yes")
		if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "this is no signing secret") || !strings.Contains(got.Stderr, "begins with whsec_") ||
			typed != "" && strings.Contains(got.Stderr, typed) || w.file() != nil {
			t.Errorf("%s: %+v, file %v", name, got, w.file())
		}
	}
}

func TestCreateWebhooks_RefusesAnAddressThatWouldGetNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elsewhere := httptest.NewServer(http.RedirectHandler(w.url, http.StatusPermanentRedirect))
	defer elsewhere.Close()
	page := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("<html>")) }))
	defer page.Close()
	for address, want := range map[string]string{
		elsewhere.URL: "redirects", page.URL: "Something else answers", "http://127.0.0.1:1/": "Nothing answers", w.url + "/a": "no endpoint", "ftp://x": "not usable",
	} {
		got := w.run("--url", address, "--yes")
		if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, want) || w.asked("POST /v1/webhooks/svix") > 0 {
			t.Errorf("%s: %+v, want %q and nothing made", address, got, want)
		}
	}
	if got := w.run(); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "--url") {
		t.Errorf("without an address: %+v", got)
	}
	if got := w.run("--url", w.url); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "--yes") || w.asked("POST /v1/webhooks/svix") > 0 {
		t.Errorf("without consent: %+v", got)
	}
}

func TestRotate_EndsWhenTheOldSecretWasSilentForARetrySchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settingsFile(one)
	w.endpoint(one)
	w.happens()
	given := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(given, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Duration(0)
	rotate := func(args ...string) clitest.Result {
		t.Helper()
		c := console.Console{Now: func() time.Time { return time.Now().Add(later) }}
		return clitest.On[program](t.Context(), c, w.settings, append([]string{"create-webhooks", "--into", w.env, "--rotate", "--yes"}, args...)...)
	}
	live := func() string { return w.file()["CLERK_WEBHOOK_SIGNING_SECRET"] }

	got := rotate("--secret-file", given)
	if got.Code != commandline.ExitOK || live() != two+","+one || !strings.Contains(got.Stdout, "keep the old endpoint") {
		t.Fatalf("begun: %+v, %d secrets are live", got, strings.Count(live(), "whsec_"))
	}
	// However long it waits: nothing has come with the new one.
	later = 100 * time.Hour
	if got = rotate(); live() != two+","+one || !strings.Contains(got.Stdout, "has verified nothing") {
		t.Errorf("before the new one is proved: %+v", got)
	}
	later = 0
	w.endpoint(two)
	w.happens()
	if got = rotate(); live() != two+","+one || !strings.Contains(got.Stdout, "delete the old endpoint") || !strings.Contains(got.Stdout, "27h35m") {
		t.Errorf("with both live: %+v", got)
	}
	w.remove(one)
	w.happens()
	later = 27 * time.Hour
	if got = rotate(); live() != two+","+one || got.Code != commandline.ExitOK {
		t.Errorf("after 27 hours: %+v", got)
	}
	later = 28 * time.Hour
	got = rotate()
	if got.Code != commandline.ExitOK || live() != two || !strings.Contains(got.Stdout, "done: the old secret is taken away") {
		t.Errorf("after 28 hours: %+v", got)
	}
	if strings.Contains(got.Stdout+got.Stderr, "whsec_") {
		t.Errorf("a secret is shown: %+v", got)
	}
	state, err := os.ReadFile(filepath.Join(filepath.Dir(w.env), ".clerksync", "setup.json"))
	if err != nil || strings.Contains(string(state), "whsec_") || strings.Contains(string(state), "rotation") {
		t.Errorf("the state afterwards: %s, %v", state, err)
	}
	if got = rotate("--finish"); got.Code != commandline.ExitFailed {
		t.Errorf("--finish with none under way: %+v", got)
	}
}

func TestRotate_EndsEarlyOnlyWhenAPersonSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settingsFile(one)
	given := filepath.Join(t.TempDir(), "secret")
	for _, typed := range []string{one, "sk_" + "live_x"} {
		if err := os.WriteFile(given, []byte(typed), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := w.run("--rotate", "--yes", "--secret-file", given); got.Code != commandline.ExitFailed || w.file()["CLERK_WEBHOOK_SIGNING_SECRET"] != one {
			t.Errorf("with the secret in use, or none: %+v", got)
		}
	}
	if err := os.WriteFile(given, []byte(two), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.run("--rotate", "--secret-file", given); got.Code != commandline.ExitUsage || w.file()["CLERK_WEBHOOK_SIGNING_SECRET"] != one {
		t.Errorf("without consent: %+v", got)
	}
	if got := w.run("--rotate", "--yes", "--secret-file", given); got.Code != commandline.ExitOK {
		t.Fatalf("begun: %+v", got)
	}
	if got := w.run(); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "--rotate") {
		t.Errorf("a first endpoint while one is rotated: %+v", got)
	}
	got := w.run("--rotate", "--yes", "--finish")
	if got.Code != commandline.ExitOK || w.file()["CLERK_WEBHOOK_SIGNING_SECRET"] != two || !strings.Contains(got.Stderr, "may still be needed") {
		t.Errorf("--finish: %+v", got)
	}

	// Ended between its two writes, it is not begun again.
	if got := w.run("--rotate", "--yes", "--secret-file", w.written(three)); got.Code != commandline.ExitOK {
		t.Fatalf("a second one: %+v", got)
	}
	w.settingsFile(three)
	if got := w.run("--rotate", "--yes"); got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "the rotation is done") || w.file()["CLERK_WEBHOOK_SIGNING_SECRET"] != three {
		t.Errorf("after a kill: %+v", got)
	}
	w.settingsFile("")
	if got := w.run("--rotate", "--yes"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "nothing to rotate") {
		t.Errorf("without a first: %+v", got)
	}
}

package createwebhooks_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
)

// standIn is a path with a program of the name of Clerk's CLI.
func standIn(t *testing.T, script string) (path string) {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "clerk"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "none") + string(os.PathListSeparator) + folder
}

func TestCreateWebhooks_TellsOfRoutesThatNoSpecificationHas(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{
		`[ "$*" = "api ls webhook" ] || exit 9; [ "$CLERK_TELEMETRY_DISABLED" = 1 ] || exit 9
printf 'POST    /webhooks/svix\nPOST /v1/webhooks/svix_url\nDELETE /webhooks/svix\nPOST   /v1/webhooks/endpoints  Create an endpoint\n'`: "Clerk's CLI lists POST /webhooks/endpoints, which no published specification has",
		`printf 'POST /webhooks/svix\n'`: "",
		`exit 1`:                         "is not known: its CLI did not list",
		`head -c 1000000 /dev/zero`:      "",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.settings["PATH"] = standIn(t, script)
			got := w.run("--url", w.url, "--secret-file", w.written(one), "--yes", "--wait", "1ms")
			if got.Code != commandline.ExitUnknown || !strings.Contains(got.Stderr, want) || want == "" && strings.Contains(got.Stderr, "CLI") {
				t.Errorf("%+v, want %q", got, want)
			}
			if w.asked("POST /v1/webhooks/endpoints") > 0 {
				t.Error("a route was called that no specification has")
			}
		})
	}
}

func TestLocal_RunsClerksOwnRelayUntilInterrupted(t *testing.T) {
	t.Parallel()
	path := standIn(t, `trap 'echo bye; exit 0' INT; echo "forwarding: $*"; while :; do sleep 0.1; done`)
	ctx, interrupt := context.WithCancel(t.Context())
	terminal := clitest.NewTerminal(nil)
	c := terminal.Console(false)
	done := make(chan error, 1)
	var got clitest.Result
	go func() {
		got = clitest.On[program](ctx, console.Console{Stdout: c.Stdout, Stderr: c.Stderr}, map[string]string{"PATH": path}, "create-webhooks", "--local", "--url", "http://127.0.0.1:8080/x")
		close(done)
	}()
	terminal.Await(t, "the relay", done, func() bool {
		return strings.Contains(terminal.Stdout(), "forwarding: webhooks listen --forward-to http://127.0.0.1:8080/x")
	})
	interrupt()
	<-done
	if got.Code != commandline.ExitInterrupted || !strings.Contains(terminal.Stdout(), "bye") {
		t.Errorf("%+v\n%s", got, terminal.Stdout())
	}
}

func TestLocal_SaysHowToInstallWhatIsMissing(t *testing.T) {
	t.Parallel()
	got := clitest.Run[program](t, map[string]string{"PATH": t.TempDir()}, "create-webhooks", "--local")
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "npm install --global clerk") {
		t.Errorf("%+v", got)
	}
}

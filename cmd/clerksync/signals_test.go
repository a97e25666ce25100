package main

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/need"
)

// process is the program with nothing but settings in its environment.
func process(t *testing.T, term *clitest.Terminal, settings map[string]string, shell string, args ...string) *exec.Cmd {
	t.Helper()
	path := lambdatest.Build(t, "clerksync/cmd/clerksync")
	child := exec.Command("/bin/sh", append([]string{"-c", shell, path}, args...)...)
	streams := term.Console(false)
	child.Stdout, child.Stderr = streams.Stdout, streams.Stderr
	child.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	for key, value := range settings {
		child.Env = append(child.Env, key+"="+value)
	}
	t.Cleanup(func() {
		if child.Process != nil && child.ProcessState == nil {
			_ = child.Process.Kill()
		}
	})
	return child
}

// await is what a process ends with.
func await(child *exec.Cmd) <-chan error {
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	return done
}

// A terminal that is closed, a reader that goes away and a service manager end a full
// sync as Ctrl-C does: it gives its lock back. What is ignored from the start, as nohup
// has it, ends nothing.
func TestSyncUsers_EndsInOrder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		shell string
		end   func(child *exec.Cmd, reader *os.File) error
		code  int
	}{
		"its terminal is closed": {`exec "$0" "$@"`, func(child *exec.Cmd, _ *os.File) error { return child.Process.Signal(syscall.SIGHUP) }, commandline.ExitInterrupted},
		"it is stopped":          {`exec "$0" "$@"`, func(child *exec.Cmd, _ *os.File) error { return child.Process.Signal(syscall.SIGTERM) }, commandline.ExitInterrupted},
		"nohup": {`trap "" HUP; exec "$0" "$@"`, func(child *exec.Cmd, _ *os.File) error {
			return errors.Join(child.Process.Signal(syscall.SIGHUP), child.Process.Signal(syscall.SIGHUP))
		}, commandline.ExitOK},
		"its reader goes away": {`exec "$0" "$@" 2>&1`, func(_ *exec.Cmd, reader *os.File) error { return reader.Close() }, commandline.ExitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reached, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			p := clitest.NewPair[program](t, 40, backendapi.Options{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.HasSuffix(r.URL.Path, "/organization_memberships") {
					once.Do(func() { close(reached) })
					select {
					case <-release:
					case <-r.Context().Done():
						return
					}
				}
				next.ServeHTTP(w, r)
			}})
			term := clitest.NewTerminal(nil)
			child := process(t, term, p.Settings, test.shell, "sync-users")
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			if strings.Contains(test.shell, "2>&1") {
				child.Stdout = writer
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			writer.Close()
			done := await(child)
			<-reached
			if err := test.end(child, reader); err != nil {
				t.Fatal(err)
			}
			if test.code == commandline.ExitOK || strings.Contains(test.shell, "2>&1") {
				// It goes on, and a reader that is gone is noticed by what is written next.
				close(release)
			}
			<-done
			if code := child.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit %d, want %d\n%s%s", code, test.code, term.Stdout(), term.Stderr())
			}
			if n := p.Count(t, "clerk_sync.sync_runs where state = 'running'"); n != 0 {
				t.Errorf("%d runs are still at work, want the lock given back", n)
			}
		})
	}
}

func TestDev_EndsInOrderWithItsTerminal(t *testing.T) {
	t.Parallel()
	term := clitest.NewTerminal(nil)
	child := process(t, term, nil, `exec "$0" "$@"`, "dev", "--addr", "127.0.0.1:0")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	done := await(child)
	term.Await(t, "the first line", done, func() bool {
		return strings.Contains(term.Stdout(), "\n") || strings.Contains(term.Stderr(), "no PostgreSQL server found")
	})
	if !strings.Contains(term.Stdout(), "\n") {
		need.Missing(t, term.Stderr())
	}
	// A shell repeats what the terminal has said.
	if err := errors.Join(child.Process.Signal(syscall.SIGHUP), child.Process.Signal(syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
	<-done
	folder := regexp.MustCompile(`--env-file (\S+)/stack\.env`).FindStringSubmatch(term.Stderr())
	if folder == nil {
		t.Fatalf("the banner names no folder:\n%s", term.Stderr())
	}
	_, err := os.Stat(folder[1])
	if code := child.ProcessState.ExitCode(); code != commandline.ExitOK || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("exit %d, and of %s is left: %v\n%s", code, folder[1], err, term.Stderr())
	}
}

// Package testkit_test holds what is true of all rooms of the test kit.
package testkit_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/browser"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) {
	code := testdb.Main(m)
	moto.Stop()
	os.Exit(code)
}

// doomedVariable makes a test start the thing that it names and wait to be killed.
const doomedVariable = "CLERKSYNC_TESTKIT_TEST_DOOMED"

// started is what a doomed test prints.
const started = "started and waiting"

// things are what tests start.
var things = map[string]func(testing.TB){
	"a function": func(t testing.TB) {
		t.Helper()
		lambdatest.Start(t, lambdatest.Build(t, "clerksync/shared/testkit/lambdatest/testdata/deaf"), nil)
	},
	"a server": func(t testing.TB) {
		t.Helper()
		testdb.StartServer(t, postgres.Options{InMemory: true})
	},
	"a pooler": func(t testing.TB) {
		t.Helper()
		pooler, err := pgbouncer.Start(t.Context(), pgbouncer.Options{Port: 1, AuthUser: "postgres"})
		need.Success(t, err, pgbouncer.ErrNotFound)
		t.Cleanup(func() { _ = pooler.Kill() })
	},
	"moto": func(t testing.TB) {
		t.Helper()
		moto.Start(t)
	},
	"Chromium": func(t testing.TB) {
		t.Helper()
		browser.Start(t).Open(t)
	},
}

// What a killed test has started ends with it, and the folders that it had are removed when
// the same is started next.
func TestWhatAKilledTestHasStartedEndsWithIt(t *testing.T) {
	t.Parallel()
	for name, start := range things {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Getenv(doomedVariable) == name {
				start(t)
				fmt.Fprintln(os.Stderr, started)
				select {}
			}
			doomed := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWhatAKilledTestHasStartedEndsWithIt$/^"+strings.ReplaceAll(name, " ", "_")+"$", "-test.v")
			doomed.Env = append(os.Environ(), doomedVariable+"="+name)
			output, write := io.Pipe()
			doomed.Stdout, doomed.Stderr = write, write
			if err := doomed.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() {
				_ = doomed.Wait() // says that it was killed
				_ = write.Close()
				close(ended)
			}()
			said := ""
			for lines := bufio.NewScanner(output); !strings.Contains(said, started) && lines.Scan(); {
				said += lines.Text() + "\n"
			}
			if !strings.Contains(said, started) {
				// It may lack what this machine lacks.
				if strings.Contains(said, "--- SKIP") {
					need.Missing(t, said)
				}
				t.Fatalf("the doomed test started nothing:\n%s", said)
			}
			children, folders := descendants(t, doomed.Process.Pid)
			// A function is started from Go's cache.
			if len(children) == 0 || len(folders) == 0 && name != "moto" && name != "a function" {
				t.Errorf("it has started the processes %v, with the folders %v", children, folders)
			}
			if err := doomed.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, output) }()
			<-ended
			awaitEnd(t, children)

			// A young folder without a lock may be about to get one.
			old := time.Now().Add(-time.Hour)
			for _, folder := range folders {
				if err := os.Chtimes(folder, old, old); err != nil && !os.IsNotExist(err) {
					t.Error(err)
				}
			}
			start(t)
			for _, folder := range folders {
				if _, err := os.Stat(folder); !os.IsNotExist(err) {
					t.Errorf("%s was left by the killed test, and by the one after it", folder)
				}
			}
		})
	}
}

var temporary = regexp.MustCompile(`/\S*/clerksync-[a-z]+-[0-9]+`)

// descendants are the processes that one has started, and those that they have, with the
// temporary folders that they were told of.
func descendants(t *testing.T, of int) (pids []int, folders []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-ww", "-eo", "pid=,ppid=,args=").Output()
	if err != nil {
		t.Fatal(err)
	}
	known := map[int]bool{of: true}
	// Children may stand before their parents.
	for more := true; more; {
		more = false
		for line := range strings.Lines(string(out)) {
			var pid, parent int
			if _, err := fmt.Sscan(line, &pid, &parent); err != nil {
				t.Fatal(err)
			}
			if known[parent] && !known[pid] {
				known[pid], more = true, true
				pids, folders = append(pids, pid), append(folders, temporary.FindAllString(line, -1)...)
			}
		}
	}
	slices.Sort(folders)
	return pids, slices.Compact(folders)
}

// awaitEnd waits until none of the processes runs.
func awaitEnd(t *testing.T, pids []int) {
	t.Helper()
	const tries = 2000
	for range tries {
		pids = slices.DeleteFunc(pids, func(pid int) bool {
			state, err := exec.CommandContext(t.Context(), "ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
			return err != nil || strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
		})
		if len(pids) == 0 {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	out, err := exec.CommandContext(t.Context(), "ps", "-eo", "pid,ppid,args").Output()
	t.Fatalf("%v run on: %v\n%s", pids, err, out)
}

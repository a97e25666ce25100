package process_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"clerksync/shared/devstack/process"
)

// roleVariable makes this test binary play a part in a test instead of running
// tests.
const roleVariable = "CLERKSYNC_PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "parent":
		parent()
	case "watched":
		watched()
	case "folder":
		folder()
	}
}

// parent starts a child that sleeps, says which, and waits to be killed.
func parent() {
	child, err := process.Start(exec.Command("sleep", "300"), process.Identity{}, syscall.SIGTERM)
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("child " + strconv.Itoa(child.PID()) + "\n")
	select {}
}

// watched is parent where the kernel tells the child nothing, which is deaf to what
// should end it and has a child of its own.
func watched() {
	cmd := exec.Command("sh", "-c", `trap "" INT; sleep 300 & echo "$!"; wait; exec sleep 300`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		panic(err)
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	grandchild, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		panic(err)
	}
	if _, err := process.Watch(cmd.Process.Pid, syscall.SIGINT); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("child " + strconv.Itoa(cmd.Process.Pid) + " " + grandchild)
	select {}
}

// folder makes a temporary folder and dies without removing it.
func folder() {
	dir, err := process.NewTempDir("clerksync-swept-")
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(dir.Path() + "\n")
}

func TestStart_IsNeverRoot(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]process.Mode{
		"auto": process.Auto, "namespace": process.Namespace, "other user": process.OtherUser,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, err := process.Identify(t.Context(), mode)
			if err != nil && mode == process.Namespace {
				t.Skipf("this machine forbids user namespaces, which the other mode is for: %v", err)
			}
			if err != nil {
				t.Fatalf("Identify(%s) = %v", name, err)
			}
			child, err := process.Start(exec.Command("id", "-u"), id, syscall.SIGKILL)
			if err != nil {
				t.Fatalf("Start as %s = %v", id, err)
			}
			if err := child.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := strings.TrimSpace(child.Log().String())
			if got == "" || got == "0" {
				t.Errorf("user id of a child as %s = %q, want any but 0", id, got)
			}
		})
	}
}

func TestStart_ReportsAMissingProgram(t *testing.T) {
	t.Parallel()
	_, err := process.Start(exec.Command("/nonexistent/server"), process.Identity{}, syscall.SIGKILL)
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start of a missing program = %v, want %v", err, os.ErrNotExist)
	}
}

func TestStart_ChildDiesWithAKilledParent(t *testing.T) {
	t.Parallel()
	for name, role := range map[string]string{"as started": "parent", "without the kernel's help, deaf": "watched"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), roleVariable+"="+role)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatalf("the helper said nothing: %v", err)
			}
			children := strings.Fields(strings.TrimPrefix(line, "child "))
			for _, child := range children {
				if !running(child) {
					t.Fatalf("child %s does not run before its parent is killed", child)
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // says that it was killed
			for _, child := range children {
				await(t, "the child to die", func() bool { return !running(child) })
			}
		})
	}
}

// What watches over a child ends with it.
func TestStart_LeavesNoWatch(t *testing.T) {
	t.Parallel()
	child := exec.Command("sleep", "300")
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	over, err := process.Watch(child.Process.Pid, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	over() // returns once it is gone
	if !running(strconv.Itoa(child.Process.Pid)) {
		t.Error("the watch that was told of its end has ended the child")
	}
	_ = child.Process.Kill()
	_ = child.Wait() // says that it was killed
}

func TestStop_KillsAChildThatDoesNotListen(t *testing.T) {
	t.Parallel()
	child, err := process.Start(exec.Command("sh", "-c", `trap "" INT; echo deaf; exec sleep 300`), process.Identity{}, syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the child to stop listening", func() bool { return strings.Contains(child.Log().String(), "deaf") })

	tooLong := errors.New("it took too long")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, tooLong)
	defer cancel()
	if err := child.Stop(ctx, syscall.SIGINT); !errors.Is(err, tooLong) {
		t.Errorf("Stop of a deaf child = %v, want %v", err, tooLong)
	}
	select {
	case <-child.Done():
	default:
		t.Error("the child runs after Stop")
	}
	if err := child.Stop(t.Context(), syscall.SIGINT); err != nil {
		t.Errorf("Stop of a child that has ended = %v, want nil", err)
	}
}

func TestRun_ReportsWhatAFailedProgramPrinted(t *testing.T) {
	t.Parallel()
	err := process.Run(t.Context(), exec.Command("sh", "-c", "echo the reason >&2; exit 3"), process.Identity{})
	if err == nil || !strings.Contains(err.Error(), "the reason") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Run of a failing program = %v, want its status and what it printed", err)
	}
}

func TestIdentity_ReachLooksAtTheWholeWay(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root starts servers as somebody else")
	}
	id, err := process.Identify(t.Context(), process.OtherUser)
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the folder above it is closed to others.
	home, err := os.MkdirTemp("/tmp", "clerksync-reach-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	inner := filepath.Join(home, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	// MkdirTemp makes folders for their owner alone.
	if err := id.Reach(inner); err == nil || !strings.Contains(err.Error(), home+" ") {
		t.Errorf("Reach below a closed folder = %v, want an error that names %s", err, home)
	}
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := id.Reach(inner); err != nil {
		t.Errorf("Reach below open folders = %v, want nil", err)
	}
	if err := os.Chmod(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := id.Own(inner); err != nil {
		t.Fatal(err)
	}
	if err := id.Reach(inner); err != nil {
		t.Errorf("Reach of a closed folder after Own = %v, want nil", err)
	}
}

func TestNewTempDir_SweepsAfterTheDeadOnly(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=folder")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dead := strings.TrimSpace(string(out))
	live, err := process.NewTempDir("clerksync-swept-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = live.Remove() })
	if _, err := os.Stat(dead); err != nil {
		t.Fatalf("a young folder was swept: %v", err)
	}
	// A folder without a lock may be a moment old and about to be locked.
	old := time.Now().Add(-time.Hour)
	for _, dir := range []string{dead, live.Path()} {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}

	next, err := process.NewTempDir("clerksync-swept-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a dead process: %v, want it gone", err)
	}
	if _, err := os.Stat(live.Path()); err != nil {
		t.Errorf("the folder of a live process: %v, want it there", err)
	}
	if err := next.Remove(); err != nil {
		t.Errorf("Remove = %v", err)
	}
	if err := next.Remove(); err != nil {
		t.Errorf("second Remove = %v, want nil", err)
	}
}

func TestLog_KeepsTheEnd(t *testing.T) {
	t.Parallel()
	var log process.Log
	for range 3000 {
		if _, err := log.Write([]byte(strings.Repeat("x", 49) + "\n")); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = log.Write([]byte("second last\nlast\n"))
	if got, want := len(log.String()), 64<<10; got != want {
		t.Errorf("kept %d bytes of 150 kB, want %d", got, want)
	}
	if got, want := log.Tail(2), "second last\nlast"; got != want {
		t.Errorf("Tail(2) = %q, want %q", got, want)
	}
}

// running reports whether a process exists and is no zombie.
func running(pid string) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", pid).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(state)), "Z")
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

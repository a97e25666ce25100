package dev

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/need"
)

// No process can clean up after its own SIGKILL: the kernel has to, and what waits for that.
func TestDev_KilledLeavesNothing(t *testing.T) {
	t.Parallel()
	term, child, done := startBuilt(t)
	left := descendants(t, child.Process.Pid)
	if len(left) < 2 {
		t.Fatalf("the stack consists of the processes %v, want at least PostgreSQL and what watches over it", left)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-done
	awaitClosed(t, postgresAddress(t, term.Stderr()))
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		left = slices.DeleteFunc(left, func(pid int) bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(stat), ") Z ")
		})
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the processes %v run 30 s after the stack was killed", left)
		}
	}
}

// startBuilt starts the stack as a process of its own, and waits for its first line.
func startBuilt(t *testing.T, flags ...string) (*clitest.Terminal, *exec.Cmd, <-chan error) {
	t.Helper()
	program := lambdatest.Build(t, "clerksync/cmd/clerksync")
	args := append([]string{"dev", "--addr", "127.0.0.1:0"}, flags...)
	if cmd := command(); cmd.Postgres != "" {
		args = append(args, "--postgres", cmd.Postgres)
	}
	term := clitest.NewTerminal(nil)
	child := exec.Command(program, args...)
	streams := term.Console(false)
	child.Stdout, child.Stderr = streams.Stdout, streams.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	t.Cleanup(func() { _ = child.Process.Kill() })
	term.Await(t, "the first line", done, func() bool {
		return strings.Contains(term.Stdout(), "\n") || strings.Contains(term.Stderr(), "no PostgreSQL server found")
	})
	if !strings.Contains(term.Stdout(), "\n") {
		need.Missing(t, term.Stderr())
	}
	return term, child, done
}

// What the kernel does about a stack that was killed takes a moment, in which its data is
// still in use.
func TestDev_GoesOnWithTheDataOfOneThatWasKilled(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	term, child, done := startBuilt(t, "--data", data)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-done
	cmd := command()
	cmd.Data, cmd.Duration = console.Path(data), time.Second
	again := clitest.NewTerminal(nil)
	if err := cmd.Run(t.Context(), again.Console(true)); err != nil {
		t.Errorf("dev --data again = %v; stderr:\n%s\nbefore:\n%s", err, again.Stderr(), term.Stderr())
	}
}

// descendants are the processes that one has started, and those that they have.
func descendants(t *testing.T, of int) []int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-eo", "pid=,ppid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	known := map[int]bool{of: true}
	var found []int
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
				found = append(found, pid)
			}
		}
	}
	return found
}

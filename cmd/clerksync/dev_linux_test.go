package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Nobody can clean up after SIGKILL: the kernel has to.
func TestDev_KilledLeavesNoPostgres(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "clerksync")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	args := []string{"dev", "--addr", "127.0.0.1:0"}
	if cmd := command(); cmd.Postgres != "" {
		args = append(args, "--postgres", cmd.Postgres)
	}
	term := newTerminal(nil)
	child := exec.Command(program, args...)
	child.Stdout, child.Stderr = stream{term, &term.out}, stream{term, &term.err}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	t.Cleanup(func() { _ = child.Process.Kill() })
	term.await(t, "the first line", done, func() bool {
		return strings.Contains(term.stdout(), "\n") || strings.Contains(term.stderr(), "no PostgreSQL server found")
	})
	if !strings.Contains(term.stdout(), "\n") {
		t.Skip(term.stderr())
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-done
	awaitClosed(t, postgresAddress(t, term.stderr()))
}

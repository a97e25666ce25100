// Package process starts a server as a child that is never root and, on Linux,
// never outlives its parent.
//
// Choose who the server runs as, hand it the files it writes, start it:
//
//	id, err := process.Identify(ctx, process.Auto)
//	dir, err := process.NewTempDir("clerksync-postgres-")
//	err = id.Own(dir.Path())
//	child, err := process.Start(exec.Command(binary, args...), id, syscall.SIGINT)
//
// A child ends with its parent, also with one that was killed with SIGKILL: on Linux
// the kernel tells it, and everywhere a shell beside it that waits for that. The
// temporary folders of such parents are removed by the next [NewTempDir].
//
// Limits: Linux and macOS.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// ErrEnded is returned for a child that is gone although it was still needed.
var ErrEnded = errors.New("the process has ended")

// Process is a started child.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	log  *Log
}

// Start runs cmd as id. What it prints is kept in [Process.Log], unless cmd says where
// that goes. The signal
// parentDeath reaches it when this process dies, however that happens.
// The context of cmd, if it has one, ends the child; use [exec.Command] for a
// server.
func Start(cmd *exec.Cmd, id Identity, parentDeath syscall.Signal) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{}), log: &Log{}}
	if cmd.Stdout == nil && cmd.Stderr == nil {
		cmd.Stdout, cmd.Stderr = p.log, p.log
	}
	// Grandchildren hold the pipe of the log too; a child that was killed must
	// not keep Wait waiting for them.
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = attributes(id, parentDeath)
	if cmd.SysProcAttr == nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(cmd.Path), errNoNamespace)
	}

	started := make(chan error)
	go func() {
		// The kernel counts the death of the thread that made the child, not
		// of the process: this thread stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		over := func() {}
		if err == nil {
			if over, err = watch(cmd.Process.Pid, parentDeath); err != nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // it was killed
			}
		}
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		over()
		close(p.done)
	}()
	err := <-started
	if errors.Is(err, syscall.EPERM) && id.mode == OtherUser {
		return nil, fmt.Errorf("starting %s as %s: %w: root may not become another user here, so run as an ordinary user", filepath.Base(cmd.Path), id, err)
	}
	if err != nil {
		return nil, fmt.Errorf("starting %s as %s: %w", filepath.Base(cmd.Path), id, err)
	}
	return p, nil
}

// Run starts cmd as id and waits until it has ended. An error carries the last
// lines that the program printed.
func Run(ctx context.Context, cmd *exec.Cmd, id Identity) error {
	p, err := Start(cmd, id, syscall.SIGKILL)
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		p.Kill()
		return fmt.Errorf("waiting for %s: %w", filepath.Base(cmd.Path), err)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), p.err, p.log.Tail(20))
	}
	return nil
}

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is what the child printed.
func (p *Process) Log() *Log { return p.log }

// PID is the child's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig; a child that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s: %w", sig, filepath.Base(p.cmd.Path), err)
	}
	return nil
}

// Wait waits until the child has ended, however it did, or ctx is done.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop asks the child to end with sig, kills it when ctx is done first, and
// returns once it is gone. The error says that it had to be killed.
func (p *Process) Stop(ctx context.Context, sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		p.Kill()
		return fmt.Errorf("waiting for %s to end: %w", filepath.Base(p.cmd.Path), err)
	}
	return nil
}

// Kill ends the child at once and returns when it is gone.
func (p *Process) Kill() {
	// The only errors are "already ended", which is what was asked for, and
	// "not permitted", which a parent never gets for its own child.
	_ = p.cmd.Process.Kill()
	<-p.done
}

package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/supabase"
)

// ingestQueued is the value of --ingest with a queue.
const ingestQueued = "queued"

// development is one run of the command.
type development struct {
	cmd    Command
	screen *console.Screen
	stack  *devstack.Stack
	tally  *tally
	logger *slog.Logger
	// diagnostics is what the diagnostics look at, nil until they are served.
	diagnostics *supabase.DB

	// The double; nil with a real instance.
	instance *clerkinstance.Instance
	mint     *tokens.Mint
	sender   *svix.Sender
	// known are the rows that were there before.
	known map[string]bool
	// unseen are the ids that no event tells of.
	unseen map[string]bool

	// abandoned: what the handler logs from now on is about requests that were
	// broken off on purpose.
	abandoned atomic.Bool
}

// stopLimit is for everything to stop by itself.
const stopLimit = 15 * time.Second

// Run is the command. Ctrl-C is the way to end it, and so no failure; a second
// Ctrl-C during the clean-up is.
func (cmd Command) Run(ctx context.Context, c console.Console) error {
	d := &development{cmd: cmd, screen: console.NewScreen(c), tally: newTally()}
	defer d.screen.Close()

	if err := d.start(ctx, c); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return advise(err)
	}
	// The clean-up goes on after the signal that began it, until the second one.
	ending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	err := d.live(ctx)
	if ctx.Err() != nil {
		stop := onInterrupt(cancel)
		defer stop()
	}
	if err == nil {
		err = d.finish(ctx, ending)
	}
	d.abandoned.Store(true)
	if d.sender != nil {
		d.sender.Close()
	}
	stopping, release := context.WithTimeoutCause(ending, stopLimit, fmt.Errorf("stopping took longer than %s", stopLimit))
	defer release()
	stopErr := d.stack.Stop(stopping)
	if ending.Err() != nil {
		return fmt.Errorf("stopped at once: %w", ending.Err())
	}
	d.diagnostics.Close() // nobody asks any more
	return advise(errors.Join(err, stopErr))
}

// advise adds to an error what to do about it.
func advise(err error) error {
	if err = connect.Advise(err); err == nil {
		return nil
	}
	if _, advised := errors.AsType[*console.HintedError](err); advised {
		return err
	}
	if errors.Is(err, errDiffers) || errors.Is(err, errDeadLetters) {
		return console.Hint(err, "the lines above say which; with the same --seed it comes again, and with that it is worth a report")
	}
	return console.Hint(err, `docs/local.md says what the local stack needs; "clerksync dev --help" has what can be chosen`)
}

// onInterrupt calls f at the next signal.
func onInterrupt(f func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			f()
		case <-done:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
)

// slowStep is when a step that still goes on is explained.
const slowStep = 2 * time.Second

// start brings up the stack and the double and says where everything is.
func (d *development) start(ctx context.Context, c console.Console) error {
	step := newSlowStep(d.screen)
	defer step.end()
	major := 0
	if d.cmd.Postgres != "" {
		major = 15
		if d.cmd.Postgres == "17" {
			major = 17
		}
	}
	var queued *devstack.Queued
	if d.cmd.Ingest == ingestQueued {
		q := d.cmd.queue
		q.Twice, q.Seed, q.Handled = d.cmd.Twice, d.cmd.Seed, d.handled
		queued = &q
	}
	var err error
	d.stack, err = devstack.Start(ctx, devstack.Options{
		Lookup: c.Lookup, Addr: d.cmd.Addr, Postgres: major, DataDir: string(d.cmd.Data),
		Progress: step.begin,
		Observe:  d.observe,
		Queued:   queued,
		Logger: func(level slog.Level) *slog.Logger {
			d.logger = slog.New(slog.NewTextHandler(d, &slog.HandlerOptions{Level: level}))
			return d.logger
		},
	})
	step.end()
	if errors.Is(err, devstack.ErrAddressInUse) {
		return console.Hint(err, "clerksync dev --addr 127.0.0.1:8788 listens elsewhere")
	}
	if err != nil {
		return err
	}
	err = d.startDouble(ctx)
	if err == nil {
		err = d.serveDiagnostics(ctx, c)
	}
	if err != nil {
		return errors.Join(err, d.stack.Stop(context.WithoutCancel(ctx)))
	}
	d.banner()
	return nil
}

// Write takes the lines of the log.
func (d *development) Write(line []byte) (int, error) {
	if !d.abandoned.Load() {
		d.screen.Talk("%s", bytes.TrimRight(line, "\n"))
	}
	return len(line), nil
}

func (d *development) startDouble(ctx context.Context) error {
	if len(d.stack.RealClerk()) > 0 {
		return nil
	}
	occupied, err := d.occupied(ctx)
	if err != nil {
		return err
	}
	var salt uint64
	if occupied != "" {
		// The ids of the same seed are taken, some of them by tombstones.
		salt = uint64(time.Now().UnixNano())
		if d.stack.EmbeddedURL() == "" && !d.cmd.Mix {
			return console.Hint(fmt.Errorf("%s, and made-up people would mix with what is there", occupied),
				"give --mix if that is what you want, set CLERK_WEBHOOK_SIGNING_SECRET for your own instance, or unset DATABASE_URL")
		}
	}
	d.sender, err = svix.NewSender(svix.SenderOptions{
		Endpoints: d.stack.Endpoints(), Late: d.cmd.Late, Twice: d.cmd.Twice, Seed: d.cmd.Seed, OnAttempt: d.attempted,
	})
	if err != nil {
		return err
	}
	d.instance = clerkinstance.New(clerkinstance.Options{Seed: d.cmd.Seed, Salt: salt, Emit: d.sender.Send})
	if err := d.seed(); err != nil {
		return err
	}
	d.mint, err = d.stack.ServeBackend(d.instance)
	return err
}

// occupied says what the copy holds already, or that it cannot be told; "" if it is
// empty. It fails where the database cannot be asked at all.
func (d *development) occupied(ctx context.Context) (string, error) {
	var err error
	d.known, err = d.stack.Rows(ctx)
	rows, heard := int64(len(d.known)), false
	switch {
	case errors.Is(err, devstack.ErrUnreadable):
		if rows, heard, err = d.stack.Unread(ctx); err != nil {
			return fmt.Sprintf("it cannot be told whether the copy in %s is empty (%v)", d.stack.Database(), err), nil
		}
	case err != nil:
		return "", err
	}
	switch {
	case rows > 0:
		return fmt.Sprintf("the copy in %s holds %s already", d.stack.Database(), console.Count(int(rows), "row", "rows")), nil
	case heard:
		return fmt.Sprintf("the copy in %s has heard of an instance already", d.stack.Database()), nil
	default:
		return "", nil
	}
}

// seed makes those who were there before the endpoint was.
func (d *development) seed() error {
	n := d.cmd.Unseen
	if n == 0 {
		return nil
	}
	before := d.instance.Snapshot().IDs()
	err := d.instance.Seed(clerkinstance.SeedOptions{Users: n, Organizations: n / 10, Memberships: n / 10 * min(5, n)})
	if err != nil {
		return err
	}
	d.unseen = d.instance.Snapshot().IDs()
	maps.DeleteFunc(d.unseen, func(id string, _ bool) bool { return before[id] })
	return nil
}

// slowSteps say before a step that it is taken, and what it may be that takes
// so long.
type slowSteps struct {
	screen *console.Screen
	timer  *time.Timer
}

func newSlowStep(s *console.Screen) *slowSteps { return &slowSteps{screen: s} }

func (s *slowSteps) begin(step string) {
	s.end()
	s.screen.Talk("%s", s.screen.Dim(step+" …"))
	s.timer = time.AfterFunc(slowStep, func() {
		s.screen.Talk("%s", s.screen.Dim("  still "+step+"; a first start may fetch PostgreSQL through npm (23 MB)"))
	})
}

func (s *slowSteps) end() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

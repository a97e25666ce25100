package dev

import (
	"context"
	"errors"
	"time"

	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
)

// live lets things happen until it is time to end, which is no error.
func (d *development) live(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.cmd.Duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, d.cmd.Duration)
		defer cancel()
	}
	d.tally.begin()

	var waits []<-chan error
	if d.instance != nil {
		waits = append(waits, inBackground(func() error {
			traffic := clerkinstance.NewTraffic(d.instance, d.cmd.Seed)
			if err := traffic.SignUps(d.cmd.Users); err != nil {
				return err
			}
			return traffic.Run(ctx, d.cmd.Rate)
		}))
	}
	waits = append(waits, inBackground(func() error {
		d.watchTables(ctx)
		return nil
	}))

	var err error
	select {
	case <-ctx.Done():
	case err = <-d.stack.Failed():
	}
	cancel()
	for _, wait := range waits {
		err = errors.Join(err, <-wait)
	}
	return err
}

// inBackground runs f and hands over its result.
func inBackground(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

// watchTables counts the tables for those who look on: every second on a
// terminal, every five in a log.
func (d *development) watchTables(ctx context.Context) {
	every := 5 * time.Second
	if d.screen.Animated() {
		every = time.Second
	}
	if d.screen.JSON() {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if d.screen.Animated() {
			d.screen.Status(d.tally.block(d.screen))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d.tally.setQueue(d.stack.Queue())
		started := time.Now()
		status, err := d.stack.Status(ctx)
		// A database that is away for a moment shows in the stream.
		if err == nil {
			d.tally.setTables(status)
			// Counting may take a twentieth of the time.
			tick.Reset(max(every, 20*time.Since(started)))
		}
		if !d.screen.Animated() && ctx.Err() == nil {
			d.screen.Talk("clerksync: %s", d.tally.line())
		}
	}
}

// attempted shows a delivery by the double.
func (d *development) attempted(a svix.Attempt) {
	d.show(delivery{
		At: a.At, Type: a.Type, ObjectID: a.ObjectID, SvixID: a.SvixID,
		Attempt: a.Number, Late: a.Late, Twice: a.Twice, Status: a.Status, Outcome: a.Outcome, Code: a.Code,
		Latency: a.Latency, err: a.Err, GivenUp: a.GivenUp,
	})
}

// observe shows a request of a real instance; the double's own are shown by the
// side that sends them, which also knows of those that never arrived.
func (d *development) observe(r devstack.Request) {
	if d.instance != nil {
		return
	}
	d.show(delivery{
		At: r.At, Type: r.Type, ObjectID: r.ObjectID, SvixID: r.SvixID,
		Status: r.Status, Outcome: string(r.Outcome), Reason: r.Reason, Code: r.Code, Latency: r.Latency,
	})
}

// handled shows what became of an event from the queue.
func (d *development) handled(h devstack.Handled) {
	d.show(delivery{
		At: h.At, Type: h.Type, ObjectID: h.ObjectID, SvixID: h.SvixID, Outcome: string(h.Outcome), Reason: h.Reason, Latency: h.Lag, Batch: h.Batch,
	})
}

func (d *development) show(x delivery) {
	d.tally.add(x)
	if d.screen.JSON() {
		d.screen.Object(x.object())
		return
	}
	d.screen.Data(x.line(d.screen))
	if d.screen.Animated() {
		d.screen.Status(d.tally.block(d.screen))
	}
}

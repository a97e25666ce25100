package dev

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack"
)

const (
	// interruptedDrain is how long deliveries under way may take after Ctrl-C,
	// finishedDrain after the time of --duration.
	interruptedDrain = 5 * time.Second
	finishedDrain    = 30 * time.Second
	// compareLimit is for reading and comparing all tables.
	compareLimit = time.Minute
)

// seen takes the differences out of which nobody can blame the events: an object
// that none has told of, and that the copy does not have, or has as what an
// event about another object let it guess. It returns how many such objects
// there are.
func (d *development) seen(differences []devstack.Difference) (rest []devstack.Difference, missing int) {
	excused := map[string]bool{}
	for _, x := range differences {
		absent := x.Field == "row" && x.Copy == "absent"
		guessed := x.Field == "is_placeholder" && x.Copy == "true"
		if d.unseen[x.ID] && (absent || guessed) {
			excused[x.ID] = true
		}
	}
	return slices.DeleteFunc(differences, func(x devstack.Difference) bool { return excused[x.ID] }), len(excused)
}

// errDiffers is the failure of a run whose copy is not what it should be, and
// errDeadLetters of one that has given up events.
var (
	errDiffers     = errors.New("the copy differs from Clerk's state")
	errDeadLetters = errors.New("the queue has given up events")
)

// finish delivers what is under way, compares and sums up.
func (d *development) finish(ctx, ending context.Context) error {
	limit := finishedDrain
	if ctx.Err() != nil {
		limit = interruptedDrain
	}
	if d.instance == nil {
		draining, cancel := context.WithTimeout(ending, limit)
		defer cancel()
		_ = d.stack.DrainQueue(draining) // what is left then is told by Stop
		d.sumUp(ending, nil, nil)
		return d.givenUp()
	}
	if n := d.sender.Counts().Pending; n > 0 {
		d.screen.Talk("%s", d.screen.Dim(fmt.Sprintf("finishing %s, for %s at most; Ctrl-C stops at once", console.Count(n, "delivery", "deliveries"), limit)))
	}
	draining, cancel := context.WithTimeoutCause(ending, limit, fmt.Errorf("they took longer than %s", limit))
	defer cancel()
	err := d.sender.Drain(draining)
	if err == nil {
		err = d.drainQueue(draining)
	}
	if err != nil {
		if ending.Err() != nil {
			return nil
		}
		d.sumUp(ending, nil, nil)
		d.screen.Talk("not compared: %v", err)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}

	comparing, cancel := context.WithTimeoutCause(ending, compareLimit, fmt.Errorf("comparing took longer than %s", compareLimit))
	defer cancel()
	want := d.instance.Snapshot()
	foreign := func(id string) bool { return d.known[id] || d.cmd.Mix }
	differences, err := d.stack.Diff(comparing, want, foreign)
	if errors.Is(err, devstack.ErrUnreadable) {
		d.sumUp(ending, nil, nil)
		d.screen.Talk("not compared: the login of DATABASE_URL may not read the tables")
		return d.givenUp()
	}
	if err != nil {
		return fmt.Errorf("comparing the copy with Clerk's state: %w", err)
	}
	differences, missing := d.seen(differences)
	d.sumUp(ending, new(len(differences) == 0), differences)
	if len(differences) > 0 {
		return errors.Join(fmt.Errorf("%w in %d places", errDiffers, len(differences)), d.givenUp())
	}
	if err := d.givenUp(); err != nil {
		return err
	}
	if missing > 0 {
		d.screen.Talk("%s; %s, and sync-users brings them", d.screen.Paint("32", "the copy equals what events have told"),
			console.Count(missing, "object is from before the endpoint", "objects are from before the endpoint"))
		return nil
	}
	d.screen.Talk("%s: %s, %s, %s, %s", d.screen.Paint("32", "the copy equals Clerk's state"),
		console.Count(len(want.Users), "user", "users"), console.Count(len(want.Organizations), "organization", "organizations"),
		console.Count(len(want.Memberships), "membership", "memberships"), console.Count(len(want.Deleted), "tombstone", "tombstones"))
	return nil
}

// drainQueue waits until each event of the queue is applied or given up.
func (d *development) drainQueue(ctx context.Context) error {
	if q := d.stack.Queue(); q != nil && q.Waiting > 0 {
		d.screen.Talk("%s", d.screen.Dim("applying "+console.Count(q.Waiting, "event", "events")+" from the queue"))
	}
	return d.stack.DrainQueue(ctx)
}

// givenUp fails where events were given up.
func (d *development) givenUp() error {
	if n := len(d.stack.DeadLetters()); n > 0 {
		return fmt.Errorf("%w: %d", errDeadLetters, n)
	}
	return nil
}

// maxShown is how many differences, and how many dead letters, are listed for people.
const maxShown = 20

func (d *development) sumUp(ctx context.Context, equal *bool, differences []devstack.Difference) {
	ctx, cancel := context.WithTimeout(ctx, compareLimit)
	defer cancel()
	// Without an answer the last count stands.
	if status, err := d.stack.Status(ctx); err == nil {
		d.tally.setTables(status)
	}
	d.tally.setQueue(d.stack.Queue())
	s := d.tally.summary()
	s.Equal, s.Differences, s.DeadLetters = equal, differences, d.stack.DeadLetters()
	if d.sender != nil {
		s.Seed = new(d.cmd.Seed)
		s.Deliveries = new(d.sender.Counts())
	}
	d.screen.Status(nil)
	if d.screen.JSON() {
		d.screen.Object(s)
	}
	for i, difference := range differences {
		if i == maxShown {
			d.screen.Talk("… and %d more", len(differences)-maxShown)
			break
		}
		d.screen.Talk("%s", difference)
	}
	for i, letter := range s.DeadLetters {
		if i == maxShown {
			d.screen.Talk("… and %d more", len(s.DeadLetters)-maxShown)
			break
		}
		d.screen.Talk("given up: %s", letter)
	}
	d.screen.Talk("%s", d.tally.closing(s))
}

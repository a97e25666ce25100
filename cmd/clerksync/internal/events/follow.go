package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
	"clerksync/shared/supabase"
)

type followEventsCommand struct {
	filters `embed:""`

	Outcome outcome       `help:"Only events with this outcome: applied, stale, ignored or rejected." placeholder:"OUTCOME"`
	For     time.Duration `help:"End after this long, with exit code 0. Without it, Ctrl-C ends it." placeholder:"DURATION"`
}

// Help is the text below the flags' list in "clerksync events follow --help".
func (followEventsCommand) Help() string {
	return `It asks every second, since a transaction pooler passes no notifications on. Each event is printed once, also one whose transaction
ends long after later ones, and while the database restarts. With --json each event is one line, without anything of its payload.

Examples:
  clerksync events follow
  clerksync events follow --outcome rejected --since 1h
  clerksync events follow --type organizationMembership --json --for 10m`
}

// Validate is called while the command line is parsed.
func (cmd followEventsCommand) Validate() error {
	return console.Refuse(cmd.For < 0, "--for is %s: give how long, such as 10m", cmd.For)
}

const (
	// followPause is between two looks.
	followPause = time.Second
	// followLimit is how long one look may take.
	followLimit = 15 * time.Second
	// followPage is how many events a look tells at most.
	followPage = 500
)

// errEnough ends what was to be followed for a time.
var errEnough = errors.New("it was followed for as long as was asked")

// Run is the command.
func (cmd followEventsCommand) Run(ctx context.Context, c console.Console) error {
	if cmd.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, cmd.For, errEnough)
		defer cancel()
	}
	filter := cmd.filter(time.Now())
	filter.Outcome, filter.Limit = mirror.Outcome(cmd.Outcome), followPage
	err := connect.WithStore(ctx, c, func(store *mirror.Store) error {
		return follow(ctx, c, filter, store.Follow)
	})
	if errors.Is(context.Cause(ctx), errEnough) {
		return nil
	}
	return err
}

// follow prints what look tells, look for look, until it is ended or something has to be
// mended before it can go on. What passes is waited for: nothing is lost by it.
func follow(
	ctx context.Context, c console.Console, filter mirror.EventFilter,
	look func(context.Context, mirror.Bookmark, mirror.EventFilter) ([]mirror.RecordedEvent, mirror.Bookmark, error),
) error {
	var at mirror.Bookmark
	away := false
	for {
		limited, cancel := context.WithTimeoutCause(ctx, followLimit, fmt.Errorf("looking for events took longer than %s", followLimit))
		events, next, err := look(limited, at, filter)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (at == "" || !supabase.IsTransient(err)):
			return err
		case err != nil:
			if !away {
				c.Say("clerksync: %v; it goes on when the database answers", err)
			}
			away = true
		default:
			if away {
				c.Say("clerksync: the database answers again")
			}
			away = false
			if err := printEvents(c, events); err != nil {
				return err
			}
			at = next
			if len(events) == filter.Limit {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followPause):
		}
	}
}

func printEvents(c console.Console, events []mirror.RecordedEvent) error {
	if c.JSON {
		for _, e := range events {
			if err := c.Encode(e); err != nil {
				return err
			}
		}
		return nil
	}
	return c.Print(nil, func(row func(...any)) {
		for _, e := range events {
			eventRow(row, e)
		}
	})
}

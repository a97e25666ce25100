// Package events is the command events: what arrived, and what to do about it.
package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
)

// Command is events, as kong reads it.
type Command struct {
	List   listEventsCommand  `cmd:"" help:"List recorded events, latest first."`
	Replay replayEventCommand `cmd:"" help:"Try rejected events again, after what refused them was mended."`
}

// Help is the text below the commands' list in "clerksync events --help".
func (Command) Help() string {
	return `Each webhook event whose signature was right is recorded with its outcome. A rejected one changed nothing, and its payload is
kept for a while, so that it can be tried again.

Examples:
  clerksync events list --outcome rejected
  clerksync events replay --all`
}

type listEventsCommand struct {
	Outcome outcome       `help:"Only events with this outcome: applied, stale, ignored or rejected." placeholder:"OUTCOME"`
	Before  time.Duration `help:"Only events received longer ago than this, such as 24h." placeholder:"DURATION"`
	Limit   int           `help:"How many at most, up to 1000." default:"50" placeholder:"N"`
}

// outcome is one that is recorded.
type outcome mirror.Outcome

// Help is the text below the flags' list in "clerksync events list --help".
func (listEventsCommand) Help() string {
	return `A line says when an event came, its id at Svix, its type, the object that it is about, and its outcome with the reason.

Examples:
  clerksync events list
  clerksync events list --outcome rejected
  clerksync events list --before 24h --limit 1000 --json`
}

// Choices are the outcomes there are.
func (outcome) Choices() []string {
	return []string{string(mirror.Applied), string(mirror.Stale), string(mirror.Ignored), string(mirror.Rejected)}
}

// UnmarshalText is called while the command line is parsed.
func (o *outcome) UnmarshalText(text []byte) error {
	if !slices.Contains(o.Choices(), string(text)) {
		return fmt.Errorf("there is no outcome %q; there are %s", text, console.List(o.Choices()))
	}
	*o = outcome(text)
	return nil
}

// maxEvents is how many the database lists at most.
const maxEvents = 1000

// Validate is called while the command line is parsed.
func (cmd listEventsCommand) Validate() error {
	return errors.Join(
		console.Refuse(cmd.Limit < 1 || cmd.Limit > maxEvents, "--limit is %d: give a number from 1 to %d", cmd.Limit, maxEvents),
		console.Refuse(cmd.Before < 0, "--before is %s: give how long ago, such as 24h", cmd.Before))
}

// Run is the command.
func (cmd listEventsCommand) Run(ctx context.Context, c console.Console) error {
	filter := mirror.EventFilter{Outcome: mirror.Outcome(cmd.Outcome), Limit: cmd.Limit}
	if cmd.Before > 0 {
		filter.Before = time.Now().Add(-cmd.Before)
	}
	return connect.WithStore(ctx, c, func(store *mirror.Store) error {
		events, err := store.Events(ctx, filter)
		if err != nil {
			return err
		}
		return c.Print(events, func(row func(...any)) {
			for _, e := range events {
				what := string(e.Outcome)
				if e.Reason != "" {
					what += " (" + e.Reason + ")"
				}
				row(e.ReceivedAt.UTC().Format(time.RFC3339), e.SvixID, e.Type, e.ObjectID, what, e.Detail)
			}
		})
	})
}

type replayEventCommand struct {
	SvixIDs []console.Once `arg:"" optional:"" name:"svix-id" help:"The events to replay."`
	All     bool           `help:"Replay every rejected event whose payload is still kept."`
}

// Help is the text below the flags' list in "clerksync events replay --help".
func (replayEventCommand) Help() string {
	return `First mend what refused them: "clerksync events list --outcome rejected" shows the reason of each. Replaying is safe to repeat. The
exit code is 1 if one is still rejected or could not be tried.

Examples:
  clerksync events replay msg_2f0a1b
  clerksync events replay --all`
}

// replayed is the result of one replay as JSON.
type replayed struct {
	SvixID  string         `json:"svix_id"`
	Outcome mirror.Outcome `json:"outcome,omitempty"`
	Reason  string         `json:"reason,omitempty"`
	// Error is why it could not be tried; the outcome is empty then.
	Error string `json:"error,omitempty"`
}

// Validate is called while the command line is parsed.
func (cmd replayEventCommand) Validate() error {
	return console.Refuse((len(cmd.SvixIDs) == 0) == !cmd.All, "name the events to replay, or give --all")
}

// Run is the command. What fails for one event stops no other; what was done is printed
// also where it stops.
func (cmd replayEventCommand) Run(ctx context.Context, c console.Console) error {
	return connect.WithStore(ctx, c, func(store *mirror.Store) error {
		ids := console.Texts(cmd.SvixIDs)
		if cmd.All {
			var err error
			if ids, err = replayable(ctx, store); err != nil {
				return err
			}
		}
		results, stopped := replay(ctx, store, ids)
		if len(results) == 0 && stopped != nil {
			return stopped
		}
		err := c.Print(results, func(row func(...any)) {
			for _, r := range results {
				if r.Error != "" {
					row(r.SvixID, "failed", r.Error)
				} else {
					row(r.SvixID, r.Outcome, r.Reason)
				}
			}
		})
		return errors.Join(stopped, err, unsuccessful(results))
	})
}

// replay tries events one after the other, until all are tried or none can be any more.
func replay(ctx context.Context, store *mirror.Store, ids []string) ([]replayed, error) {
	results := make([]replayed, 0, len(ids))
	for _, id := range ids {
		result, err := store.Replay(ctx, id)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		switch {
		case err == nil:
			results = append(results, replayed{SvixID: id, Outcome: result.Outcome, Reason: result.Reason})
		case errors.Is(err, mirror.ErrNoEvent):
			results = append(results, replayed{SvixID: id, Error: mirror.ErrNoEvent.Error()})
		case ofOneEvent(err):
			results = append(results, replayed{SvixID: id, Error: err.Error()})
		default:
			return results, console.Hint(err, fmt.Sprintf("%d of %d events were tried; the same command tries the others", len(results), len(ids)))
		}
	}
	return results, nil
}

// ofOneEvent tells what the database answers about one event from what it would answer
// about every other too: that it is away, stopping or out of something.
func ofOneEvent(err error) bool {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && !connecting && !slices.ContainsFunc([]string{"08", "53", "57P"}, func(class string) bool { return strings.HasPrefix(pgErr.Code, class) })
}

// unsuccessful is an error where events are still rejected, or were not tried.
func unsuccessful(results []replayed) error {
	failed, refused, one := 0, 0, ""
	for _, r := range results {
		if r.Error != "" {
			failed++
			one = cmp.Or(one, r.SvixID+": "+r.Error)
		} else if r.Outcome == mirror.Rejected {
			refused++
		}
	}
	var err error
	if failed > 0 {
		err = fmt.Errorf("%d of %d events could not be replayed, such as %s", failed, len(results), one)
	}
	if refused > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d events are still rejected", refused, len(results)))
	}
	if err == nil {
		return nil
	}
	return console.Hint(err, `"clerksync events list --outcome rejected" shows why; once that is mended, replay them again`)
}

// replayable lists every rejected event that can be replayed, oldest first, so
// that parents come before children where that is how they happened.
func replayable(ctx context.Context, store *mirror.Store) ([]string, error) {
	var ids []string
	filter := mirror.EventFilter{Outcome: mirror.Rejected, Limit: maxEvents}
	for {
		events, err := store.Events(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if e.Replayable {
				ids = append(ids, e.SvixID)
			}
		}
		if len(events) < maxEvents {
			slices.Reverse(ids)
			return ids, nil
		}
		last := events[len(events)-1]
		filter.Before, filter.Behind = last.ReceivedAt, last.SvixID
	}
}

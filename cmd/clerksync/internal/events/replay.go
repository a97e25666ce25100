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

type replayEventCommand struct {
	SvixIDs []console.Once `arg:"" optional:"" name:"svix-id" help:"The events to replay."`
	All     bool           `help:"Replay every rejected event whose payload is still kept."`
	filters `embed:""`
	Before  moment `help:"Only events received before then, written like --since." placeholder:"TIME"`
	DryRun  bool   `help:"Say what each would come to, and change nothing."`
}

// Help is the text below the flags' list in "clerksync events replay --help".
func (replayEventCommand) Help() string {
	return `First mend what refused them: "clerksync events list --outcome rejected" shows the reason of each. Only what was rejected is tried,
the oldest first. Replaying is safe to repeat. The exit code is 1 if one is still rejected or could not be tried.

Examples:
  clerksync events replay msg_2f0a1b
  clerksync events replay --all --dry-run
  clerksync events replay --type user --since 24h`
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
	chosen := cmd.All || cmd.given() || cmd.Before != moment{}
	return console.Refuse((len(cmd.SvixIDs) == 0) == !chosen, "name the events to replay, or choose them by --all, --type, --object, --id, --since or --before")
}

// Run is the command. What fails for one event stops no other; what was done is printed
// also where it stops.
func (cmd replayEventCommand) Run(ctx context.Context, c console.Console) error {
	return connect.WithStore(ctx, c, func(store *mirror.Store) error {
		ids := console.Texts(cmd.SvixIDs)
		if len(ids) == 0 {
			now := time.Now()
			filter := cmd.filter(now)
			filter.Before = cmd.Before.at(now)
			var err error
			if ids, err = replayable(ctx, store, filter); err != nil {
				return err
			}
		}
		try := store.Replay
		if cmd.DryRun {
			try = store.TryReplay
		}
		results, stopped := replay(ctx, ids, try)
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
func replay(ctx context.Context, ids []string, try func(context.Context, string) (mirror.Result, error)) ([]replayed, error) {
	results := make([]replayed, 0, len(ids))
	for _, id := range ids {
		result, err := try(ctx, id)
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

// replayable lists the rejected events of a filter that can be replayed, oldest first, so
// that parents come before children where that is how they happened.
func replayable(ctx context.Context, store *mirror.Store, filter mirror.EventFilter) ([]string, error) {
	var ids []string
	filter.Outcome, filter.Limit = mirror.Rejected, maxEvents
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

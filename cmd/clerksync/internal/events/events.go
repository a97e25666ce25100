// Package events is the command events: what arrived, and what to do about it.
package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
)

type Command struct {
	List   listEventsCommand  `cmd:"" help:"List recorded events, latest first."`
	Replay replayEventCommand `cmd:"" help:"Try rejected events again, after what refused them was mended."`
}

type listEventsCommand struct {
	Outcome string        `help:"Only events with this outcome: applied, stale, ignored or rejected." enum:",applied,stale,ignored,rejected" default:"" placeholder:"OUTCOME"`
	Before  time.Duration `help:"Only events received longer ago than this, such as 24h." placeholder:"DURATION"`
	Limit   int           `help:"How many at most, up to 1000." default:"50" placeholder:"N"`
}

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
	SvixIDs []string `arg:"" optional:"" name:"svix-id" help:"The events to replay."`
	All     bool     `help:"Replay every rejected event whose payload is still kept."`
}

// replayed is the result of one replay as JSON.
type replayed struct {
	SvixID  string         `json:"svix_id"`
	Outcome mirror.Outcome `json:"outcome"`
	Reason  string         `json:"reason,omitempty"`
}

// replayPage is how many rejected events one look fetches.
const replayPage = 1000

// Validate is called while the command line is parsed.
func (cmd replayEventCommand) Validate() error {
	if (len(cmd.SvixIDs) == 0) == !cmd.All {
		return errors.New("name the events to replay, or give --all")
	}
	return nil
}

func (cmd replayEventCommand) Run(ctx context.Context, c console.Console) error {
	return connect.WithStore(ctx, c, func(store *mirror.Store) error {
		ids := cmd.SvixIDs
		if cmd.All {
			var err error
			if ids, err = replayable(ctx, store); err != nil {
				return err
			}
		}
		results := make([]replayed, 0, len(ids))
		refused := 0
		for _, id := range ids {
			result, err := store.Replay(ctx, id)
			if err != nil {
				return err
			}
			if result.Outcome == mirror.Rejected {
				refused++
			}
			results = append(results, replayed{SvixID: id, Outcome: result.Outcome, Reason: result.Reason})
		}
		if err := c.Print(results, func(row func(...any)) {
			for _, r := range results {
				row(r.SvixID, r.Outcome, r.Reason)
			}
		}); err != nil {
			return err
		}
		if refused > 0 {
			return fmt.Errorf("%d of %d events are still rejected", refused, len(ids))
		}
		return nil
	})
}

// replayable lists every rejected event that can be replayed, oldest first, so
// that parents come before children where that is how they happened.
func replayable(ctx context.Context, store *mirror.Store) ([]string, error) {
	var ids []string
	var before time.Time
	for {
		events, err := store.Events(ctx, mirror.EventFilter{Outcome: mirror.Rejected, Before: before, Limit: replayPage})
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if e.Replayable {
				ids = append([]string{e.SvixID}, ids...)
			}
		}
		if len(events) < replayPage {
			return ids, nil
		}
		before = events[len(events)-1].ReceivedAt
	}
}

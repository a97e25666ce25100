// Package events is the command events: what arrived, and what to do about it.
package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
)

// Command is events, as kong reads it.
type Command struct {
	List   listEventsCommand   `cmd:"" help:"List recorded events, latest first."`
	Show   showEventCommand    `cmd:"" help:"Show all that is recorded about an event, with the shape of its payload."`
	Follow followEventsCommand `cmd:"" help:"Print events as they arrive."`
	Replay replayEventCommand  `cmd:"" help:"Try rejected events again, after what refused them was mended."`
	Redact redactEventsCommand `cmd:"" help:"Remove what is recorded about a person or an object, or in a time, and look whether something is left."`
}

// Help is the text below the commands' list in "clerksync events --help".
func (Command) Help() string {
	return `Each webhook event whose signature was right is recorded with its outcome. A rejected one changed nothing, and its payload is
kept for a while, so that it can be tried again.

Examples:
  clerksync events list --outcome rejected
  clerksync events follow --type user
  clerksync events show msg_2f0a1b
  clerksync events replay --all`
}

// filters choose events, in every command that looks through them.
type filters struct {
	Type   console.Once `help:"Only events of this type, such as user.deleted, or about this kind of object, such as user." placeholder:"TYPE"`
	Object console.Once `help:"Only events about this user, organization, membership, role or permission; memberships come with either parent." placeholder:"ID"`
	Part   console.Once `help:"Only events with this text in their id, or in that of an object." name:"id" placeholder:"TEXT"`
	Since  moment       `help:"Only events received since then: a time such as 2026-11-30T08:00:00Z or 2026-11-30, or how long ago, such as 24h or 7d." placeholder:"TIME"`
}

func (f filters) filter(now time.Time) mirror.EventFilter {
	return mirror.EventFilter{Type: string(f.Type), Object: string(f.Object), Part: string(f.Part), Since: f.Since.at(now)}
}

func (f filters) given() bool { return f != filters{} }

// moment is a time, or how long ago one was. The zero value is none.
type moment struct {
	time time.Time
	ago  time.Duration
}

// longestAgo is before anything that could be recorded, in hours.
const longestAgo = 100 * 365 * 24

// at is the moment as a time; zero where none was given.
func (m moment) at(now time.Time) time.Time {
	if m.ago > 0 {
		return now.Add(-m.ago)
	}
	return m.time
}

// UnmarshalText is called while the command line is parsed.
func (m *moment) UnmarshalText(text []byte) error {
	s := string(text)
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			*m = moment{time: t}
			return nil
		}
	}
	hours := 1
	if rest, ok := strings.CutSuffix(s, "d"); ok {
		s, hours = rest+"h", 24
	}
	if ago, err := time.ParseDuration(s); err == nil && ago > 0 && ago.Hours()*float64(hours) < longestAgo {
		*m = moment{ago: time.Duration(hours) * ago}
		return nil
	}
	return errors.New("it is no time: give one such as 2026-11-30T08:00:00Z or 2026-11-30, or how long ago, such as 24h or 7d")
}

// eventRow prints an event as a line.
func eventRow(row func(...any), e mirror.RecordedEvent) {
	row(e.ReceivedAt.UTC().Format(time.RFC3339), e.SvixID, e.Type, e.ObjectID, judged(e), e.Detail)
}

// judged is the outcome with its reason.
func judged(e mirror.RecordedEvent) string {
	if e.Reason != "" {
		return string(e.Outcome) + " (" + e.Reason + ")"
	}
	return string(e.Outcome)
}

type listEventsCommand struct {
	filters `embed:""`

	Outcome outcome `help:"Only events with this outcome: applied, stale, ignored or rejected." placeholder:"OUTCOME"`
	Before  moment  `help:"Only events received before then, written like --since." placeholder:"TIME"`
	Limit   int     `help:"How many at most, up to 1000." default:"50" placeholder:"N"`
}

// outcome is one that is recorded.
type outcome mirror.Outcome

// Help is the text below the flags' list in "clerksync events list --help".
func (listEventsCommand) Help() string {
	return `A line says when an event came, its id at Svix, its type, the object that it is about, and its outcome with the reason.

Examples:
  clerksync events list
  clerksync events list --outcome rejected
  clerksync events list --object user_2f0a1b --since 7d
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
	return console.Refuse(cmd.Limit < 1 || cmd.Limit > maxEvents, "--limit is %d: give a number from 1 to %d", cmd.Limit, maxEvents)
}

// Run is the command.
func (cmd listEventsCommand) Run(ctx context.Context, c console.Console) error {
	now := time.Now()
	filter := cmd.filter(now)
	filter.Outcome, filter.Before, filter.Limit = mirror.Outcome(cmd.Outcome), cmd.Before.at(now), cmd.Limit
	return connect.WithStore(ctx, c, func(store *mirror.Store) error {
		events, err := store.Events(ctx, filter)
		if err != nil {
			return err
		}
		return c.Print(events, func(row func(...any)) {
			for _, e := range events {
				eventRow(row, e)
			}
		})
	})
}

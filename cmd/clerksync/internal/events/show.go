package events

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
)

type showEventCommand struct {
	SvixIDs  []console.Once `arg:"" name:"svix-id" help:"The events to show."`
	Unmasked bool           `help:"Show payloads as they came. They are personal data, and need the owner's connection string."`
}

// Help is the text below the flags' list in "clerksync events show --help".
func (showEventCommand) Help() string {
	return `Of a payload it shows names, kinds, ids, times and roles, and of all else that it is there. A payload is kept only while its event is
rejected, unless clerk_sync.settings.keep_applied_payloads says otherwise. With --json each event is one line.

Examples:
  clerksync events show msg_2f0a1b
  clerksync events show msg_2f0a1b --unmasked --json`
}

// shown is an event as JSON.
type shown struct {
	mirror.EventDetail

	// RawBody is the body of a message that is no event, with --unmasked.
	RawBody string `json:"raw_body,omitempty"`
}

// Run is the command.
func (cmd showEventCommand) Run(ctx context.Context, c console.Console) error {
	with := connect.WithStore
	if cmd.Unmasked {
		with = func(ctx context.Context, c console.Console, f func(*mirror.Store) error) error {
			return connect.AsOwner(ctx, c, "read payloads", f)
		}
	}
	return with(ctx, c, func(store *mirror.Store) error {
		for _, id := range console.Texts(cmd.SvixIDs) {
			e, err := store.Event(ctx, id)
			if errors.Is(err, mirror.ErrNoEvent) {
				return console.Hint(errors.New("no event of that id is recorded"),
					`"clerksync events list" has the ids; events are forgotten after clerk_sync.settings.event_retention`)
			}
			if err != nil {
				return err
			}
			one := shown{EventDetail: e}
			if cmd.Unmasked {
				var raw []byte
				if one.Payload, raw, err = store.EventPayload(ctx, id); err != nil {
					return err
				}
				one.RawBody = string(raw)
			}
			if err := one.print(c); err != nil {
				return err
			}
		}
		return nil
	})
}

func (e shown) print(c console.Console) error {
	if c.JSON {
		return c.Encode(e)
	}
	// The payload is a JSON text of its own below.
	err := c.Print(nil, func(row func(...any)) {
		field := func(name, value string) {
			if value != "" {
				row(name, value)
			}
		}
		field("id", e.SvixID)
		field("type", e.Type)
		field("outcome", judged(e.RecordedEvent))
		field("detail", e.Detail)
		field("object", e.ObjectID)
		field("user", e.UserID)
		field("organization", e.OrganizationID)
		field("instance", e.InstanceID)
		field("stated", moments(e.StatedAt))
		field("received", moments(&e.ReceivedAt))
		field("replayed", moments(e.ReplayedAt))
		field("redacted", moments(e.RedactedAt))
		field("payload", e.kept())
	})
	if err != nil {
		return err
	}
	if cmp.Or(string(e.Payload), "null") != "null" {
		if err := c.EncodeIndented(e.Payload); err != nil {
			return err
		}
	}
	if e.RawBody != "" {
		return c.EncodeIndented(e.RawBody)
	}
	return nil
}

// kept says what there is of a payload.
func (e shown) kept() string {
	switch {
	case e.RawBodyBytes > 0:
		return fmt.Sprintf("kept as it came, %d bytes, since it is no event; --unmasked shows it", e.RawBodyBytes)
	case cmp.Or(string(e.Payload), "null") == "null":
		return "not kept"
	case e.Replayable:
		return "kept; the event can be replayed"
	default:
		return "kept"
	}
}

func moments(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

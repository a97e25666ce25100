// Package deletions is the command deletions: what deleted objects held, while it is
// held back.
package deletions

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
)

// Command is deletions, as kong reads it.
type Command struct {
	List listDeletionsCommand `cmd:"" help:"List what is held back, the latest first: ids and times, no personal data."`
	Show showDeletionCommand  `cmd:"" help:"Show what a deleted object held, as JSON."`
	Drop dropDeletionCommand  `cmd:"" help:"Empty what is held back of an object now, and of the memberships of a user or an organization."`
}

// Help is the text below the commands' list in "clerksync deletions --help".
func (Command) Help() string {
	return `With clerk_sync.settings.deletion_grace set, what a user, an organization or a membership held is kept for that long after its deletion, out
of every application's sight. DATABASE_URL has to be the owner's: no login at run time can read it. Nothing brings a deleted object back.

Examples:
  clerksync deletions list
  clerksync deletions show user_2f0a1b
  clerksync deletions drop user_2f0a1b`
}

// withDeletions is [connect.AsOwner] of what is held back.
func withDeletions(ctx context.Context, c console.Console, f func(*mirror.Store) error) error {
	return connect.AsOwner(ctx, c, "see what deleted objects held", f)
}

type listDeletionsCommand struct {
	Of    console.Once `help:"Only what is held back of this user, organization or membership; memberships come with either parent." placeholder:"ID"`
	Limit int          `help:"How many at most." default:"50" placeholder:"N"`
}

// Help is the text below the flags' list in "clerksync deletions list --help".
func (listDeletionsCommand) Help() string {
	return `A line says when something was deleted, what, its id, and until when what it held is kept.

Examples:
  clerksync deletions list
  clerksync deletions list --of org_2f0a1b --limit 10000
  clerksync deletions list --json`
}

// Validate is called while the command line is parsed.
func (cmd listDeletionsCommand) Validate() error {
	return console.Refuse(cmd.Limit < 1 || cmd.Limit > math.MaxInt32, "--limit is %d: give a number from 1 to %d", cmd.Limit, math.MaxInt32)
}

// Run is the command.
func (cmd listDeletionsCommand) Run(ctx context.Context, c console.Console) error {
	return withDeletions(ctx, c, func(store *mirror.Store) error {
		deletions, err := store.Deletions(ctx, string(cmd.Of), cmd.Limit)
		if err != nil {
			return err
		}
		if len(deletions) == 0 {
			c.Say("clerksync: nothing is held back")
		}
		return c.Print(append([]mirror.HeldDeletion{}, deletions...), func(row func(...any)) {
			for _, d := range deletions {
				row(d.HeldAt.UTC().Format(time.RFC3339), d.Object, d.ID, "until "+d.HeldUntil.UTC().Format(time.RFC3339))
			}
		})
	})
}

type showDeletionCommand struct {
	IDs []console.Once `arg:"" name:"id" help:"Users, organizations or memberships."`
}

// Help is the text below the flags' list in "clerksync deletions show --help".
func (showDeletionCommand) Help() string {
	return `What it prints is personal data. With --json each object is one line.

Examples:
  clerksync deletions show user_2f0a1b
  clerksync deletions show org_2f0a1b orgmem_2f0a1b --json`
}

// Run is the command. It prints one JSON value for each object, with --json in one line.
func (cmd showDeletionCommand) Run(ctx context.Context, c console.Console) error {
	return withDeletions(ctx, c, func(store *mirror.Store) error {
		for _, id := range console.Texts(cmd.IDs) {
			rows, err := store.Deletion(ctx, id)
			if err != nil {
				return adviseHeld(id, err)
			}
			for _, r := range rows {
				if c.JSON {
					err = c.Encode(r)
				} else {
					err = c.EncodeIndented(r)
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

type dropDeletionCommand struct {
	IDs []console.Once `arg:"" name:"id" help:"Users, organizations or memberships."`
}

// Help is the text below the flags' list in "clerksync deletions drop --help".
func (dropDeletionCommand) Help() string {
	return `It is how a person is erased before the grace is over. The tombstones stay: the id, and that it was deleted.

Examples:
  clerksync deletions drop user_2f0a1b
  clerksync deletions drop user_2f0a1b org_2f0a1b`
}

// droppedDeletion is what was dropped of one id as JSON.
type droppedDeletion struct {
	ID      string           `json:"id"`
	Dropped []mirror.Dropped `json:"dropped"`
}

// Run is the command.
func (cmd dropDeletionCommand) Run(ctx context.Context, c console.Console) error {
	return withDeletions(ctx, c, func(store *mirror.Store) error {
		dropped := make([]droppedDeletion, 0, len(cmd.IDs))
		var failed error
		for _, id := range console.Texts(cmd.IDs) {
			of, err := store.DropDeletion(ctx, id)
			if err != nil {
				failed = adviseHeld(id, err)
				break
			}
			dropped = append(dropped, droppedDeletion{id, of})
		}
		if len(dropped) == 0 {
			return failed
		}
		// Also when a later one fails: these are gone.
		return errors.Join(failed, c.Print(dropped, func(row func(...any)) {
			for _, d := range dropped {
				for _, of := range d.Dropped {
					row(d.ID, of.Object, of.Count)
				}
			}
		}))
	})
}

// clerkID is an id of what can be held back.
var clerkID = regexp.MustCompile(`^(user|org|orgmem)_[A-Za-z0-9]{1,64}$`)

// adviseHeld says where to look when nothing is held. It repeats what was named only where
// that is an id, and not something else that was pasted.
func adviseHeld(id string, err error) error {
	if !errors.Is(err, mirror.ErrNothingHeld) {
		return err
	}
	if !clerkID.MatchString(id) {
		id = "that"
	}
	return console.Hint(
		fmt.Errorf("nothing is held back of %s", id),
		`"clerksync deletions list" shows of what there is; nothing is held while clerk_sync.settings.deletion_grace is 0`,
	)
}

package events

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/awsaccount"
	"clerksync/shared/mirror"
)

type redactEventsCommand struct {
	IDs    []console.Once `arg:"" optional:"" name:"id" help:"Users, organizations or other objects of Clerk. With a user come the ids of the memberships."`
	Since  moment         `help:"All events received since then: a time such as 2026-11-30T08:00:00Z or 2026-11-30, or how long ago, such as 24h or 7d." placeholder:"TIME"`
	Before moment         `help:"All events received before then; needs --since." placeholder:"TIME"`
	Stack  console.Once   `help:"Also take messages about them from the dead letters of this stack in AWS." placeholder:"NAME"`
	DryRun bool           `help:"Say where they are, and change nothing."`
	Yes    bool           `help:"Do not ask."`
}

// Help is the text below the flags' list in "clerksync events redact --help".
func (redactEventsCommand) Help() string {
	return `It removes ids and payloads from the inbox, puts "redacted" where the ids stood in the audit log, and empties what is held back of a
deletion. That an event came stays known, so that it is not applied twice. Afterwards it looks at every row, and says what is left: a
tombstone has to stay, or an old event would bring the person back. It says what it cannot reach. The exit code is 1 if something is
left that should not be, and 3 if dead letters could not be looked through. It needs the owner's connection string.

Examples:
  clerksync events redact user_2f0a1b --dry-run
  clerksync events redact user_2f0a1b --stack clerksync
  clerksync events redact --since 2026-11-30 --before 2026-12-01`
}

// redactable is what an id looks like: only these can be looked for as a whole.
var redactable = regexp.MustCompile(`^[a-z]{2,12}_[A-Za-z0-9]{1,64}$`)

// Validate is called while the command line is parsed.
func (cmd redactEventsCommand) Validate() error {
	ranged := cmd.Since != moment{} || cmd.Before != moment{}
	return errors.Join(
		console.Refuse((len(cmd.IDs) == 0) == !ranged, "name the ids to redact, or give --since and --before"),
		console.Refuse(ranged && (cmd.Since == moment{} || cmd.Before == moment{}), "a time to redact has both ends: give --since and --before"),
		console.Refuse(slices.ContainsFunc(cmd.IDs, func(id console.Once) bool { return !redactable.MatchString(string(id)) }),
			"one of these is no id of Clerk's, which looks like user_2f0a1b"))
}

const (
	// redactPage is how many rows a statement redacts.
	redactPage = 5000
	// deadLettersLimit is how long dead letters are looked through.
	deadLettersLimit = 10 * time.Minute
)

// redaction is what was done and found, as JSON.
type redaction struct {
	// IDs are what was looked for; empty for a time.
	IDs      []string         `json:"ids"`
	Redacted *mirror.Redacted `json:"redacted,omitempty"`
	// Left is where the ids were found, before with --dry-run and otherwise afterwards.
	Left        []mirror.Trace `json:"left"`
	DeadLetters deadLetters    `json:"dead_letters"`
	// NotReached is what no program can look at.
	NotReached []string `json:"not_reached"`
}

// deadLetters is what came of those of a stack.
type deadLetters struct {
	Status  string `json:"status"`
	Looked  int    `json:"looked,omitempty"`
	Removed int    `json:"removed,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// notReached is said after each redaction.
var notReached = []string{
	"Svix, which sends Clerk's webhooks, keeps messages for up to 90 days",
	"logs of functions, of the API and of Postgres name ids and svix-ids, as long as each keeps them",
	"backups and replicas of the database, until they are replaced",
	"messages that wait in the queue of a stack: look again when they are applied",
	"Clerk itself, and your own tables",
}

// Run is the command.
func (cmd redactEventsCommand) Run(ctx context.Context, c console.Console) error {
	return connect.AsOwner(ctx, c, "see what is recorded about a person", func(store *mirror.Store) error {
		now := time.Now()
		since, before := cmd.Since.at(now), cmd.Before.at(now)
		if len(cmd.IDs) == 0 && !since.Before(before) {
			return console.Usage(errors.New("--since is not before --before"))
		}
		result := redaction{IDs: []string{}, Left: []mirror.Trace{}, NotReached: notReached}
		for _, id := range console.Texts(cmd.IDs) {
			ids, err := store.IDsOf(ctx, id)
			if err != nil {
				return err
			}
			result.IDs = append(result.IDs, ids...)
		}
		found, err := result.traces(ctx, store, since, before)
		if err != nil {
			return err
		}
		if cmd.DryRun {
			result.Left, result.DeadLetters = found, deadLetters{Status: "not looked at"}
			return result.print(c)
		}
		if err := cmd.confirm(ctx, c, result, found, since, before); err != nil {
			return err
		}

		done, err := redact(ctx, c, func() (mirror.Redacted, error) {
			if len(result.IDs) > 0 {
				return store.Redact(ctx, result.IDs, redactPage)
			}
			return store.RedactRange(ctx, since, before, redactPage)
		})
		result.Redacted = &done
		if err != nil {
			return console.Hint(err, fmt.Sprintf("%d events and %d audit records were redacted; the same command goes on", done.Events, done.AuditRecords))
		}
		// Behind the inbox: what a consumer records meanwhile is found below.
		unknown := cmd.takeDeadLetters(ctx, c, &result, since, before)
		if result.Left, err = result.traces(ctx, store, since, before); err != nil {
			return err
		}
		return errors.Join(result.print(c), first(result.unexpected(), unknown))
	})
}

// first is the first of two errors: what failed comes before what is unknown.
func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// traces is where the ids are, or which events of the time still hold something.
func (r redaction) traces(ctx context.Context, store *mirror.Store, since, before time.Time) ([]mirror.Trace, error) {
	if len(r.IDs) == 0 {
		n, err := store.RangeLeft(ctx, since, before)
		if err != nil || n == 0 {
			return []mirror.Trace{}, err
		}
		return []mirror.Trace{{Relation: "clerk_sync.webhook_events", Rows: n}}, nil
	}
	found, err := store.Traces(ctx, r.IDs)
	return append([]mirror.Trace{}, found...), err
}

func (cmd redactEventsCommand) confirm(ctx context.Context, c console.Console, r redaction, found []mirror.Trace, since, before time.Time) error {
	what := fmt.Sprintf("all events from %s to %s", since.UTC().Format(time.RFC3339), before.UTC().Format(time.RFC3339))
	if len(r.IDs) > 0 {
		what = strings.Join(r.IDs, ", ")
	}
	c.Say("clerksync: this removes what is recorded about %s; nothing brings it back", what)
	live := false
	for _, t := range found {
		c.Say("  %s: %s", t.Relation, describe(t))
		live = live || isCopy(t) && t.Rows > t.Tombstones
	}
	if live {
		c.Say("clerksync: warning: the copy itself still has it, and is not changed: delete it in Clerk first, or the next event is recorded again")
	}
	if cmd.Yes {
		return nil
	}
	return c.Confirm(ctx, "Nothing of this can be taken back.", console.Hint(
		errors.New("redacting cannot be taken back, and there is no terminal to ask at"), "--dry-run says what is there, and with --yes it does not ask"))
}

// redact repeats a step until nothing is left.
func redact(ctx context.Context, c console.Console, step func() (mirror.Redacted, error)) (mirror.Redacted, error) {
	var all mirror.Redacted
	for {
		r, err := step()
		all.Events, all.AuditRecords, all.HeldBack = all.Events+r.Events, all.AuditRecords+r.AuditRecords, all.HeldBack+r.HeldBack
		if err != nil || !r.More {
			return all, err
		}
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		c.Say("clerksync: %d events and %d audit records so far", all.Events, all.AuditRecords)
	}
}

// takeDeadLetters is an error where it is not known whether something is left there.
func (cmd redactEventsCommand) takeDeadLetters(ctx context.Context, c console.Console, r *redaction, since, before time.Time) error {
	if cmd.Stack == "" {
		r.DeadLetters = deadLetters{Status: "not looked at", Detail: "--stack names the stack that has them"}
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deadLettersLimit, fmt.Errorf("looking through dead letters took longer than %s", deadLettersLimit))
	defer cancel()
	names := regexp.MustCompile(`(?:^|[^A-Za-z0-9_])(?:` + strings.Join(r.IDs, "|") + `)(?:[^A-Za-z0-9_]|$)`)
	stack, err := awsaccount.ReadStack(ctx, c.Lookup, string(cmd.Stack))
	var swept awsaccount.Swept
	if err == nil {
		swept, err = stack.SweepDeadLetters(ctx, func(sent time.Time, body string) bool {
			if len(r.IDs) > 0 {
				return names.MatchString(body)
			}
			return !sent.Before(since) && sent.Before(before)
		})
	}
	r.DeadLetters = deadLetters{Status: "clean", Looked: swept.Looked, Removed: swept.Removed}
	switch {
	case err != nil:
		r.DeadLetters.Status, r.DeadLetters.Detail = "unknown", connect.Advise(err).Error()
	case !swept.Whole:
		r.DeadLetters.Status, r.DeadLetters.Detail = "unknown", "others were reading the queue, or it did not end; the same command looks again"
	default:
		return nil
	}
	return console.Unknown(console.Hint(errors.New("it is not known whether dead letters hold something: "+r.DeadLetters.Detail), "the same command looks through them again"))
}

// isCopy tells the copy's tables from our own, of which nothing may be left.
func isCopy(t mirror.Trace) bool { return !strings.HasPrefix(t.Relation, "clerk_sync.") }

// passing are tables of full syncs, in which an id stands until a run is over.
var passing = []string{"clerk_sync.run_windows", "clerk_sync.sync_absences"}

// unexpected is an error where something is left that should not be.
func (r redaction) unexpected() error {
	var left []string
	for _, t := range r.Left {
		if !isCopy(t) && t.Rows > t.Tombstones && !slices.Contains(passing, t.Relation) {
			left = append(left, fmt.Sprintf("%s (%d rows)", t.Relation, t.Rows-t.Tombstones))
		}
	}
	if left == nil {
		return nil
	}
	return console.Hint(errors.New("something is still recorded: "+strings.Join(left, ", ")),
		"events may have come meanwhile: delete the object in Clerk, and run the same command again")
}

func describe(t mirror.Trace) string {
	switch {
	case t.Tombstones == t.Rows:
		return fmt.Sprintf("%s only that it was deleted, which has to stay known", console.Count(int(t.Rows), "row says", "rows say"))
	case slices.Contains(passing, t.Relation):
		return console.Count(int(t.Rows), "row", "rows") + " of full syncs, gone when their runs are"
	case isCopy(t):
		return console.Count(int(t.Rows-t.Tombstones), "row", "rows") + " of the copy, as Clerk states it"
	default:
		return console.Count(int(t.Rows), "row", "rows")
	}
}

func (r redaction) print(c console.Console) error {
	return c.Print(r, func(row func(...any)) {
		if r.Redacted != nil {
			row("redacted", fmt.Sprintf("%d events, %d audit records, %d held back", r.Redacted.Events, r.Redacted.AuditRecords, r.Redacted.HeldBack))
		}
		switch {
		case len(r.Left) > 0:
		case len(r.IDs) > 0:
			row("left", "nothing, in any row")
		default:
			row("left", "no id and no payload in the events of that time; the audit log was not looked through")
		}
		for _, t := range r.Left {
			row("left", t.Relation+": "+describe(t))
		}
		letters := r.DeadLetters.Status
		if r.DeadLetters.Looked > 0 {
			letters += fmt.Sprintf(", %d messages looked at, %d removed", r.DeadLetters.Looked, r.DeadLetters.Removed)
		}
		if r.DeadLetters.Detail != "" {
			letters += ": " + r.DeadLetters.Detail
		}
		row("dead letters", letters)
		for _, n := range r.NotReached {
			row("not reached", n)
		}
	})
}

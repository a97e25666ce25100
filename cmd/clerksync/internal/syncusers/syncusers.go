// Package syncusers is the command sync-users: the copy is made to say what Clerk says.
package syncusers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/supabase"
)

// Command is sync-users, as kong reads it.
type Command struct {
	User           console.Once `help:"Only this user and its memberships." xor:"part" placeholder:"ID"`
	Organization   console.Once `help:"Only this organization and its memberships." xor:"part" placeholder:"ID"`
	Since          moment       `help:"Only what changed since: a duration such as 24h, or a moment such as 2026-11-23T09:00:00Z." xor:"part" placeholder:"WHEN"`
	DryRun         bool         `help:"Compare and write nothing; list what differs, field by field."`
	Fresh          bool         `help:"Begin a new run also where one could be resumed."`
	AllowDeletions bool         `help:"Let any number of deletions through that Clerk has confirmed."`
	MaxDeleteShare float64      `help:"Stop before more than this share of one kind is deleted (default: ${default})." default:"0.1" placeholder:"SHARE"`
	MaxDeletes     int64        `help:"Stop before more than this many of one kind are deleted (default: ${default})." default:"10000" placeholder:"N"`
	AcceptInstance bool         `help:"Take the secret key's Clerk instance for the right one, also if the copy is of another."`
	RateShare      *float64     `help:"Share of Clerk's rate limit to use (default: SYNC_RATE_SHARE, or 0.2)." placeholder:"SHARE"`
	Workers        int          `help:"How many requests may be under way at once (default: ${default})." default:"16" placeholder:"N"`
}

// Help is the text below the flags' list in "clerksync sync-users --help".
func (Command) Help() string {
	return `Without --user, --organization or --since everything is read and compared, and what Clerk confirms to be gone is
deleted. A run that is stopped, by Ctrl-C or anything else, keeps what is done, and the next one goes on from there.

--since reads the users that changed since, and the organizations and memberships made since. It finds no deletions, and no
changes of older organizations and memberships: Clerk cannot list those.

It needs CLERK_SECRET_KEY and DATABASE_URL.

Examples:
  clerksync sync-users --dry-run
  clerksync sync-users
  clerksync sync-users --user user_2f0a1b
  clerksync sync-users --since 24h`
}

// moment is a point in time, written as one or as how long ago it is.
type moment struct{ time.Time }

// UnmarshalText is called while the command line is parsed.
func (m *moment) UnmarshalText(text []byte) error {
	now := time.Now()
	if !m.IsZero() {
		return errors.New("give it once")
	}
	if ago, err := time.ParseDuration(string(text)); err == nil {
		m.Time = now.Add(-ago)
	} else if m.Time, err = time.Parse(time.RFC3339, string(text)); err != nil {
		return errors.New("give a duration such as 24h, or a moment such as 2026-11-23T09:00:00Z")
	}
	if !m.Before(now) {
		return errors.New("that is not in the past")
	}
	return nil
}

// Clerk's own ids. An organization's slug would find it as well, but not its row.
var (
	userID         = regexp.MustCompile(`^user_[A-Za-z0-9]+$`)
	organizationID = regexp.MustCompile(`^org_[A-Za-z0-9]+$`)
)

// Validate checks what the types of the flags do not.
func (cmd Command) Validate() error {
	share := func(name string, value float64) error {
		return console.Refuse(!(value > 0 && value <= 1), "--%s is %v: give a share above 0 and up to 1", name, value)
	}
	rate := clerk.DefaultShare
	if cmd.RateShare != nil {
		rate = *cmd.RateShare
	}
	return errors.Join(share("max-delete-share", cmd.MaxDeleteShare), share("rate-share", rate),
		console.Refuse(cmd.User != "" && !userID.MatchString(string(cmd.User)), "--user wants the id of a user, as in user_2f0a1b…"),
		console.Refuse(cmd.Organization != "" && !organizationID.MatchString(string(cmd.Organization)), "--organization wants the id of an organization, as in org_2f0a1b…"),
		console.Refuse(cmd.partial() && (cmd.Fresh || cmd.AllowDeletions), "--fresh and --allow-deletions are for a run over everything"),
		console.Refuse(cmd.MaxDeletes < 1, "--max-deletes is %d: give at least 1; --dry-run deletes nothing", cmd.MaxDeletes),
		console.Refuse(cmd.Workers < 1 || cmd.Workers > maxWorkers, "--workers is %d: give 1 to %d", cmd.Workers, maxWorkers))
}

const (
	// maxWorkers is beyond what any rate limit can feed.
	maxWorkers = 64
	// syncConnections write at the same time.
	syncConnections = 4
)

// partial reports whether only a part of the copy is brought up to date.
func (cmd Command) partial() bool {
	return cmd.User != "" || cmd.Organization != "" || !cmd.Since.IsZero()
}

// engine is what does the work: one of the functions of package fullsync.
type engine func(context.Context, fullsync.Options) (fullsync.Report, error)

func (cmd Command) engine() engine {
	switch {
	case cmd.User != "":
		return func(ctx context.Context, o fullsync.Options) (fullsync.Report, error) {
			return fullsync.User(ctx, o, string(cmd.User))
		}
	case cmd.Organization != "":
		return func(ctx context.Context, o fullsync.Options) (fullsync.Report, error) {
			return fullsync.Organization(ctx, o, string(cmd.Organization))
		}
	case !cmd.Since.IsZero():
		return func(ctx context.Context, o fullsync.Options) (fullsync.Report, error) {
			return fullsync.Since(ctx, o, cmd.Since.Time)
		}
	default:
		return fullsync.Run
	}
}

// Run is the command.
func (cmd Command) Run(ctx context.Context, c console.Console) error {
	settings, err := connect.Sync(ctx, c)
	if err != nil {
		return err
	}
	parsed, err := connect.Parse(c, settings.Database, syncConnections)
	if err != nil {
		return err
	}
	if cmd.RateShare != nil {
		settings.RateShare = *cmd.RateShare
	}
	backend, err := connect.Clerk(settings)
	if err != nil {
		return err
	}
	db := supabase.Open(supabase.Fixed(parsed))
	defer db.Close()
	return cmd.sync(ctx, c, cmd.engine(), settings.LogLevel, fullsync.Options{
		Clerk: backend, Store: mirror.New(db), InstanceID: settings.InstanceID, InstanceOrigin: settings.InstanceOrigin,
	})
}

// sync has the work done, shows how far it is and says what came of it.
func (cmd Command) sync(ctx context.Context, c console.Console, work engine, level slog.Level, o fullsync.Options) error {
	progress := console.NewProgress(c)
	// Its steps are what the progress shows anyway.
	if level == slog.LevelInfo {
		level = slog.LevelWarn
	}
	findings := newFindings(c.JSON, progress.Data)

	o.Trigger = "cli"
	o.Logger = slog.New(slog.NewTextHandler(progress, &slog.HandlerOptions{Level: level}))
	o.Workers, o.Fresh, o.DryRun, o.AcceptInstance = cmd.Workers, cmd.Fresh, cmd.DryRun, cmd.AcceptInstance
	o.MaxDeleteShare, o.MaxDeletes, o.AllowDeletions = cmd.MaxDeleteShare, cmd.MaxDeletes, cmd.AllowDeletions
	o.OnDifference, o.Progress = findings.add, func(at fullsync.Progress) {
		progress.Update(console.Step{Phase: at.Phase, Done: at.Done, Total: at.Total, RateLimited: at.RateLimited})
	}

	progress.Start()
	report, err := work(ctx, o)
	progress.Close()

	// Where nothing was begun there is nothing to show.
	if report.State != "" || report.Reason != "" || findings.begun {
		if printErr := cmd.print(c, report, findings); printErr != nil {
			return errors.Join(err, printErr)
		}
	}
	return cmd.advise(ctx, report, err)
}

func (cmd Command) print(c console.Console, report fullsync.Report, findings *findings) error {
	defer func() {
		if findings.namesOnly {
			c.Say("clerksync: the values that differ are shown to the database's owner only: give the owner's string as DATABASE_URL to see them")
		}
	}()
	switch {
	case c.JSON && cmd.DryRun:
		return findings.finish(report)
	case !c.JSON && report.State == "":
		return nil
	}
	if err := c.Print(report, func(row func(...any)) {
		findings.rows(row)
		reportRows(report, time.Now(), row)
	}); err != nil {
		return err
	}
	if cmd.DryRun {
		c.Say("clerksync: this was a dry run: nothing was written")
	}
	return nil
}

// advise adds to an error what to do about it.
func (cmd Command) advise(ctx context.Context, report fullsync.Report, err error) error {
	hint := func(text string) error { return console.Hint(err, text) }
	if err == nil {
		n := report.DeletedHere()
		if n == 0 || cmd.DryRun {
			return nil
		}
		err = fmt.Errorf("%s in Clerk and deleted in the copy, and stayed so", console.Count(int(n), "object is", "objects are"))
		return hint("a deletion that Clerk has stated is final; if Clerk's dashboard shows them, delete their rows as the database's owner and run the same command again")
	}
	again := `"clerksync sync-users" goes on from there, within a day`
	if cmd.partial() || cmd.DryRun {
		again = "run the same command again"
	}
	switch {
	case errors.Is(err, fullsync.ErrTooManyDeletions):
		return hint(`"clerksync sync-users --dry-run --allow-deletions" lists what would go; if that is right, give --allow-deletions, or raise --max-delete-share and --max-deletes`)
	case errors.Is(err, fullsync.ErrPinned):
		return hint("check CLERK_SECRET_KEY; if the copy is to change its instance, change the pin where it is set, since --accept-instance does not overrule it")
	case errors.Is(err, fullsync.ErrWrongInstance):
		return hint("check CLERK_SECRET_KEY and DATABASE_URL, which belong together; if the copy is to change its instance, give --accept-instance")
	case errors.Is(err, fullsync.ErrBusy):
		return hint(`"clerksync status" shows that run; if it was killed, its lock ends by itself`)
	case errors.Is(err, clerk.ErrKeyRefused):
		return hint("take a secret key from the instance's dashboard, under API keys, into CLERK_SECRET_KEY; then " + again)
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
		return hint(cmd.kept() + ": " + again)
	case report.State == fullsync.Partial:
		return hint(cmd.kept() + ": " + again)
	default:
		if err = connect.Advise(err); !hintedAlready(err) {
			err = hint(cmd.kept() + ", and once this is mended: " + again)
		}
		return err
	}
}

func hintedAlready(err error) bool {
	_, hinted := errors.AsType[*console.HintedError](err)
	return hinted
}

// kept says what a command leaves that did not come to its end.
func (cmd Command) kept() string {
	if cmd.DryRun {
		return "nothing was written"
	}
	return "what is done is kept"
}

// Package status is the command status: what the copy holds, beside what Clerk does.
package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/awsaccount"
	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

// Command is status, as kong reads it.
type Command struct {
	Runs int  `help:"Also list this many of the latest full syncs, up to 1000." placeholder:"N"`
	AWS  bool `help:"Also ask AWS how many functions the account may run at once, and how many of those the stack may reserve." name:"aws"`
}

// Help is the text below the flags' list in "clerksync status --help".
func (Command) Help() string {
	return `It needs DATABASE_URL; with CLERK_SECRET_KEY, Clerk's numbers stand beside the copy's. The exit code is 3 where AWS, which --aws
asks, does not say. What is wrong with a set-up, and what to do
about it, is for "clerksync doctor" to say.

Examples:
  clerksync status
  clerksync status --runs 10
  clerksync status --aws --json`
}

// Validate is called while the command line is parsed.
func (cmd Command) Validate() error {
	return console.Refuse(cmd.Runs < 0 || cmd.Runs > 1000, "--runs is %d: give a number up to 1000", cmd.Runs)
}

// copyStatus is the status as JSON.
type copyStatus struct {
	mirror.Status
	// Clerk is null where Clerk could not be asked.
	Clerk *clerkCounts       `json:"clerk"`
	Runs  []mirror.RunRecord `json:"runs,omitempty"`
	// AWS is there where it was asked for.
	AWS *awsStatus `json:"aws,omitempty"`
}

// awsStatus is what AWS says of the account.
type awsStatus struct {
	// Concurrency is null where AWS does not say, and Unknown then says why.
	Concurrency *awsConcurrency `json:"concurrency"`
	Unknown     string          `json:"unknown,omitempty"`
}

// unknown is an error where AWS was asked and did not say.
func (s *awsStatus) unknown() error {
	if s == nil || s.Concurrency != nil {
		return nil
	}
	return console.Hint(console.Unknown(fmt.Errorf("how many functions AWS lets the account run at once: %s", s.Unknown)),
		"docs/deploy.md says which permission --aws needs; without it the rest is shown")
}

type awsConcurrency struct {
	awsaccount.Concurrency
	Reservable int `json:"reservable"`
}

// clerkCounts are how many objects Clerk has; null where it does not say.
type clerkCounts struct {
	Users         *int64 `json:"users"`
	Organizations *int64 `json:"organizations"`
	Memberships   *int64 `json:"organization_memberships"`
}

// askLimit is for counting in Clerk: three requests, and what is repeated.
const askLimit = 15 * time.Second

// Run is the command. Only a copy that cannot be read is a failure, and a key that is
// not the copy's: whatever else is amiss is what a status is there to show.
func (cmd Command) Run(ctx context.Context, c console.Console) error {
	var status copyStatus
	var instance string
	err := connect.WithStore(ctx, c, func(store *mirror.Store) error {
		var err error
		if status.Status, err = store.Status(ctx); err != nil {
			return err
		}
		if instance, err = store.ExpectedInstance(ctx, false); err != nil || cmd.Runs == 0 {
			return err
		}
		status.Runs, err = store.Runs(ctx, cmd.Runs)
		return err
	})
	if err != nil {
		return err
	}
	var foreign error
	status.Clerk, foreign = askClerk(ctx, c, instance)
	if cmd.AWS {
		status.AWS = askAWS(ctx, c)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(c.Print(status, func(row func(...any)) { statusRows(status, time.Now(), row) }), foreign, status.AWS.unknown())
}

// askClerk counts what Clerk has, and says on stderr what kept it from that. A key of
// another instance than the copy's is an error, and shows nothing of that one.
func askClerk(ctx context.Context, c console.Console, instance string) (*clerkCounts, error) {
	if !connect.MayHold(c, "CLERK_SECRET_KEY") {
		c.Say("clerksync: hint: with CLERK_SECRET_KEY set, Clerk's own numbers stand beside these")
		return nil, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askLimit, fmt.Errorf("it took longer than %s", askLimit))
	defer cancel()
	counts, err := countInClerk(ctx, c, instance)
	if errors.Is(err, mirror.ErrWrongInstance) {
		return nil, console.Hint(err, "Clerk's numbers are left out; check CLERK_SECRET_KEY and DATABASE_URL, which belong together")
	}
	if err != nil {
		c.Say("clerksync: warning: counting in Clerk: %v", err)
	}
	return counts, nil
}

// askAWS asks AWS for the account's limits. That it may not, or cannot, is an answer.
func askAWS(ctx context.Context, c console.Console) *awsStatus {
	ctx, cancel := context.WithTimeoutCause(ctx, askLimit, fmt.Errorf("it took longer than %s", askLimit))
	defer cancel()
	found, err := awsaccount.ReadConcurrency(ctx, c.Lookup)
	if err != nil {
		return &awsStatus{Unknown: err.Error()}
	}
	return &awsStatus{Concurrency: &awsConcurrency{found, found.Reservable()}}
}

// The numbers that docs/deploy.md gives webhooks and diagnostics.
const (
	adviseWebhooks    = 20
	adviseDiagnostics = 5
)

// awsRows is what AWS says, for people.
func awsRows(s awsStatus, row func(...any)) {
	row()
	if s.Concurrency == nil {
		row("AWS, functions at once", "unknown: "+s.Unknown)
		return
	}
	a := *s.Concurrency
	row("AWS, functions at once", fmt.Sprintf("%d in %s, of which %d are not reserved", a.Limit, a.Region, a.Unreserved))
	text := fmt.Sprintf("%d in all", a.Reservable)
	switch {
	case a.Reservable == 0:
		text = `nothing: leave ReservedConcurrency and DiagnosticsConcurrency at -1, or raise the quota "Concurrent executions" of AWS Lambda (L-B99A9384)`
	case a.Reservable >= adviseWebhooks+adviseDiagnostics:
		text += fmt.Sprintf(", such as ReservedConcurrency=%d and DiagnosticsConcurrency=%d", adviseWebhooks, adviseDiagnostics)
	}
	row("AWS, to be reserved", text)
}

// countInClerk returns what it could count, also with an error. Of another instance than
// the copy's, or the pinned one, it returns nothing.
func countInClerk(ctx context.Context, c console.Console, instance string) (*clerkCounts, error) {
	settings, err := connect.Sync(ctx, c)
	if err != nil {
		return nil, err
	}
	backend, err := connect.Clerk(settings)
	if err != nil {
		return nil, err
	}
	var counts clerkCounts
	// The other two are counted by a page's total_count: Clerk has a count of users alone
	// (Clerk OpenAPI bapi, GET /users/count).
	users, err := backend.CountUsers(ctx, clerk.UserQuery{})
	if err != nil {
		return nil, err
	}
	// Nothing is shown before it is known whose it is.
	key, err := backend.Instance(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case settings.InstanceID != "" && settings.InstanceID != key.ID:
		return nil, fmt.Errorf("%w: CLERK_INSTANCE_ID (%s) pins %s, and the secret key belongs to %s",
			mirror.ErrWrongInstance, settings.InstanceOrigin, settings.InstanceID, key.ID)
	case instance != "" && instance != key.ID:
		return nil, mirror.WrongInstance(instance, key.ID)
	}
	counts.Users = &users
	for _, list := range []struct {
		read  func(context.Context, clerk.ListQuery) (clerk.Page, error)
		total **int64
	}{
		{backend.Organizations, &counts.Organizations},
		{backend.Memberships, &counts.Memberships},
	} {
		page, err := list.read(ctx, clerk.ListQuery{Limit: 1})
		switch {
		case errors.Is(err, clerk.ErrNotEnabled):
		case err != nil:
			return &counts, err
		case page.Total >= 0:
			*list.total = &page.Total
		}
	}
	return &counts, nil
}

// statusRows is a status for people.
func statusRows(s copyStatus, now time.Time, row func(...any)) {
	inClerk := s.Clerk
	if inClerk == nil {
		inClerk = &clerkCounts{}
	}
	row("", "here", "Clerk", "placeholders", "tombstones")
	for _, table := range []struct {
		name  string
		here  mirror.Counts
		clerk *int64
	}{
		{"users", s.Users, inClerk.Users},
		{"organizations", s.Organizations, inClerk.Organizations},
		{"organization_memberships", s.Memberships, inClerk.Memberships},
	} {
		if slices.Contains(s.Missing, table.name) {
			row(table.name, "?", console.Known(table.clerk), "?", "?")
			continue
		}
		row(table.name, about(table.here.Live, table.here.Estimated), console.Known(table.clerk),
			about(table.here.Placeholders, table.here.Estimated), about(table.here.Tombstones, table.here.Estimated))
	}
	row()
	if len(s.Missing) > 0 {
		row("not read in time", strings.Join(s.Missing, ", "))
	}
	if held := s.Users.Held + s.Organizations.Held + s.Memberships.Held; held > 0 {
		row("tombstones kept", fmt.Sprintf("%d, which other tables refer to, when they were last looked through", held))
	}
	if s.Ending > 0 {
		row("memberships ending", "of "+console.Count(int(s.Ending), "deleted user or organization", "deleted users and organizations")+"; no policy shows them")
	}
	if s.HeldBack > 0 {
		n := fmt.Sprint(s.HeldBack)
		if s.HeldBack > exact {
			n = fmt.Sprintf("more than %d", exact)
		}
		row("deletions held back", n+`; "clerksync deletions list" shows which`)
	}
	// read is a row of a part, if that could be read.
	read := func(part, name, text string) {
		if slices.Contains(s.Missing, part) {
			text = "?"
		}
		row(name, text)
	}
	read("runs", "last full sync", runText(s.LastRun, now))
	if s.LastRun != nil && s.LastRun.State != "complete" {
		row("last complete full sync", runText(s.LastComplete, now))
	}
	if s.LastComplete != nil {
		var report fullsync.Report
		if json.Unmarshal(s.LastComplete.Report, &report) == nil && report.DeletedHere() > 0 {
			row("deleted here", console.Count(int(report.DeletedHere()), "object", "objects")+", live in Clerk when it was last read whole")
		}
	}
	read("last_event_at", "last verified webhook", console.AgoOrNever(s.LastEventAt, now))
	for _, outcome := range []mirror.Outcome{mirror.Applied, mirror.Stale, mirror.Ignored, mirror.Rejected} {
		text := about(s.Events[outcome], slices.Contains(s.EventsEstimated, outcome))
		if outcome == mirror.Rejected && s.Events[outcome] > 0 {
			text += `; "clerksync events list --outcome rejected" shows why`
		}
		read("events", "events "+string(outcome), text)
	}
	if len(s.Runs) > 0 {
		row()
		row("run", "started", "took", "by", "drift", "state")
	}
	for _, run := range s.Runs {
		duration := "-"
		if run.EndedAt != nil {
			duration = console.Took(run.EndedAt.Sub(run.StartedAt))
		}
		row(run.ID, run.StartedAt.UTC().Format(time.RFC3339), duration, run.Trigger, console.Known(run.Drift), state(run))
	}
	if s.AWS != nil {
		awsRows(*s.AWS, row)
	}
}

// exact is how many rows are counted at least; more are estimated.
const exact = 20_000

// about writes a number that may be an estimate.
func about(n int64, estimated bool) string {
	if estimated && n > exact {
		return fmt.Sprintf("about %d", n)
	}
	return fmt.Sprint(n)
}

func state(r mirror.RunRecord) string {
	if r.Reason == "" {
		return r.State
	}
	return r.State + " (" + r.Reason + ")"
}

// runText says when a run was, how it ended and what it found.
func runText(r *mirror.RunRecord, now time.Time) string {
	if r == nil {
		return "never"
	}
	if r.EndedAt == nil {
		return fmt.Sprintf("%s, begun %s by %s", state(*r), console.Ago(now.Sub(r.StartedAt)), r.Trigger)
	}
	text := fmt.Sprintf("%s %s, by %s", state(*r), console.Ago(now.Sub(*r.EndedAt)), r.Trigger)
	if r.Drift != nil {
		text += ", drift of " + console.Count(int(*r.Drift), "object", "objects")
	}
	if r.State == "partial" {
		text += "; the next one goes on from there"
	}
	return text
}

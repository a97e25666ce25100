// Package setupsync is the command setup-sync: from keys of Clerk and a token of Supabase to a first copy.
package setupsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/supabase"
	"clerksync/shared/supabase/management"
)

// Command is setup-sync, as kong reads it.
type Command struct {
	Plan                 bool          `help:"Show what would be done, and write nothing." xor:"how"`
	Yes                  bool          `help:"Do what the plan says without asking." xor:"how"`
	Only                 console.Names `help:"Only these steps: keys, project, database, provider, role, local, secret, rows." placeholder:"STEP"`
	Into                 console.Path  `help:"File that settings are read from and written into (default: .env)." placeholder:"FILE"`
	Project              console.Once  `help:"Reference of the Supabase project, 20 letters." placeholder:"REF"`
	DatabasePasswordFile console.Path  `help:"File with the database password, which is read once and kept nowhere." placeholder:"FILE"`
	DatabaseBy           string        `help:"How the owner's work in the database is done: with its password, or without: by a short-lived login of Supabase's making, or by SQL through its API." enum:"password,login,sql" default:"password"`
	Stack                console.Once  `help:"The deployed stack: its secret gets the settings that its functions read." placeholder:"NAME" xor:"secret"`
	SecretID             console.Once  `help:"The secret of AWS Secrets Manager that gets them, by name or ARN; it is made where it is missing." placeholder:"ID" xor:"secret"`
	ReplaceProvider      bool          `help:"Have the project trust no other Clerk instance, once this one is proved."`
	RoleUser             console.Once  `help:"User of a development instance for whom a session may be opened, to look at its token." placeholder:"ID" xor:"token"`
	TokenFile            console.Once  `help:"File with a session token that was copied from the app; - is stdin." placeholder:"FILE" xor:"token"`
	Wait                 time.Duration `help:"How long Supabase may take to fetch Clerk's keys (default: ${default})." default:"2m" placeholder:"DURATION"`
}

// Help is the text below the flags' list in "clerksync setup-sync --help".
func (Command) Help() string {
	return `It looks at what is there, shows what it would do, asks, does it step by step and reads each step back. A run that was
ended goes on when it is run again; one that finds everything done changes nothing.

With --stack or --secret-id the settings that functions read are stored in their secret, which keeps whatever else it holds.
Without either nothing of AWS is asked.

Settings are taken from the environment, from FILE and from .env.local; what is missing is asked for: Clerk's two keys, a
Supabase access token, the project, the database password. The token and the password are written nowhere.

Without the database password --database-by login has Supabase make a login that may do what the owner may, for minutes, and
--database-by sql sends the migrations through Supabase's API; both need a token with database_write. They were tried
against a double only.

Whether session tokens have the claim role shows in one alone. In a development instance a session is opened for the user
that you name, and ended after the look; in production you paste a token, or go on without.

Examples:
  clerksync setup-sync
  clerksync --json setup-sync --plan
  clerksync setup-sync --yes --database-password-file password.txt
  clerksync setup-sync --database-by login
  clerksync setup-sync --stack clerksync
  clerksync setup-sync --only provider --replace-provider
  clerksync setup-sync --only role --role-user user_2abcDEF`
}

// Validate checks what the types of the flags do not.
func (cmd Command) Validate() error {
	known := []string{"keys", "project", "database", "provider", "role", "local", "secret", "rows"}
	var problems []error
	for _, step := range cmd.Only {
		problems = append(problems, console.Refuse(!slices.Contains(known, step), "--only %s: there is no such step; there are %s", step, strings.Join(known, ", ")))
	}
	problems = append(problems,
		console.Refuse(cmd.DatabasePasswordFile != "" && cmd.DatabaseBy != string(setup.ByPassword), "--database-password-file is for --database-by password"),
		console.Refuse(cmd.Wait <= 0, "--wait is not positive"))
	return errors.Join(problems...)
}

// Run is the command.
func (cmd Command) Run(ctx context.Context, c console.Console) error {
	s, err := cmd.collect(ctx, c)
	if err != nil {
		return err
	}
	steps := s.Steps()
	if len(cmd.Only) > 0 {
		steps = slices.DeleteFunc(steps, func(step setup.Step) bool { return !slices.Contains(cmd.Only, step.ID) })
	}
	plan, err := setup.Look(ctx, steps)
	// Where it ends for a person to do something, what is known is shown all the same.
	if c.JSON || cmd.Plan || err == nil {
		if printed := connect.ShowPlan(c, plan); printed != nil {
			return errors.Join(err, printed)
		}
	}
	switch {
	case err != nil:
		return err
	case plan.Done():
		c.Say("clerksync: nothing to do, everything is set up")
		return nil
	case cmd.Plan:
		c.Say("clerksync: this was the plan: nothing was written")
		return nil
	case !cmd.Yes && plan.Writes() > 0:
		unasked := console.Usage(errors.New("there is no terminal to ask at; give --yes to do what the plan says, or --plan to see it"))
		if err := c.Confirm(ctx, console.Count(plan.Writes(), "change", "changes")+" will be made.", unasked); err != nil {
			return err
		}
	}
	var open []setup.Entry
	err = setup.Carry(ctx, steps, plan, setup.Carrying{Wait: cmd.Wait, Report: func(e setup.Entry, what string) {
		switch e.Status {
		case setup.Done:
			c.Say("clerksync: %s: done: %s", e.Step, e.Detail)
		case setup.Waiting:
			c.Say("clerksync: %s: waiting: %s", e.Step, what)
		case setup.Left, setup.Unknown:
			c.Say("clerksync: %s: %s: %s", e.Step, e.Status, e.Detail)
			open = append(open, e)
		default:
			if e.Step == "rows" {
				what += " (" + e.Detail + ")"
			}
			c.Say("clerksync: %s: %s", e.Step, what)
		}
	}})
	switch {
	case errors.Is(err, setup.ErrStillWaiting), errors.Is(err, setup.ErrChanged):
		return console.Hint(err, `"clerksync setup-sync" goes on from here`)
	case ctx.Err() != nil:
		return console.Hint(fmt.Errorf("%w: %w", ctx.Err(), err), `what is done is kept: "clerksync setup-sync" goes on from here`)
	case err != nil:
		return console.Hint(err, `nothing is half done: mend this, and "clerksync setup-sync" goes on from here`)
	}
	if slices.ContainsFunc(steps, func(step setup.Step) bool { return step.ID == "rows" }) {
		cmd.suggest(ctx, c, s.CACert)
	}
	return cmd.conclude(c, open, s.WebhookURL)
}

// conclude says what is left to a person, of the steps that are not done.
func (cmd Command) conclude(c console.Console, open []setup.Entry, webhookURL string) error {
	for _, e := range open {
		if e.Status == setup.Left {
			return console.Hint(fmt.Errorf("%s: this is left to you", e.Title), `when you have done it, "clerksync setup-sync" looks again`)
		}
	}
	for _, e := range open {
		if slices.Contains(cmd.Only, e.Step) {
			return console.Unknown(fmt.Errorf("%s: it is not known", e.Title))
		}
	}
	done := "the set-up is done"
	if len(open) > 0 {
		done += ", except that it is not known about " + open[0].Title
	}
	c.Say("clerksync: %s; next: %s; \"clerksync doctor\" says what is left", done, cmd.receiving(webhookURL))
	return nil
}

// receiving says how webhooks come to be received.
func (cmd Command) receiving(webhookURL string) string {
	switch {
	case webhookURL != "":
		return fmt.Sprintf("the stack receives webhooks at %s: \"clerksync create-webhooks --stack %s\"", webhookURL, cmd.Stack)
	case cmd.SecretID != "":
		return fmt.Sprintf("\"clerksync create-webhooks --secret-id %s --url URL\", with the URL at which the functions receive webhooks", cmd.SecretID)
	}
	return "nothing is deployed, as far as it was told: deploy to AWS (docs/deploy.md), or call the rules from a Supabase Edge Function or a Next.js route " +
		"(docs/database.md#from-an-edge-function-or-a-route); then \"clerksync create-webhooks\""
}

// previewed is how many users a copy may be compared with Clerk for before it is filled.
const previewed = 5000

// preview says what the first full sync would write.
func preview(backend *clerk.Backend, caCert string) func(context.Context, secret.Value) (string, error) {
	return func(ctx context.Context, writer secret.Value) (string, error) {
		if n, err := backend.CountUsers(ctx, clerk.UserQuery{}); err != nil || n > previewed {
			return "clerksync sync-users --dry-run says what it would write", err
		}
		parsed, err := supabase.Parse(supabase.Options{URL: writer, CACert: caCert, AppName: "setup", MaxConns: fillConnections})
		if err != nil {
			return "", err
		}
		db := supabase.Open(supabase.Fixed(parsed))
		defer db.Close()
		r, err := fullsync.Run(ctx, fullsync.Options{Clerk: backend, Store: mirror.New(db), Trigger: "cli", DryRun: true})
		if err != nil {
			return "", err
		}
		var created, updated, deleted int64
		for _, o := range []fullsync.ObjectReport{r.Users, r.Organizations, r.Memberships, r.Roles, r.Permissions} {
			created, updated, deleted = created+o.Created, updated+o.Updated, deleted+o.Deleted
		}
		return fmt.Sprintf("it would create %d rows, update %d and delete %d", created, updated, deleted), nil
	}
}

// fill makes the first full sync.
func fill(c console.Console, backend *clerk.Backend, caCert string) func(context.Context, secret.Value) error {
	return func(ctx context.Context, writer secret.Value) error {
		parsed, err := supabase.Parse(supabase.Options{URL: writer, CACert: caCert, AppName: "setup", MaxConns: fillConnections})
		if err != nil {
			return err
		}
		db := supabase.Open(supabase.Fixed(parsed))
		defer db.Close()
		progress := console.NewProgress(c)
		progress.Start()
		report, err := fullsync.Run(ctx, fullsync.Options{
			Clerk: backend, Store: mirror.New(db), Trigger: "cli",
			Logger: slog.New(slog.NewTextHandler(progress, &slog.HandlerOptions{Level: slog.LevelWarn})),
			Progress: func(at fullsync.Progress) {
				progress.Update(console.Step{Phase: at.Phase, Done: at.Done, Total: at.Total, RateLimited: at.RateLimited})
			},
		})
		progress.Close()
		if err == nil && report.State != fullsync.Complete {
			err = fmt.Errorf("the full sync ended %s: %s", report.State, report.Reason)
		}
		return err
	}
}

// fillConnections write at the same time.
const fillConnections = 4

// supabaseClient is of the access token that is set or asked for.
func supabaseClient(ctx context.Context, c console.Console, lookup func(string) string) (*management.Client, error) {
	token, err := connect.Hidden(ctx, c, lookup, "SUPABASE_ACCESS_TOKEN", "Supabase access token, from supabase.com/dashboard/account/tokens")
	if err != nil {
		return nil, err
	}
	return management.New(management.Options{Token: token, URL: lookup("SUPABASE_API_URL")})
}

// pick has a project picked from a list.
func pick(ctx context.Context, c console.Console, client *management.Client) (string, error) {
	projects, err := client.Projects(ctx)
	switch {
	case err != nil:
		return "", err
	case len(projects) == 0:
		return "", errors.New("the access token sees no project: use one of an account that belongs to the project's organization, or make a project in Supabase's dashboard")
	case len(projects) == 1:
		return projects[0].Ref, nil
	case c.Keyboard() == nil:
		return "", console.Usage(errors.New("the access token sees several projects: name one with --project or as SUPABASE_PROJECT_REF"))
	}
	for i, p := range projects {
		c.Say("%3d  %s  %s  %s  %s", i+1, p.Ref, p.Name, p.Region, p.Status)
	}
	answer, err := c.Ask(ctx, "Which project? Its number: ")
	if err != nil {
		return "", err
	}
	var n int
	if _, err := fmt.Sscanf(answer, "%d", &n); err != nil || n < 1 || n > len(projects) {
		return "", console.Usage(fmt.Errorf("there is no project of that number; give one from 1 to %d", len(projects)))
	}
	return projects[n-1].Ref, nil
}

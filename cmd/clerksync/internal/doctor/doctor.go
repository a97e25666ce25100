// Package doctor is the command doctor: what is the matter with a whole set-up.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/doctor"
	"clerksync/shared/finding"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
)

// Command is doctor, as kong reads it.
type Command struct {
	Stack     console.Once `help:"Also look at this stack on AWS." placeholder:"NAME"`
	URL       console.Once `help:"Where webhooks are sent (default: the stack's own address)." name:"url" placeholder:"URL"`
	Token     console.Once `help:"Judge the session token in this file, too; - is stdin." placeholder:"FILE"`
	Deep      bool         `help:"Also compare a sample of the copy with Clerk, and play every kind of caller on each table. It takes up to two minutes."`
	All       bool         `help:"Show the checks that passed, too."`
	Fix       bool         `help:"Offer what may safely be done about it, and do it after consent. Never a grant, a policy or a key."`
	Yes       bool         `help:"Consent to what --fix offers."`
	Checklist bool         `help:"Write the checklist of docs/security.md as Markdown: each point with what was measured, or left to you to confirm."`
}

// Help is the text below the flags' list in "clerksync doctor --help".
func (Command) Help() string {
	return `It looks over the whole chain and names the first cause: settings, Clerk's keys and API, the key set, the database, what clerksync has
made there, policies, webhooks, full syncs and the stack on AWS. It changes nothing, and takes less than ten seconds without --deep.

Examples:
  clerksync doctor
  clerksync doctor --all --deep
  clerksync doctor --stack clerksync --token token.txt
  clerksync doctor --fix
  clerksync doctor --checklist > security-checklist.md

What hangs on something that failed is skipped, so that the first failure is a cause. What cannot be looked at is skipped with the reason,
and never passes. docs/troubleshooting.md has a section for each check. The exit code is 1 where a check failed, and 3 where none
failed but one that was asked for (--stack, --url, --token, --deep) could not be made.`
}

// Validate is called while the command line is parsed.
func (cmd Command) Validate() error {
	return errors.Join(
		console.Refuse(cmd.Yes && !cmd.Fix, "--yes consents to what --fix offers: give both"),
		console.Refuse(cmd.Fix && cmd.Checklist, "--checklist only looks: give it without --fix"))
}

// maxToken is a hundred times what a token takes.
const maxToken = 1 << 20

// examined is the outcome as JSON.
type examined struct {
	doctor.Report
	Cause *finding.Finding `json:"cause"`
}

// Run is the command.
func (cmd Command) Run(ctx context.Context, c console.Console) error {
	o := doctor.Options{Lookup: c.Lookup, Stack: string(cmd.Stack), WebhookURL: string(cmd.URL), Version: c.Version, Deep: cmd.Deep, Now: c.Now}
	if cmd.Token != "" {
		text, err := c.ReadGiven(ctx, string(cmd.Token), maxToken)
		if err != nil {
			return console.Usage(err)
		}
		o.Token = secret.New(text)
	}
	report := doctor.Examine(ctx, o)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if cmd.Checklist {
		return errors.Join(cmd.writeChecklist(c, report), cmd.outcome(report))
	}
	if err := cmd.print(c, report); err != nil {
		return err
	}
	if cmd.Fix {
		if err := cmd.fix(ctx, c, report); err != nil {
			return err
		}
	}
	return cmd.outcome(report)
}

func (cmd Command) print(c console.Console, report doctor.Report) error {
	cause := report.Cause()
	if c.JSON {
		return c.Encode(examined{report, cause})
	}
	shown := report.Worth()
	if cmd.All {
		shown = report.Findings
	}
	err := c.OnStdout().Findings(shown)
	c.Say("clerksync: %s", console.Sum(report.Findings))
	switch {
	case cause == nil:
		c.Say("clerksync: everything that could be looked at is as it should be")
	case cause.Status == finding.Fail:
		c.Say("clerksync: begin with %s: %s", cause.ID, cause.Title)
	}
	return err
}

// outcome is an error where a check failed, or one that was asked for is unknown.
func (cmd Command) outcome(report doctor.Report) error {
	if err := console.ToMend(report.Findings); err != nil {
		return console.Hint(err, fmt.Sprintf("mend %s first; docs/troubleshooting.md has a section on it", report.Cause().ID))
	}
	asked := map[string]bool{"aws.stack": cmd.Stack != "", "token.role": cmd.Token != "", "sync.drift": cmd.Deep, "webhook.endpoint": cmd.URL != ""}
	for _, f := range report.Findings {
		if asked[f.ID] && f.Status == finding.Skip {
			return console.Hint(console.Unknown(fmt.Errorf("%s was asked for and stayed unknown: %s", f.ID, f.Detail)),
				"docs/troubleshooting.md says under "+f.ID+" what it takes; nothing else failed")
		}
	}
	return nil
}

// fixLimit is for what --fix does.
const fixLimit = 15 * time.Minute

// fix offers a full sync where one is due: it is what repairs a copy, whatever it was that
// webhooks have lost, and is safe to repeat.
func (cmd Command) fix(ctx context.Context, c console.Console, report doctor.Report) error {
	due := ""
	for _, f := range report.Findings {
		if (f.ID == "sync.run" || f.ID == "sync.drift" || f.ID == "webhook.freshness") && f.Status != finding.Pass && f.Status != finding.Skip {
			due = f.ID
			break
		}
	}
	if due == "" {
		c.Say("clerksync: there is nothing that may be done without you")
		return nil
	}
	c.Say("clerksync: %s asks for a full sync, as \"clerksync sync-users\" makes it: it sets the copy right and changes nothing else", due)
	if !cmd.Yes {
		if err := c.Confirm(ctx, "A full sync is made now.", console.Usage(errors.New("--fix asks before it does anything, and there is no terminal: give --yes"))); err != nil {
			return err
		}
	}
	return connect.Within(ctx, "the full sync", fixLimit, func(ctx context.Context) error { return sync(ctx, c) })
}

func sync(ctx context.Context, c console.Console) error {
	settings, err := connect.Sync(ctx, c)
	if err != nil {
		return err
	}
	backend, err := connect.Clerk(settings)
	if err != nil {
		return err
	}
	database, err := connect.Parse(c, settings.Database, 2)
	if err != nil {
		return err
	}
	db := supabase.Open(supabase.Fixed(database))
	defer db.Close()
	report, err := fullsync.Run(ctx, fullsync.Options{
		Clerk: backend, Store: mirror.New(db), Trigger: "doctor", InstanceID: settings.InstanceID, InstanceOrigin: settings.InstanceOrigin,
	})
	if err != nil {
		return console.Hint(err, "clerksync sync-users --dry-run shows what it would do")
	}
	c.Say("clerksync: the full sync is %s; run clerksync doctor again", report.State)
	return nil
}

// writeChecklist writes it with the day and what was seen.
func (cmd Command) writeChecklist(c console.Console, report doctor.Report) error {
	points := report.Checklist()
	if c.JSON {
		return c.Encode(struct {
			Points []doctor.Point `json:"points"`
		}{points})
	}
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	_, err := io.WriteString(c.Stdout, console.Harmless(doctor.Markdown(points, now())))
	return err
}

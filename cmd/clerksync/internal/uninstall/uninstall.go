// Package uninstall is the command uninstall: what setup-sync and create-webhooks have made is listed, and removed after
// consent.
package uninstall

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/awsaccount"
	"clerksync/shared/setup"
	"clerksync/shared/supabase/management"
)

// Command is uninstall, as kong reads it.
type Command struct {
	Plan                 bool          `help:"Show what would be removed, and remove nothing." xor:"how"`
	Yes                  bool          `help:"Remove what the plan says without asking." xor:"how"`
	Only                 console.Names `help:"Only these steps: provider, session, secret, database, local, settings. The record of what was made is kept." placeholder:"STEP"`
	DropData             bool          `help:"Drop the copy, too: its tables with their rows, functions, schemas and roles."`
	Into                 console.Path  `help:"File that settings were written into (default: .env); beside it is the record of what was made." placeholder:"FILE"`
	Project              console.Once  `help:"Reference of the Supabase project, 20 letters (default: that of the record)." placeholder:"REF"`
	DatabasePasswordFile console.Path  `help:"File with the database password, which is read once and kept nowhere." placeholder:"FILE"`
}

// Help is the text below the flags' list in "clerksync uninstall --help".
func (Command) Help() string {
	return `It removes what setup-sync and create-webhooks have made, as .clerksync/setup.json has it and as it is still there: the provider
that was registered with Supabase, the passwords of the runtime logins, the settings that were written, into the file and
into the functions' secret. What has another value by now stays, and so does the stack, which "sam delete" removes.

The copy stays, unless --drop-data is given. Then anything of yours that stands on it is named, and it refuses: it never
takes along what is not its own.

A run that was ended goes on when it is run again.

Examples:
  clerksync uninstall
  clerksync --json uninstall --plan
  clerksync uninstall --yes --drop-data --database-password-file pw.txt
  clerksync uninstall --only provider`
}

var steps = []string{"provider", "session", "secret", "database", "local", "settings"}

// Validate checks what the types of the flags do not.
func (cmd Command) Validate() error {
	var problems []error
	for _, step := range cmd.Only {
		problems = append(problems, console.Refuse(!slices.Contains(steps, step), "--only %s: there is no such step; there are %s", step, strings.Join(steps, ", ")))
	}
	problems = append(problems, console.Refuse(cmd.DropData && len(cmd.Only) > 0 && !slices.Contains(cmd.Only, "database"), "--drop-data is for the step database, which --only leaves out"))
	return errors.Join(problems...)
}

// Run is the command.
func (cmd Command) Run(ctx context.Context, c console.Console) error {
	u, err := cmd.collect(ctx, c)
	if err != nil {
		return err
	}
	chosen := u.Steps()
	if len(cmd.Only) > 0 {
		chosen = slices.DeleteFunc(chosen, func(step setup.Step) bool { return !slices.Contains(cmd.Only, step.ID) })
	}
	plan, err := setup.Look(ctx, chosen)
	if printed := connect.ShowPlan(c, plan); printed != nil {
		return errors.Join(err, printed)
	}
	switch {
	case err != nil:
		return connect.Advise(err)
	case plan.Writes() == 0:
		c.Say("clerksync: nothing to remove")
		return remaining(plan)
	case cmd.Plan:
		c.Say("clerksync: this was the plan: nothing was removed")
		return remaining(plan)
	case !cmd.Yes:
		unasked := console.Usage(errors.New("there is no terminal to ask at; give --yes to remove what the plan says, or --plan to see it"))
		if err := c.Confirm(ctx, console.Count(plan.Writes(), "change", "changes")+" will be made. None of them can be taken back.", unasked); err != nil {
			return err
		}
	}
	var left setup.Plan
	err = setup.Carry(ctx, chosen, plan, setup.Carrying{Report: func(e setup.Entry, what string) {
		if what == "" {
			left = append(left, e)
			what = fmt.Sprintf("%s: %s", e.Status, e.Detail)
		}
		c.Say("clerksync: %s: %s", e.Step, what)
	}})
	switch {
	case ctx.Err() != nil:
		return console.Hint(fmt.Errorf("%w: %w", ctx.Err(), err), `what is removed is removed: "clerksync uninstall" goes on from here`)
	case err != nil:
		return console.Hint(err, `mend this, and "clerksync uninstall" goes on from here`)
	}
	c.Say("clerksync: removed; the webhook endpoint in Clerk's dashboard and a stack that was deployed (sam delete) are yours to remove")
	return remaining(left)
}

// remaining says what of the steps is left to a person, or was not found out.
func remaining(plan setup.Plan) error {
	for _, status := range []setup.Status{setup.Left, setup.Unknown} {
		for _, e := range plan {
			if e.Status != status {
				continue
			}
			err := fmt.Errorf("%s: %s", e.Title, e.Detail)
			if status == setup.Left {
				return console.Hint(err, `when you have done it, "clerksync uninstall" looks again`)
			}
			return console.Unknown(err)
		}
	}
	return nil
}

// collect takes what is there already, and asks for what the record needs.
func (cmd Command) collect(ctx context.Context, c console.Console) (*setup.Uninstall, error) {
	path := cmp.Or(string(cmd.Into), ".env")
	folder := filepath.Dir(path)
	own, err := setup.NewEnvFile(path).Read()
	if err != nil {
		return nil, err
	}
	lookup := func(key string) string {
		set, _ := c.Lookup(key)
		return strings.TrimSpace(cmp.Or(set, own[key]))
	}
	record := setup.NewStateFile(folder)
	state, err := record.Read()
	if err != nil {
		return nil, err
	}
	project := cmp.Or(string(cmd.Project), lookup("SUPABASE_PROJECT_REF"))
	if project == "" && len(state.Logins) > 0 {
		project = state.Logins[0].Project
	}
	owner := connect.OwnersString(lookup("DATABASE_URL"), own["DATABASE_URL"])
	password := connect.OwnerPassword(c, string(cmd.DatabasePasswordFile), cmd.Plan)
	wanted := func(step string) bool { return len(cmd.Only) == 0 || slices.Contains(cmd.Only, step) }
	var client *management.Client
	if wanted("provider") && len(state.Providers) > 0 || wanted("database") && owner.IsZero() && password != nil && project != "" && (len(state.Logins) > 0 || cmd.DropData) {
		token, err := connect.Hidden(ctx, c, lookup, "SUPABASE_ACCESS_TOKEN", "Supabase access token, from supabase.com/dashboard/account/tokens")
		if err != nil {
			return nil, err
		}
		if client, err = management.New(management.Options{Token: token, URL: lookup("SUPABASE_API_URL")}); err != nil {
			return nil, err
		}
	}
	if client == nil || project == "" {
		password = nil // the pooler is found through the API
	}
	localConfig := filepath.Join(folder, "supabase", "config.toml")
	if _, err := os.Stat(localConfig); err != nil {
		localConfig = ""
	}
	return setup.NewUninstall(setup.UninstallOptions{
		State: record, Folder: folder, Supabase: client, Project: project,
		DatabaseURL: owner, OwnerPassword: password, CACert: lookup("DATABASE_CA_CERT"),
		Secrets:     func(name string) setup.SecretStore { return awsaccount.NewSecret(c.Lookup, name) },
		LocalConfig: localConfig, DropData: cmd.DropData,
		Warn: func(text string) { c.Say("clerksync: warning: %s", text) },
	}), nil
}

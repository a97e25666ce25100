package migrate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/setup"
	"clerksync/shared/supabase"
	"clerksync/sql/migrate"
)

type loginCommand struct {
	Role   string        `arg:"" help:"Which login: writer (webhooks and sync) or diagnostics." enum:"writer,diagnostics" default:"writer"`
	Rotate bool          `help:"Give a password to the role of this login that is not in use and leave the other one as it is: both work until --retire." xor:"step"`
	Retire bool          `help:"Take the password away from the role that --rotate has replaced, once nobody needs it." xor:"step"`
	Wait   time.Duration `help:"With --retire: wait up to this long until nobody needs it, such as 30m." placeholder:"DURATION"`
	Into   console.Path  `help:"Write the string into this file of KEY=VALUE lines, readable for you alone, and print none." placeholder:"FILE"`
	Force  bool          `help:"Do it although somebody is connected, or may still connect, with the earlier password."`
}

// Help is the text below the flags' list in "clerksync migrate login --help".
func (loginCommand) Help() string {
	return `The string is printed once and kept nowhere: put it where it is used at once. A password that is in use is not changed unless
--force says so; --rotate and then --retire replace it while both work.

Examples:
  clerksync migrate login writer
  clerksync migrate login diagnostics
  clerksync migrate login writer --rotate
  clerksync migrate login writer --retire --wait 30m`
}

// Validate is kong's.
func (cmd loginCommand) Validate() error {
	return errors.Join(
		console.Refuse(cmd.Wait != 0 && !cmd.Retire, "--wait is for --retire"),
		console.Refuse(cmd.Into != "" && cmd.Retire, "--into is for a string, and --retire gives none"),
		console.Refuse(cmd.Wait < 0, "--wait is negative"),
		console.Refuse(cmd.Force && cmd.Rotate, "--rotate changes nothing that is in use, so there is nothing to force"),
		console.Refuse(cmd.Force && cmd.Wait != 0, "--force does not wait"))
}

// loginRole is a runtime role and the setting that takes its connection string.
type loginRole struct{ name, setting string }

var loginRoles = map[string]loginRole{
	"writer":      {migrate.WriterRole, "DATABASE_URL"},
	"diagnostics": {migrate.DiagnosticsRole, "DIAGNOSTICS_DATABASE_URL"},
}

// Run is the command.
func (cmd loginCommand) Run(ctx context.Context, c console.Console) error {
	parsed, session, err := connect.Session(ctx, c)
	if err != nil {
		return err
	}
	role := loginRoles[cmd.Role]
	again := "clerksync migrate login " + cmd.Role
	switch {
	case cmd.Retire:
		return cmd.retire(ctx, c, session, role, again)
	case cmd.Rotate:
		given, earlier, err := migrate.RotateLogin(ctx, session, role.name)
		switch {
		case errors.Is(err, migrate.ErrRotating):
			return console.Hint(err, fmt.Sprintf("finish it with \"%s --retire\"; if the string that was printed is lost, \"%[1]s\" makes a new one", again))
		case err != nil:
			return advise(err)
		}
		return cmd.hand(c, parsed, given, role, func() {
			c.Say("clerksync: %s has a password; that of %s works on until you retire it", given.Role, earlier)
			c.Say("clerksync: put the string into the secret as %s, then: %s --retire --wait 30m", role.setting, again)
		})
	default:
		given, err := migrate.ResetPassword(ctx, session, role.name, cmd.Force)
		switch {
		case errors.Is(err, migrate.ErrLoginInUse):
			return console.Hint(err, fmt.Sprintf("\"%s --rotate\" replaces it without a gap; --force does it all the same", again))
		case err != nil:
			return advise(err)
		}
		return cmd.hand(c, parsed, given, role, func() {
			c.Say("clerksync: %s has a new password; an earlier one is refused from now on", given.Role)
			c.Say("clerksync: set the string as %s where it is to be used", role.setting)
		})
	}
}

// hand prints the connection string, after what is to be said about it.
func (cmd loginCommand) hand(c console.Console, parsed *supabase.Config, given migrate.Credentials, role loginRole, say func()) error {
	url, note := parsed.Login(given.Role, given.Password)
	if note != "" {
		c.Say("clerksync: note: %s", note)
	}
	if cmd.Into != "" {
		file := setup.NewEnvFile(string(cmd.Into))
		if err := cmd.write(file, map[string]string{role.setting: url.Reveal()}); err != nil {
			return console.Hint(err, fmt.Sprintf("%s has a password that is written nowhere: run the same command again", given.Role))
		}
		c.Say("clerksync: %s has a new password; its string is in %s as %s", given.Role, file.Name(), role.setting)
		if cmd.Rotate {
			c.Say("clerksync: the earlier one works on; once everything uses the new one: clerksync migrate login %s --retire --wait 30m", cmd.Role)
		}
		return c.Print(map[string]string{"role": given.Role, "setting": role.setting, "file": string(cmd.Into)}, func(func(...any)) {})
	}
	say()
	return c.Print(map[string]string{"role": given.Role, "setting": role.setting, "database_url": url.Reveal()}, func(row func(...any)) {
		row(url.Reveal())
	})
}

// write has the file hold settings, and tells the record of what set-up has made, where there is one: without it uninstall
// would take the string for a person's own.
func (cmd loginCommand) write(file setup.EnvFile, values map[string]string) error {
	record := setup.NewStateFile(filepath.Dir(string(cmd.Into)))
	there, err := record.Exists()
	switch {
	case err != nil:
		return err
	case there:
		return record.WriteFile(file, values)
	}
	return file.Set(values)
}

// retirePoll is how often the database is asked whether a login is still needed.
const retirePoll = 2 * time.Second

func (cmd loginCommand) retire(ctx context.Context, c console.Console, session *pgx.ConnConfig, role loginRole, again string) error {
	deadline := time.Now().Add(cmd.Wait)
	said := ""
	for {
		retired, inUse, err := migrate.RetireLogin(ctx, session, role.name, cmd.Force)
		switch {
		case err == nil:
			c.Say("clerksync: %s has no password any more; %s is in use", retired, inUse)
			return c.Print(map[string]string{"retired": retired, "in_use": inUse}, func(row func(...any)) {
				row(retired, "retired")
				row(inUse, "in use")
			})
		case !errors.Is(err, migrate.ErrNotYet) && (cmd.Wait == 0 || !supabase.IsTransient(err)):
			return advise(err)
		case !errors.Is(err, migrate.ErrNotYet) && time.Now().After(deadline):
			return advise(err)
		case time.Now().After(deadline):
			return console.Hint(err, fmt.Sprintf("\"%s --retire --wait 30m\" waits for it; --force does not, and locks out everything that still needs it", again))
		}
		if text := err.Error(); text != said {
			c.Say("clerksync: waiting: %s", text)
			said = text
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(retirePoll, max(time.Until(deadline), 0))):
		}
	}
}

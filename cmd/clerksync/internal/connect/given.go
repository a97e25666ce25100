package connect

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/supabase"
)

// mostTyped bounds what is asked for.
const mostTyped = 8 << 10

// Hidden is a secret that is set, or asked for without being shown.
func Hidden(ctx context.Context, c console.Console, lookup func(string) string, key, what string) (secret.Value, error) {
	if value := lookup(key); value != "" {
		return secret.New(value), nil
	}
	if c.Keyboard() == nil {
		return secret.Value{}, console.Usage(fmt.Errorf("%s is not set, and there is no terminal to ask at: set it in the environment, or in a file that --env-file names", key))
	}
	typed, err := c.AskHidden(ctx, what+" (not shown): ", mostTyped)
	if typed = strings.TrimSpace(typed); err == nil && typed == "" {
		err = console.Usage(fmt.Errorf("nothing was given for %s", key))
	}
	return secret.New(typed), err
}

// OwnersString is the first connection string that is not one of the runtime logins; zero where there is none.
func OwnersString(given ...string) secret.Value {
	for _, text := range given {
		if parsed, err := supabase.Parse(supabase.Options{URL: secret.New(text)}); err == nil && !strings.HasPrefix(parsed.User, "clerksync_") {
			return secret.New(text)
		}
	}
	return secret.Value{}
}

// OwnerPassword is where the database password comes from: from a file, or else from a person. It is nil where that is
// nowhere, since nothing is to be asked. The ways are those that --database-by offers without it.
func OwnerPassword(c console.Console, file string, unasked bool, ways ...setup.Way) func(context.Context) (secret.Value, error) {
	switch {
	case file != "":
		return func(ctx context.Context) (secret.Value, error) {
			text, err := console.ReadText(ctx, file, mostTyped)
			if text = strings.TrimRight(text, "\r\n"); err == nil && text == "" {
				err = console.Usage(errors.New("the file of --database-password-file is empty"))
			}
			return secret.New(text), err
		}
	case unasked:
		return nil
	case c.Keyboard() == nil:
		return func(context.Context) (secret.Value, error) {
			return secret.Value{}, withoutPassword(ways, "the database password is needed once: give --database-password-file, or the owner's connection string as DATABASE_URL")
		}
	}
	return func(ctx context.Context) (secret.Value, error) {
		typed, err := c.AskHidden(ctx, "Database password, set when the project was made (not shown, kept nowhere): ", mostTyped)
		if err == nil && typed == "" {
			err = withoutPassword(ways, "no database password was given")
		}
		return secret.New(typed), err
	}
}

// withoutPassword says what can be done without the password, and what that costs.
func withoutPassword(ways []setup.Way, text string) error {
	err := console.Usage(errors.New(text))
	if len(ways) == 0 {
		return err
	}
	var offered []string
	for _, way := range ways {
		offered = append(offered, fmt.Sprintf("--database-by %s: %s", way, way.Cost()))
	}
	return console.Hint(err, "without it: "+strings.Join(offered, "; "))
}

// ShowPlan prints the steps of a plan, with what each would write.
func ShowPlan(c console.Console, plan setup.Plan) error {
	return c.Print(map[string]setup.Plan{"steps": plan}, func(row func(...any)) {
		for _, e := range plan {
			row(e.Step, e.Status, e.Detail)
			for _, what := range e.Writes {
				row("", "", "- "+what)
			}
		}
	})
}

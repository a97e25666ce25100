package setupsync

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/supabase"
)

const (
	// suggestLimit is how long tables are looked through.
	suggestLimit = 20 * time.Second
	// mostShown is how many tables are named.
	mostShown = 10
)

// suggest names tables that wait for policies. That it cannot know is said, and is no failure: everything is set up.
func (cmd Command) suggest(ctx context.Context, c console.Console, caCert string) {
	list, more, err := cmd.waiting(ctx, caCert)
	switch {
	case err != nil:
		c.Say("clerksync: which tables wait for policies is not known: %v; \"clerksync configure-rls lint\" looks again", err)
	case len(list) == 0 && !more:
		c.Say("clerksync: no table was seen that waits for policies")
	}
	for _, s := range list[:min(len(list), mostShown)] {
		c.Say("clerksync: %s waits for policies, it seems: %s", s.Table, s.Why)
		c.Say("  %s", s.Command)
	}
	if more || len(list) > mostShown {
		c.Say("clerksync: and further tables: \"clerksync configure-rls lint\" looks through all of them")
	}
}

func (cmd Command) waiting(ctx context.Context, caCert string) ([]catalog.Suggestion, bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, suggestLimit, fmt.Errorf("looking through tables took longer than %s", suggestLimit))
	defer cancel()
	have, err := setup.NewEnvFile(cmp.Or(string(cmd.Into), ".env")).Read()
	if err != nil {
		return nil, false, err
	}
	parsed, err := supabase.Parse(supabase.Options{URL: secret.New(have["DATABASE_URL"]), CACert: caCert, AppName: "setup"})
	if err != nil {
		return nil, false, err
	}
	conn, err := pgx.ConnectConfig(ctx, parsed.Connection())
	if err != nil {
		return nil, false, supabase.Explain(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	d, err := catalog.ReadDatabase(ctx, conn, nil)
	if err != nil {
		return nil, false, err
	}
	return catalog.Suggest(ctx, conn, d)
}

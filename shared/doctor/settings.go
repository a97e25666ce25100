package doctor

import (
	"context"
	"errors"
	"slices"
	"strings"

	"clerksync/shared/config"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag/configured"
	"clerksync/shared/supabase"
)

// settings are what the settings say.
type settings struct {
	sync config.Sync
	// ingest is zero where no signing secret is at hand.
	ingest      config.Ingest
	diagnostics config.Diagnostics
	// issuer is that of session tokens, keySet where their keys are; empty if not known.
	issuer, keySet string
}

const settingsRemedy = `Correct the settings; docs/configuration.md has every one, and where its value is found.`

// checkSettings reads everything that the functions read, and reports every problem at once.
func checkSettings(ctx context.Context, x *examination) finding.Finding {
	source := config.NewSource(x.Lookup, config.SecretsManager(x.Lookup), config.CheckDatabase(func(d config.Database) error {
		_, err := supabase.Parse(options(d))
		return err
	}))
	var err error
	var problems []error
	if x.sync, err = source.Sync(ctx); err != nil {
		problems = append(problems, err)
	}
	// Where a secret is named, it has to have them all.
	if x.has("CLERK_WEBHOOK_SIGNING_SECRET") || x.has(config.SecretIDKey) {
		if x.ingest, err = source.Ingest(ctx); err != nil {
			problems = append(problems, err)
		}
	}
	if x.diagnostics, err = source.Diagnostics(ctx); err != nil {
		problems = append(problems, err)
	} else if x.issuer, x.keySet, err = configured.Addresses(x.diagnostics); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return fail("The settings are not usable", strings.Join(problemLines(problems), " "), settingsRemedy)
	}
	from := "the environment"
	if id, _ := x.Lookup(config.SecretIDKey); id != "" {
		from = "the secret " + id + " and the environment"
	}
	return pass("The settings are usable", "They are from %s.", from)
}

func (x *examination) has(key string) bool {
	value, _ := x.Lookup(key)
	return strings.TrimSpace(value) != ""
}

// options are how the database of the settings is connected to.
func options(d config.Database) supabase.Options {
	return supabase.Options{URL: d.URL, CACert: d.CACert, ProjectRef: d.ProjectRef, Setting: d.Setting, AppName: "doctor", MaxConns: 3}
}

// problemLines are the problems, each once, without the line that says that there are some.
func problemLines(problems []error) []string {
	var lines []string
	for line := range strings.Lines(errors.Join(problems...).Error()) {
		line = strings.TrimSpace(line)
		if line == "" || line == config.ErrInvalid.Error()+":" || slices.Contains(lines, line) {
			continue
		}
		lines = append(lines, line)
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, ".") + "."
	}
	return lines
}

// Package testjwt is the command test-jwt: what is the matter with a token.
package testjwt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/config"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/configured"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/rls/access"
	"clerksync/shared/supabase"
)

// Command is test-jwt, as kong reads it.
type Command struct {
	File           console.Once    `help:"Read the token from this file; - is stdin." placeholder:"FILE"`
	Table          []connect.Table `help:"Say how many rows of this table the token's user sees; repeatable (default: those that the Data API serves)." sep:"none" placeholder:"TABLE"`
	Symptom        console.Once    `help:"Explain this too: an error code, or the body of an error." placeholder:"TEXT"`
	Claims         bool            `help:"Show header and claims. They are personal data."`
	All            bool            `help:"Show the checks that passed, too."`
	Offline        bool            `help:"Ask nothing over the network, neither Clerk nor Supabase nor the database."`
	NoDatabase     bool            `help:"Leave the database alone."`
	PEM            console.Once    `help:"File with the instance's public key, used instead of its key set." name:"pem" placeholder:"FILE"`
	PublishableKey console.Once    `help:"Publishable key of the instance." placeholder:"KEY"`
	Issuer         console.Once    `help:"Issuer that the token must name." placeholder:"URL"`
	JWKSURL        console.Once    `help:"Where the instance publishes its keys." name:"jwks-url" placeholder:"URL"`
}

// Help is the text below the flags' list in "clerksync test-jwt --help".
func (Command) Help() string {
	return `It says what is the matter with a token: the first cause in one sentence, whether Clerk's verifier and Supabase's Data API
take it and as which role, every check with what to do about it, and how many rows its user sees.

Examples:
  pbpaste | clerksync test-jwt
  clerksync test-jwt --file token.txt --table public.notes
  clerksync test-jwt --file token.txt --symptom 22P02
  clerksync test-jwt --symptom '{"code":"PGRST301"}' < /dev/null
  clerksync test-jwt --file token.txt --offline --pem clerk.pem

The token comes from stdin, from a file, or is pasted at a prompt that does not show it; never from the command line, which
others can read and the shell remembers. A header, a cookie string or a command with the token in it will do. It is not
stored, logged or shown. With --symptom and nothing on stdin the causes of the symptom are listed, without a token.

What is not set is skipped: CLERK_PUBLISHABLE_KEY, or CLERK_ISSUER and CLERK_JWKS_URL, or CLERK_JWT_KEY for signatures;
SUPABASE_ACCESS_TOKEN and SUPABASE_PROJECT_REF for the project's providers; DIAGNOSTICS_DATABASE_URL, or else DATABASE_URL of the
role that owns the project, for the database. --publishable-key and --issuer name another instance than the settings do, which are
left aside then. The database is read in a transaction that is rolled back, also for tokens that nobody signed.

The exit code is 1 where one of the two refuses the token or a check failed, 2 without a token, and 3 where nothing failed but a
table that --table names could not be looked at.`
}

// Validate checks what the types of the flags do not.
func (cmd Command) Validate() error {
	return console.Refuse(cmd.Offline && cmd.JWKSURL != "", "--jwks-url is asked over the network, and --offline asks nothing: give the key with --pem")
}

const (
	// diagnoseLimit is for everything that is asked and looked at, together.
	diagnoseLimit = 20 * time.Second
	// maxToken bounds what is read as a token; no server takes a hundredth of it.
	maxToken = 1 << 20
	// maxPEMFile is more than keys and certificates have.
	maxPEMFile = 64 << 10
)

// explainedSymptom is a symptom alone as JSON.
type explainedSymptom struct {
	Causes []jwtdiag.Cause `json:"causes"`
}

// Run is the command.
func (cmd Command) Run(ctx context.Context, c console.Console) error {
	settings, err := cmd.flags(ctx)
	if err != nil {
		return err
	}
	token, err := cmd.token(ctx, c)
	if err != nil {
		return err
	}
	if strings.TrimSpace(token) == "" {
		return cmd.explain(c)
	}
	report, err := cmd.diagnose(ctx, c, settings, token)
	if err != nil {
		return err
	}
	if c.JSON {
		err = c.Encode(report)
	} else {
		err = writeReport(c.OnStdout(), report, cmd.All, cmd.Claims)
		c.Say("clerksync: %s", console.Sum(report.Findings))
	}
	return errors.Join(err, refusedToken(report), cmd.unseen(report))
}

// unseen is an error where tables were asked about and not looked at.
func (cmd Command) unseen(r jwtdiag.Report) error {
	if len(cmd.Table) == 0 {
		return nil
	}
	seen, skipped := false, 0
	for _, f := range r.Findings {
		if !strings.HasPrefix(f.ID, "rls.") {
			continue
		}
		if f.Status == finding.Skip {
			skipped++
		} else {
			seen = true
		}
	}
	if seen && skipped == 0 {
		return nil
	}
	return console.Hint(
		console.Unknown(errors.New("what the token's user sees of the tables that --table names is not known")),
		"the findings say why it was skipped; it needs DIAGNOSTICS_DATABASE_URL, or DATABASE_URL of the role that owns the project, and neither --offline nor --no-database",
	)
}

// explain answers without a token.
func (cmd Command) explain(c console.Console) error {
	if cmd.Symptom == "" {
		return console.Hint(
			console.Usage(errors.New("there is no token")),
			`give it on stdin, as in "pbpaste | clerksync test-jwt", or with --file FILE; at a terminal it is asked for`,
		)
	}
	causes := jwtdiag.Explain(string(cmd.Symptom))
	var err error
	if c.JSON {
		err = c.Encode(explainedSymptom{append([]jwtdiag.Cause{}, causes...)})
	} else {
		_, err = io.WriteString(c.Stdout, causeLines(c.OnStdout(), causes))
	}
	switch {
	case err != nil:
		return err
	case len(causes) == 0:
		return console.Hint(
			errors.New("nothing is known about this symptom"),
			"give the error's code or its whole body, and the token of the request that failed",
		)
	}
	c.Say("clerksync: this holds for any token; with the one of the request that failed, causes are confirmed or ruled out")
	return nil
}

// refusedToken is an error where a verdict is a refusal or a check failed.
func refusedToken(r jwtdiag.Report) error {
	var parts []string
	for _, v := range []struct {
		who     string
		verdict jwtdiag.Verdict
	}{{"Clerk's verifier", r.Verdicts.Clerk}, {"the Data API", r.Verdicts.Supabase}} {
		if v.verdict.Outcome == jwtdiag.Refused {
			parts = append(parts, v.who)
		}
	}
	mend := console.ToMend(r.Findings)
	switch {
	case len(parts) == 0:
		return mend
	case mend == nil:
		return console.Hint(fmt.Errorf("refused by %s", strings.Join(parts, " and ")), "the first sentence says why; --all shows every check, with what to do about it")
	default:
		return fmt.Errorf("refused by %s; %w", strings.Join(parts, " and "), mend)
	}
}

// diagnose asks and looks at what the settings and flags name.
func (cmd Command) diagnose(ctx context.Context, c console.Console, flags config.Diagnostics, token string) (jwtdiag.Report, error) {
	var report jwtdiag.Report
	err := connect.Within(ctx, "diagnosing", diagnoseLimit, func(ctx context.Context) error {
		settings, err := cmd.settings(ctx, c, flags)
		if err != nil {
			return err
		}
		var database access.Beginner
		if !settings.Database.URL.IsZero() {
			parsed, err := connect.Parse(c, settings.Database, 1)
			if err != nil {
				return err
			}
			db := supabase.Open(supabase.Fixed(parsed))
			defer db.Close()
			database = db
		}
		diagnoser := configured.New(configured.Options{
			Configure: func(context.Context) (config.Diagnostics, error) { return settings, nil },
			// Whoever has the connection string may look at every row without a token.
			Database: database, Offline: cmd.Offline, Operator: true, Now: c.Now,
		})
		request := jwtdiag.Request{Token: token, Symptom: string(cmd.Symptom)}
		for _, table := range cmd.Table {
			request.Tables = append(request.Tables, table.String())
		}
		report, err = diagnoser.Diagnose(ctx, request)
		return err
	})
	if ctx.Err() != nil {
		// What was not looked at for it is no finding.
		return jwtdiag.Report{}, errors.Join(ctx.Err(), err)
	}
	return report, err
}

// settings are those of environment and secret, with the flags before them.
func (cmd Command) settings(ctx context.Context, c console.Console, flags config.Diagnostics) (config.Diagnostics, error) {
	if cmd.Offline {
		c.Lookup = withoutSecret(c)
	}
	source := connect.Source(c)
	s, err := source.Diagnostics(ctx)
	if err != nil {
		return config.Diagnostics{}, connect.Advise(err)
	}
	if flags.PublishableKey != "" || flags.Issuer != "" {
		// What else is said of the instance may be of another one.
		s.PublishableKey, s.Issuer, s.JWKSURL, s.PublicKey, s.InstanceID, s.AuthorizedParties = "", "", "", "", "", nil
	}
	if flags.JWKSURL != "" {
		s.PublicKey = "" // which would be taken in its place
	}
	for _, f := range []struct{ from, to *string }{
		{&flags.PublishableKey, &s.PublishableKey}, {&flags.Issuer, &s.Issuer}, {&flags.JWKSURL, &s.JWKSURL}, {&flags.PublicKey, &s.PublicKey},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	switch {
	case cmd.Offline || cmd.NoDatabase:
		s.Database = config.Database{}
	case s.Database.URL.IsZero() && connect.MayHold(c, "DATABASE_URL"):
		s.Database = fallbackDatabase(ctx, c, source)
	}
	return s, nil
}

// fallbackDatabase is that of DATABASE_URL. Nobody has asked for it, so that it
// is left alone where it cannot be used.
func fallbackDatabase(ctx context.Context, c console.Console, source *config.Source) config.Database {
	database, err := source.Database(ctx)
	if err == nil {
		_, err = supabase.Parse(supabase.Options{URL: database.URL, CACert: database.CACert, ProjectRef: database.ProjectRef})
	}
	if err != nil {
		c.Say("clerksync: warning: the database is not looked at: %v", err)
		return config.Database{}
	}
	return database
}

// withoutSecret is the environment without the secret that it names, which is
// across the network.
func withoutSecret(c console.Console) config.Lookup {
	if id, _ := c.Lookup(config.SecretIDKey); id != "" {
		c.Say("clerksync: the secret of %s is not read, because of --offline", config.SecretIDKey)
	}
	lookup := c.Lookup
	return func(key string) (string, bool) {
		if key == config.SecretIDKey {
			return "", false
		}
		return lookup(key)
	}
}

// flags are the settings that stand on the command line, each checked as the
// setting would be.
func (cmd Command) flags(ctx context.Context) (config.Diagnostics, error) {
	var merged config.Diagnostics
	for _, f := range []struct {
		flag, key string
		value     console.Once
		to        func(config.Diagnostics)
	}{
		{"--publishable-key", "CLERK_PUBLISHABLE_KEY", cmd.PublishableKey, func(d config.Diagnostics) { merged.PublishableKey = d.PublishableKey }},
		{"--issuer", "CLERK_ISSUER", cmd.Issuer, func(d config.Diagnostics) { merged.Issuer = d.Issuer }},
		{"--jwks-url", "CLERK_JWKS_URL", cmd.JWKSURL, func(d config.Diagnostics) { merged.JWKSURL = d.JWKSURL }},
	} {
		if f.value == "" {
			continue
		}
		alone := func(key string) (string, bool) {
			if key != f.key {
				return "", false
			}
			return string(f.value), true
		}
		settings, err := config.NewSource(alone, nil).Diagnostics(ctx)
		if err == nil {
			err = configured.Check(settings)
		}
		if err != nil {
			text := strings.TrimPrefix(err.Error(), config.ErrInvalid.Error()+":\n")
			return config.Diagnostics{}, console.Usage(errors.New(strings.NewReplacer(f.key+" (environment)", f.flag, f.key, f.flag).Replace(text)))
		}
		f.to(settings)
	}
	if cmd.PEM != "" {
		text, err := readPEM(ctx, string(cmd.PEM))
		if err != nil {
			return config.Diagnostics{}, console.Usage(fmt.Errorf("--pem: %w", err))
		}
		merged.PublicKey = text
	}
	return merged, nil
}

func readPEM(ctx context.Context, path string) (string, error) {
	if strings.Contains(path, "-----BEGIN") {
		return "", errors.New("this is a key: give the name of a file that holds it")
	}
	text, err := console.ReadText(ctx, path, maxPEMFile)
	if err != nil {
		return "", err
	}
	if _, err := keyset.FromPEM([]byte(text)); err != nil {
		return "", fmt.Errorf("%s: %w", console.ShownPath(path), err)
	}
	return text, nil
}

// token reads what is to be diagnosed.
func (cmd Command) token(ctx context.Context, c console.Console) (string, error) {
	if cmd.File != "" && cmd.File != "-" {
		text, err := console.ReadFile(ctx, string(cmd.File), maxToken)
		if err != nil {
			return "", console.Usage(err)
		}
		return text, nil
	}
	if c.Keyboard() == nil {
		text, err := console.ReadAll(ctx, c.Stdin, "stdin", maxToken)
		if err != nil && ctx.Err() == nil {
			return "", console.Usage(err)
		}
		return text, err
	}
	prompt := "Paste the token, which is not shown, and press Enter: "
	if cmd.Symptom != "" {
		prompt = "Paste the token, which is not shown, and press Enter; without one press Enter alone: "
	}
	return c.AskHidden(ctx, prompt, maxToken)
}

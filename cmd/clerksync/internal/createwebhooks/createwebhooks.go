// Package createwebhooks is the command create-webhooks: a webhook endpoint at Clerk, its signing secret, and the proof
// that deliveries arrive.
package createwebhooks

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/finding"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/webhook"
)

// Command is create-webhooks, as kong reads it.
type Command struct {
	URL        console.Once  `help:"Where the endpoint answers; default: the output WebhookUrl of --stack." name:"url" placeholder:"URL"`
	Stack      console.Once  `help:"The deployed stack whose endpoint it is." placeholder:"NAME"`
	SecretID   console.Once  `help:"The secret of AWS Secrets Manager that functions read (default: that of --stack): it gets the signing secret, too." placeholder:"ID"`
	Into       console.Path  `help:"File that settings are read from and the signing secret is written into (default: .env)." placeholder:"FILE"`
	SecretFile console.Once  `help:"File with the signing secret; - is stdin. Without it, it is asked for." placeholder:"FILE"`
	Provoke    bool          `help:"Have Clerk send a webhook: make an organization and delete it at once."`
	Rotate     bool          `help:"Put a new signing secret beside the one in use; run again, say how far that is and end it when it may."`
	Finish     bool          `help:"End the rotation now, also if the old secret was in use of late."`
	Local      bool          `help:"Have Clerk's own CLI forward webhooks to the local stack. It runs until it is interrupted."`
	Wait       time.Duration `help:"How long a first delivery is waited for (default: ${default})." default:"5m" placeholder:"DURATION"`
	Yes        bool          `help:"Make changes without asking: of the Svix app, the file, and what --provoke makes."`
}

// Help is the text below the flags' list in "clerksync create-webhooks --help".
func (Command) Help() string {
	return `Clerk's published API cannot make a webhook endpoint, so a person does, guided: it makes the instance's Svix app where it is
missing, shows the way into the portal, the URL and the event types, takes the signing secret, checks and stores it, and
waits for the first delivery that it verifies. Run again, it looks whether one has come. It never shows the secret.

Examples:
  clerksync create-webhooks --stack clerksync
  clerksync create-webhooks --url https://example.com/hooks --provoke
  clerksync create-webhooks --secret-file - --wait 10m < secret.txt
  clerksync create-webhooks --rotate
  clerksync create-webhooks --local

The exit code is 3 where no delivery has come yet.`
}

// Validate is called while the command line is parsed.
func (cmd Command) Validate() error {
	return errors.Join(
		console.Refuse(cmd.Wait < 0, "--wait is negative"),
		console.Refuse(cmd.Finish && !cmd.Rotate, "--finish ends a rotation: give --rotate, too"),
		console.Refuse(cmd.Rotate && cmd.Provoke, "--provoke proves a first endpoint: a rotation is proved by what Clerk sends anyway"),
		console.Refuse(cmd.Local && (cmd.Rotate || cmd.Provoke || cmd.Stack != "" || cmd.SecretID != "" || cmd.SecretFile != ""), "--local goes with --url alone"))
}

// setting holds the signing secrets.
const setting = "CLERK_WEBHOOK_SIGNING_SECRET"

// work is one run of the command.
type work struct {
	Command
	c     console.Console
	file  setup.EnvFile
	state setup.StateFile
	// deployed is what functions read; nil: it is not known.
	deployed setup.SecretStore
	// live are the signing secrets in use, in their order.
	live []secret.Value
	now  func() time.Time
	out  outcome
}

// outcome is what was found and done, as JSON.
type outcome struct {
	// Endpoint is what answers at the URL.
	Endpoint *finding.Finding `json:"endpoint,omitempty"`
	// EventTypes are those that the endpoint has to be subscribed to.
	EventTypes []string `json:"event_types"`
	// SignedWith is the fingerprint of the signing secret.
	SignedWith string `json:"signed_with,omitempty"`
	// Proof is the first delivery that the secret has verified; nil where none has come.
	Proof    *proof          `json:"proof"`
	Coverage *setup.Coverage `json:"coverage,omitempty"`
	Rotation *rotation       `json:"rotation,omitempty"`
}

// Run is the command.
func (cmd Command) Run(ctx context.Context, c console.Console) error {
	if cmd.Local {
		return cmd.listen(ctx, c)
	}
	w, err := cmd.collect(ctx, c)
	if err != nil {
		return err
	}
	if cmd.Rotate {
		return w.rotate(ctx)
	}
	if len(w.live) > 1 {
		return console.Hint(errors.New(setting+" has several secrets: a rotation is under way"), `"clerksync create-webhooks --rotate" says how far it is`)
	}
	return w.create(ctx)
}

// collect reads what is there.
func (cmd Command) collect(ctx context.Context, c console.Console) (*work, error) {
	path := string(cmd.Into)
	if path == "" {
		path = ".env"
	}
	file := setup.NewEnvFile(path)
	own, err := file.Read()
	if err != nil {
		return nil, err
	}
	environment := c.Lookup
	c.Lookup = func(key string) (string, bool) {
		if value, ok := environment(key); ok && value != "" {
			return value, true
		}
		value, ok := own[key]
		return value, ok
	}
	w := &work{Command: cmd, c: c, file: file, state: setup.NewStateFile(filepath.Dir(path)), now: time.Now, out: outcome{EventTypes: setup.EventTypes()}}
	if c.Now != nil {
		w.now = c.Now
	}
	stack := string(cmd.Stack)
	if cmd.SecretID != "" {
		stack = ""
	}
	deployed, err := connect.Deployed(ctx, c, stack, string(cmd.SecretID))
	if err != nil {
		return nil, err
	}
	w.deployed = deployed.Secret
	set, _ := c.Lookup(setting)
	for text := range strings.SplitSeq(set, ",") {
		if text = strings.TrimSpace(text); text != "" {
			w.live = append(w.live, secret.New(text))
		}
	}
	if len(w.live) > 0 {
		if _, err := webhook.NewVerifier(w.live, nil); err != nil {
			return nil, console.Hint(fmt.Errorf("%s: %w", setting, err), "correct it, or remove it to give it anew")
		}
	}
	return w, nil
}

// create guides through a first endpoint, as far as that is still to be done, and proves it.
func (w *work) create(ctx context.Context) error {
	if len(w.live) == 0 {
		if err := w.guide(ctx); err != nil {
			return err
		}
		given, err := w.ask(ctx, "Signing secret of the endpoint, whsec_… (not shown): ")
		if err != nil {
			return err
		}
		if err := w.store(ctx, given); err != nil {
			return err
		}
	} else {
		w.c.Say("clerksync: a signing secret is set; looking for what it has verified")
	}
	w.out.SignedWith = webhook.Fingerprint(w.live[0])
	return errors.Join(w.prove(ctx), w.print())
}

// ask takes a signing secret and checks its shape.
func (w *work) ask(ctx context.Context, prompt string) (secret.Value, error) {
	const most = 4 << 10
	var text string
	var err error
	switch {
	case w.SecretFile == "-":
		text, err = console.ReadAll(ctx, w.c.Stdin, "stdin", most)
	case w.SecretFile != "":
		text, err = console.ReadFile(ctx, string(w.SecretFile), most)
	case w.c.Keyboard() == nil:
		return secret.Value{}, console.Usage(errors.New("there is no terminal to ask for the signing secret at: give --secret-file, where - is stdin"))
	default:
		text, err = w.c.AskHidden(ctx, prompt, most)
	}
	if err != nil {
		return secret.Value{}, err
	}
	given := secret.New(strings.TrimSpace(text))
	if _, err := webhook.NewVerifier([]secret.Value{given}, nil); err != nil {
		return secret.Value{}, console.Hint(fmt.Errorf("this is no signing secret: %w", errors.Unwrap(err)),
			"copy it from the endpoint's page in the Clerk dashboard, under Signing Secret: it begins with whsec_, and is neither an API key nor the endpoint's id")
	}
	return given, nil
}

// store puts signing secrets into the file, the first of them new, and asks before.
func (w *work) store(ctx context.Context, secrets ...secret.Value) error {
	if set, ok := w.c.Lookup(setting); ok && set != "" {
		if own, err := w.file.Read(); err != nil || own[setting] != set {
			return errors.Join(err, console.Hint(fmt.Errorf("%s is set in the environment, where it cannot be changed", setting), "change it there, or unset it and have it in "+w.file.Name()))
		}
	}
	where := w.file.Name() + ", readable for its owner alone"
	if w.deployed != nil {
		where += ", and into the secret " + w.deployed.Name() + ", which keeps whatever else it holds"
	}
	if err := w.consent(ctx, "The signing secret goes into "+where+"."); err != nil {
		return err
	}
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.Reveal()
	}
	values := map[string]string{setting: strings.Join(texts, ",")}
	// Where functions read first: ended between the two, the next run finds the file as it was, and does both.
	if w.deployed != nil {
		if err := w.state.WriteSecret(ctx, w.deployed, values); err != nil {
			return advised(err)
		}
	}
	if err := w.state.WriteFile(w.file, values); err != nil {
		return err
	}
	w.live = slices.Clone(secrets)
	if w.deployed == nil {
		w.c.Say("clerksync: functions that are deployed do not read %s: --stack or --secret-id has their secret changed, too", w.file.Name())
	}
	w.c.Say("clerksync: the signing secret %s is stored; functions have it within 5 minutes", webhook.Fingerprint(secrets[0]))
	return nil
}

// consent asks for a change, unless --yes has consented.
func (w *work) consent(ctx context.Context, what string) error {
	if w.Yes {
		return nil
	}
	return w.c.Confirm(ctx, what, console.Usage(errors.New(what+" There is no terminal to ask at: give --yes to do it")))
}

func (w *work) print() error {
	return w.c.Print(w.out, func(row func(...any)) {
		if w.out.SignedWith != "" {
			row("secret", w.out.SignedWith)
		}
		if p := w.out.Proof; p != nil {
			row("verified", fmt.Sprintf("%s %s at %s: %s", p.SvixID, p.Type, p.At.UTC().Format(time.RFC3339), p.Said))
		} else if w.out.Rotation == nil {
			row("verified", "nothing yet")
		}
		if r := w.out.Rotation; r != nil {
			row("new secret", r.New.describe(w.now()))
			row("old secret", r.Old.describe(w.now()))
			row("next", r.Next)
		}
		if c := w.out.Coverage; c != nil {
			for _, kind := range c.Missing {
				row("not subscribed, it seems", kind+".*: the last full sync found changes that no event had told of")
			}
			if len(c.Needless) > 0 {
				row("subscribed for nothing", strings.Join(c.Needless, ", "))
			}
			if len(c.Unseen) > 0 {
				row("not seen yet", strings.Join(c.Unseen, ", "))
			}
		}
	})
}

// advised adds what to do about an error of Clerk or the database.
func advised(err error) error { return connect.Advise(err) }

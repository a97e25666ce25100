package createwebhooks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/awsaccount"
	"clerksync/shared/clerk"
	"clerksync/shared/doctor"
	"clerksync/shared/finding"
	"clerksync/shared/secret"
)

// guide shows a person the way to an endpoint.
func (w *work) guide(ctx context.Context) error {
	address, err := w.address(ctx)
	if err != nil {
		return err
	}
	found := doctor.ProbeEndpoint(ctx, address)
	w.out.Endpoint = &found
	w.c.Say("clerksync: %s. %s", found.Title, found.Detail)
	if found.Status == finding.Fail {
		// Without a signing secret the endpoint is there and cannot work yet.
		if !strings.Contains(found.Detail, "not_configured") {
			return console.Hint(errors.New("an endpoint at this address would get nothing: "+found.Title), found.Remedy)
		}
	}
	w.lookForRoutes(ctx)
	link, err := w.portal(ctx)
	if err != nil {
		return err
	}
	w.c.Say("clerksync: in Clerk's dashboard, under Webhooks, add an endpoint:")
	w.c.Say("  URL     %s", address)
	w.c.Say("  events  %s", strings.Join(w.out.EventTypes, ", "))
	w.c.Say("  then copy its Signing Secret")
	// It signs in every person who has it: it is for one alone.
	if !link.IsZero() && w.c.StderrTTY {
		w.c.Say("clerksync: this link leads there, too, and signs in: give it to no other person")
		w.c.Say("  %s", link.Reveal())
	}
	return nil
}

// address is where the endpoint answers.
func (w *work) address(ctx context.Context) (string, error) {
	switch {
	case w.URL != "":
		return string(w.URL), nil
	case w.Stack != "":
		stack, err := awsaccount.ReadStack(ctx, w.c.Lookup, string(w.Stack))
		if err != nil {
			return "", advised(err)
		}
		if address := stack.Outputs["WebhookUrl"]; address != "" {
			return address, nil
		}
		return "", console.Hint(fmt.Errorf("the stack %s has no output WebhookUrl", w.Stack), "deploy this release (docs/deploy.md), or give --url")
	case w.c.Keyboard() != nil:
		given, err := w.c.Ask(ctx, "Where does the endpoint answer? Its URL: ")
		if err == nil && given == "" {
			err = console.Usage(errors.New("no URL was given"))
		}
		return given, err
	}
	return "", console.Usage(errors.New("where the endpoint answers is not known: give --url, or --stack NAME; docs/deploy.md deploys one, and --local needs none"))
}

// portal makes the instance's Svix app where there is none, and returns a link into the portal; zero where Clerk gives none.
func (w *work) portal(ctx context.Context) (secret.Value, error) {
	key, _ := w.c.Lookup("CLERK_SECRET_KEY")
	if key == "" {
		w.c.Say("clerksync: CLERK_SECRET_KEY is not set, so the way leads through the dashboard alone")
		return secret.Value{}, nil
	}
	p, err := w.provisioner()
	if err != nil {
		return secret.Value{}, err
	}
	link, err := p.SvixURL(ctx)
	if !errors.Is(err, clerk.ErrUnprocessable) {
		return link, advised(err)
	}
	if err := w.consent(ctx, "The instance has no webhooks yet: its Svix app will be made."); err != nil {
		return secret.Value{}, err
	}
	link, err = p.CreateSvixApp(ctx)
	if errors.Is(err, clerk.ErrUnprocessable) {
		// Made meanwhile, by another person or by a call whose answer was lost.
		link, err = p.SvixURL(ctx)
	}
	return link, advised(err)
}

func (w *work) provisioner() (*clerk.Provisioner, error) {
	key, _ := w.c.Lookup("CLERK_SECRET_KEY")
	address, _ := w.c.Lookup("CLERK_API_URL")
	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: secret.New(key), URL: address})
	if err != nil {
		return nil, advised(fmt.Errorf("CLERK_SECRET_KEY: %w", err))
	}
	return clerk.NewProvisioner(backend), nil
}

const (
	// cliLimit is how long Clerk's CLI may take to list routes, which it fetches.
	cliLimit = 15 * time.Second
	// cliMost is what of its answer is read.
	cliMost = 64 << 10
)

// listedRoute is a route as the CLI lists it.
var listedRoute = regexp.MustCompile(`\b(GET|POST|PUT|PATCH|DELETE)\b[^/\n]*(/\S*webhook\S*)`)

// publishedRoutes are those of every published specification (Clerk OpenAPI bapi 2026-05-12).
var publishedRoutes = map[string]bool{"POST /webhooks/svix": true, "DELETE /webhooks/svix": true, "POST /webhooks/svix_url": true}

// lookForRoutes asks Clerk's CLI, where it is installed, whether Clerk has a route for endpoints by now. No published
// specification has one, so that none is called: what is there is told.
func (w *work) lookForRoutes(ctx context.Context) {
	program := connect.ClerkCLI(w.c)
	if program == "" {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cliLimit, fmt.Errorf("the CLI of Clerk took longer than %s", cliLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "api", "ls", "webhook") //nolint:gosec // the person's own program
	cmd.Env = append(cmd.Environ(), "CLERK_TELEMETRY_DISABLED=1")
	cmd.WaitDelay = time.Second
	var out bounded
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		w.c.Say("clerksync: whether Clerk has a route for webhook endpoints by now is not known: its CLI did not list its routes")
		return
	}
	var others []string
	for _, match := range listedRoute.FindAllStringSubmatch(out.String(), -1) {
		if route := match[1] + " " + strings.TrimPrefix(match[2], "/v1"); !publishedRoutes[route] {
			others = append(others, route)
		}
	}
	if len(others) > 0 {
		w.c.Say("clerksync: Clerk's CLI lists %s, which no published specification has: this release does not call them", strings.Join(others, ", "))
	}
}

// bounded keeps the beginning of what is written.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := cliMost - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// listen has Clerk's CLI forward webhooks to this machine, until it is interrupted.
func (cmd Command) listen(ctx context.Context, c console.Console) error {
	program := connect.ClerkCLI(c)
	if program == "" {
		return console.Hint(errors.New("the CLI of Clerk is not installed"), `"npm install --global clerk" installs it; it needs no login for this`)
	}
	to := cmp.Or(string(cmd.URL), "http://127.0.0.1:8080/webhooks/clerk")
	c.Say("clerksync: Clerk's CLI prints the address of its relay: add it as an endpoint of a development instance, and give \"clerksync dev\" the endpoint's signing secret as %s", setting)
	child := exec.CommandContext(ctx, program, "webhooks", "listen", "--forward-to", to) //nolint:gosec // the person's own program
	child.Stdin, child.Stdout, child.Stderr = c.Stdin, c.Stdout, c.Stderr
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	child.WaitDelay = 5 * time.Second
	err := child.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return console.Hint(fmt.Errorf("the CLI of Clerk ended: %w", err), `is the local stack running? "clerksync dev" starts it`)
	}
	return nil
}

package connect

import (
	"context"
	"errors"
	"fmt"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/awsaccount"
	"clerksync/shared/config"
	"clerksync/shared/setup"
)

// Deployment is what is known of the functions of a stack.
type Deployment struct {
	// Secret is where they read their settings; nil where neither a stack nor a secret is named.
	Secret setup.SecretStore
	// WebhookURL is where they receive webhooks, "" where no stack says.
	WebhookURL string
}

// Deployed looks at the functions of a stack, or at the secret of a name or ARN.
func Deployed(ctx context.Context, c console.Console, stack, id string) (Deployment, error) {
	var d Deployment
	if stack != "" {
		found, err := awsaccount.ReadStack(ctx, c.Lookup, stack)
		if errors.Is(err, awsaccount.ErrNoStack) {
			return d, console.Hint(err, "nothing is deployed there yet: deploy first (docs/deploy.md), or name a secret with --secret-id, which is made where it is missing")
		}
		if err != nil {
			return d, Advise(err)
		}
		d.WebhookURL = found.Outputs["WebhookUrl"]
		if id = found.Outputs["SecretId"]; id == "" {
			return d, console.Hint(fmt.Errorf("the stack %s has no output SecretId", stack), "is it a stack of clerksync? --secret-id names the secret itself")
		}
	}
	if id != "" {
		d.Secret = awsaccount.NewSecret(c.Lookup, id)
	}
	return d, nil
}

// DeployedKeys are the settings that have a place in such a secret. A Supabase access token may do so much more than
// functions need that it gets there by hand alone.
func DeployedKeys() []string {
	var names []string
	for _, key := range config.Keys() {
		if !key.Stack && key.Name != "SUPABASE_ACCESS_TOKEN" {
			names = append(names, key.Name)
		}
	}
	return names
}

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

// DeployedSecret is where the functions of a stack read their settings, or the secret of a name or ARN; nil where neither is
// given.
func DeployedSecret(ctx context.Context, c console.Console, stack, id string) (setup.SecretStore, error) {
	if stack != "" {
		found, err := awsaccount.ReadStack(ctx, c.Lookup, stack)
		if errors.Is(err, awsaccount.ErrNoStack) {
			return nil, console.Hint(err, "nothing is deployed there yet: deploy first (docs/deploy.md), or name a secret with --secret-id, which is made where it is missing")
		}
		if err != nil {
			return nil, Advise(err)
		}
		if id = found.Outputs["SecretId"]; id == "" {
			return nil, console.Hint(fmt.Errorf("the stack %s has no output SecretId", stack), "is it a stack of clerksync? --secret-id names the secret itself")
		}
	}
	if id == "" {
		return nil, nil //nolint:nilnil // nothing is deployed, which is no error
	}
	return awsaccount.NewSecret(c.Lookup, id), nil
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

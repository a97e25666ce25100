package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
)

// What a [SecretsManager] fetch fails with, besides what every call of AWS does. Each error's text names the fix.
var (
	ErrSecretNotFound = errors.New("no such secret")
	ErrSecretEmpty    = errors.New("the secret has no value yet")
	ErrDecryption     = errors.New("the secret cannot be decrypted")
	ErrNotText        = errors.New("the secret is not text")
)

// fetchLimit bounds one fetch with all its attempts. Svix waits 15 seconds for a webhook's answer, and the database
// has to be reached in the same time.
const fetchLimit = 3 * time.Second

// SecretsManager returns a Fetch that reads the current version of a secret from AWS Secrets Manager. It needs
// secretsmanager:GetSecretValue on the secret, and kms:Decrypt on its key where that is a customer managed one.
//
// The client is made at the first fetch: making it costs milliseconds that a cold start without a secret need not
// spend. It is made as [AWS] says, in the region of the secret's ARN where that is what names it.
func SecretsManager(lookup Lookup) Fetch {
	var mu sync.Mutex
	var client *secretsmanager.Client
	return func(ctx context.Context, secretID string) (string, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, fetchLimit, fmt.Errorf("limit of %s for Secrets Manager", fetchLimit))
		defer cancel()

		mu.Lock()
		if client == nil {
			made, err := newClient(ctx, lookup, secretID)
			if err != nil {
				mu.Unlock()
				return "", fmt.Errorf("reading secret %q: %w", secretID, err)
			}
			client = made
		}
		c := client
		mu.Unlock()

		out, err := c.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secretID})
		if err != nil {
			return "", fmt.Errorf("reading secret %q: %w", secretID, explainFetch(ctx, err, c.Options().Region))
		}
		if out.SecretString == nil {
			return "", fmt.Errorf("reading secret %q: %w: store it as a JSON object, not as binary", secretID, ErrNotText)
		}
		return *out.SecretString, nil
	}
}

func newClient(ctx context.Context, lookup Lookup, secretID string) (*secretsmanager.Client, error) {
	region := ""
	// A secret lives in one region, and an ARN says in which.
	if a, err := arn.Parse(secretID); err == nil {
		region = a.Region
	}
	cfg, err := AWS(ctx, lookup, "SECRETS_MANAGER", region)
	if errors.Is(err, ErrNoRegion) {
		return nil, fmt.Errorf("%w, or give the secret's ARN", err)
	}
	if err != nil {
		return nil, err
	}
	return secretsmanager.NewFromConfig(cfg), nil
}

// explainFetch gives an error of the SDK its name here and the way to mend it.
func explainFetch(ctx context.Context, err error, region string) error {
	var notFound *types.ResourceNotFoundException
	var invalid *types.InvalidRequestException
	var decryption *types.DecryptionFailure
	code, message := "", ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}

	switch {
	case errors.As(err, &notFound) && strings.Contains(message, "AWSCURRENT"):
		return fmt.Errorf("%w: store the JSON object with aws secretsmanager put-secret-value (the stack's output StoreSecretCommand has the whole command)", ErrSecretEmpty)
	case errors.As(err, &notFound):
		return fmt.Errorf("%w in region %s: check %s and the region", ErrSecretNotFound, region, SecretIDKey)
	case errors.As(err, &invalid):
		return fmt.Errorf("%w in region %s: it is marked for deletion (aws secretsmanager restore-secret brings it back)", ErrSecretNotFound, region)
	case errors.As(err, &decryption), strings.HasPrefix(code, "AccessDenied") && strings.Contains(message, "KMS"):
		return fmt.Errorf("%w: allow the role kms:Decrypt on the secret's key, and check that the key is enabled", ErrDecryption)
	case strings.HasPrefix(code, "AccessDenied"):
		return fmt.Errorf("%w: allow the role secretsmanager:GetSecretValue on the secret's ARN, whose last six characters are random (end it with -*)", ErrAccessDenied)
	default:
		return ExplainAWS(ctx, err, "Secrets Manager")
	}
}

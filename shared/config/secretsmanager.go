package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
)

// What a [SecretsManager] fetch fails with. Each error's text names the fix.
var (
	ErrSecretNotFound = errors.New("no such secret")
	ErrAccessDenied   = errors.New("access denied")
	ErrDecryption     = errors.New("the secret cannot be decrypted")
	ErrThrottled      = errors.New("throttled")
	ErrTimeout        = errors.New("no answer in time")
	ErrNoRegion       = errors.New("no AWS region is set")
	ErrNoCredentials  = errors.New("no usable AWS credentials")
	ErrNotText        = errors.New("the secret is not text")
)

// fetchLimit bounds one fetch with all its attempts. Svix waits 15 seconds for a webhook's answer, and the database
// has to be reached in the same time.
const fetchLimit = 3 * time.Second

// maxBackoff is the longest pause before another of the three attempts that fit into fetchLimit.
const maxBackoff = 400 * time.Millisecond

// SecretsManager returns a Fetch that reads the current version of a secret from AWS Secrets Manager. It needs
// secretsmanager:GetSecretValue on the secret, and kms:Decrypt on its key where that is a customer managed one.
//
// The client is made at the first fetch: making it costs milliseconds that a cold start without a secret need not
// spend. Region (AWS_REGION, AWS_DEFAULT_REGION, or the one in the secret's ARN), endpoint
// (AWS_ENDPOINT_URL_SECRETS_MANAGER, AWS_ENDPOINT_URL) and static credentials (AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) are taken from lookup; whatever it does not give is found the way the AWS
// SDK finds it, from the process's environment and ~/.aws.
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
	get := func(names ...string) string {
		for _, n := range names {
			if v, _ := lookup(n); v != "" {
				return v
			}
		}
		return ""
	}
	var opts []func(*awsconfig.LoadOptions) error
	region := get("AWS_REGION", "AWS_DEFAULT_REGION")
	// A secret lives in one region, and an ARN says in which.
	if a, err := arn.Parse(secretID); err == nil && a.Region != "" {
		region = a.Region
	}
	if region != "" {
		opts = append(opts, awsconfig.WithRegion(region))
	}
	if id, key := get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"); id != "" && key != "" {
		opts = append(opts, awsconfig.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(id, key, get("AWS_SESSION_TOKEN"))))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return nil, fmt.Errorf("%w: set AWS_REGION, or give the secret's ARN", ErrNoRegion)
	}
	return secretsmanager.NewFromConfig(cfg, func(o *secretsmanager.Options) {
		// The SDK's own pauses, up to 20 seconds, would outlast the limit and hide what was answered.
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = maxBackoff })
		if url := get("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"); url != "" {
			o.BaseEndpoint = aws.String(url)
		}
	}), nil
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
	case errors.As(err, &notFound):
		return fmt.Errorf("%w in region %s: check %s and the region; the secret must have a value", ErrSecretNotFound, region, SecretIDKey)
	case errors.As(err, &invalid):
		return fmt.Errorf("%w in region %s: it is marked for deletion (restore-secret brings it back) or has no value yet", ErrSecretNotFound, region)
	case errors.As(err, &decryption), strings.HasPrefix(code, "AccessDenied") && strings.Contains(message, "KMS"):
		return fmt.Errorf("%w: allow the role kms:Decrypt on the secret's key, and check that the key is enabled", ErrDecryption)
	case strings.HasPrefix(code, "AccessDenied"):
		return fmt.Errorf("%w: allow the role secretsmanager:GetSecretValue on the secret's ARN, whose last six characters are random (end it with -*)", ErrAccessDenied)
	case code == "ThrottlingException", code == "TooManyRequestsException", code == "RequestLimitExceeded":
		return fmt.Errorf("%w by Secrets Manager (%s): it is tried again", ErrThrottled, code)
	case code == "UnrecognizedClientException", code == "InvalidSignatureException", code == "InvalidClientTokenId",
		code == "ExpiredTokenException", code == "ExpiredToken", strings.Contains(err.Error(), "failed to refresh cached credentials"):
		return fmt.Errorf("%w (%s): give the function a role, or log in (aws sso login)", ErrNoCredentials, orUnknown(code))
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%w): in a VPC, add a NAT gateway or an endpoint for Secrets Manager", ErrTimeout, context.Cause(ctx))
	default:
		return err
	}
}

func orUnknown(code string) string {
	if code == "" {
		return "none found"
	}
	return code
}

package config

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// What a call of AWS fails with, whichever service it is. Each error's text names the fix.
var (
	ErrAccessDenied  = errors.New("access denied")
	ErrThrottled     = errors.New("throttled")
	ErrTimeout       = errors.New("no answer in time")
	ErrNoRegion      = errors.New("no AWS region is set")
	ErrNoCredentials = errors.New("no usable AWS credentials")
	ErrClock         = errors.New("this machine's clock is wrong")
)

// maxBackoff is the longest pause before another of the three attempts that fit into the few seconds that a call may
// take.
const maxBackoff = 400 * time.Millisecond

// AWS returns what a client of one of AWS's services is made with. service is the one in the names of variables, such as
// SECRETS_MANAGER.
//
// Region (the given one, AWS_REGION, AWS_DEFAULT_REGION), endpoint (AWS_ENDPOINT_URL_<service>, AWS_ENDPOINT_URL) and
// static credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN) are taken from lookup; whatever it does
// not give is found the way the AWS SDK finds it, from the process's environment and ~/.aws. The error wraps ErrNoRegion
// where there is none.
//
// It takes milliseconds, which a cold start need not spend: call it when the client is wanted.
func AWS(ctx context.Context, lookup Lookup, service, region string) (aws.Config, error) {
	get := func(names ...string) string {
		for _, n := range names {
			if v, _ := lookup(n); v != "" {
				return v
			}
		}
		return ""
	}
	// The SDK's own pauses, up to 20 seconds, would outlast the caller's limit and hide what was answered.
	opts := []func(*awsconfig.LoadOptions) error{awsconfig.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = maxBackoff })
	})}
	if region == "" {
		region = get("AWS_REGION", "AWS_DEFAULT_REGION")
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
		return aws.Config{}, fmt.Errorf("loading the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return aws.Config{}, fmt.Errorf("%w: set AWS_REGION", ErrNoRegion)
	}
	if url := get("AWS_ENDPOINT_URL_"+service, "AWS_ENDPOINT_URL"); url != "" {
		cfg.BaseEndpoint = aws.String(url)
	}
	return cfg, nil
}

// maxSkew is how far the time of a signature may be off (AWS, "Troubleshoot AWS Signature Version 4 requests"). The SDK
// signs again with the time of the answer's Date header when it is off by four minutes, so what is seen here is an answer
// without one, or a second refusal.
const maxSkew = 5 * time.Minute

// clockError returns ErrClock if a refusal, or a certificate that is not valid at this time, is about the clock.
func clockError(err error, code, message string) error {
	const fix = "have NTP set it; a virtual machine that slept with its host, as Docker's does on a laptop, needs a restart"
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return fmt.Errorf("%w: it says %s, when AWS's certificate is not valid: %s", ErrClock, time.Now().UTC().Format(time.RFC3339), fix)
	}
	ahead, known := aheadOfAWS(err)
	off := ""
	switch {
	case known && ahead > maxSkew:
		off = fmt.Sprintf(" (%s ahead of AWS's)", ahead)
	case known && ahead < -maxSkew:
		off = fmt.Sprintf(" (%s behind AWS's)", -ahead)
	}
	switch code {
	case "RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture":
	case "InvalidSignatureException", "SignatureDoesNotMatch":
		if off == "" && !strings.HasPrefix(message, "Signature expired") && !strings.HasPrefix(message, "Signature not yet current") {
			return nil
		}
	default:
		return nil
	}
	return fmt.Errorf("%w%s: %s", ErrClock, off, fix)
}

// aheadOfAWS is how far this machine's clock is ahead of that of the server which refused, to the second.
func aheadOfAWS(err error) (ahead time.Duration, known bool) {
	refused, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || refused.HTTPResponse() == nil {
		return 0, false
	}
	date, err := http.ParseTime(refused.HTTPResponse().Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	return time.Since(date).Round(time.Second), true
}

// ExplainAWS gives an error of the SDK its name here and the way to mend it, if it is one that every service has. ctx is
// the call's, and service names it for people. Other errors are returned as they are.
func ExplainAWS(ctx context.Context, err error, service string) error {
	code, message := "", ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	if wrong := clockError(err, code, message); wrong != nil {
		return wrong
	}
	switch {
	case code == "ThrottlingException", code == "TooManyRequestsException", code == "RequestLimitExceeded", code == "RequestThrottled":
		return fmt.Errorf("%w by %s (%s): it is tried again", ErrThrottled, service, code)
	case code == "UnrecognizedClientException", code == "InvalidSignatureException", code == "InvalidClientTokenId",
		code == "ExpiredTokenException", code == "ExpiredToken", strings.Contains(err.Error(), "failed to refresh cached credentials"):
		return fmt.Errorf("%w (%s): give the function a role, or log in (aws sso login)", ErrNoCredentials, orUnknown(code))
	case ctx.Err() != nil:
		return fmt.Errorf("%w (%w): in a VPC, add a NAT gateway or an endpoint for %s", ErrTimeout, context.Cause(ctx), service)
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

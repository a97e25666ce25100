// Package awsaccount reads what an account of AWS lets the stack do, and how a deployed
// stack is: its outputs, schedule, failure queues and alarms. It changes nothing there.
package awsaccount

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"

	"clerksync/shared/config"
)

// kept is how much of an account's concurrency Lambda keeps back for functions that
// reserve nothing (AWS, "Configuring reserved concurrency for a function"). A new
// account has less than that, and can reserve nothing.
const kept = 100

// Concurrency is how many functions of an account may run at once in one region.
type Concurrency struct {
	// Region is which.
	Region string `json:"region"`
	// Limit is for all functions together.
	Limit int `json:"limit"`
	// Unreserved is the part of it that no function has reserved.
	Unreserved int `json:"unreserved"`
}

// Reservable is how much the functions of a new stack may reserve together.
func (c Concurrency) Reservable() int { return max(0, c.Unreserved-kept) }

// ReadConcurrency asks Lambda, with lambda:GetAccountSettings. lookup gives region,
// endpoint and credentials, as for [config.AWS]. The error wraps one of config's
// where it is of those, such as config.ErrAccessDenied.
func ReadConcurrency(ctx context.Context, lookup config.Lookup) (Concurrency, error) {
	cfg, err := config.AWS(ctx, lookup, "LAMBDA", "")
	if err != nil {
		return Concurrency{}, err
	}
	settings, err := lambda.NewFromConfig(cfg).GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err != nil {
		return Concurrency{}, explainCall(ctx, err, "Lambda", "lambda:GetAccountSettings")
	}
	limit := settings.AccountLimit
	if limit == nil || limit.UnreservedConcurrentExecutions == nil || limit.ConcurrentExecutions <= 0 {
		return Concurrency{}, errors.New("the answer of Lambda has no limits")
	}
	return Concurrency{Region: cfg.Region, Limit: int(limit.ConcurrentExecutions), Unreserved: int(*limit.UnreservedConcurrentExecutions)}, nil
}

// explainCall gives an error of the SDK its name and says which right a refusal asks for.
func explainCall(ctx context.Context, err error, service, right string) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok && strings.HasPrefix(api.ErrorCode(), "AccessDenied") {
		return fmt.Errorf("%w (%s): it needs %s", config.ErrAccessDenied, api.ErrorCode(), right)
	}
	return fmt.Errorf("asking %s: %w", service, config.ExplainAWS(ctx, err, service))
}

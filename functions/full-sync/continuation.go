package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"clerksync/shared/config"
)

// invokeLimit is for one call of Lambda with all its attempts. A run that is out
// of time leaves more than that.
const invokeLimit = 8 * time.Second

// selfInvocation returns what invokes this function once more, asynchronously,
// and nil outside of Lambda. It needs lambda:InvokeFunction on the function.
//
// The client is made when it is wanted, which for most runs is never. It passes
// the trace on, by which Lambda recognises a loop. Should a lost answer make it
// ask twice, the second of the two invocations finds the first one working.
func selfInvocation(lookup config.Lookup) func(context.Context, event) error {
	name, _ := lookup("AWS_LAMBDA_FUNCTION_NAME")
	// The SAM CLI gives its containers a function's name, but no Lambda to go with it.
	if local, _ := lookup("AWS_SAM_LOCAL"); name == "" || local == "true" {
		return nil
	}
	return func(ctx context.Context, e event) error {
		ctx, cancel := context.WithTimeoutCause(ctx, invokeLimit, fmt.Errorf("limit of %s for Lambda", invokeLimit))
		defer cancel()
		payload, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encoding the event: %w", err)
		}
		cfg, err := config.AWS(ctx, lookup, "LAMBDA", "")
		if err != nil {
			return err
		}
		_, err = lambda.NewFromConfig(cfg).Invoke(ctx, &lambda.InvokeInput{
			FunctionName: &name, InvocationType: types.InvocationTypeEvent, Payload: payload,
		})
		if err != nil {
			return fmt.Errorf("invoking %s again: %w (the function's role needs lambda:InvokeFunction on the function itself)", name, config.ExplainAWS(ctx, err, "Lambda"))
		}
		return nil
	}
}

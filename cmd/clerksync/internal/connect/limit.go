package connect

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Within limits what f does, and names the limit where it was reached.
func Within(ctx context.Context, doing string, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s took longer than %s", doing, limit))
	defer cancel()
	err := f(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

package jwttest

import (
	"context"

	"clerksync/shared/jwtdiag/keyset"
)

// failing has no keys to give.
type failing struct{}

func (failing) Keys(context.Context, string) (keyset.Set, error) {
	return keyset.Set{}, &keyset.FetchError{Reason: keyset.ReasonTimeout}
}

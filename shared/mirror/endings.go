package mirror

import (
	"context"
	"fmt"
	"time"

	"clerksync/shared/clerk"
)

// endStep is how many memberships one statement ends, of those that the deletion
// of their user or organization has left.
const endStep = 5000

// endsMemberships tells whether an event may leave memberships to be ended.
func endsMemberships(d Delivery) bool {
	return d.Event.Type == clerk.UserDeleted || d.Event.Type == clerk.OrganizationDeleted
}

// applyDeletion is [Store.Apply] for what has memberships. Of more than one
// transaction takes the rest is ended in further ones, as far as time allows: the
// event is applied with its tombstone, which says it to every policy, and what is
// left goes on with the next event or full sync.
func (s *Store) applyDeletion(ctx context.Context, d Delivery, instance *string) (Result, error) {
	var left bool
	result, err := s.decide(ctx, []any{&left}, `
		select outcome, reason, clerk_sync.memberships_left() from clerk_sync.apply_event($1, $2::jsonb, $3)`,
		d.SvixID, string(d.Event.JSON), instance)
	if err == nil && left {
		s.endWithin(ctx)
	}
	return s.applied(ctx, d, result, err)
}

// endWithin goes on for half of the time that is left. What fails is tried again
// by whatever comes next.
func (s *Store) endWithin(ctx context.Context) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	for took := time.Duration(0); ; {
		// A step that would run into the deadline would be for nothing.
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 2*took {
			return
		}
		begun := time.Now()
		if dealt, err := s.endSome(ctx, false); err != nil || dealt == 0 {
			return
		}
		took = time.Since(begun)
	}
}

// EndSome ends some memberships that deletions have left and waits for what others
// hold; call it until nothing is left.
func (s *Store) EndSome(ctx context.Context) (left bool, err error) {
	dealt, err := s.endSome(ctx, true)
	return dealt > 0, err
}

func (s *Store) endSome(ctx context.Context, patient bool) (int64, error) {
	var dealt int64
	if err := s.scan(ctx, []any{&dealt}, `select clerk_sync.end_some_memberships($1, $2)`, endStep, patient); err != nil {
		return 0, fmt.Errorf("ending memberships of what was deleted: %w", err)
	}
	return dealt, nil
}

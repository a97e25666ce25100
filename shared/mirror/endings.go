package mirror

import (
	"context"
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

// endWithin ends what a deletion has left of memberships, where that is more than one
// transaction takes, for half of the time that is left: the tombstone says it to every
// policy already. What fails is tried again with the next event or full sync.
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
		if left, err := s.endSome(ctx, false); err != nil || !left {
			return
		}
		took = time.Since(begun)
	}
}

// EndSome ends some memberships that deletions have left and waits for what others
// hold; call it until nothing is left.
func (s *Store) EndSome(ctx context.Context) (left bool, err error) { return s.endSome(ctx, true) }

func (s *Store) endSome(ctx context.Context, patient bool) (left bool, err error) {
	return one[bool](ctx, s, "ending memberships of what was deleted", `select clerk_sync.end_some_memberships($1, $2) > 0`, endStep, patient)
}

package mirror

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
)

// verb is the form of what an event type says of its object.
var verb = regexp.MustCompile(`^[a-z]+$`)

// Mirrored says whether events of a type may be of use to the rules: those whose payload
// may be kept. Of any other, which can carry one-time codes or live tickets, nothing but
// type, times and the object's id is ever recorded, and nothing else should be kept
// anywhere.
func Mirrored(eventType string) bool {
	_, ours := clerk.KindOfEvent(eventType)
	_, said, _ := strings.Cut(eventType, ".")
	return ours && verb.MatchString(said)
}

// ApplyBatch hands many events to the sync rules as one statement, and so in one
// transaction, and returns what they decided, in the order of deliveries. A
// svix-id that stands there twice is [Duplicate] the second time. Rows and
// outcomes are those that the events have one by one, in some order.
//
// Events that the database cannot read as JSON are found by applying the whole
// batch one by one, as [Store.Apply] does.
//
// With an error, which wraps [ErrUnavailable], the results of what was not
// decided are zero; repeating the call, with all of them or only those, is safe.
func (s *Store) ApplyBatch(ctx context.Context, deliveries []Delivery) ([]Result, error) {
	if len(deliveries) == 0 {
		return nil, nil
	}
	results, err := s.applyBatch(ctx, deliveries)
	if notStorable(err) {
		return s.applyEach(ctx, deliveries)
	}
	if err != nil {
		return make([]Result, len(deliveries)), fmt.Errorf("applying %d events, %s to %s: %w",
			len(deliveries), deliveries[0].SvixID, deliveries[len(deliveries)-1].SvixID, err)
	}
	if slices.ContainsFunc(deliveries, endsMemberships) {
		s.endWithin(ctx)
	}
	return results, nil
}

func (s *Store) applyBatch(ctx context.Context, deliveries []Delivery) ([]Result, error) {
	ids, pins, signed := make([]string, len(deliveries)), make([]string, len(deliveries)), make([]*string, len(deliveries))
	var events strings.Builder
	for i, d := range deliveries {
		ids[i], pins[i] = d.SvixID, d.InstanceID
		if d.SignedWith != "" {
			signed[i] = &d.SignedWith
		}
		events.WriteByte("[,"[min(i, 1)])
		events.Write(d.Event.JSON)
	}
	events.WriteByte(']')

	var results []Result
	err := repeat(ctx, func() error {
		rows, err := s.db.Query(ctx, `select outcome, coalesce(reason, '') from clerk_sync.apply_events($1, $2::pg_catalog.jsonb, $3, $4)`,
			ids, events.String(), pins, signed)
		if err != nil {
			return err
		}
		results, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Result])
		return err
	})
	if err == nil && len(results) != len(deliveries) {
		err = fmt.Errorf("%w: the rules answered %d times", ErrUnavailable, len(results))
	}
	return results, err
}

// applyEach goes on after an event that could not be stored: those behind it may
// be.
func (s *Store) applyEach(ctx context.Context, deliveries []Delivery) ([]Result, error) {
	results := make([]Result, len(deliveries))
	var first error
	for i, d := range deliveries {
		var err error
		results[i], err = s.Apply(ctx, d)
		first = cmp.Or(first, err)
	}
	return results, first
}

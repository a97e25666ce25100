package mirror_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
)

// breaking is a database that counts statements. Once it is broken the connection breaks
// under each.
type breaking struct {
	mirror.DB
	broken bool
	tries  int
}

type brokenRow struct{}

func (brokenRow) Scan(...any) error { return io.ErrUnexpectedEOF }

func (d *breaking) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if d.broken {
		d.tries++
		return nil, io.ErrUnexpectedEOF
	}
	return d.DB.Query(ctx, sql, args...)
}

func (d *breaking) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if d.broken {
		d.tries++
		return brokenRow{}
	}
	return d.DB.QueryRow(ctx, sql, args...)
}

// What only the full sync calls is tried once, since that repeats by itself; events and
// the status are tried twice.
func TestStore_RepeatsInOnePlace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	db := &breaking{DB: pool(t, b.db.Writer(), 1)}
	store := mirror.New(db)
	run := must[*mirror.Run](t)(store.Begin(t.Context(), mirror.Begin{Holder: "me", Lease: time.Minute, InstanceID: "ins_1", Trigger: "test"}))
	db.broken = true
	w := mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 1}
	page := listed(at(1), clerktest.User("user_1"))
	event := delivery(t, "msg_1", clerktest.User("user_1").Event(clerk.UserCreated, at(1)))
	for name, call := range map[string]struct {
		tries int
		err   func(context.Context) error
	}{
		"Begin":            {1, func(ctx context.Context) error { _, err := store.Begin(ctx, mirror.Begin{}); return err }},
		"ExpectedInstance": {1, func(ctx context.Context) error { _, err := store.ExpectedInstance(ctx, false); return err }},
		"Renew":            {1, run.Renew},
		"Plan":             {1, func(ctx context.Context) error { return run.Plan(ctx, mirror.Users, []mirror.Span{{}}) }},
		"KeepCuts":         {1, func(ctx context.Context) error { return run.KeepCuts(ctx, nil) }},
		"ApplyPage":        {1, func(ctx context.Context) error { _, err := run.ApplyPage(ctx, w, page, at(1)); return err }},
		"a part":           {1, func(ctx context.Context) error { _, err := store.ApplyPage(ctx, w.Object, page, at(1)); return err }},
		"Suspects": {1, func(ctx context.Context) error {
			_, _, err := store.Suspects(ctx, 1, w.Object, mirror.Span{}, nil, nil, 1)
			return err
		}},
		"Finish":       {1, func(ctx context.Context) error { return run.Finish(ctx, w) }},
		"NoteAbsent":   {1, func(ctx context.Context) error { return run.NoteAbsent(ctx, w.Object, nil, at(1)) }},
		"Pending":      {1, func(ctx context.Context) error { _, err := run.Pending(ctx); return err }},
		"Count":        {1, func(ctx context.Context) error { _, err := store.Count(ctx, w.Object); return err }},
		"DeleteAbsent": {1, func(ctx context.Context) error { _, err := run.DeleteAbsent(ctx, w.Object, 1); return err }},
		"EndSome":      {1, func(ctx context.Context) error { _, err := store.EndSome(ctx); return err }},
		"Reload":       {1, run.Reload},
		"Purge":        {1, func(ctx context.Context) error { _, err := store.Purge(ctx, 1); return err }},
		"LastEventAt":  {1, func(ctx context.Context) error { _, err := store.LastEventAt(ctx); return err }},
		"End":          {1, func(ctx context.Context) error { return run.End(ctx, "partial", "", nil, nil) }},
		"Apply":        {2, func(ctx context.Context) error { _, err := store.Apply(ctx, event); return err }},
		"ApplyBatch":   {2, func(ctx context.Context) error { _, err := store.ApplyBatch(ctx, []mirror.Delivery{event}); return err }},
		"Status":       {2, func(ctx context.Context) error { _, err := store.Status(ctx); return err }},
	} {
		db.tries = 0
		if err := call.err(t.Context()); !errors.Is(err, mirror.ErrUnavailable) || db.tries != call.tries {
			t.Errorf("%s of a connection that breaks: %d tries and %v, want %d and ErrUnavailable", name, db.tries, err, call.tries)
		}
	}
}

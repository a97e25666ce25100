package mirror_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/mirror"
)

// What is too much to count is told from statistics, and says so.
func TestStatus_EstimatesWhatItCannotCount(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	fill(t, b.owner, 30_000)
	b.exec(`insert into public.users (clerk_id, deleted_at, sync_version) select 'user_gone_' || n, now(), '9' from generate_series(1, 40) as n`)
	b.exec(`insert into public.users (clerk_id) select 'user_placeholder_' || n from generate_series(1, 30) as n`)
	b.exec(`insert into clerk_sync.webhook_events (svix_id, type, outcome, reason) select 'rejected_' || n, 'user.created', 'rejected', 'missing_id' from generate_series(1, 7) as n`)
	b.exec(`analyze`)

	got := must[mirror.Status](t)(b.store.Status(t.Context()))
	within := func(what string, n, want int64) {
		t.Helper()
		if n < want*9/10 || n > want*11/10 {
			t.Errorf("%s: about %d, want %d and a tenth", what, n, want)
		}
	}
	within("live users", got.Users.Live, 30_000)
	within("memberships", got.Memberships.Live, 30_000)
	within("applied events", got.Events[mirror.Applied], 30_000)
	if !got.Users.Estimated || !got.Memberships.Estimated || got.Organizations.Estimated {
		t.Errorf("estimated: users %t, memberships %t, organizations %t, want the first two",
			got.Users.Estimated, got.Memberships.Estimated, got.Organizations.Estimated)
	}
	// What is few stays exact beside it.
	if got.Users.Tombstones != 40 || got.Users.Placeholders != 30 || got.Organizations.Live != 1501 || got.Events[mirror.Rejected] != 7 {
		t.Errorf("Status = %+v", got)
	}
	if diff := cmp.Diff([]mirror.Outcome{mirror.Applied}, got.EventsEstimated); diff != "" {
		t.Errorf("estimated outcomes (-want +got):\n%s", diff)
	}

	// Without statistics it is at least what was counted.
	b.exec(`update pg_class set reltuples = -1, relpages = 0 where relname like 'users%' or relname like 'webhook_events%'`)
	got = must[mirror.Status](t)(b.store.Status(t.Context()))
	if got.Users.Live < 19_000 || got.Users.Live > 20_001 || !got.Users.Estimated || got.Events[mirror.Applied] < 19_000 {
		t.Errorf("without statistics: %+v, want what was counted", got)
	}
}

// The breaker of a full sync counts exactly as far as a share of a twentieth can be told.
func TestPending_IsExactWhereItMatters(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	fill(t, b.owner, 30_000)
	b.exec(`analyze`)
	b.exec(`update pg_class set reltuples = 90000 where relname like 'users%'`)
	run := b.mustBegin("one")
	absent := make([]string, 0, 2000)
	for n := range 2000 {
		absent = append(absent, fmt.Sprintf("user_gone_%d", n))
	}
	if err := run.NoteAbsent(t.Context(), mirror.Users, absent, at(0)); err != nil {
		t.Fatal(err)
	}
	// 2,000 absences ask for 40,000 rows.
	if got := must[[]mirror.Pending](t)(run.Pending(t.Context())); len(got) != 1 || got[0] != (mirror.Pending{Object: mirror.Users, Pending: 2000, Live: 30_000}) {
		t.Errorf("Pending = %+v, want 2000 of exactly 30000", got)
	}
}

// late is a database that takes too long with one statement.
type late struct {
	mirror.DB
	with string
}

func (l late) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if strings.Contains(sql, l.with) {
		return failed{&pgconn.PgError{Code: "57014"}}
	}
	return l.DB.QueryRow(ctx, sql, args...)
}

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

func TestStatus_ShowsWhatItCanRead(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.members(1, 3)
	db := pool(t, b.db.Writer(), 1)
	got := must[mirror.Status](t)(mirror.New(late{db, "count_objects('user')"}).Status(t.Context()))
	if diff := cmp.Diff([]string{"users"}, got.Missing); diff != "" || got.Memberships.Live != 3 {
		t.Errorf("Status = %+v; missing (-want +got):\n%s", got, diff)
	}
	if _, err := mirror.New(late{db, "clerk_sync."}).Status(t.Context()); err == nil {
		t.Error("a status of nothing is no failure")
	}
}

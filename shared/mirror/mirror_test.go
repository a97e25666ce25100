package mirror_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// at is a moment n seconds after everything was created.
func at(n int) time.Time { return clerktest.Epoch.Add(time.Duration(n) * time.Second) }

// pool connects as a function does: no prepared statements.
func pool(t testing.TB, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = conns
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	p, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// bench is a copy to play events into.
type bench struct {
	*testing.T
	db    *testdb.DB
	store *mirror.Store
	owner *pgx.Conn
	sent  int
}

// newBench makes an empty copy. Events reach it in turn directly and through a
// PgBouncer in transaction mode, so that every test here holds on both ways.
func newBench(t *testing.T) *bench {
	t.Helper()
	db := testdb.New(t)
	ways := inTurn{dbs: []mirror.DB{pool(t, db.Writer(), 1)}}
	if _, err := pgbouncer.Find(); err == nil || need.InCI() {
		ways.dbs = append(ways.dbs, pool(t, db.Pooled(t, db.Writer()), 1))
	}
	return &bench{T: t, db: db, store: mirror.New(&ways), owner: db.Conn(t, db.Superuser())}
}

// inTurn runs each statement on the next of several databases, which are one.
type inTurn struct {
	dbs  []mirror.DB
	next int
}

func (d *inTurn) db() mirror.DB {
	d.next++
	return d.dbs[d.next%len(d.dbs)]
}

func (d *inTurn) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return d.db().Query(ctx, sql, args...)
}

func (d *inTurn) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return d.db().QueryRow(ctx, sql, args...)
}

func delivery(t testing.TB, svixID string, body []byte) mirror.Delivery {
	t.Helper()
	event, err := clerk.ParseEvent(body)
	if err != nil {
		t.Fatalf("parsing %s: %v", body, err)
	}
	return mirror.Delivery{SvixID: svixID, Event: event}
}

// send plays one event under a new svix-id and says what became of it.
func (b *bench) send(body []byte) mirror.Result {
	b.Helper()
	b.sent++
	return b.sendAs(fmt.Sprintf("msg_%04d", b.sent), body)
}

func (b *bench) sendAs(svixID string, body []byte) mirror.Result {
	b.Helper()
	result, err := b.store.Apply(b.Context(), delivery(b, svixID, body))
	if err != nil {
		b.Fatalf("Apply(%s, %s): %v", svixID, body, err)
	}
	return result
}

// want plays an event and expects the outcome.
func (b *bench) want(outcome mirror.Outcome, body []byte) {
	b.Helper()
	if got := b.send(body); got.Outcome != outcome {
		b.Errorf("Apply(%s) = %+v, want %s", body, got, outcome)
	}
}

// row returns one row of the copy as a map, without what says how it was
// written; nil if there is none.
func (b *bench) row(table, id string) map[string]any {
	b.Helper()
	keys := map[string]string{
		"users": "clerk_id", "users_public": "clerk_id", "organizations": "clerk_org_id",
		"organization_memberships": "clerk_membership_id",
	}
	var text *string
	err := b.owner.QueryRow(b.Context(), fmt.Sprintf(
		`select (to_jsonb(t) - 'synced_at' - 'sync_version')::text from public.%s t where t.%s = $1`, table, keys[table]), id).Scan(&text)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		b.Fatal(err)
	}
	var row map[string]any
	decoder := json.NewDecoder(strings.NewReader(*text))
	decoder.UseNumber()
	if err := decoder.Decode(&row); err != nil {
		b.Fatal(err)
	}
	return row
}

// has expects the named columns of a row.
func (b *bench) has(table, id string, want map[string]any) {
	b.Helper()
	row := b.row(table, id)
	if row == nil {
		b.Errorf("%s %s: no row, want %v", table, id, want)
		return
	}
	for column, value := range want {
		if diff := cmp.Diff(value, row[column]); diff != "" {
			b.Errorf("%s %s: column %s (-want +got):\n%s", table, id, column, diff)
		}
	}
}

// exec runs SQL as the superuser.
func (b *bench) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.owner.Exec(b.Context(), sql, args...); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
}

// scalar reads one value as the superuser.
func scalar[T any](b *bench, sql string, args ...any) T {
	b.Helper()
	var value T
	if err := b.owner.QueryRow(b.Context(), sql, args...).Scan(&value); err != nil {
		b.Fatalf("%s: %v", sql, err)
	}
	return value
}

// dump is every row of the copy, in order, without the moment it was written.
func dump(ctx context.Context, t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	var all strings.Builder
	for _, table := range []string{
		"public.users", "public.users_public", "public.organizations", "public.organization_memberships",
		"clerk.organization_roles", "clerk.organization_permissions",
	} {
		rows := lines(ctx, t, conn, `select (to_jsonb(t) - 'synced_at')::text as line from `+table+` t order by 1`)
		fmt.Fprintf(&all, "%s\n\t%s\n", table, strings.Join(rows, "\n\t"))
	}
	return all.String()
}

// lines are the rows of a query that returns texts.
func lines(ctx context.Context, t testing.TB, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

package mirror_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
)

// reads tells what statements of one connection read of each relation. It asks that
// connection itself: the counters that all sessions share arrive late, and a vacuum of the
// server adds to them.
type reads struct {
	*bench
	conn *pgx.Conn
}

// read is what was read of one table or through one index: how often it was begun, and
// how many rows came of it. A table's rows include those that came by its indexes.
type read struct{ scans, rows int64 }

func newReads(b *bench) *reads {
	b.Helper()
	return &reads{bench: b, conn: b.db.Conn(b.T, b.db.Writer())}
}

// exec runs a statement as the writer.
func (r *reads) exec(sql string, args ...any) {
	r.Helper()
	r.of(r.conn, sql, args...)
}

// of runs a statement and tells what it read.
func (r *reads) of(conn *pgx.Conn, sql string, args ...any) map[string]read {
	r.Helper()
	delta := map[string]read{}
	// What is counted is kept until the transaction ends.
	if err := pgx.BeginFunc(r.Context(), conn, func(tx pgx.Tx) error {
		before := r.counted(tx)
		if _, err := tx.Exec(r.Context(), sql, append([]any{pgx.QueryExecModeExec}, args...)...); err != nil {
			return err
		}
		for relation, after := range r.counted(tx) {
			delta[relation] = read{after.scans - before[relation].scans, after.rows - before[relation].rows}
		}
		return nil
	}); err != nil {
		r.Fatalf("%s: %v", sql, err)
	}
	return delta
}

func (r *reads) counted(tx pgx.Tx) map[string]read {
	r.Helper()
	rows, err := tx.Query(r.Context(), `
		select c.relnamespace::regnamespace || '.' || c.relname,
		       pg_stat_get_xact_numscans(c.oid),
		       pg_stat_get_xact_tuples_returned(c.oid) + case when c.relkind = 'r'
		         then greatest(pg_stat_get_xact_tuples_fetched(c.oid), coalesce((
		           select sum(pg_stat_get_xact_tuples_returned(i.indexrelid))::bigint from pg_index as i where i.indrelid = c.oid), 0))
		         else 0 end
		from pg_class as c
		where c.relkind in ('r', 'i') and c.relnamespace not in ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace)`)
	if err != nil {
		r.Fatal(err)
	}
	all := map[string]read{}
	var relation string
	var one read
	if _, err := pgx.ForEachRow(rows, []any{&relation, &one.scans, &one.rows}, func() error {
		all[relation] = one
		return nil
	}); err != nil {
		r.Fatal(err)
	}
	return all
}

// fill makes a copy of n users, n memberships in n/20 organizations, n events and n
// audit records, past every trigger and not analyzed: plans are made before
// statistics are.
func fill(t testing.TB, owner *pgx.Conn, n int) {
	t.Helper()
	for _, sql := range []string{
		`set session_replication_role = replica`,
		`insert into public.users (clerk_id, email, created_at, updated_at, sync_version)
		 select 'user_' || lpad(n::text, 8, '0'), 'u' || n || '@example.com', '2024-01-01'::timestamptz + n * interval '1 second', '2024-02-01',
		        '2.001700000000000.001700000000000.1.a' from generate_series(1, $size) as n on conflict do nothing`,
		`insert into public.users_public (clerk_id) select clerk_id from public.users on conflict do nothing`,
		`insert into public.organizations (clerk_org_id, name, created_at, updated_at, sync_version)
		 select 'org_' || lpad(n::text, 8, '0'), 'Org', '2024-01-01'::timestamptz + n * interval '1 second', '2024-02-01',
		        '2.001700000000000.001700000000000.1.a' from generate_series(0, $size / 20) as n on conflict do nothing`,
		`insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role, created_at, updated_at, sync_version)
		 select 'orgmem_' || lpad(n::text, 8, '0'), 'org_' || lpad((n / 20)::text, 8, '0'), 'user_' || lpad(n::text, 8, '0'), 'org:member',
		        '2024-01-01'::timestamptz + n * interval '1 second', '2024-02-01', '2.001700000000000.001700000000000.1.a'
		 from generate_series(1, $size) as n on conflict do nothing`,
		`insert into clerk_sync.webhook_events (svix_id, type, outcome, received_at)
		 select 'filled_' || n, 'user.updated', 'applied', now() - n * interval '1 second' from generate_series(1, $size) as n on conflict do nothing`,
		`insert into clerk_sync.audit_log (actor_kind, login, table_schema, table_name, action, row_id)
		 select 'sync', 'clerksync_writer', 'public', 'users', 'insert', 'user_' || n from generate_series(1, $size) as n on conflict do nothing`,
		// A vacuum does it, in time.
		`select brin_summarize_new_values('clerk_sync.audit_log_table_idx')`,
		`reset session_replication_role`,
	} {
		if _, err := owner.Exec(t.Context(), strings.ReplaceAll(sql, "$size", strconv.Itoa(n))); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// No statement of the sync reads a table from end to end, by itself or through an
// index, however large it has become since the plan was made.
func TestStatements_ReadNoWholeTable(t *testing.T) {
	t.Parallel()
	const size = 60_000
	b := newBench(t)
	r := newReads(b)
	event := func(id string, body []byte) []any { return []any{id, string(body)} }
	// What is counted is counted up to 20,000, in each of two indexes.
	const counted = 2*20_000 + 1_000
	type statement struct {
		name string
		sql  string
		args []any
		// most is how many rows of a table it may read; 0 means 1,000.
		most int64
	}
	user := clerktest.User("user_00000007")
	statements := func(round int) []statement {
		apply := `select clerk_sync.apply_event($1, $2)`
		moved := user.Name(fmt.Sprintf("Name %d", round), "").UpdatedAt(at(900 + round))
		return []statement{
			{name: "user event", sql: apply, args: event(fmt.Sprintf("msg_u_%d", round), moved.Event(clerk.UserUpdated, at(900+round)))},
			{name: "user deleted", sql: apply, args: event(fmt.Sprintf("msg_d_%d", round), clerktest.User(fmt.Sprintf("user_%08d", 10+round)).Deleted(at(900)))},
			{
				name: "organization deleted", sql: apply,
				args: event(fmt.Sprintf("msg_o_%d", round), clerktest.Organization(fmt.Sprintf("org_%08d", 10+round), "").Deleted(at(900))),
			},
			{name: "purge", sql: `select clerk_sync.purge(1000)`},
			{name: "undated users", sql: `select * from clerk_sync.undated('user', now(), '', 1000)`},
			{name: "undated organizations", sql: `select * from clerk_sync.undated('organization', now(), '', 1000)`},
			{name: "undated memberships", sql: `select * from clerk_sync.undated('organization_membership', now(), '', 1000)`},
			{name: "suspects", sql: `select * from clerk_sync.suspects(0, 'user', 1704067200000, 1704067300000, '{}', 1000)`},
			{name: "pending", sql: `select * from clerk_sync.pending_deletions(1)`, most: counted},
			{name: "status", sql: `select clerk_sync.status()`, most: counted},
			{name: "last event", sql: `select clerk_sync.last_event_at()`},
			{name: "rejected events", sql: `select * from clerk_sync.recent_events('rejected')`},
			{name: "ignored events", sql: `select * from clerk_sync.recent_events('ignored')`},
			{name: "events", sql: `select * from clerk_sync.recent_events(null)`},
		}
	}
	run := b.mustBegin("one")
	if err := run.NoteAbsent(t.Context(), mirror.Users, []string{"user_00000001"}, at(2000)); err != nil {
		t.Fatal(err)
	}
	// Planned while every table is nearly empty, as a pooler's old session has it.
	for _, s := range statements(0) {
		r.exec(s.sql, s.args...)
	}
	fill(t, b.owner, size)
	for round, state := range []string{"", "filled", "analyzed"} {
		if round == 0 {
			continue
		}
		if state == "analyzed" {
			b.exec(`analyze`)
		}
		for _, s := range statements(round) {
			most := max(s.most, 1000)
			for table, got := range r.of(r.conn, s.sql, s.args...) {
				if got.rows > most {
					t.Errorf("%s, %s: %d rows of %s were read, of %d; want at most %d", state, s.name, got.rows, table, size, most)
				}
			}
		}
	}

	// The owner asks for the history of a table that has none.
	b.exec(`set enable_seqscan = on`)
	got := r.of(b.owner, `select * from clerk_sync.recent_audit('public', 'invoices')`)["clerk_sync.audit_log"]
	if got.scans > 0 || got.rows > size/2 {
		t.Errorf("the audit log of a table without records: %+v, want not all of %d rows", got, size)
	}
}

// What a run finds absent can be all that there is: neither a page of suspects nor the
// search for witnesses reads all of it, nor does what takes some of it back or deletes some,
// whatever is known of the tables when the plans are made.
func TestStatements_ReadNotAllThatIsGone(t *testing.T) {
	t.Parallel()
	const size = 60_000
	b := newBench(t)
	r := newReads(b)
	run := b.mustBegin("one")
	if err := run.NoteAbsent(t.Context(), mirror.Users, []string{"user_00000001"}, at(2000)); err != nil {
		t.Fatal(err)
	}
	user := clerktest.User("user_00000009")
	statements := []struct {
		name, sql string
		// most is how many rows of a table it may read.
		most int64
		args []any
	}{
		{"suspects", `select * from clerk_sync.suspects(1, 'user', null, null, '{user_00030010}', 1000, 'user_00030000', '', '2024-01-01 08:20:00+00')`, 1002, nil},
		{"witnesses", `select * from clerk_sync.witnesses(1, 'user', '{}', 1704069000000, 1704069100000, 15)`, 20_100, nil},
		{"deleting", `select * from clerk_sync.delete_absent(1, 'one', 'user', 2)`, 100, nil},
		{
			"a page", `select * from clerk_sync.apply_page(1, 'one', 'span', 0, 1, 'user', $1, $2, '{user_00000009}', '{1}', 1)`, 100,
			[]any{string(listed(at(3000), user).Resources), at(3000).UnixMilli()},
		},
	}
	for _, s := range statements {
		r.exec(s.sql, s.args...)
	}
	fill(t, b.owner, size)
	b.exec(`insert into clerk_sync.sync_absences select 1, 'user', clerk_id, now() from public.users on conflict do nothing`)
	for _, state := range []string{"filled", "analyzed"} {
		if state == "analyzed" {
			b.exec(`analyze`)
		}
		for _, s := range statements {
			for table, got := range r.of(r.conn, s.sql, s.args...) {
				most := s.most
				if strings.HasPrefix(table, "clerk_sync.sync_absences") {
					most *= 2 // itself, and its user
				}
				if got.rows > most {
					t.Errorf("%s, %s: %d rows of %s were read, of %d; want at most %d", state, s.name, got.rows, table, size, most)
				}
			}
		}
	}
}

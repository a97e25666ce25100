package probe_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/probe"
	"clerksync/shared/testkit/testdb"
)

// contents is every row of the schemas that a run could touch.
func (b bench) contents() map[string]string {
	b.Helper()
	conn := b.db.Conn(b, b.db.Superuser())
	rows, err := conn.Query(b.Context(), `
		select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
		where c.relkind in ('r', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1`)
	if err != nil {
		b.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatal(err)
	}
	list := map[string]string{}
	for _, table := range tables {
		var text string
		if err := conn.QueryRow(b.Context(), `select coalesce(string_agg(r::text, e'\n' order by r::text), '') from `+table+` as r`).Scan(&text); err != nil {
			b.Fatal(err)
		}
		list[table] = text
	}
	return list
}

// idle waits until no other session is in a transaction.
func (b bench) idle() {
	b.Helper()
	conn := b.db.Conn(b, b.db.Superuser())
	for {
		var busy int
		err := conn.QueryRow(b.Context(), `select count(*) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid() and state <> 'idle'`, b.db.Name()).Scan(&busy)
		if err != nil {
			b.Fatal(err)
		}
		if busy == 0 {
			return
		}
		if b.Context().Err() != nil {
			b.Fatal("a session is still busy")
		}
	}
}

const filled = papers + `
	insert into public.users (clerk_id) values ('user_real');
	insert into public.organizations (clerk_org_id) values ('org_real');
	insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role) values ('orgmem_real', 'org_real', 'user_real', 'org:admin');
	insert into public.papers (owner_id, org_id, title) values ('user_real', 'org_real', 'mine'), ('user_other', 'org_other', 'theirs');
`

func TestRun_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, sql string }{
		{"an ordinary table", ""},
		{"a trigger that writes elsewhere", `
			create table public.journal (what text);
			create function public.note() returns trigger language plpgsql security definer as $$ begin insert into public.journal values (tg_op); return coalesce(new, old); end $$;
			create trigger note after insert or update or delete on public.papers for each row execute function public.note();`},
		{"a trigger that raises", `
			create function public.no() returns trigger language plpgsql as $$ begin raise exception 'not today'; end $$;
			create trigger no before insert or update or delete on public.papers for each row execute function public.no();`},
		{"a policy that recurses", `drop policy clerksync_select on public.papers;
			create policy s on public.papers for select to authenticated using (exists (select from public.papers as p where p.id = papers.id));`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, filled+policies("public.papers", memberRule)+test.sql)
			before := b.contents()
			report := b.runWith(probe.Options{Explain: true}, "papers", "users", "organization_memberships")
			if len(report.Tables) != 3 || len(report.Tables[1].Cells) == 0 {
				t.Errorf("a report of %d tables, want 3 with cells", len(report.Tables))
			}
			if diff := cmp.Diff(before, b.contents()); diff != "" {
				t.Errorf("contents changed (-before +after):\n%s", diff)
			}
			var role, claims, path string
			if err := b.conn.QueryRow(t.Context(), `select current_user::text, coalesce(current_setting('request.jwt.claims', true), ''), current_setting('statement_timeout')`).Scan(&role, &claims, &path); err != nil {
				t.Fatal(err)
			}
			if role != "supabase_postgres" || claims != "" || path != "0" {
				t.Errorf("the session kept role %q, claims %q, statement_timeout %q", role, claims, path)
			}
		})
	}
}

// cancelling begins transactions whose context is cancelled after some statements.
type cancelling struct {
	conn   *pgx.Conn
	cancel context.CancelFunc
	after  time.Duration
}

func (c cancelling) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := c.conn.Begin(ctx)
	time.AfterFunc(c.after, c.cancel)
	return tx, err
}

func TestRun_LeavesNothingBehindWhenCancelled(t *testing.T) {
	t.Parallel()
	b := newBench(t, filled+policies("public.papers", memberRule)+`
		create function public.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.05); return new; end $$;
		create trigger slow before insert or update on public.papers for each row execute function public.slow();`)
	before := b.contents()
	for _, after := range []time.Duration{0, 5 * time.Millisecond, 60 * time.Millisecond, 300 * time.Millisecond} {
		ctx, cancel := context.WithCancel(t.Context())
		conn := b.db.Conn(t, b.db.Owner())
		_, err := probe.Run(ctx, cancelling{conn, cancel, after}, probe.Options{Tables: names(t, "papers")})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled after %s: error %v, want %v", after, err, context.Canceled)
		}
		cancel()
		b.idle()
		if diff := cmp.Diff(before, b.contents()); diff != "" {
			t.Errorf("cancelled after %s: contents changed (-before +after):\n%s", after, diff)
		}
	}
}

func TestRun_WorksThroughATransactionPooler(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	b := newBench(t, filled+policies("public.papers", memberRule))
	want := b.run("papers", "users")
	before := b.contents()
	pooled := b.db.Conn(t, b.db.Pooled(t, b.db.Owner()))
	got, err := probe.Run(t.Context(), pooled, probe.Options{Tables: names(t, "papers", "users")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Text(), got.Text()); diff != "" {
		t.Errorf("through the pooler (-direct +pooled):\n%s", diff)
	}
	if diff := cmp.Diff(before, b.contents()); diff != "" {
		t.Errorf("contents changed (-before +after):\n%s", diff)
	}
	// The pool's session serves others next: nothing of the run may stick to it.
	var claims, role string
	if err := pooled.QueryRow(t.Context(), `select coalesce(current_setting('request.jwt.claims', true), ''), current_user::text`).Scan(&claims, &role); err != nil || claims != "" || role != "supabase_postgres" {
		t.Errorf("after the run: claims %q, role %q, %v", claims, role, err)
	}
}

func TestRun_TakesAPool(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes+policies("public.notes", ownerRule))
	pool, err := pgxpool.New(t.Context(), b.db.Owner())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	report, err := probe.Run(t.Context(), pool, probe.Options{Tables: names(t, "notes")})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, report.Tables[0], "owner select: 1 own")
}

// Two runs at once neither collide nor wait for each other.
func TestRun_RunsBesideAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, papers+policies("public.papers", memberRule))
	want := b.run("papers").Text()
	type result struct {
		text string
		err  error
	}
	results := make(chan result)
	for range 4 {
		conn := b.db.Conn(t, b.db.Owner())
		go func() {
			report, err := probe.Run(t.Context(), conn, probe.Options{Tables: []catalog.Name{{Schema: "public", Table: "papers"}}})
			results <- result{report.Text(), err}
		}()
	}
	for range 4 {
		if r := <-results; r.err != nil || r.text != want {
			t.Errorf("beside others: %v\n%s", r.err, cmp.Diff(want, r.text))
		}
	}
}

func TestRun_RefusesAConnectionThatCannotPlayThePersonas(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes)
	for _, login := range []string{b.db.Diagnostics(), b.db.Writer()} {
		_, err := probe.Run(t.Context(), b.db.Conn(t, login), probe.Options{Tables: names(t, "notes")})
		if !errors.Is(err, probe.ErrPrivileges) || !strings.Contains(err.Error(), "connect as the role that owns the project") {
			t.Errorf("error %v, want %v with a remedy", err, probe.ErrPrivileges)
		}
	}
}

func TestRun_NamesEveryMissingTable(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes)
	_, err := probe.Run(t.Context(), b.conn, probe.Options{Tables: names(t, "note", "notes", "nowhere.things")})
	if !errors.Is(err, catalog.ErrNotFound) || !strings.Contains(err.Error(), "public.notes?") || !strings.Contains(err.Error(), "nowhere.things") {
		t.Errorf("error %v, want %v that names both tables", err, catalog.ErrNotFound)
	}
	_, err = probe.Run(t.Context(), b.conn, probe.Options{Tables: names(t, "notes"), Columns: map[catalog.Name]probe.Columns{{Schema: "public", Table: "notes"}: {Owner: "nobody"}}})
	if !errors.Is(err, probe.ErrColumn) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("error %v, want %v", err, probe.ErrColumn)
	}
}

func TestRun_WorksWithoutTheCopy(t *testing.T) {
	t.Parallel()
	b := newBench(t, `create table public.notes (id bigint generated always as identity primary key, owner_id text not null);
		alter table public.notes enable row level security;
		grant select, insert on public.notes to authenticated;
		create policy s on public.notes for select to authenticated using (owner_id = ((select auth.jwt()) ->> 'sub'));`, testdb.WithoutMigrations())
	expect(t, b.run("notes").Tables[0], "owner select: 1 own", "member select: none", "owner insert: deny 42501")
}

func TestRun_ProbesTheCopy(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"public", "app"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "", testdb.WithSchema(schema))
			report := b.run(schema+".users", schema+".users_public", schema+".organizations", schema+".organization_memberships")
			expect(t, report.Tables[0], "owner select: 1 own", "member select: self", "other-user select: self", "supabase-uuid select: none",
				"owner insert: ok", "owner insert-returning: ok", "owner forge-owner: deny 42501", "supabase-uuid insert: deny 42501",
				"owner update-own: deny 42501", "service-role insert: deny 42501", "anonymous select: deny 42501")
			expect(t, report.Tables[1], "owner select: 1 own", "member select: 1 own self", "removed-member select: self", "other-org-admin select: 1 other self")
			expect(t, report.Tables[2], "owner select: 1 own", "no-active-org select: 1 own", "removed-member select: none", "other-user select: none")
			expect(t, report.Tables[3], "member select: 1 own self", "removed-member select: none")
			for _, table := range report.Tables {
				if got := found(table); len(got) > 0 {
					t.Errorf("findings about %s: %v", table.Name, table.Findings)
				}
			}
		})
	}
}

func TestRun_StopsAtTheStatementTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes+`
		create function public.slowly() returns boolean language plpgsql as $$ begin perform pg_sleep(60); return true; end $$;
		create policy s on public.notes for select to authenticated using ((select public.slowly()));
		grant execute on function public.slowly() to authenticated;`)
	var report probe.Report
	// A machine under load may need longer for any statement than a short limit.
	for limit := 30 * time.Millisecond; ; limit *= 2 {
		var err error
		if report, err = probe.RunWithin(t.Context(), b.conn, probe.Options{Tables: names(t, "notes")}, limit); err != nil {
			t.Fatal(err)
		}
		if cells(report.Tables[0])["service-role select"] != "error 57014" {
			break
		}
	}
	expect(t, report.Tables[0], "owner select: error 57014", "service-role select: all")
	if got := found(report.Tables[0]); !slices.Contains(got, "warn rls.probe.timeout") {
		t.Errorf("findings %v, want the timeout", got)
	}
}

func TestRun_WaitsForNoLockForLong(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes+policies("public.notes", ownerRule))
	other := b.db.Conn(t, b.db.Owner())
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `lock table public.notes in share mode`); err != nil {
		t.Fatal(err)
	}
	report := b.run("notes")
	if got := found(report.Tables[0]); !slices.Equal(got, []string{"skip rls.probe.data"}) || !strings.Contains(fmt.Sprint(report.Tables[0].Findings), "55P03") {
		t.Errorf("of a locked table: %+v, want that no row could be made for a lock", report.Tables[0].Findings)
	}
}

package lint_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/finding"
	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/supabasecli"
	"clerksync/shared/testkit/testdb"
)

const temporarySchema = "lint.definer_temporary_schema"

// temporary is the one finding about temporary schemas, nil if there is none.
func temporary(t *testing.T, conn *pgx.Conn, options lint.Options) *finding.Finding {
	t.Helper()
	found := slices.DeleteFunc(run(t, conn, options), func(f finding.Finding) bool { return f.ID != temporarySchema })
	switch {
	case len(found) == 0:
		return nil
	case len(found) > 1 || found[0].Status != finding.Warn || found[0].Object != "":
		t.Fatalf("want one warning for the whole database:\n%s", statuses(found))
	}
	return &found[0]
}

// A remedy keeps the schemas of a path, so that a body still finds what it names.
func TestTemporarySchema_RemedyKeepsThePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ set, want, stored string }{
		{"", "pg_catalog, pg_temp", `pg_catalog, pg_temp`},
		{"set search_path = ''", "pg_catalog, pg_temp", `pg_catalog, pg_temp`},
		{"set search_path = public", "public, pg_temp", `public, pg_temp`},
		{"set search_path = pg_catalog", "pg_catalog, pg_temp", `pg_catalog, pg_temp`},
		{"set work_mem = '4MB' set search_path = public, extensions set jit = off", "public, extensions, pg_temp", `public, extensions, pg_temp`},
		{`set search_path = "$user", public`, `"$user", public, pg_temp`, `"$user", public, pg_temp`},
		{"set search_path = pg_temp, public", "public, pg_temp", `public, pg_temp`},
		{"set search_path = public, pg_temp, extensions", "public, extensions, pg_temp", `public, extensions, pg_temp`},
		// The first mention counts, so the second does nothing.
		{"set search_path = pg_temp, public, pg_temp", "public, pg_temp", `public, pg_temp`},
		// One schema with a comma in its name: a slip that PostgreSQL takes.
		{"set search_path = 'public, pg_temp'", `"public, pg_temp", pg_temp`, `"public, pg_temp", pg_temp`},
		{`set search_path = "Odd ""Name""", "user", "on", "pg_temp ", "é"`, `"Odd ""Name""", "user", "on", "pg_temp ", "é", pg_temp`, `"Odd ""Name""", "user", "on", "pg_temp ", "é", pg_temp`},
		{"set search_path from current", `myschema, "Mine", pg_temp`, `myschema, "Mine", pg_temp`},

		{"set search_path = pg_temp", "", `pg_temp`},
		{"set search_path = pg_catalog, pg_temp", "", `pg_catalog, pg_temp`},
		{`set search_path = public, "pg_temp"`, "", `public, pg_temp`},
	} {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			owner := db.Conn(t, db.Owner())
			// Stored as it is set here, not as SET writes it.
			exec(t, owner, `select set_config('search_path', ' MySchema ,"Mine" ', false)`)
			exec(t, owner, `create function public.f("A" int) returns int language sql security definer `+c.set+` as 'select 1'`)
			f := temporary(t, owner, lint.Options{})
			switch {
			case c.want == "":
				if f != nil {
					t.Fatalf("found:\n%s", statuses([]finding.Finding{*f}))
				}
			case f == nil:
				t.Fatal("not found")
			default:
				want := `alter function public.f("A" integer) set search_path = ` + c.want + `;`
				if got := statements(f.Remedy); got != want {
					t.Errorf("remedy %q, want %q", got, want)
				}
				exec(t, owner, statements(f.Remedy))
				if again := temporary(t, owner, lint.Options{}); again != nil {
					t.Errorf("after the remedy:\n%s", statuses([]finding.Finding{*again}))
				}
			}
			var stored string
			if err := owner.QueryRow(t.Context(), `select s from pg_proc, unnest(proconfig) as s where proname = 'f' and s like 'search_path=%'`).Scan(&stored); err != nil {
				t.Fatal(err)
			}
			if want := "search_path=" + c.stored; stored != want {
				t.Errorf("stored %q, want %q", stored, want)
			}
		})
	}
}

func TestTemporarySchema_IsOneFindingForAllFunctions(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	admin := db.Conn(t, db.Superuser())
	exec(t, admin, services+`
		create schema app;
		create function app.one() returns int language sql security definer set search_path = '' as 'select 1';
		create function public.two("A" text, out b int) language plpgsql security definer as 'begin b := 1; end';
		create procedure public.three() language sql security definer set search_path = public as 'select 1';
		create function public.fires() returns trigger language plpgsql security definer set search_path = '' as 'begin return new; end';

		create function public.invoker() returns int language sql set search_path = '' as 'select 1';
		create function public.safe() returns int language sql security definer set search_path = public, pg_temp as 'select 1';
		-- Supabase's own, and an extension's.
		create function auth.theirs() returns int language sql security definer set search_path = '' as 'select 1';
		create function public.member() returns int language sql security definer set search_path = '' as 'select 1';
		alter extension plpgsql add function public.member();
		-- Ours, as they were before they named pg_temp.
		do $$ declare f record; begin
		  for f in select p.oid::regprocedure as name from pg_proc as p
		           where p.pronamespace in ('clerk'::regnamespace, 'clerk_sync'::regnamespace) or p.proname in ('ensure_user', 'apply_clerk_event') loop
		    execute format('alter function %s security definer set search_path = ''''', f.name);
		  end loop; end $$`)
	owner := db.Conn(t, db.Owner())
	for _, c := range []struct {
		schemas   []string
		names     string
		remedy    []string
		unguarded string
	}{
		{
			names: `app.one(), public.fires(), public.three(), public.two("A" text, OUT b integer): `,
			remedy: []string{
				`alter function app.one() set search_path = pg_catalog, pg_temp;`,
				`alter function public.fires() set search_path = pg_catalog, pg_temp;`,
				`alter procedure public.three() set search_path = public, pg_temp;`,
				`alter function public.two("A" text, OUT b integer) set search_path = pg_catalog, pg_temp;`,
			},
			unguarded: "\nUntil now the caller's path held in public.two(\"A\" text, OUT b integer): ",
		},
		{schemas: []string{"app"}, names: `app.one(): `, remedy: []string{`alter function app.one() set search_path = pg_catalog, pg_temp;`}},
		{schemas: []string{"clerk"}},
	} {
		f := temporary(t, owner, lint.Options{Schemas: c.schemas})
		if c.names == "" {
			if f != nil {
				t.Errorf("schemas %v:\n%s", c.schemas, statuses([]finding.Finding{*f}))
			}
			continue
		}
		if f == nil {
			t.Fatalf("schemas %v: not found", c.schemas)
		}
		if !strings.HasPrefix(f.Detail, c.names) {
			t.Errorf("schemas %v: detail %q, want it to begin with %q", c.schemas, f.Detail, c.names)
		}
		if diff := cmp.Diff(strings.Join(c.remedy, "\n"), statements(f.Remedy)); diff != "" {
			t.Errorf("schemas %v: remedy (-want +got):\n%s", c.schemas, diff)
		}
		if rest := strings.TrimPrefix(f.Remedy, statements(f.Remedy)); !strings.HasPrefix(rest, c.unguarded) || c.unguarded == "" && rest != "" {
			t.Errorf("schemas %v: after the statements %q, want %q", c.schemas, rest, c.unguarded)
		}
	}
	exec(t, admin, statements(temporary(t, owner, lint.Options{}).Remedy))
	if f := temporary(t, owner, lint.Options{}); f != nil {
		t.Errorf("after the remedy:\n%s", statuses([]finding.Finding{*f}))
	}
}

func TestTemporarySchema_NamesTheFirstOfMany(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, `do $$ begin for i in 101 .. 125 loop
		execute format('create function public.f%s() returns int language sql security definer set search_path = '''' as ''select 1''', i); end loop; end $$`)
	f := temporary(t, owner, lint.Options{})
	if f == nil || !strings.Contains(f.Detail, "public.f120() and 5 more: ") || strings.Count(f.Remedy, "\n") != 24 {
		t.Fatalf("%+v", f)
	}
	exec(t, owner, statements(f.Remedy))
	if f = temporary(t, owner, lint.Options{}); f != nil {
		t.Errorf("after the remedy: %+v", f)
	}
}

// What the finding says is so: code of a caller runs as the owner, by way of a type
// and by way of a table, until the remedy was run.
func TestTemporarySchema_FindingIsTrue(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "set search_path = ''", "set search_path = public", "set search_path = public, pg_temp, extensions"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			owner := db.Conn(t, db.Owner())
			exec(t, owner, fmt.Sprintf(`
				create function public.reads(a text) returns jsonb language plpgsql security definer %[1]s as $$ begin return a::jsonb; end $$;
				create function public.counts() returns bigint language plpgsql security definer %[1]s as $$ begin return (select count(*) from pg_class); end $$;
				grant execute on function public.reads(text), public.counts() to authenticated`, path))
			attack := func() []string {
				t.Helper()
				config, err := pgx.ParseConfig(db.As("authenticated"))
				if err != nil {
					t.Fatal(err)
				}
				var ran []string
				config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { ran = append(ran, n.Message) }
				conn, err := pgx.ConnectConfig(t.Context(), config)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(context.WithoutCancel(t.Context()))
				exec(t, conn, `create function pg_temp.ran(what pg_catalog.text) returns boolean language plpgsql as $$ begin raise warning '% as %', what, current_user; return true; end $$;
					create domain pg_temp.jsonb as pg_catalog.jsonb check (pg_temp.ran('jsonb'));
					create view pg_temp.pg_class as select oid from pg_catalog.pg_class where oid = 1259 and pg_temp.ran('pg_class');
					grant select on pg_temp.pg_class to public`)
				exec(t, conn, `select public.reads('{}')`)
				exec(t, conn, `select public.counts()`)
				return ran
			}
			// In the middle of a path pg_temp stands behind pg_catalog all the same, and
			// before the schemas that follow.
			if !strings.Contains(path, "pg_temp") {
				if diff := cmp.Diff([]string{"jsonb as " + postgres.Owner, "pg_class as " + postgres.Owner}, attack()); diff != "" {
					t.Errorf("as found (-want +got):\n%s", diff)
				}
			}
			f := temporary(t, owner, lint.Options{})
			if f == nil {
				t.Fatal("not found")
			}
			exec(t, owner, statements(f.Remedy))
			if ran := attack(); len(ran) != 0 {
				t.Errorf("after the remedy: %q", ran)
			}
		})
	}
}

// Supabase's linter asks for a path of any kind, and recommends an empty one: what it
// says about a database is the same before and after our remedy.
func TestTemporarySchema_RemedyIsFineWithSupabasesLinter(t *testing.T) {
	t.Parallel()
	supabasecli.Need(t)
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, `
		create function public.recommended() returns int language sql security definer set search_path = '' as 'select 1';
		create function public.limited() returns int language sql security definer set search_path = public as 'select 1';
		create function public.open() returns int language sql as 'select 1'`)
	theirs := func() []string {
		t.Helper()
		return slices.DeleteFunc(supabaseFindings(t, db), func(f string) bool { return !strings.Contains(f, " public.") })
	}
	want := []string{"function_search_path_mutable public.open"}
	if diff := cmp.Diff(want, theirs()); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	f := temporary(t, owner, lint.Options{})
	if f == nil {
		t.Fatal("not found")
	}
	exec(t, owner, statements(f.Remedy))
	if diff := cmp.Diff(want, theirs()); diff != "" {
		t.Errorf("after the remedy (-want +got):\n%s", diff)
	}
}

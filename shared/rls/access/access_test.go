package access_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/finding"
	"clerksync/shared/rls/access"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// The callers that most tests know.
const (
	alice = `{"sub":"user_alice","sid":"sess_1","v":2,"o":{"id":"org_acme","rol":"admin","slg":"acme"},"fea":"o:invoices","sts":"active"}`
	// Signed in, and no organization is active.
	bob = `{"sub":"user_bob","v":2}`
)

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// project is a migrated database with tables of the test's own.
func project(t *testing.T, sql string, options ...testdb.Option) *testdb.DB {
	t.Helper()
	db := testdb.New(t, options...)
	if sql != "" {
		exec(t, db.Conn(t, db.Owner()), sql)
	}
	return db
}

// connections are the ways in which a look can be connected: as the login made
// for it and as the owner, directly and through a transaction pooler.
func connections(t *testing.T, db *testdb.DB) map[string]*pgx.Conn {
	t.Helper()
	return map[string]*pgx.Conn{
		"diagnostics":         db.Conn(t, db.Diagnostics()),
		"diagnostics, pooled": db.Conn(t, db.Pooled(t, db.Diagnostics())),
		"owner":               db.Conn(t, db.Owner()),
		"owner, pooled":       db.Conn(t, db.Pooled(t, db.Owner())),
	}
}

func names(t *testing.T, texts ...string) []catalog.Name {
	t.Helper()
	var list []catalog.Name
	for _, text := range texts {
		n, err := catalog.ParseName(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, n)
	}
	return list
}

// look looks as an authenticated caller.
func look(t *testing.T, db access.Beginner, claims string, tables ...string) access.View {
	t.Helper()
	view, err := access.Look(t.Context(), db, access.Options{Claims: json.RawMessage(claims), Role: "authenticated", Tables: names(t, tables...)})
	if err != nil {
		t.Fatalf("Look: %v", err)
	}
	return view
}

func found(t *testing.T, view access.View, id string) finding.Finding {
	t.Helper()
	for _, f := range view.Findings {
		if f.ID == id {
			return f
		}
	}
	t.Fatalf("no finding %s in %+v", id, view.Findings)
	return finding.Finding{}
}

func table(t *testing.T, view access.View, name string) access.Table {
	t.Helper()
	for _, one := range view.Tables {
		if one.Name == name {
			return one
		}
	}
	t.Fatalf("no table %s in %+v", name, view.Tables)
	return access.Table{}
}

// wantFinding checks a finding's status, and that its texts hold all of these.
func wantFinding(t *testing.T, what string, f finding.Finding, status finding.Status, texts ...string) {
	t.Helper()
	all := f.Title + "\n" + f.Detail + "\n" + f.Remedy
	if f.Status != status {
		t.Errorf("%s: status %s, want %s\n%s", what, f.Status, status, all)
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("%s: no %q in\n%s", what, text, all)
		}
	}
}

const notes = `
	create table public.notes (id bigint generated always as identity primary key, owner_id text not null, org_id text, body text);
	alter table public.notes enable row level security;
	grant select on public.notes to authenticated;
	create policy notes_own on public.notes for select to authenticated using (owner_id = (select clerk.user_id()));
	insert into public.notes (owner_id, org_id, body) values
		('user_alice', 'org_acme', 'secret one'), ('user_alice', null, 'secret two'), ('user_carol', 'org_acme', 'secret three');
	analyze public.notes;`

func TestLook_TellsWhatTheCallerGets(t *testing.T) {
	t.Parallel()
	for regime, r := range map[string]postgres.Regime{"explicit": postgres.Explicit, "legacy": postgres.Legacy} {
		db := project(t, notes, testdb.WithRegime(r))
		for name, conn := range connections(t, db) {
			t.Run(regime+"/"+name, func(t *testing.T) {
				t.Parallel()
				view := look(t, conn, alice, "notes")
				wantFinding(t, "claims", found(t, view, "database.claims"), finding.Pass,
					"auth.jwt() is the token's claims", "clerk.user_id() is user_alice", "clerk.org_id() is org_acme", "clerk.org_role() is org:admin",
					"clerk.session_is_active() is true", "clerk.org_permissions() is empty")
				wantFinding(t, "role", found(t, view, "database.role"), finding.Pass, "became authenticated", "row level security on")
				wantFinding(t, "uid", found(t, view, "database.uid"), finding.Pass, "22P02", "No policy or default of the tables looked at calls it")
				wantFinding(t, "mirror", found(t, view, "mirror.user"), finding.Warn, "not in the copy", "clerksync sync-users --user user_alice", "public.ensure_user()")
				f := found(t, view, "rls.public.notes")
				got := table(t, view, "public.notes")
				if got.Decision != access.ByPolicy || got.Visible != 2 || got.More || got.Estimate != 3 || len(got.Policies) != 1 || got.Policies[0].Passes != 2 {
					t.Errorf("notes = %+v, want 2 of about 3, all through one policy", got)
				}
				bypasses := strings.HasPrefix(name, "owner")
				if bypasses != (got.Total != nil) || bypasses && *got.Total != 3 {
					t.Errorf("total = %v, want it known to the owner alone, as 3", got.Total)
				}
				of := map[bool]string{true: "2 of 3 rows are visible", false: "2 of about 3 rows are visible"}[bypasses]
				wantFinding(t, "notes", f, finding.Pass, of, "notes_own (2)")
				if v := got.Policies[0].Values; len(v) != 1 || v[0].Value == nil || *v[0].Value != "user_alice" || !strings.Contains(v[0].Expression, "clerk.user_id()") {
					t.Errorf("values = %+v, want clerk.user_id() as user_alice", v)
				}

				// Another caller sees none of them, and learns what is compared.
				view = look(t, conn, bob, "notes")
				wantFinding(t, "notes of bob", found(t, view, "rls.public.notes"), finding.Warn, "notes_own", "(select clerk.user_id()) is 'user_bob' for this caller")
				if got = table(t, view, "public.notes"); got.Visible != 0 || got.Policies[0].Passes != 0 {
					t.Errorf("notes of bob = %+v, want no row", got)
				}
				text, err := json.Marshal(view)
				if err != nil || strings.Contains(string(text), "secret") || strings.Contains(string(text), "user_carol") || strings.Contains(string(text), "user_alice") {
					t.Errorf("the view of bob tells what is in rows: %s, %v", text, err)
				}
			})
		}
	}
}

func TestLook_ListsTheTablesThatTheAPIServes(t *testing.T) {
	t.Parallel()
	db := project(t, notes+`
		create table public.closed (id int);
		create schema hidden; create table hidden.things (id int); grant usage on schema hidden to authenticated; grant select on hidden.things to authenticated;
		create table public.parted (id int) partition by list (id); create table public.parted_1 partition of public.parted for values in (1);
		grant select on public.parted, public.parted_1 to authenticated;
		create sequence public.counter;`)
	view := look(t, db.Conn(t, db.Diagnostics()), alice)
	var got []string
	for _, one := range view.Tables {
		got = append(got, one.Name)
	}
	want := "[public.notes public.organization_memberships public.organizations public.parted public.users public.users_public]"
	if fmt.Sprint(got) != want {
		t.Errorf("tables = %v, want %s", got, want)
	}
}

func TestLook_LooksAtSoManyTablesAndSaysHowManyAreLeft(t *testing.T) {
	t.Parallel()
	db := project(t, `do $$ begin for i in 10..39 loop
		execute format('create table public.t%s (id int); alter table public.t%1$s enable row level security; grant select on public.t%1$s to authenticated', i); end loop; end $$`)
	conn := db.Conn(t, db.Diagnostics())
	view := look(t, conn, alice)
	if len(view.Tables) != access.MaxTables {
		t.Errorf("%d tables, want %d", len(view.Tables), access.MaxTables)
	}
	// Four tables of the copy stand beside the thirty.
	wantFinding(t, "those left out", found(t, view, "rls.tables"), finding.Skip, "14 more tables were left out", "Name the tables")

	var named []string
	for i := range 25 {
		named = append(named, fmt.Sprintf("t%d", 10+i), fmt.Sprintf("public.t%d", 10+i))
	}
	view = look(t, conn, alice, named...)
	if len(view.Tables) != access.MaxTables {
		t.Errorf("%d named tables, want %d", len(view.Tables), access.MaxTables)
	}
	wantFinding(t, "named ones left out", found(t, view, "rls.tables"), finding.Skip, "5 more tables were left out")
}

func TestLook_CountsNoFurtherThanItsBound(t *testing.T) {
	t.Parallel()
	db := project(t, `
		create table public.many (id int primary key, owner_id text);
		alter table public.many enable row level security; grant select on public.many to authenticated;
		create policy own on public.many using (owner_id = (select clerk.user_id()));
		create policy small on public.many using (id <= 10);
		insert into public.many select n, case when n % 2 = 0 then 'user_alice' else 'user_x' end from generate_series(1, 20000) as n;
		analyze public.many`)
	for name, conn := range connections(t, db) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := table(t, look(t, conn, alice, "many"), "public.many")
			if got.Visible != access.MaxRows || !got.More || got.Estimate != 20000 {
				t.Errorf("many = %+v, want more than %d of about 20000", got, access.MaxRows)
			}
			if got.Total != nil && (*got.Total != access.MaxRows || !got.TotalMore) {
				t.Errorf("total = %d, more %t, want more than %d", *got.Total, got.TotalMore, access.MaxRows)
			}
			view := look(t, conn, `{"sub":"user_none"}`, "many")
			got = table(t, view, "public.many")
			if got.Visible != 10 || got.Policies[0].Passes != 0 || got.Policies[1].Passes != 10 {
				t.Errorf("many = %+v, want ten rows, all by the policy small", got)
			}
			wantFinding(t, "many", found(t, view, "rls.public.many"), finding.Pass, "Let through by small (10).")
		})
	}
}

func TestLook_RefusesWhatNoCallerHas(t *testing.T) {
	t.Parallel()
	never := beginner(func(context.Context) (pgx.Tx, error) { panic("nothing may be begun") })
	for _, o := range []access.Options{
		{Role: "service_role"},
		{Role: "postgres"},
		{Role: "authenticated'; drop table x; --"},
		{Claims: json.RawMessage(`[]`)},
		{Claims: json.RawMessage(`null`)},
		{Claims: json.RawMessage(`{`)},
		{Claims: json.RawMessage("{\"a\":\"\x00\"}")},
		{Claims: json.RawMessage(`{"a":"` + strings.Repeat("x", 2<<20) + `"}`)},
	} {
		_, err := access.Look(t.Context(), never, o)
		if err == nil || !strings.Contains(err.Error(), access.ErrOptions.Error()) || len(err.Error()) > 300 {
			t.Errorf("Look(%.60s) = %v, want ErrOptions", o.Claims, err)
		}
	}
}

type beginner func(context.Context) (pgx.Tx, error)

func (f beginner) Begin(ctx context.Context) (pgx.Tx, error) { return f(ctx) }

func TestUnavailable_SkipsEveryFinding(t *testing.T) {
	t.Parallel()
	got := access.Unavailable(fmt.Errorf("connecting to db:5432: password refused"), names(t, "notes", `"a ""b"""`, "public.notes"))
	var ids []string
	for _, f := range got {
		ids = append(ids, f.ID)
		wantFinding(t, f.ID, f, finding.Skip, "Connecting to db:5432: password refused.")
	}
	if want := `[database.claims database.role database.uid mirror.user rls.public.notes rls.public."a ""b"""]`; fmt.Sprint(ids) != want {
		t.Errorf("ids = %v, want %s", ids, want)
	}
}

package migrate_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

// ofOurs lists what of a database has to do with clerksync.
const ofOurs = `
	select pg_describe_object('pg_class'::regclass, c.oid, 0) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
	where n.nspname in ('public', 'clerk', 'clerk_sync', 'mirror', 'claims') and c.relname not like 'team%'
	union all select p.oid::regprocedure::text from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
	where n.nspname in ('public', 'clerk', 'clerk_sync', 'mirror', 'claims') and p.proname not like 'team%'
	union all select nspname from pg_namespace where nspname in ('clerk', 'clerk_sync', 'claims')`

func TestDrop_LeavesNothingOfOursAndAllOfTheTeams(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		options migrate.Options
		team    string
		left    []string
	}{
		{"alone", migrate.Options{}, ``, nil},
		{"beside the team's", migrate.Options{}, `create table public.team_notes (id int primary key, owner_id text);
			create function clerk.team_words() returns text language sql as 'select current_user::text'`, []string{"clerk"}},
		{"schemas of its own", migrate.Options{Schema: "mirror", Helpers: "claims"}, `create view mirror.team_view as select 1 as one`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, config, conn := fresh(t)
			if _, err := migrate.Up(t.Context(), config, tt.options); err != nil {
				t.Fatal(err)
			}
			exec(t, conn, tt.team)
			found, err := migrate.Survey(t.Context(), config)
			if err != nil || !found.Migrated || len(found.Uses) != 0 || len(found.Roles) != 4 {
				t.Fatalf("Survey = %+v, %v, want it migrated and nothing that uses it", found, err)
			}
			if err := migrate.Drop(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			rows, err := conn.Query(t.Context(), ofOurs)
			if err != nil {
				t.Fatal(err)
			}
			if left, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(left, tt.left) {
				t.Errorf("%v is left, %v, want %v", left, err, tt.left)
			}
			// Again it finds nothing, and what was there can be made anew.
			if err := migrate.Drop(t.Context(), config); err != nil {
				t.Error(err)
			}
			if found, err := migrate.Survey(t.Context(), config); err != nil || found.Migrated {
				t.Errorf("Survey = %+v, %v, want nothing migrated", found, err)
			}
			if _, err := migrate.Up(t.Context(), config, tt.options); err != nil {
				t.Error(err)
			}
			if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDrop_RefusesWhereSomethingOfTheTeamsUsesTheCopy(t *testing.T) {
	t.Parallel()
	_, config, conn := fresh(t)
	if _, err := migrate.Up(t.Context(), config, migrate.Options{}); err != nil {
		t.Fatal(err)
	}
	exec(t, conn, `create table public.team_notes (id int primary key, owner_id text)`)
	for _, tt := range []struct{ name, make, take, want string }{
		{"foreign key", `alter table public.team_notes add constraint of_user foreign key (owner_id) references public.users`, `alter table public.team_notes drop constraint of_user`, "constraint of_user on table public.team_notes"},
		{"view", `create view public.team_view as select clerk_id from public.users`, `drop view public.team_view`, "view public.team_view"},
		{"policy", `create policy mine on public.team_notes using (owner_id = clerk.user_id())`, `drop policy mine on public.team_notes`, "policy mine on table public.team_notes"},
		{"default", `alter table public.team_notes alter owner_id set default clerk.user_id()`, `alter table public.team_notes alter owner_id drop default`, "default value for column owner_id of table public.team_notes"},
		{"audit", `select clerk_sync.audit_table('public.team_notes')`, `select clerk_sync.unaudit_table('public.team_notes')`, "on table public.team_notes"},
		{"policy on the copy", `create policy staff on public.users using (true)`, `drop policy staff on public.users`, "policy staff on table public.users"},
		{"trigger on the copy", `create trigger team before insert on public.users for each row execute function suppress_redundant_updates_trigger()`, `drop trigger team on public.users`, "trigger team on table public.users"},
		{"table among ours", `create table clerk_sync.team (id int)`, `drop table clerk_sync.team`, "table clerk_sync.team"},
		{"type", `create function public.team_name(u public.users) returns text language sql as 'select u.username'`, `drop function public.team_name`, "function public.team_name"},
	} {
		exec(t, conn, tt.make)
		found, err := migrate.Survey(t.Context(), config)
		if err != nil || len(found.Uses) == 0 || !strings.Contains(strings.Join(found.Uses, "; "), tt.want) {
			t.Errorf("%s: Survey finds %q, %v, want %q", tt.name, found.Uses, err, tt.want)
		}
		if err := migrate.Drop(t.Context(), config); !errors.Is(err, migrate.ErrUsed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Drop = %v, want ErrUsed with %q", tt.name, err, tt.want)
		}
		if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
			t.Errorf("%s: after a refusal: %v", tt.name, err)
		}
		exec(t, conn, tt.take)
	}
	if found, err := migrate.Survey(t.Context(), config); err != nil || len(found.Uses) != 0 {
		t.Errorf("afterwards: %q, %v", found.Uses, err)
	}
}

func TestTakeLogins_EndsThemAndDropRolesDropsThem(t *testing.T) {
	t.Parallel()
	server, owner := testdb.NewPasswordServer(t, nil)
	config, err := pgx.ParseConfig(owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.Up(t.Context(), config, migrate.Options{}); err != nil {
		t.Fatal(err)
	}
	given, err := migrate.ResetPassword(t.Context(), config, migrate.WriterRole, false)
	if err != nil {
		t.Fatal(err)
	}
	login := server.URL(testdb.ServerDatabase, given.Role, given.Password)
	for range 2 {
		if err := migrate.TakeLogins(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	if conn, err := pgx.Connect(t.Context(), login); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the login still works")
	}
	if found, err := migrate.Survey(t.Context(), config); err != nil || len(found.Logins) != 0 {
		t.Errorf("Survey = %+v, %v, want no login", found, err)
	}
	// What was taken can be given again.
	if _, err := migrate.ResetPassword(t.Context(), config, migrate.WriterRole, false); err != nil {
		t.Error(err)
	}
	if err := migrate.DropRoles(t.Context(), config); !errors.Is(err, migrate.ErrUsed) {
		t.Errorf("DropRoles beside the copy = %v, want ErrUsed", err)
	}
	if err := migrate.Drop(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := migrate.DropRoles(t.Context(), config); err != nil {
			t.Error(err)
		}
	}
	if found, err := migrate.Survey(t.Context(), config); err != nil || len(found.Roles) != 0 || found.Migrated {
		t.Errorf("Survey = %+v, %v, want nothing", found, err)
	}
}

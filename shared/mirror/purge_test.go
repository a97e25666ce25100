package mirror_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

// old makes tombstones of users that retention removes.
func (b *bench) old(ids ...string) {
	b.Helper()
	b.exec(`insert into public.users (clerk_id, deleted_at, sync_version) select id, now() - interval '1 year', '9' from unnest($1::text[]) as id`, ids)
}

func (b *bench) ids(sql string) []string { return lines(b.Context(), b.T, b.owner, sql) }

// A tombstone that any row of the team refers to stays, and that row with it,
// whatever the key would do.
func TestPurge_KeepsWhatAnyRowOfTheTeamRefersTo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tables := map[string]string{
		"cascade":     `create table public.cascade_t (u text references public.users on delete cascade)`,
		"set_null":    `create table public.set_null_t (u text references public.users on delete set null)`,
		"set_default": `create table public.set_default_t (u text default null references public.users on delete set default)`,
		"no_action":   `create table public.no_action_t (u text references public.users deferrable initially deferred)`,
		"quoted":      `create schema "The Team"; create table "The Team"."Odd ""name" ("U %I" varchar(80) references public.users on delete cascade)`,
		"partitioned": `create table public.partitioned_t (u text references public.users on delete cascade, n int) partition by list (n);
			create table public.partitioned_1 partition of public.partitioned_t for values in (1);
			create table public.partitioned_2 partition of public.partitioned_t default`,
		"part": `create table public.part_t (u text, n int) partition by list (n);
			create table public.part_1 partition of public.part_t for values in (1);
			alter table public.part_1 add foreign key (u) references public.users on delete cascade`,
		"composite": `create unique index users_pair on public.users (clerk_id, sync_version);
			alter table public.users add constraint users_pair unique using index users_pair;
			create table public.composite_t (u text, v text, foreign key (u, v) references public.users (clerk_id, sync_version) on delete cascade)`,
		"public_half": `create table public.public_half_t (u text references public.users_public on delete cascade)`,
		"not_valid": `create table public.not_valid_t (u text);
			alter table public.not_valid_t add foreign key (u) references public.users on delete cascade not valid`,
	}
	insert := map[string]string{
		"quoted":      `insert into "The Team"."Odd ""name" values ($1)`,
		"partitioned": `insert into public.partitioned_t values ($1, 7)`,
		"part":        `insert into public.part_t values ($1, 1)`,
		"composite":   `insert into public.composite_t values ($1, '9')`,
	}
	var held []string
	for name, sql := range tables {
		b.exec(sql)
		id := "user_" + name
		held = append(held, id)
		b.old(id)
		into := insert[name]
		if into == "" {
			into = `insert into public.` + name + `_t values ($1)`
		}
		b.exec(into, id)
	}
	slices.Sort(held)
	b.old("user_free_1", "user_free_2")

	got := must[mirror.Purged](t)(b.store.Purge(t.Context(), 100))
	if want := (mirror.Purged{Users: 2, Held: int64(len(held))}); got != want {
		t.Errorf("Purge = %+v, want %+v", got, want)
	}
	if diff := cmp.Diff(held, b.ids(`select clerk_id from public.users order by clerk_id`)); diff != "" {
		t.Errorf("tombstones after the purge (-want +got):\n%s", diff)
	}
	for name := range tables {
		rows := `select count(*) from public.` + name + `_t where u is not null`
		if name == "quoted" {
			rows = `select count(*) from "The Team"."Odd ""name" where "U %I" is not null`
		}
		if n := scalar[int](b, rows); n != 1 {
			t.Errorf("%s: %d rows refer to the tombstone, want the team's own one", name, n)
		}
	}
	if status := must[mirror.Status](t)(b.store.Status(t.Context())); status.Users.Held != int64(len(held)) {
		t.Errorf("status tells of %d held tombstones, want %d", status.Users.Held, len(held))
	}
}

// Memberships can be referred to as well, and their parents stay with them.
func TestPurge_KeepsMembershipsAndTheirParents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.send(clerktest.Membership("orgmem_held", acme, ines).Event(clerk.OrganizationMembershipCreated, at(0)))
	b.send(clerktest.Membership("orgmem_free", acme, tomas).Event(clerk.OrganizationMembershipCreated, at(0)))
	b.exec(`create table public.seats (membership text references public.organization_memberships on delete cascade)`)
	b.exec(`insert into public.seats values ('orgmem_held')`)
	for _, body := range [][]byte{ines.Deleted(at(1)), tomas.Deleted(at(1)), acme.Deleted(at(1))} {
		b.want(mirror.Applied, body)
	}
	b.exec(`update clerk_sync.settings set tombstone_retention = '1 second'`)
	b.exec(`update public.users set deleted_at = now() - interval '1 year'`)
	b.exec(`update public.organizations set deleted_at = now() - interval '1 year'`)
	b.exec(`update public.organization_memberships set deleted_at = now() - interval '1 year'`)
	got := must[mirror.Purged](t)(b.store.Purge(t.Context(), 100))
	if want := (mirror.Purged{Memberships: 1, Users: 1, Held: 1}); got != want {
		t.Errorf("Purge = %+v, want %+v", got, want)
	}
	if n := scalar[int](b, `select count(*) from public.seats`); n != 1 {
		t.Error("the team's row is gone")
	}
}

// However many tombstones are held, and however few are looked at a time, the
// others go.
func TestPurge_HeldTombstonesNeverStarveTheRest(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`create table public.posts (author text references public.users)`)
	b.exec(`insert into public.users (clerk_id, deleted_at, sync_version)
		select 'user_' || n, now() - interval '1 year' + n * interval '1 minute', '9' from generate_series(1, 30) as n`)
	b.exec(`insert into public.posts select 'user_' || n from generate_series(1, 20) as n`)
	var total, steps int64
	var last mirror.Purged
	for last.More = true; last.More; steps++ {
		if steps > 12 {
			t.Fatal("it does not end")
		}
		last = must[mirror.Purged](t)(b.store.Purge(t.Context(), 5))
		total += last.Users
	}
	if total != 10 || last.Held != 20 {
		t.Errorf("%d users purged and %d held in %d steps, want 10 and 20", total, last.Held, steps)
	}
	// What is no longer referred to goes the next time.
	b.exec(`delete from public.posts where author in ('user_1', 'user_20')`)
	total = 0
	for last.More = true; last.More; {
		last = must[mirror.Purged](t)(b.store.Purge(t.Context(), 5))
		total += last.Users
	}
	if total != 2 || last.Held != 18 {
		t.Errorf("%d users purged and %d held, want 2 and 18", total, last.Held)
	}
}

// A row that is just being written refers to the user's public half, and so holds no
// lock on the user.
func TestPurge_LeavesWhatIsJustReferredTo(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"users", "users_public"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.exec(`create table public.posts (author text references public.` + table + ` on delete cascade)`)
			b.old("user_1", "user_2")
			writer := b.db.Conn(t, b.db.Superuser())
			for _, sql := range []string{`begin`, `insert into public.posts values ('user_1')`} {
				if _, err := writer.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			if p := must[mirror.Purged](t)(b.store.Purge(t.Context(), 10)); p.Users != 1 {
				t.Errorf("%d users purged, want the other one", p.Users)
			}
			if _, err := writer.Exec(t.Context(), `commit`); err != nil {
				t.Fatal(err)
			}
			if p := must[mirror.Purged](t)(b.store.Purge(t.Context(), 10)); p.Users != 0 || p.Held != 1 {
				t.Errorf("%d users purged and %d held, want one held", p.Users, p.Held)
			}
			if n := scalar[int](b, `select count(*)::int from public.posts`); n != 1 {
				t.Error("the row is gone")
			}
		})
	}
}

// What one step costs does not grow with the square of it.
func TestPurge_LooksForEachTombstoneOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const users = 1000
	b.exec(`insert into public.users (clerk_id, deleted_at, sync_version)
		select 'user_' || n, now() - interval '1 year', '9' from generate_series(1, $1) as n`, users)
	r := newReads(b)
	looks := r.of(r.conn, `select clerk_sync.purge(1000)`)["public.users_pkey"].scans
	if left := scalar[int](b, `select count(*)::int from public.users`); left != 0 {
		t.Fatalf("%d users are left", left)
	}
	if looks == 0 || looks > 10*users {
		t.Errorf("the index was asked %d times for %d tombstones", looks, users)
	}
}

// The inbox changes more between two purges than any plan that is kept would stand.
func TestPurge_PlansForWhatIsThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if config := scalar[[]string](b, `select proconfig from pg_proc where oid = 'clerk_sync.purge(integer)'::regprocedure`); !slices.Contains(config, "plan_cache_mode=force_custom_plan") {
		t.Errorf("purge has the settings %q", config)
	}
}

// A column without an index costs one look at its table a step, not one a
// tombstone.
func TestPurge_ReadsATableWithoutAnIndexOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`create table public.posts (author text references public.users)`)
	b.exec(`insert into public.users (clerk_id, deleted_at, sync_version)
		select 'user_' || n, now() - interval '1 year', '9' from generate_series(1, 200) as n`)
	b.exec(`insert into public.posts select 'user_' || n from generate_series(1, 200) as n`)
	r := newReads(b)
	if got := r.of(r.conn, `select clerk_sync.purge(1000)`)["public.posts"].scans; got != 1 {
		t.Errorf("the table was read %d times, want once", got)
	}
	if n := scalar[int](b, `select held_last::int from clerk_sync.purged_until where object = 'user'`); n != 200 {
		t.Errorf("%d held, want 200", n)
	}
}

// What cannot be read may refer to anything.
func TestPurge_KeepsWhatAnUnreadableTableMayReferTo(t *testing.T) {
	t.Parallel()
	server := testdb.NewServer(t, nil) // whose roles are changed
	super, err := pgx.Connect(t.Context(), server.URL(testdb.ServerDatabase, postgres.Superuser, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = super.Close(context.Background()) })
	for _, sql := range []string{
		`insert into public.users (clerk_id, deleted_at, sync_version) select 'user_' || n, now() - interval '1 year', '9' from generate_series(1, 2) as n`,
		`create schema closed`,
		`create table closed.secrets (u text references public.users on delete cascade)`,
		`insert into closed.secrets values ('user_1')`,
		`revoke pg_read_all_data from ` + postgres.Owner,
	} {
		if _, err := super.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	store := mirror.New(pool(t, server.URL(testdb.ServerDatabase, "clerksync_writer", ""), 1))
	if got := must[mirror.Purged](t)(store.Purge(t.Context(), 100)); got != (mirror.Purged{Held: 2}) {
		t.Errorf("Purge = %+v, want both held", got)
	}
}

// A trigger of the team that forbids deletions keeps what it forbids, and nothing
// else.
func TestPurge_DoesTheRestWhereATriggerRefuses(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]string{
		"refused": `raise 'never'`,
		"broken":  `delete from public.gone_since where id = old.clerk_id; return old`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.old("user_1", "user_2", "user_3")
			b.exec(`create function public.refuse() returns trigger language plpgsql as $$ begin ` + refuse + `; end $$`)
			b.exec(`create trigger refuse before delete on public.users for each row when (old.clerk_id = 'user_2') execute function public.refuse()`)
			if got := must[mirror.Purged](t)(b.store.Purge(t.Context(), 100)); got != (mirror.Purged{Users: 2, Held: 1}) {
				t.Errorf("Purge = %+v, want two users purged and one held", got)
			}
		})
	}
}

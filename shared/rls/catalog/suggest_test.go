package catalog_test

import (
	"strings"
	"testing"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/testdb"
)

func TestSuggest_NamesTablesThatHaveToDoWithUsersAndHaveNoPolicyForClerk(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	if _, err := owner.Exec(t.Context(), `
		create table public.notes (id bigint primary key, owner_id text not null);
		create table public.invoices (id bigint primary key, org_id text not null);
		create table public.old (id bigint primary key, user_id uuid not null);
		create table public.old_policy (id bigint primary key, whose uuid);
		alter table public.old_policy enable row level security;
		create policy own on public.old_policy using (whose = auth.uid());
		create table public.ready (id bigint primary key, owner_id text not null);
		alter table public.ready enable row level security;
		create policy own on public.ready using (owner_id = (select clerk.user_id()));
		create table public.countries (code text primary key);
		create schema hidden;
		create table hidden.notes (id bigint primary key, owner_id text);`); err != nil {
		t.Fatal(err)
	}
	// Read as the login that a function has.
	writer := db.Conn(t, db.Writer())
	d, err := catalog.ReadDatabase(t.Context(), writer, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, more, err := catalog.Suggest(t.Context(), writer, d)
	if err != nil || more {
		t.Fatal(list, more, err)
	}
	want := map[string][2]string{
		"public.notes":      {"owner_id", "--pattern owner"},
		"public.invoices":   {"org_id", "--pattern organization"},
		"public.old":        {"uuid, and a Clerk id is text", "--pattern owner"},
		"public.old_policy": {"own call auth.uid()", "--pattern owner"},
	}
	for _, s := range list {
		w, ok := want[s.Table.Schema+"."+s.Table.Table]
		if !ok || !strings.Contains(s.Why, w[0]) || !strings.Contains(s.Command, w[1]) {
			t.Errorf("suggested: %+v", s)
		}
		delete(want, s.Table.Schema+"."+s.Table.Table)
	}
	if len(want) > 0 {
		t.Errorf("not suggested: %v", want)
	}
}

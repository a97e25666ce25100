package access_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"clerksync/shared/rls/access"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/testdb"
)

// A look through the transaction pooler, at tables of ten thousand rows.
func BenchmarkLook(b *testing.B) {
	db := testdb.New(b)
	if _, err := db.Conn(b, db.Owner()).Exec(b.Context(), `do $$ begin for i in 1..20 loop
		execute format('create table public.bench_%s (id int primary key, owner_id text, org_id text); create index on public.bench_%1$s (owner_id);
			alter table public.bench_%1$s enable row level security; grant select on public.bench_%1$s to authenticated;
			create policy own on public.bench_%1$s for select to authenticated using (owner_id = (select clerk.user_id()));
			create policy org on public.bench_%1$s for select to authenticated using (org_id = any (array(select clerk.my_org_ids())));
			insert into public.bench_%1$s select n, ''user_'' || n %% 100, ''org_'' || n %% 100 from generate_series(1, 10000) as n; analyze public.bench_%1$s', i);
		end loop; end $$`); err != nil {
		b.Fatal(err)
	}
	c, err := supabase.Parse(supabase.Options{URL: secret.New(db.Pooled(b, db.Diagnostics()))})
	if err != nil {
		b.Fatal(err)
	}
	pool := supabase.Open(supabase.Fixed(c))
	b.Cleanup(pool.Close)
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("tables=%d", n), func(b *testing.B) {
			o := access.Options{Claims: json.RawMessage(`{"sub":"user_7","o":{"id":"org_7","rol":"member"}}`), Role: "authenticated"}
			for i := range n {
				o.Tables = append(o.Tables, catalog.Name{Schema: "public", Table: fmt.Sprintf("bench_%d", i+1)})
			}
			for b.Loop() {
				view, err := access.Look(b.Context(), pool, o)
				if err != nil || len(view.Tables) != n || view.Tables[n-1].Visible != 100 {
					b.Fatalf("%+v, %v, want a hundred rows of each table", view.Tables, err)
				}
			}
		})
	}
}

package mirror_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

// Behind a transaction pooler a client is given the temporary schema that the client
// before it left. Another client of the same login may not read the events that pass,
// so a cast of ours must not run what that one left.
func TestStore_CastsToNothingOfATemporarySchema(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	url := db.Pooled(t, db.Writer())
	attacker := db.Conn(t, url)
	var backend, same uint32
	if err := attacker.QueryRow(t.Context(), `select pg_backend_pid()`).Scan(&backend); err != nil {
		t.Fatal(err)
	}
	if _, err := attacker.Exec(t.Context(), `
		create function pg_temp.ran(what pg_catalog.text) returns boolean language plpgsql as $$ begin raise warning 'ran as %: %', current_user, what; return true; end $$;
		create domain pg_temp.jsonb as pg_catalog.jsonb check (pg_temp.ran(value::pg_catalog.text));
		create domain pg_temp.text as pg_catalog.text check (pg_temp.ran(value));
		create domain pg_temp.int8 as pg_catalog.int8 check (pg_temp.ran(value::pg_catalog.text));
		create domain pg_temp.timestamptz as pg_catalog.timestamptz check (pg_temp.ran(value::pg_catalog.text))`); err != nil {
		t.Fatal(err)
	}
	if err := attacker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 1
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { t.Errorf("%s", n.Message) }
	client, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.QueryRow(t.Context(), `select pg_backend_pid()`).Scan(&same); err != nil || same != backend {
		t.Fatalf("the client is given backend %d, the attacker had %d: %v", same, backend, err)
	}

	store := mirror.New(client)
	must[mirror.Result](t)(store.Apply(t.Context(), delivery(t, "msg_1", clerktest.User("user_1").Event("user.created", at(1)))))
	must[[]mirror.Result](t)(store.ApplyBatch(t.Context(), []mirror.Delivery{
		delivery(t, "msg_2", clerktest.User("user_2").Event("user.created", at(1))), delivery(t, "msg_3", clerktest.User("user_3").Event("user.created", at(1))),
	}))
	must[mirror.Result](t)(store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_4", Reason: "not_json", Body: []byte("{")}))
	page := listed(at(2), clerktest.User("user_4"))
	if _, _, err := store.PreviewPage(t.Context(), mirror.Users, page, at(1)); err != nil {
		t.Error(err)
	}
	must[mirror.Tally](t)(store.ApplyPage(t.Context(), mirror.Users, page, at(1)))
}

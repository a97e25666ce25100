package supabase_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/supabase"
	"clerksync/shared/testkit/testdb"
)

// begin starts a transaction and rolls it back with the test, if that did not.
func begin(t *testing.T, db *supabase.DB) pgx.Tx {
	t.Helper()
	tx, err := db.Begin(soon(t))
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func TestBegin_KeepsWhatIsCommittedAndNothingElse(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	td := testdb.New(t, testdb.WithoutMigrations())
	for name, dsn := range map[string]string{"direct": td.Owner(), "pooled": td.Pooled(t, td.Owner())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, ctx := open(t, options(dsn)), soon(t)
			table := "kept_" + name
			if _, err := db.Exec(ctx, "create table "+table+" (n int)"); err != nil {
				t.Fatal(err)
			}
			insert := func(tx pgx.Tx, n int) {
				t.Helper()
				if _, err := tx.Exec(ctx, "insert into "+table+" values ($1)", n); err != nil {
					t.Fatalf("inserting %d: %v", n, err)
				}
			}
			kept := begin(t, db)
			insert(kept, 1)
			undone, err := kept.Begin(ctx)
			if err != nil {
				t.Fatalf("nested Begin: %v", err)
			}
			insert(undone, 2)
			if err := undone.Rollback(ctx); err != nil {
				t.Fatalf("nested Rollback: %v", err)
			}
			if err := kept.Commit(ctx); err != nil {
				t.Fatalf("Commit: %v", err)
			}
			if err := kept.Rollback(ctx); !errors.Is(err, pgx.ErrTxClosed) {
				t.Errorf("Rollback after Commit: %v, want pgx.ErrTxClosed", err)
			}
			dropped := begin(t, db)
			insert(dropped, 3)
			if err := dropped.Rollback(ctx); err != nil {
				t.Fatalf("Rollback: %v", err)
			}

			tx := begin(t, db)
			rows, err := tx.Query(ctx, "select n from "+table)
			if err != nil {
				t.Fatalf("Query: %v", err)
			}
			if got, err := pgx.CollectRows(rows, pgx.RowTo[int]); err != nil || fmt.Sprint(got) != "[1]" {
				t.Errorf("rows = %v, %v, want the committed one", got, err)
			}
		})
	}
}

// The pool has one connection: each transaction needs that of the one before.
func TestBegin_GivesItsConnectionBack(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db, ctx := open(t, options(td.Owner())), soon(t)
	ends := map[string]func(pgx.Tx) error{
		"commit":   func(tx pgx.Tx) error { return tx.Commit(ctx) },
		"rollback": func(tx pgx.Tx) error { return tx.Rollback(ctx) },
		"commit of a failed one": func(tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, "select 1 / 0")
			if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxCommitRollback) {
				return fmt.Errorf("%w, want pgx.ErrTxCommitRollback", err)
			}
			return nil
		},
		"rollback of a broken connection": func(tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, "select pg_terminate_backend(pg_backend_pid())")
			_ = tx.Rollback(ctx)
			return nil
		},
		"rollback of a statement that was cancelled": func(tx pgx.Tx) error {
			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			_, _ = tx.Exec(cancelled, "select 1")
			_ = tx.Rollback(ctx)
			return nil
		},
	}
	for name, end := range ends {
		tx, err := db.Begin(ctx)
		if err != nil {
			t.Fatalf("before %s: %v", name, err)
		}
		if err := end(tx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := one(t, db); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

func TestBegin_ExplainsErrorsAsQueryDoes(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db, ctx := open(t, options(td.Owner())), soon(t)
	tx := begin(t, db)
	step := func(what string, want *supabase.ConditionError, do func(pgx.Tx) error) {
		t.Helper()
		nested, err := tx.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		err = do(nested)
		if err == nil || want != nil && !errors.Is(err, want) || strings.Contains(err.Error(), "ada@") {
			t.Errorf("%s: %v, want %v, without data", what, err, want)
		}
		if err := nested.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
	}
	step("Query of a missing table", supabase.ErrNotMigrated, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "select * from nowhere")
		if rows == nil || rows.Next() {
			t.Error("the rows of a failed query are nil, or there are some")
		}
		return err
	})
	step("Exec of a missing table", supabase.ErrNotMigrated, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "select * from nowhere")
		return err
	})
	step("QueryRow of an unfit value", nil, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "select 'ada@example.com'::uuid::text").Scan(new(string))
	})
	step("CopyFrom to a missing table", supabase.ErrNotMigrated, func(tx pgx.Tx) error {
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"nowhere"}, []string{"a"}, pgx.CopyFromRows([][]any{{"ada@example.com"}}))
		return err
	})
	if err := tx.QueryRow(ctx, "select 1 where false").Scan(new(int)); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("no row: %v, want pgx.ErrNoRows", err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "select 1"); !errors.Is(err, pgx.ErrTxClosed) {
		t.Errorf("after the end: %v, want pgx.ErrTxClosed", err)
	}
	db.Close()
	if _, err := db.Begin(ctx); !errors.Is(err, supabase.ErrClosed) {
		t.Errorf("Begin of a closed database: %v, want ErrClosed", err)
	}
}

// A connection that was closed while it stood idle is replaced: nothing had begun.
func TestBegin_ReplacesAConnectionThatIsGone(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db, ctx := open(t, options(td.Owner())), soon(t)
	var pid int
	if err := db.QueryRow(ctx, "select pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	admin := td.Conn(t, td.Superuser())
	for gone := false; !gone; {
		if err := admin.QueryRow(ctx, "select count(pg_terminate_backend(pid)) = 0 from pg_stat_activity where pid = $1", pid).Scan(&gone); err != nil {
			t.Fatal(err)
		}
	}
	var now int
	if err := begin(t, db).QueryRow(ctx, "select pg_backend_pid()").Scan(&now); err != nil || now == pid {
		t.Errorf("in a transaction: process %d, %v, want another than %d", now, err, pid)
	}
}

// Settings hold for one transaction, on one server connection, whoever else uses the pooler.
func TestBegin_StaysOnOneServerConnectionOfATransactionPooler(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	td := testdb.New(t, testdb.WithoutMigrations())
	dsn := td.Pooled(t, td.Owner())
	var clients sync.WaitGroup
	for c := range 6 {
		db := open(t, options(dsn))
		clients.Go(func() {
			ctx := soon(t)
			for n := range 30 {
				tx, err := db.Begin(ctx)
				if err != nil {
					t.Errorf("Begin: %v", err)
					return
				}
				want := fmt.Sprintf("%d/%d", c, n)
				var before, after string
				var first, last int
				err = tx.QueryRow(ctx, "select coalesce(current_setting('test.mine', true), ''), set_config('test.mine', $1, true), pg_backend_pid()", want).Scan(&before, &after, &first)
				if err == nil {
					err = tx.QueryRow(ctx, "select current_setting('test.mine'), pg_backend_pid()").Scan(&after, &last)
				}
				if err != nil || before != "" || after != want || first != last {
					t.Errorf("client %d: setting %q, then %q, on %d and %d, %v, want none, then %q on one connection", c, before, after, first, last, err, want)
				}
				if err := tx.Rollback(ctx); err != nil {
					t.Errorf("Rollback: %v", err)
				}
			}
		})
	}
	clients.Wait()
}

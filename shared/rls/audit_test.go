package rls_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/testdb"
)

func TestAudit_RecordsATableOfTheUsersOwn(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	conn := db.Conn(t, db.Pooled(t, db.Owner()))
	exec(t, conn, tablesSQL)
	exec(t, conn, `insert into public.users (clerk_id) values ('user_alice')`)
	apply(t, conn, rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner})
	if err := rls.Audit(t.Context(), conn, []catalog.Name{table("notes")}, []string{"body"}); err != nil {
		t.Fatal(err)
	}
	tables, err := rls.AuditedTables(t.Context(), conn)
	if err != nil || len(tables) != 6 {
		t.Fatalf("AuditedTables = %+v, %v, want the copy's five and notes", tables, err)
	}

	api := db.Conn(t, db.As("authenticated"))
	for _, sql := range []string{
		`insert into public.notes (body) values ('hello')`, `update public.notes set body = 'changed'`, `delete from public.notes where true`,
	} {
		as(t, api, "authenticated", alice, sql)
	}
	records, err := rls.AuditLog(t.Context(), conn, rls.AuditQuery{Table: table("notes"), UserID: "user_alice"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprint(r.Actor, " ", *r.UserID, " ", r.Action, " ", *r.RowID, " ", r.Changed))
	}
	want := []string{"user user_alice delete 1 []", "user user_alice insert 1 []"} // the column is ignored
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if older, err := rls.AuditLog(t.Context(), conn, rls.AuditQuery{Table: table("notes"), Before: records[0].ID, Most: 1}); err != nil || len(older) != 1 || older[0].Action != "insert" {
		t.Errorf("the next page is %+v, %v", older, err)
	}

	if err := rls.Unaudit(t.Context(), conn, []catalog.Name{table("notes")}); err != nil {
		t.Fatal(err)
	}
	if tables, err = rls.AuditedTables(t.Context(), conn); err != nil || len(tables) != 5 {
		t.Errorf("afterwards AuditedTables = %+v, %v", tables, err)
	}
}

func TestAudit_SaysWhyNot(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, tablesSQL)
	exec(t, conn, `create table public.keyless (id int); create view public.v as select 1 as one`)
	tests := []struct {
		table   string
		ignored []string
		is      error
		want    string
	}{
		{"nothing", nil, catalog.ErrNotFound, "public.nothing"},
		{"keyless", nil, rls.ErrAudit, "Add one: alter table"},
		{"v", nil, rls.ErrAudit, "Audit the tables below the view"},
		{"notes", []string{"boddy"}, rls.ErrAudit, "has no column 'boddy'"},
	}
	for _, test := range tests {
		// The first of the two is fine, and is not audited either.
		err := rls.Audit(t.Context(), conn, []catalog.Name{table("posts"), table(test.table)}, test.ignored)
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Audit(%s): %v, want %q", test.table, err, test.want)
		}
	}
	if tables, err := rls.AuditedTables(t.Context(), conn); err != nil || len(tables) != 5 {
		t.Errorf("AuditedTables = %+v, %v, want the copy's five", tables, err)
	}
	plain := testdb.New(t, testdb.WithoutMigrations())
	bare := plain.Conn(t, plain.Owner())
	exec(t, bare, `create table public.notes (id int primary key)`)
	if err := rls.Audit(t.Context(), bare, []catalog.Name{table("notes")}, nil); err == nil || errors.Is(err, rls.ErrAudit) || !strings.Contains(err.Error(), "the audit log is missing") {
		t.Errorf("before migrating: %v", err)
	}
}

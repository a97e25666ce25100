package access_test

import (
	"context"
	"testing"

	"clerksync/shared/rls/access"
	"clerksync/shared/testkit/testdb"
)

func TestLookUpRole_TellsWhatTheDataAPIMayBecome(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	for _, login := range []string{db.Diagnostics(), db.Owner()} {
		conn := db.Conn(t, login)
		for name, want := range map[string]access.Role{
			"authenticated":    {Exists: true, Granted: true},
			"service_role":     {Exists: true, Granted: true, Bypasses: true},
			"clerksync_writer": {Exists: true},
			"org:admin":        {},
			"x'; drop role y":  {},
			"":                 {},
		} {
			if got, err := access.LookUpRole(t.Context(), conn, name); err != nil || got != want {
				t.Errorf("LookUpRole(%q) = %+v, %v, want %+v", name, got, err, want)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := access.LookUpRole(ctx, db.Conn(t, db.Diagnostics()), "authenticated"); err == nil {
		t.Error("a caller who left gets an answer")
	}
}

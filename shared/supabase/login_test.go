package supabase_test

import (
	"strings"
	"testing"

	"clerksync/shared/secret"
	"clerksync/shared/supabase"
)

func TestLogin_ChangesTheRoleAndTakesTheTransactionPooler(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, given, role, want, note string }{
		{
			"shared pooler, second role", "postgresql://postgres.abcdefghijklmnopqrst:pw@aws-1-eu-west-1.pooler.supabase.com:6543/postgres", "clerksync_writer_b",
			"postgresql://clerksync_writer_b.abcdefghijklmnopqrst:n%40w@aws-1-eu-west-1.pooler.supabase.com:6543/postgres", "",
		},
		{
			"shared pooler, session", "postgresql://postgres.abcdefghijklmnopqrst:pw@aws-1-eu-west-1.pooler.supabase.com:5432/postgres", "clerksync_writer",
			"postgresql://clerksync_writer.abcdefghijklmnopqrst:n%40w@aws-1-eu-west-1.pooler.supabase.com:6543/postgres", "",
		},
		{
			// Where the shared pooler is cannot be told from the project's own host.
			"project host", "postgresql://postgres:pw@db.abcdefghijklmnopqrst.supabase.co:5432/postgres", "clerksync_writer",
			"postgresql://clerksync_writer:n%40w@db.abcdefghijklmnopqrst.supabase.co:5432/postgres",
			"clerksync_writer.abcdefghijklmnopqrst",
		},
		{
			"own machine", "postgresql://postgres@127.0.0.1:5499/app", "clerksync_writer",
			"postgresql://clerksync_writer:n%40w@127.0.0.1:5499/app", "",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, err := supabase.Parse(supabase.Options{URL: secret.New(test.given)})
			if err != nil {
				t.Fatal(err)
			}
			got, note := c.Login(test.role, "n@w")
			if got.Reveal() != test.want || !strings.Contains(note, test.note) || (note == "") != (test.note == "") {
				t.Errorf("Login from %s = %s, note %q, want %s, note with %q", test.given, got.Reveal(), note, test.want, test.note)
			}
			// It is a connection string that the functions take.
			if _, err := supabase.Parse(supabase.Options{URL: got}); err != nil {
				t.Errorf("Parse(%s): %v", got.Reveal(), err)
			}
		})
	}
}

package jwtdiag_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
	"clerksync/shared/rls/access"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// project has a table of notes, two of them the user's.
func project(t *testing.T) *testdb.DB {
	t.Helper()
	db := testdb.New(t)
	if _, err := db.Conn(t, db.Owner()).Exec(t.Context(), `
		create table public.notes (id int primary key, owner_id text);
		alter table public.notes enable row level security;
		create policy own on public.notes for select to authenticated using (owner_id = (select clerk.user_id()));
		grant select on public.notes to authenticated;
		insert into public.notes values (1, '`+jwttest.User+`'), (2, '`+jwttest.User+`'), (3, 'user_somebody')`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	return db
}

func pooled(t *testing.T, url string) *supabase.DB {
	t.Helper()
	c, err := supabase.Parse(supabase.Options{URL: secret.New(url)})
	if err != nil {
		t.Fatal(err)
	}
	db := supabase.Open(supabase.Fixed(c))
	t.Cleanup(db.Close)
	return db
}

func found(t *testing.T, r jwtdiag.Report, id string) finding.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.ID == id {
			return f
		}
	}
	t.Fatalf("there is no finding %s\n%s", id, described(r))
	return finding.Finding{}
}

func TestDiagnose_LooksAtTheDatabaseForWhomItMay(t *testing.T) {
	t.Parallel()
	db := project(t)
	database := pooled(t, db.Pooled(t, db.Diagnostics()))
	forged := jwttest.SignOther(jwttest.Header(), jwttest.Claims())
	old := func(seconds string) string {
		return jwttest.Sign(jwttest.Header(), jwttest.Claims().With("exp", seconds))
	}
	const now = 1795435200
	if jwttest.Now.Unix() != now {
		t.Fatalf("it is %d", jwttest.Now.Unix())
	}
	tests := []struct {
		name, token string
		operator    bool
		visible     int64 // -1: not looked at
		why         string
	}{
		{"verified", jwttest.Sign(jwttest.Header(), jwttest.Claims()), false, 2, ""},
		{"expired a minute ago", old("1795435140"), false, 2, ""},
		{"expired 61 minutes ago", old("1795431540"), false, -1, "expired more than 60 minutes ago"},
		{"without an end", jwttest.Sign(jwttest.Header(), jwttest.Claims().Without("exp")), false, -1, "expired more than"},
		{"forged", forged, false, -1, "signature was not verified"},
		{"forged, for the operator", forged, true, 2, ""},
		{"expired long ago, for the operator", old("1"), true, 2, ""},
		{"without a role", jwttest.Sign(jwttest.Header(), jwttest.Claims().Without("role")), false, 0, ""},
		{"of another user", jwttest.Sign(jwttest.Header(), jwttest.Claims().With("sub", `"user_2other"`)), false, 0, ""},
		{"as service_role", jwttest.Sign(jwttest.Header(), jwttest.Claims().With("role", `"service_role"`)), true, -1, "only anon and authenticated"},
		// PostgREST takes the first value.
		{"with two roles", jwttest.Sign(jwttest.Header(), append(jwttest.Object{{Name: "role", Value: `"anon"`}}, jwttest.Claims()...)), false, 0, ""},
		{"with two names of the user", jwttest.Sign(jwttest.Header(), append(jwttest.Object{{Name: "sub", Value: `"user_somebody"`}}, jwttest.Claims()...)), false, 1, ""},
		{"no token", "hello", true, -1, "this is no token"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			options := jwttest.Options()
			options.Database, options.Operator = database, test.operator
			report := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{Token: test.token, Tables: []string{"notes"}})
			f := found(t, report, "rls.public.notes")
			if test.visible < 0 {
				if f.Status != finding.Skip || !strings.Contains(strings.ToLower(f.Detail), strings.ToLower(test.why)) || len(report.Tables) != 0 {
					t.Errorf("%+v, tables %+v, want a skip for %q", f, report.Tables, test.why)
				}
				return
			}
			if len(report.Tables) != 1 || report.Tables[0].Visible != test.visible || f.Status == finding.Skip {
				t.Errorf("tables %+v, want %d visible\n%s", report.Tables, test.visible, described(report))
			}
		})
	}
}

func TestDiagnose_ReadsNamesOfTables(t *testing.T) {
	t.Parallel()
	options := jwttest.Options()
	db := project(t)
	options.Database = pooled(t, db.Diagnostics())
	report := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{
		Token: jwttest.Sign(jwttest.Header(), jwttest.Claims()), Tables: []string{"public.notes", "a b", "nosuch", "notes\x00"},
	})
	for id, want := range map[string]finding.Status{
		"rls.public.notes": finding.Pass, `rls."a b"`: finding.Fail, "rls.public.nosuch": finding.Fail, `rls."notes\x00"`: finding.Fail,
	} {
		if f := found(t, report, id); f.Status != want {
			t.Errorf("%+v, want %s", f, want)
		}
	}
	if report.Verdicts.Supabase.Outcome != jwtdiag.Accepted {
		t.Errorf("verdicts %+v", report.Verdicts)
	}
}

// away is a database that is not there.
type away struct{ err error }

func (a away) Begin(context.Context) (pgx.Tx, error) { return nil, a.err }

func TestDiagnose_KeepsTheDatabasesAddressFromOthersThanTheOperator(t *testing.T) {
	t.Parallel()
	lost := errors.New("connecting to clerksync_diagnostics@db.internal.example:5432: connection refused")
	for operator, shows := range map[bool]bool{true: true, false: false} {
		options := jwttest.Options()
		var told error
		options.Database, options.Operator = access.Beginner(away{lost}), operator
		options.Failed = func(_ context.Context, err error) { told = err }
		report := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{Token: jwttest.Sign(jwttest.Header(), jwttest.Claims())})
		f := found(t, report, "database.role")
		if f.Status != finding.Skip || strings.Contains(described(report), "db.internal") != shows || !errors.Is(told, lost) {
			t.Errorf("operator %t: %+v, told %v", operator, f, told)
		}
	}
}

// What was asked about goes before whatever else is wrong in the database, and
// what is wrong with the token before both.
func TestDiagnose_AnswersWhatWasAsked(t *testing.T) {
	t.Parallel()
	db := project(t)
	if _, err := db.Conn(t, db.Owner()).Exec(t.Context(), `
		create table public.aaa_open (id int);
		grant select on public.aaa_open to authenticated;
		create table public.old (id int, owner uuid);
		alter table public.old enable row level security;
		create policy p on public.old using (owner = auth.uid());
		grant select on public.old to authenticated;
		insert into public.old values (1, null);
		create table public.internal (id int);
		alter table public.internal enable row level security`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	options := jwttest.Options()
	options.Database = pooled(t, db.Diagnostics())
	d := jwtdiag.New(options)
	good := jwttest.Sign(jwttest.Header(), jwttest.Claims())
	expired := jwttest.Sign(jwttest.Header(), jwttest.Claims().With("exp", "1795435140"))
	for _, test := range []struct{ name, token, symptom, cause, sentence string }{
		{"nothing", good, "", "rls.public.aaa_open", "public.aaa_open: Row level security is off"},
		{"a code", good, "22P02", "rls.public.old", "public.old: "},
		{"a code, with an expired token", expired, "22P02", "claim.exp", "The token expired"},
	} {
		report := d.Diagnose(t.Context(), jwtdiag.Request{Token: test.token, Symptom: test.symptom})
		if report.Cause != test.cause || !strings.HasPrefix(report.Sentence, test.sentence) {
			t.Errorf("%s: %s, %q, want %s, %q\n%s", test.name, report.Cause, report.Sentence, test.cause, test.sentence, described(report))
		}
		// Nobody asked about a table that requests have no business with.
		if f := found(t, report, "rls.public.internal"); f.Status == finding.Fail {
			t.Errorf("%s: %+v", test.name, f)
		}
	}
	report := d.Diagnose(t.Context(), jwtdiag.Request{Token: good, Tables: []string{"internal"}})
	if f := found(t, report, "rls.public.internal"); f.Status != finding.Fail {
		t.Errorf("named: %+v, want a failure", f)
	}
}

// A token may name any role of the database: whether it is one, the database knows.
func TestDiagnose_AsksTheDatabaseAboutItsOwnRoles(t *testing.T) {
	t.Parallel()
	db := project(t)
	// Roles belong to the whole cluster: these are gone before anybody else sees them.
	super := db.Conn(t, db.Superuser())
	tx, err := super.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), `create role clerksync_test_reader; grant clerksync_test_reader to authenticator;
		create role clerksync_test_master bypassrls; grant clerksync_test_master to authenticator; create role clerksync_test_stranger`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]struct {
		status  finding.Status
		verdict string
	}{
		"clerksync_test_reader":   {finding.Pass, "accepted clerksync_test_reader"},
		"clerksync_test_master":   {finding.Fail, "accepted clerksync_test_master"},
		"clerksync_test_stranger": {finding.Fail, `refused 403 42501 permission denied to set role "clerksync_test_stranger"`},
		"admin":                   {finding.Fail, `refused 401 22023 role "admin" does not exist`},
		"org:admin":               {finding.Fail, `refused 401 22023 role "org:admin" does not exist`},
	} {
		options := jwttest.Options()
		options.Database = within{tx}
		report := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{Token: jwttest.Sign(jwttest.Header(), jwttest.Claims().With("role", `"`+role+`"`))})
		if f := found(t, report, "claim.role"); f.Status != want.status || supabaseOutcome(report) != want.verdict {
			t.Errorf("%s: %s, %+v, want %s, %s", role, supabaseOutcome(report), f, want.verdict, want.status)
		}
		// Somebody else's token does not ask.
		forged := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{Token: jwttest.SignOther(jwttest.Header(), jwttest.Claims().With("role", `"`+role+`"`))})
		if f := found(t, forged, "claim.role"); strings.Contains(f.Title, "of this database") {
			t.Errorf("%s, forged: %+v", role, f)
		}
	}
}

// within begins transactions inside one.
type within struct{ tx pgx.Tx }

func (w within) Begin(ctx context.Context) (pgx.Tx, error) { return w.tx.Begin(ctx) }

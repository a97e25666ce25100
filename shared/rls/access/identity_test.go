package access_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"clerksync/shared/finding"
	"clerksync/shared/rls/access"
	"clerksync/shared/testkit/testdb"
)

func TestLook_ReadsClaimsOfBothVersions(t *testing.T) {
	t.Parallel()
	db := project(t, "")
	conn := db.Conn(t, db.Diagnostics())
	for claims, texts := range map[string][]string{
		`{"sub":"user_1","v":2,"o":{"id":"org_1","rol":"member","per":"read,manage","fpm":"2"},"fea":"o:invoices"}`: {"clerk.org_id() is org_1", "clerk.org_role() is org:member", "clerk.org_permissions() is org:invoices:manage"},
		`{"sub":"user_1","org_id":"org_1","org_role":"org:admin","org_permissions":["org:a:b","org:c:d"]}`:          {"clerk.org_id() is org_1", "clerk.org_role() is org:admin", "clerk.org_permissions() is org:a:b, org:c:d"},
		`{"sub":"user_1"}`:                 {"clerk.user_id() is user_1", "clerk.org_id() is NULL", "clerk.org_role() is NULL"},
		`{"sub":"user_1","sts":"pending"}`: {"clerk.session_is_active() is false"},
	} {
		wantFinding(t, claims, found(t, look(t, conn, claims, "users"), "database.claims"), finding.Pass, texts...)
	}
}

// The caller's claims are data wherever they stand, and the role in them is not
// the caller's to choose.
func TestLook_TakesHostileClaimsAsTheyAre(t *testing.T) {
	t.Parallel()
	db := project(t, notes)
	conn := db.Conn(t, db.Pooled(t, db.Diagnostics()))
	tests := []struct {
		name, claims string
		status       finding.Status
		texts        []string
	}{
		{"quotes", `{"sub":"user_'; drop table public.notes; --","x":"\\'\"$$"}`, finding.Pass, []string{"clerk.user_id() is user_'; drop table public.notes; --"}},
		{"another role", `{"sub":"user_alice","role":"service_role"}`, finding.Pass, nil},
		{"a NUL character", `{"sub":"user_alice","name":"a\u0000b"}`, finding.Fail, []string{"22P05", `\u0000`}},
		{"half of a surrogate pair", `{"sub":"user_alice","name":"\ud800"}`, finding.Fail, []string{"22P02", `\ud800`}},
		{"not UTF-8", "{\"sub\":\"user_alice\",\"name\":\"\xff\"}", finding.Pass, nil},
		{"a number beyond reason", `{"sub":"user_alice","n":1e999999}`, finding.Fail, []string{"Postgres cannot read the claims"}},
		// How deep is too deep depends on the server's stack.
		{"deep", `{"sub":"user_alice","d":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`, "", nil},
		{"a sub that is no text", `{"sub":{"a":["user_alice"]}}`, finding.Pass, []string{`clerk.user_id() is {"a": ["user_alice"]}`}},
		{"an empty sub", `{"sub":""}`, finding.Warn, []string{"name no user"}},
		{"a null sub", `{"sub":null}`, finding.Warn, []string{"clerk.user_id() is NULL"}},
		{"many claims", `{"sub":"user_alice","many":["` + strings.Repeat(`a","`, 50000) + `"]}`, finding.Pass, []string{"clerk.user_id() is user_alice"}},
		{"a long sub", `{"sub":"user_` + strings.Repeat("x", 100000) + `"}`, finding.Pass, nil},
		{"claims that shadow settings", `{"sub":"user_alice","request.jwt.claim.sub":"user_carol"}`, finding.Pass, []string{"clerk.user_id() is user_alice"}},
	}
	for _, test := range tests {
		view := look(t, conn, test.claims, "notes")
		f := found(t, view, "database.claims")
		if test.status != "" {
			wantFinding(t, test.name, f, test.status, test.texts...)
		}
		wantFinding(t, test.name, found(t, view, "database.role"), finding.Pass, "became authenticated")
		if f.Status == finding.Fail {
			wantFinding(t, test.name, found(t, view, "mirror.user"), finding.Skip, "as database.claims says")
			wantFinding(t, test.name, found(t, view, "rls.public.notes"), finding.Fail, "Reading the table fails")
		}
		if text, err := json.Marshal(view); err != nil || len(text) > 20000 {
			t.Errorf("%s: a view of %d bytes, %v, want little", test.name, len(text), err)
		}
		for _, f := range view.Findings {
			if strings.Contains(f.Remedy, "drop table") {
				t.Errorf("%s: the remedy of %s holds what the token says: %s", test.name, f.ID, f.Remedy)
			}
		}
	}
	if n := len(look(t, conn, alice, "notes").Tables); n != 1 {
		t.Errorf("%d tables afterwards, want notes still there", n)
	}
}

// A setting that somebody left on the server connection of a pooler would win
// over the claims.
func TestLook_OverridesClaimsOfTheOlderForm(t *testing.T) {
	t.Parallel()
	db := project(t, notes)
	conn := db.Conn(t, db.Diagnostics())
	exec(t, conn, `set request.jwt.claim.sub = '3b241101-e2bb-4255-8caf-4136c566a962'; set request.jwt.claim = '{"sub":"user_carol"}'; set request.jwt.claims = '{"sub":"user_carol"}'; set row_security = off`)
	view := look(t, conn, alice, "notes")
	wantFinding(t, "claims", found(t, view, "database.claims"), finding.Pass, "auth.jwt() is the token's claims", "clerk.user_id() is user_alice")
	wantFinding(t, "uid", found(t, view, "database.uid"), finding.Pass, "22P02")
	if got := table(t, view, "public.notes"); got.Visible != 2 {
		t.Errorf("notes = %+v, want those of alice", got)
	}
}

func TestLook_SaysWhatAuthUIDDoes(t *testing.T) {
	t.Parallel()
	db := project(t, notes+`
		create table public.old (id int, owner uuid default auth.uid()); alter table public.old enable row level security; grant select on public.old to authenticated;
		create table public.older (id int, owner uuid); alter table public.older enable row level security; grant select on public.older to authenticated;
		create policy p on public.older using (auth.uid() = owner)`)
	conn := db.Conn(t, db.Diagnostics())
	wantFinding(t, "a Clerk user", found(t, look(t, conn, alice, "notes", "old", "older"), "database.uid"), finding.Warn,
		"auth.uid() fails for this user", "22P02", "called by policies or defaults of public.old, public.older", "(select clerk.user_id())")
	wantFinding(t, "without a table", found(t, look(t, conn, alice, "nosuch"), "database.uid"), finding.Pass, "No policy or default")
	wantFinding(t, "a user of Supabase", found(t, look(t, conn, `{"sub":"3b241101-e2bb-4255-8caf-4136c566a962"}`, "older"), "database.uid"), finding.Pass, "uuid")
	wantFinding(t, "nobody", found(t, look(t, conn, `{}`, "older"), "database.uid"), finding.Pass, "NULL")
}

func TestLook_SaysWhatIsNotThere(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	exec(t, db.Conn(t, db.Owner()), `create table public.plain (id int); grant select on public.plain to authenticated`)
	conn := db.Conn(t, db.Owner())
	view := look(t, conn, alice, "plain")
	wantFinding(t, "claims", found(t, view, "database.claims"), finding.Warn, "clerksync's helpers are not there", "clerksync migrate up")
	wantFinding(t, "mirror", found(t, view, "mirror.user"), finding.Skip, "clerk_sync.copy_state is not there", "clerksync migrate up")
	wantFinding(t, "plain", found(t, view, "rls.public.plain"), finding.Fail, "Row level security is off")

	super := db.Conn(t, db.Superuser())
	exec(t, super, `drop schema auth cascade`)
	view = look(t, conn, alice, "plain")
	wantFinding(t, "claims without auth", found(t, view, "database.claims"), finding.Warn, "auth.jwt() is not there")
	wantFinding(t, "uid without auth", found(t, view, "database.uid"), finding.Skip, "There is no auth.uid()")
}

func TestLook_NamesTheGrantsThatHelpersLack(t *testing.T) {
	t.Parallel()
	db := project(t, "")
	exec(t, db.Conn(t, db.Superuser()), `revoke usage on schema clerk, auth from authenticated; revoke usage on schema clerk_sync from clerksync_diagnostics`)
	view := look(t, db.Conn(t, db.Diagnostics()), alice, "users")
	wantFinding(t, "claims", found(t, view, "database.claims"), finding.Fail, "auth.jwt() is not granted to authenticated", "clerk.user_id(), clerk.org_id()", "grant usage on schema auth to authenticated;")
	wantFinding(t, "uid", found(t, view, "database.uid"), finding.Warn, "may not call auth.uid()")
	wantFinding(t, "mirror", found(t, view, "mirror.user"), finding.Skip, "may not call clerk_sync.copy_state", "clerksync migrate login diagnostics")
}

func TestLook_SaysWhichLoginWouldDo(t *testing.T) {
	t.Parallel()
	db := project(t, notes)
	view := look(t, db.Conn(t, db.Writer()), alice, "notes", "nowhere")
	for _, id := range []string{"database.claims", "database.role", "database.uid", "rls.public.notes"} {
		wantFinding(t, id, found(t, view, id), finding.Skip, "clerksync_writer", `permission denied to set role "authenticated"`, "clerksync migrate login diagnostics")
	}
	wantFinding(t, "mirror", found(t, view, "mirror.user"), finding.Skip, "may not call clerk_sync.copy_state")
	wantFinding(t, "nowhere", found(t, view, "rls.public.nowhere"), finding.Fail, "There is no such table")
	// The Data API's own login may.
	wantFinding(t, "authenticator", found(t, look(t, db.Conn(t, db.As("authenticator")), alice, "notes"), "database.role"), finding.Pass, "authenticator became authenticated")
}

func TestLook_ComparesTheCopyWithTheToken(t *testing.T) {
	t.Parallel()
	const event = `insert into clerk_sync.webhook_events (svix_id, type, outcome, received_at) values ('msg_1', 'user.created', 'applied', '2026-01-02T03:04:05Z');`
	const aliceLive = event + `insert into public.users (clerk_id, sync_version, email) values ('user_alice', '2.000000000000000.000000000000000.3.', 'alice@example.com');`
	const acmeLive = aliceLive + `insert into public.organizations (clerk_org_id, sync_version, name) values ('org_acme', '2.000000000000000.000000000000000.3.', 'Acme');`
	member := func(role, deleted string) string {
		version := map[string]string{"null": "2.000000000000000.000000000000000.3."}[deleted]
		if version == "" {
			version = "9"
		}
		return acmeLive + fmt.Sprintf(`insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role, deleted_at, sync_version) values ('m1', 'org_acme', 'user_alice', '%s', %s, '%s')`, role, deleted, version)
	}
	const noOrganization = `{"sub":"user_alice"}`
	tests := []struct {
		name, sql, claims string
		status            finding.Status
		texts             []string
	}{
		{"all is well", member("org:admin", "null"), alice, finding.Pass, []string{"The copy knows the user", "as org:admin", "last verified webhook was received at 2026-01-02T03:04:05Z"}},
		{"no organization", aliceLive, noOrganization, finding.Pass, []string{"The user is in the copy"}},
		{"nothing yet", "", noOrganization, finding.Warn, []string{"The user is not in the copy", "no webhook was ever received", "sync-users --user user_alice"}},
		{"a full sync alone", strings.TrimPrefix(aliceLive, event), noOrganization, finding.Warn, []string{"No webhook was ever received"}},
		{"made by ensure_user", event + `insert into public.users (clerk_id) values ('user_alice')`, noOrganization, finding.Warn, []string{"holds the id alone", "sync-users --user user_alice"}},
		{"deleted", event + `insert into public.users (clerk_id, deleted_at, sync_version) values ('user_alice', now(), '9')`, noOrganization, finding.Fail, []string{"deleted, which is final"}},
		{"another role", member("org:member", "null"), alice, finding.Warn, []string{"org:member in the copy and org:admin in the token", "sync-users --organization org_acme"}},
		{"a membership that ended", member("org:admin", "now()"), alice, finding.Warn, []string{"has ended"}},
		{"a membership that is missing", acmeLive, alice, finding.Warn, []string{"The membership in the active organization is not in the copy"}},
		{"an organization that is missing", aliceLive, alice, finding.Warn, []string{"The active organization is not in the copy"}},
		{"an organization that is deleted", aliceLive + `insert into public.organizations (clerk_org_id, sync_version, deleted_at) values ('org_acme', '9', now())`, alice, finding.Warn, []string{"The active organization is deleted in the copy"}},
		{"version 1 claims", member("org:admin", "null"), `{"sub":"user_alice","org_id":"org_acme","org_role":"org:admin"}`, finding.Pass, []string{"as org:admin"}},
		{"a machine", "", `{"sub":"mch_1"}`, finding.Skip, []string{"no user of Clerk"}},
		{"a user of Supabase", "", `{"sub":"3b241101-e2bb-4255-8caf-4136c566a962"}`, finding.Skip, []string{"no user of Clerk"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := project(t, test.sql)
			for name, conn := range connections(t, db) {
				view := look(t, conn, test.claims, "users")
				wantFinding(t, name, found(t, view, "mirror.user"), test.status, test.texts...)
				if text := fmt.Sprintf("%+v", view); strings.Contains(text, "example.com") || strings.Contains(text, "Acme") {
					t.Errorf("%s: personal data in %s", name, text)
				}
			}
		})
	}
}

func TestLook_FindsTheCopyInAnotherSchema(t *testing.T) {
	t.Parallel()
	db := project(t, `insert into app.users (clerk_id, sync_version) values ('user_alice', '2.000000000000000.000000000000000.3.')`, testdb.WithSchema("app"))
	view := look(t, db.Conn(t, db.Diagnostics()), `{"sub":"user_alice"}`)
	wantFinding(t, "mirror", found(t, view, "mirror.user"), finding.Warn, "The user is in the copy")
	wantFinding(t, "users", found(t, view, "rls.app.users"), finding.Pass, "users_read_own (1)")
	wantFinding(t, "an absent user", found(t, look(t, db.Conn(t, db.Diagnostics()), `{"sub":"user_new"}`), "mirror.user"), finding.Warn, "select app.ensure_user()")
}

func TestLook_MentionsWhatTheAPIRunsBefore(t *testing.T) {
	t.Parallel()
	db := project(t, "")
	super := db.Conn(t, db.Superuser())
	exec(t, super, fmt.Sprintf(`alter role authenticator in database %q set pgrst.db_pre_request = 'private.before'`, db.Name()))
	// Roles belong to the server, and this to one database.
	other := project(t, "")
	if f := found(t, look(t, other.Conn(t, other.Diagnostics()), alice, "users"), "database.claims"); strings.Contains(f.Detail, "private.before") {
		t.Errorf("in another database: %s", f.Detail)
	}
	wantFinding(t, "claims", found(t, look(t, db.Conn(t, db.Diagnostics()), alice, "users"), "database.claims"), finding.Pass, "calls private.before before each request")
}

func TestLook_NamesTablesAsTheyAre(t *testing.T) {
	t.Parallel()
	const name = `"a ""quoted""; drop table x; -- é"`
	db := project(t, `create schema "My Schema"; grant usage on schema "My Schema" to authenticated;
		create table "My Schema".`+name+` (id int, "select" text); alter table "My Schema".`+name+` enable row level security; grant select on "My Schema".`+name+` to authenticated;
		create policy "it's; --" on "My Schema".`+name+` using ("select" = (select clerk.user_id())); insert into "My Schema".`+name+` values (1, 'user_alice')`)
	view := look(t, db.Conn(t, db.Pooled(t, db.Diagnostics())), alice, `"My Schema".`+name)
	wantFinding(t, "the table", found(t, view, `rls."My Schema".`+name), finding.Warn, `Let through by "it's; --" (1).`)

	// Names that no table can have.
	odd := names(t, "x", "x", "x")
	odd[0].Table, odd[1].Schema, odd[2].Table = "a\x00b", "\xff", strings.Repeat("x", 5000)
	got, err := access.Look(t.Context(), db.Conn(t, db.Diagnostics()), access.Options{Claims: json.RawMessage(alice), Role: "authenticated", Tables: odd})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range got.Findings[4:] {
		wantFinding(t, f.ID, f, finding.Fail, "There is no such table")
	}
}

package access

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// identity is who the caller is, as Postgres reads it; empty for NULL.
type identity struct{ user, organization, role string }

// identitySQL reads what clerk's helpers read, where there are none.
const identitySQL = `select c ->> 'sub', coalesce(c -> 'o' ->> 'id', c ->> 'org_id'), coalesce(c -> 'o' ->> 'rol', c ->> 'org_role')
from (select current_setting('request.jwt.claims')::jsonb as c) as claims`

// helper is a function that reads the claims, and how to ask it. Without a schema it
// is one of clerksync's.
type helper struct{ name, sql string }

var helpers = []helper{
	{"user_id", "select left({{helpers}}.user_id(), 200)"},
	{"org_id", "select left({{helpers}}.org_id(), 200)"},
	{"org_role", "select left({{helpers}}.org_role(), 200)"},
	{"session_is_active", "select {{helpers}}.session_is_active()::text"},
	{"org_permissions", "select left(string_agg(p, ', ' order by p), 300) from {{helpers}}.org_permissions() as p"},
}

// identify becomes the caller and asks what Postgres reads. allowed is false
// where the connected role may not become the caller.
func (l *look) identify(ctx context.Context) (who identity, allowed bool, err error) {
	statements := []string{
		"select current_user::text, current_setting('row_security')",
		identitySQL,
		"select (auth.jwt() = current_setting('request.jwt.claims')::jsonb)::text",
	}
	var asked []helper
	for _, h := range helpers {
		if l.facts.Helpers[h.name] {
			asked = append(asked, h)
			statements = append(statements, l.database.Helpers.Fill(h.sql))
		}
	}
	// Last, since it usually fails.
	statements = append(statements, "select auth.uid()::text")

	answers, refused, err := l.ask(ctx, catalog.DefaultSchema, statements...)
	if err != nil {
		return identity{}, false, err
	}
	if refused != nil {
		l.roleRefused(refused)
		a := answer{row: make([]*string, 3)}
		// Claims that cannot be read are told only where there is a caller to read them.
		_, err := l.own(ctx, func() error { return l.QueryRow(ctx, identitySQL).Scan(&a.row[0], &a.row[1], &a.row[2]) })
		return readIdentity(a), false, err
	}
	l.role = l.roleFinding(answers[0])
	l.claims = l.claimsFinding(answers[1], answers[2], asked, answers[3:3+len(asked)])
	l.uid = l.uidFinding(answers[len(answers)-1])
	return readIdentity(answers[1]), true, nil
}

func readIdentity(a answer) identity {
	who := identity{user: a.text(0), organization: a.text(1), role: a.text(2)}
	if who.role != "" && !strings.HasPrefix(who.role, "org:") {
		who.role = "org:" + who.role // version 2 tokens leave the prefix out
	}
	return who
}

const useLogin = "Connect as clerksync_diagnostics: \"clerksync migrate login diagnostics\" gives it a password and prints the connection string."

// roleRefused fills the findings that need the role, which the connected one may
// not take.
func (l *look) roleRefused(refused *pgconn.PgError) {
	login := catalog.QuoteIdentifier(l.facts.Login)
	f := finding.Finding{
		Status: finding.Skip, Title: fmt.Sprintf("%s may not become %s", login, l.caller.role),
		Detail: fmt.Sprintf("The connected role %s cannot take the caller's role: %s.", login, plainText(refused)), Remedy: useLogin,
	}
	if refused.Code == codeBadParameter {
		f.Title = fmt.Sprintf("There is no role %s", l.caller.role)
		f.Detail = fmt.Sprintf("The role %s does not exist: this is not a Supabase project's database.", l.caller.role)
		f.Remedy = "Check which database the connection string names."
	}
	l.role = f
	for _, other := range []*finding.Finding{&l.claims, &l.uid} {
		*other = finding.Finding{Status: finding.Skip, Title: "Could not be looked at", Detail: f.Detail, Remedy: f.Remedy}
	}
}

// notAllowed is why no table is looked at then.
func (l *look) notAllowed() error {
	for _, name := range l.tables {
		if _, told := l.results[name]; !told {
			l.results[name] = result{finding: finding.Finding{Status: finding.Skip, Title: "Could not be looked at", Detail: l.role.Detail, Remedy: l.role.Remedy}}
		}
	}
	return nil
}

func (l *look) roleFinding(a answer) finding.Finding {
	login := catalog.QuoteIdentifier(l.facts.Login)
	switch {
	case a.refused != nil:
		return finding.Finding{Status: finding.Fail, Title: fmt.Sprintf("Nothing can be asked as %s", l.caller.role), Detail: sentence(l.said(a.refused))}
	case a.text(0) != l.caller.role || a.text(1) != "on":
		return finding.Finding{
			Status: finding.Fail, Title: "The caller's role was not taken",
			Detail: fmt.Sprintf("After set role the current user is %s and row_security is %s; %s and on were expected.", a.text(0), a.text(1), l.caller.role),
			Remedy: useLogin,
		}
	case l.facts.RoleBypasses:
		return finding.Finding{
			Status: finding.Fail, Title: fmt.Sprintf("%s bypasses row level security", l.caller.role),
			Detail: "The role has BYPASSRLS or is a superuser: every caller sees every row of every table that the role may read, whatever policies say.",
			Remedy: fmt.Sprintf("alter role %s nobypassrls;", l.caller.role),
		}
	}
	detail := fmt.Sprintf("%s became %s, with row level security on, as the Data API's own login does.", login, l.caller.role)
	if l.caller.role == platform.Anon {
		detail += " It is the role of callers who are not signed in."
	}
	return finding.Finding{Status: finding.Pass, Title: fmt.Sprintf("Requests run as %s", l.caller.role), Detail: detail}
}

// claimsFinding is about what Postgres reads.
func (l *look) claimsFinding(claims, jwt answer, asked []helper, said []answer) finding.Finding {
	if claims.refused != nil {
		f := finding.Finding{
			Status: finding.Fail, Title: "Postgres cannot read the claims",
			Detail: "Whatever reads them fails: " + l.said(claims.refused) + ".",
			Remedy: "Take out of the session token what Postgres has no room for: numbers beyond its range, or claims nested without end.",
		}
		if claims.refused.Code == codeNoUnicode || claims.refused.Code == codeInvalidText {
			f.Remedy = `Postgres stores no NUL character and no half of a surrogate pair: take the \u0000 or \ud800 out of the metadata that the session token carries.`
		}
		return f
	}
	j := judgement{Finding: finding.Finding{Status: finding.Pass, Title: "Postgres reads the claims"}}
	callable, there := l.facts.Helpers["auth.jwt"]
	switch {
	case !there:
		j.say("auth.jwt() is not there, so this is no Supabase project's database")
	case !callable:
		j.fault(fmt.Sprintf("auth.jwt() is not granted to %s", l.caller.role),
			finding.Fail, "The role may not read its own claims", fmt.Sprintf("grant usage on schema auth to %s;\nPolicies that call auth.jwt() or auth.uid() fail without it.", l.caller.role))
	case jwt.refused != nil:
		j.fault("auth.jwt() fails: "+l.said(jwt.refused),
			finding.Fail, "auth.jwt() fails for this caller", l.advice(jwt.refused.Code, "auth.jwt()"))
	case jwt.text(0) != "true":
		j.fault("auth.jwt() is something else than the claims that were set",
			finding.Fail, "auth.jwt() does not return the claims", "Look at the definition of auth.jwt(): select pg_get_functiondef('auth.jwt()'::regprocedure);")
	default:
		j.say("auth.jwt() is the token's claims")
	}

	if len(asked) < len(helpers) {
		var absent, refused []string
		for _, h := range helpers {
			name := l.database.Helpers.String() + "." + h.name + "()"
			switch callable, there := l.facts.Helpers[h.name]; {
			case !there:
				absent = append(absent, name)
			case !callable:
				refused = append(refused, name)
			}
		}
		if len(refused) > 0 {
			j.fault(fmt.Sprintf("%s not granted to %s", strings.Join(refused, ", ")+plural(int64(len(refused)), " is", " are"), l.caller.role),
				finding.Fail, "The role may not call clerksync's helpers", fmt.Sprintf("grant usage on schema %s to %s;\ngrant execute on all functions in schema %[1]s to %[2]s;", l.database.Helpers, l.caller.role))
		}
		if len(absent) > 0 {
			j.fault(strings.Join(absent, ", ")+plural(int64(len(absent)), " is", " are")+" not there",
				finding.Warn, "clerksync's helpers are not there", `Apply the migrations: "clerksync migrate up".`)
		}
	}
	for i, a := range said {
		name := l.database.Helpers.String() + "." + asked[i].name
		switch {
		case a.refused != nil:
			j.fault(name+"() fails: "+l.said(a.refused),
				finding.Fail, name+"() fails for this caller", l.advice(a.refused.Code, "auth.jwt()"))
		case asked[i].name == "org_permissions" && a.text(0) == "":
			j.say(name + "() is empty")
		case asked[i].name == "user_id" && a.text(0) == "":
			j.fault(name+"() is NULL", finding.Warn, "The claims name no user",
				"Policies that compare with the user match nothing. Send a session token of Clerk, whose sub is the user.")
		case a.text(0) == "":
			j.say(name + "() is NULL")
		default:
			j.say(name + "() is " + a.text(0))
		}
	}
	f := j.finding()
	if l.facts.PreRequest != "" {
		f.Detail += fmt.Sprintf(" The Data API calls %s before each request, which is left out here and may change what is read.", l.facts.PreRequest)
	}
	return f
}

// uidFinding is about what auth.uid() does for this caller. It is asked by itself: in
// a policy the cast fails only once there is a row to look at.
func (l *look) uidFinding(a answer) finding.Finding {
	callable, there := l.facts.Helpers["auth.uid"]
	switch {
	case !there:
		return finding.Finding{Status: finding.Skip, Title: "There is no auth.uid()", Detail: "The function does not exist, so nothing can call it."}
	case a.refused != nil && !callable:
		return finding.Finding{
			Status: finding.Warn, Title: fmt.Sprintf("%s may not call auth.uid()", l.caller.role),
			Detail: "Policies that call it fail with SQLSTATE 42501.", Remedy: fmt.Sprintf("grant usage on schema auth to %s;", l.caller.role),
		}
	case a.refused != nil && a.refused.Code == codeInvalidText && strings.Contains(a.refused.Message, "uuid"):
		l.uidFails, l.uidCasts = true, true
		return finding.Finding{
			Status: finding.Warn, Title: "auth.uid() fails for this user",
			Detail: "It casts the sub claim to uuid, and a Clerk id is none: policies, defaults and triggers that call it answer 400 with SQLSTATE 22P02, a policy as soon as there is a row to look at.",
			Remedy: "Use " + l.clerkID() + ", or ((select auth.jwt()) ->> 'sub'), with text columns. \"clerksync configure-rls lint\" finds the places.",
		}
	case a.refused != nil:
		l.uidFails = true
		return finding.Finding{Status: finding.Warn, Title: "auth.uid() fails for this user", Detail: sentence(l.said(a.refused)), Remedy: l.advice(a.refused.Code, "auth.uid()")}
	case a.text(0) == "":
		return finding.Finding{Status: finding.Pass, Title: "auth.uid() is NULL", Detail: "The claims have no sub, so what compares with auth.uid() matches nothing."}
	default:
		return finding.Finding{Status: finding.Pass, Title: "auth.uid() reads the user", Detail: "The sub claim is a uuid, as that of Supabase's own users; Clerk's ids are none."}
	}
}

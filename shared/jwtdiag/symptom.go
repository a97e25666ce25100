package jwtdiag

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/jsonkind"
	"clerksync/shared/rls/catalog"
)

// symptom is something that people see and search for.
type symptom struct {
	// seen is what it looks like, for docs/troubleshooting.md.
	seen string
	// shows finds it in what was pasted: an error code, a message or a body.
	shows *regexp.Regexp
	// causes are by id, the likeliest first as long as no token is known.
	causes []string
}

// cause is what can be behind a symptom.
type cause struct {
	title, detail string
	// remedy is for [catalog.Helpers.Fill].
	remedy string
	// found and absent look for it in a report: found confirms it, absent rules it
	// out. Either may be nil.
	found, absent func(Report) string
}

// symptoms, the most special first: of several that fit, the first decides.
// Sources: PostgREST's documentation of errors and Error.hs, Supabase's
// troubleshooting pages, and the issues that the details name.
var symptoms = []symptom{
	{`400 22P02 invalid input syntax for type uuid: "user_…"`, on(`invalid input syntax for type uuid|22p02.*uuid`), []string{"uuid.auth_uid", "uuid.column", "uuid.storage_owner"}},
	{`400 22P02 invalid input syntax for type json`, on(`22p02.*json|invalid input syntax for type json`), []string{"json.claims_setting"}},
	{`400 22P02, whatever it says`, on(`22p02`), []string{"uuid.auth_uid", "uuid.column", "json.claims_setting"}},
	{`42883 operator does not exist: uuid = text`, on(`42883.*uuid|operator does not exist:? uuid = (text|character)`), []string{"uuid.operator"}},
	{`403 42501 permission denied to set role "…"`, on(`permission denied to set role`), []string{"role.not_granted"}},
	{`401 22023 role "…" does not exist`, on(`22023|role .* does not exist`), []string{"role.unknown"}},
	{`42501 new row violates row-level security policy`, on(`violates row.level security|row-level security policy`), []string{"rls.check", "rls.returning", "role.missing", "org.none"}},
	{`42501 permission denied for schema, sequence or function`, on(`permission denied for (schema|sequence|function)`), []string{"grant.missing", "role.missing"}},
	{`401 or 403 42501 permission denied for table`, on(`permission denied for (table|view|relation)`), []string{"role.missing", "token.missing", "grant.missing"}},
	{`42501, whatever it says`, on(`42501`), []string{"role.missing", "grant.missing", "rls.check", "rls.returning"}},
	{`500 42P17 infinite recursion detected in policy`, on(`42p17|infinite recursion`), []string{"rls.recursion"}},
	{`500 57014 canceling statement due to statement timeout`, on(`57014|statement timeout|canceling statement`), []string{"rls.slow"}},
	{`401 PGRST303 JWT expired; token-expired`, on(`jwt expired|token-expired|jwt is expired`), []string{"token.cached", "token.old_client", "clock"}},
	{`401 PGRST303 JWT not yet valid, JWT issued at future`, on(`not yet valid|issued at future|token-not-active-yet|token-iat-in-the-future`), []string{"clock"}},
	{`401 PGRST303 JWT not in audience`, on(`not in audience`), []string{"token.audience"}},
	{`401 PGRST303, whatever else it says`, on(`'aud' claim must|claim must be a number|parsing claims failed|pgrst303`), []string{"token.claims", "token.cached", "clock"}},
	{`401 PGRST301 Expected 3 parts in JWT, or an empty JWT`, on(`expected 3 parts|empty jwt`), []string{"token.not_jwt", "token.missing"}},
	{`401 PGRST301 No suitable key or wrong key type; jwk-kid-mismatch`, on(`no suitable key|wrong key type|jwsinvalidsignature|jwk-kid-mismatch|token-invalid-signature`), []string{"provider.missing", "instance.mixed", "provider.rotation", "token.legacy", "token.damaged"}},
	{`401 PGRST301 Wrong or unsupported encoding algorithm; token-invalid-algorithm`, on(`unsupported encoding algorithm|token-invalid-algorithm`), []string{"token.legacy", "token.supabase_key"}},
	{`401 PGRST301 JWT cryptographic operation failed`, on(`cryptographic operation failed`), []string{"token.damaged"}},
	{`401 PGRST301, whatever it says`, on(`pgrst301`), []string{"provider.missing", "instance.mixed", "token.not_jwt", "provider.rotation", "token.legacy", "token.damaged"}},
	{`401 PGRST302 Anonymous access is disabled`, on(`pgrst302|anonymous access is disabled`), []string{"token.missing", "role.missing"}},
	{`500 PGRST300 Server lacks JWT secret`, on(`pgrst300`), []string{"api.no_secret"}},
	{`406 PGRST116 no row where .single() wanted one`, on(`pgrst116|0 rows|multiple \(or no\) rows`), []string{"empty.role", "empty.org", "empty.rows", "mirror.absent"}},
	{`406 PGRST106 the schema is not exposed`, on(`pgrst106`), []string{"api.schema"}},
	{`404 PGRST205, PGRST202, 42P01: not in the schema cache`, on(`pgrst20[25]|42p01|schema cache`), []string{"api.cache", "api.schema"}},
	{`503 or 504 PGRST002, PGRST003: no connection to the database`, on(`pgrst00[0123]|connection pool|53300`), []string{"api.database"}},
	{`Realtime says only CHANNEL_ERROR`, on(`channel_error|realtime`), []string{"realtime.claims", "realtime.expired", "realtime.domain", "provider.missing"}},
	{`An Edge Function answers 401 Invalid JWT before its code runs`, on(`401 invalid jwt|invalid jwt|unauthorized_invalid_jwt|edge function`), []string{"edge.verify_jwt"}},
	{`401 No API key found in request, or Invalid API key`, on(`no api key found|invalid api key|apikey`), []string{"api.key"}},
	{`409 23503 violates foreign key constraint`, on(`23503|violates foreign key`), []string{"mirror.absent", "mirror.auth_users"}},
	{`400 23502 null value in column`, on(`23502|null value in column`), []string{"default.null"}},
	{`400 21000 requires a WHERE clause`, on(`requires a where clause|21000`), []string{"api.safeupdate"}},
	{`token-invalid-authorized-parties`, on(`authorized.part(y|ies)|\bazp\b`), []string{"token.party"}},
	{`It works in the SQL editor, and not in the application`, on(`sql editor`), []string{"sql_editor"}},
	{`Everything is visible, a stranger's rows too`, on(`everything (is )?visible|all rows|sees everything|stranger`), []string{"open.service_role", "open.rls_off", "open.policy"}},
	{`200 and an empty list`, on(`^\s*(\[\]|\{\s*"data"\s*:\s*\[\].*)\s*$|empty|no rows|nothing comes back|data: ?(null|\[\])`), []string{"empty.role", "empty.org", "empty.rows", "token.missing", "mirror.absent", "empty.pending"}},
	{`401, whatever it says`, on(`\b401\b`), []string{"provider.missing", "token.cached", "role.missing", "token.missing", "edge.verify_jwt"}},
	{`403, whatever it says`, on(`\b403\b`), []string{"grant.missing", "rls.check", "role.not_granted"}},
	{`406, whatever it says`, on(`\b406\b`), []string{"empty.rows", "api.schema"}},
}

func on(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + pattern) }

// is looks for a finding with one of the statuses whose title or detail holds a
// text; "" fits any.
func is(id string, text string, statuses ...finding.Status) func(Report) string {
	return func(r Report) string {
		for _, f := range r.Findings {
			if (f.ID == id || strings.HasSuffix(id, "*") && strings.HasPrefix(f.ID, strings.TrimSuffix(id, "*"))) &&
				slices.Contains(statuses, f.Status) && strings.Contains(strings.ToLower(f.Title+" "+f.Detail), text) {
				return f.ID
			}
		}
		return ""
	}
}

// either takes the first of several that finds something.
func either(list ...func(Report) string) func(Report) string {
	return func(r Report) string {
		for _, f := range list {
			if id := f(r); id != "" {
				return id
			}
		}
		return ""
	}
}

func kinds(list ...Kind) func(Report) string {
	return func(r Report) string {
		if slices.Contains(list, r.Token.Kind) {
			return "token.kind"
		}
		return ""
	}
}

// notJWT confirms that something else than a token was sent.
func notJWT(r Report) string {
	if r.Token.Kind != "" && !r.Token.Kind.isJWT() && r.Token.Kind != Malformed {
		return "token.kind"
	}
	return ""
}

const (
	pass, warn, fail = finding.Pass, finding.Warn, finding.Fail

	accessToken = "Make the client with createClient(url, key, { accessToken: async () => session?.getToken() ?? null }), which asks for each request."
)

var causesByID = map[string]cause{
	"uuid.auth_uid": {
		"Something calls auth.uid(), which casts the Clerk id to uuid", "A policy, a column's default, a trigger or a function. On an empty table nothing fails yet.",
		"Use {{helpers}}.user_id() and text columns. clerksync configure-rls lint finds the places.",
		either(is("rls.*", "auth.uid", warn, fail), is("database.uid", "22p02", warn, fail)), is("database.uid", "is a uuid", pass),
	},
	"uuid.column": {
		"The Clerk id is compared with, or written to, a uuid column", "A Clerk id such as user_2abc is none.",
		"Change the column: alter table … alter column user_id type text.", nil, is("claim.sub", "uuid", warn),
	},
	"uuid.storage_owner": {
		"A storage policy uses the column owner, which is a uuid", "See supabase/supabase#29609.", "Use owner_id, which is text.", nil, is("claim.sub", "uuid", warn),
	},
	"uuid.operator": {
		"A policy compares auth.uid() with a text column", "The policy cannot even be made.", "Compare with (select {{helpers}}.user_id()).", nil, nil,
	},
	"json.claims_setting": {
		"Something set request.jwt.claims to what is no JSON", "A pre-request function or a test.", "Set it with set_config('request.jwt.claims', …, true) to the whole payload.", nil, nil,
	},
	"role.missing": {
		"The token has no role, so the request runs as anon", "Then policies to authenticated do not hold, and grants to authenticated neither.", ActivateIntegration,
		is("claim.role", "anon", warn, fail), is("claim.role", "", pass),
	},
	"role.unknown": {
		"The claim role names an application's role, not one of Postgres", "It has to be authenticated.", ActivateIntegration,
		is("claim.role", "no role of", fail), is("claim.role", "", pass),
	},
	"role.not_granted": {
		"The claim role names a role that the Data API may not take", "Such as postgres.", ActivateIntegration,
		is("claim.role", "may not be taken", fail), is("claim.role", "", pass),
	},
	"token.missing": {
		"The request carried no token", "getToken() gave null, or was not awaited, or the client was made before Clerk had loaded.", accessToken, kinds(Empty, NoToken), kinds(Session, Template),
	},
	"token.not_jwt": {
		"What was sent as a Bearer token is no token", "A key of Supabase (sb_…) belongs in the header apikey.", accessToken,
		notJWT, kinds(Session, Template),
	},
	"token.cached": {
		"The token was kept longer than its minute", "A client made once with a fixed header, a paused tab, a queue, a long request.", accessToken,
		is("claim.exp", "expired", warn, fail), nil,
	},
	"token.old_client": {
		"The client sends a token of an earlier moment", "global.headers.Authorization is read once.", accessToken, is("claim.exp", "expired", warn, fail), nil,
	},
	"clock": {
		"The clock of the machine that verifies is wrong", "The Data API forgives 30 seconds, Clerk's verifier 5.", "Set it with NTP.",
		either(is("claim.iat", "clock", warn, fail), is("claim.nbf", "clock", warn, fail)), nil,
	},
	"token.audience": {
		"The project checks an audience, and the token has another", "Session tokens have none, which passes.", "Take aud out of the template, or send session tokens.", nil, is("claim.aud", "no audience", pass),
	},
	"token.claims": {
		"A claim has a form that PostgREST refuses", "exp, nbf and iat are numbers, aud a string or a list of strings.", "Mend the template or the custom claims.",
		either(is("claim.aud", "", fail), is("claim.exp", "number", fail), is("claim.nbf", "number", fail), is("claim.iat", "number", fail), is("token.format", "", fail)), nil,
	},
	"token.legacy": {
		"The token is signed with a shared secret, as those of the deprecated template", "It fails when the project gives up its old secret.", "Send session tokens: getToken() without a template.",
		kinds(LegacyTemplate), kinds(Session, Template),
	},
	"token.supabase_key": {
		"A key of Supabase was sent in place of a user's token", "", accessToken, kinds(SupabaseAnon, SupabaseService, SupabasePublishableKey, SupabaseSecretKey), kinds(Session, Template),
	},
	"token.damaged": {
		"The token was cut off or changed on its way", "Shells, logs and forms do that.", "Compare its length at both ends.",
		either(is("token.format", "", fail), is("signature", "", fail)), is("signature", "", pass),
	},
	"token.party": {
		"The token was asked for by an origin that is not on the list", "A preview deployment, another port, a native application without an origin.", "Add the origin to authorizedParties.",
		is("claim.azp", "", fail), is("claim.azp", "", pass),
	},
	"provider.missing": {
		"The project does not trust this Clerk instance", "It was never registered, or was lost when the project was moved or restored (supabase/supabase#38285).",
		"Supabase dashboard: Authentication, Sign In / Providers, Third-party auth, Clerk.",
		either(is("supabase.provider", "does not trust", fail), is("supabase.provider", "trusts no", fail)), is("supabase.provider", "trusts this", pass, warn, fail),
	},
	"provider.rotation": {
		"The instance's keys changed, and the project has not noticed yet", "It may take up to 30 minutes.", "Wait, or remove the provider and add it again.",
		is("supabase.provider", "does not have the token's key", fail), is("supabase.provider", "", pass),
	},
	"instance.mixed": {
		"The token is of another Clerk instance", "Development and production have keys and users of their own.", "Give application, webhook and Supabase the same instance.",
		either(is("claim.iss", "instance", fail), is("header.kid", "instance", fail)), either(is("claim.iss", "", pass)),
	},
	"org.none": {
		"No organization is active in the token", "The policy asks for one.", "Let the user choose one, or ask for all of the user's: {{helpers}}.my_org_ids().", is("claim.org", "no organization", pass), is("claim.org", "in the organization", pass),
	},
	"grant.missing": {
		"The role lacks a grant on the table, its schema or its sequence", "New projects since May 2026, and all since October 2026, grant nothing on new tables by themselves.",
		"grant select, insert, update, delete on … to authenticated; as the error's hint says.", is("rls.*", "grant", fail), nil,
	},
	"rls.check": {
		"The row is not one that the policy lets this user write", "with check is false for it: another owner, another organization, or no value at all.",
		"Let the database fill the owner: default {{helpers}}.user_id(). clerksync configure-rls test shows what each kind of caller may write.", nil, nil,
	},
	"rls.returning": {
		"The row may be written but not read back", "insert().select() and Prefer: return=representation need a select policy that lets the new row through.", "Add the select policy, or leave out .select().", nil, nil,
	},
	"rls.recursion": {
		"A policy reads its own table", "A membership table that asks itself.", "Read it in a security definer function: {{helpers}}.my_org_ids().", is("rls.*", "42p17", fail), nil,
	},
	"rls.slow": {
		"A policy is slow", "anon has 3 seconds, authenticated 8. A call for each row, or no index.", "(select {{helpers}}.user_id()) in place of {{helpers}}.user_id(), and an index on the column; clerksync configure-rls lint finds both.", is("rls.*", "57014", warn, fail), nil,
	},
	"empty.role": {
		"The request ran as anon", "No token, or a token without a role: where anon may select, that gives no rows and no error.", ActivateIntegration, is("claim.role", "anon", warn, fail), is("claim.role", "", pass),
	},
	"empty.org": {
		"No organization is active, or the policy reads the other version of the claim", "auth.jwt()->>'o.id' is always null; org_id is of version 1.", "Use {{helpers}}.org_id(), which reads both, or {{helpers}}.my_org_ids().",
		is("claim.org", "no organization", pass), is("claim.org", "in the organization", pass),
	},
	"empty.rows": {
		"Row level security holds the rows back", "No policy, or none that is true for this user.", "Name the table to this diagnosis; clerksync configure-rls test shows all kinds of callers.", is("rls.*", "", warn, fail), nil,
	},
	"empty.pending": {
		"The session is pending, and a policy asks for an active one", "", "Let the user finish the task that is left.", is("claim.sts", "pending", warn), is("claim.sts", "active", pass),
	},
	"mirror.absent": {
		"The user is not in the copy yet", "The webhook has not come, or was lost.", "select ensure_user() before the first insert; clerksync sync-users --user …", is("mirror.user", "", warn, fail), is("mirror.user", "", pass),
	},
	"mirror.auth_users": {
		"A foreign key leads to auth.users, where Clerk's users have no row", "", "Refer to the copy: references public.users (clerk_id).", nil, nil,
	},
	"default.null": {
		"A default reads a claim, and whoever inserted had none", "As default auth.jwt()->>'sub' is for service_role and in a sync.", "Set the column in the statement.", nil, nil,
	},
	"api.no_secret": {"The Data API has no key to verify tokens with", "", "This is for Supabase's support.", nil, nil},
	"api.schema": {
		"The schema is not exposed", "Or the client asks for another one.", "Project Settings, Data API, exposed schemas; or .schema(…) in the client.", is("rls.*", "does not serve", warn, fail), nil,
	},
	"api.cache":    {"The Data API has not noticed the table or function yet", "", "notify pgrst, 'reload schema';", nil, nil},
	"api.database": {"The Data API cannot reach the database, or waits for a connection", "", "Look at the project's health and its number of connections.", nil, nil},
	"api.key": {
		"The header apikey is missing or not the project's", "It is refused before any token is looked at.", "Send the publishable (or anon) key as apikey beside the token.", nil, nil,
	},
	"api.safeupdate": {"update and delete through the Data API need a filter", "", "Add a filter.", nil, nil},
	"realtime.claims": {
		"Realtime wants the claims role and exp", "", ActivateIntegration, either(is("claim.role", "", fail), is("claim.exp", "no exp", fail)), is("claim.role", "", pass),
	},
	"realtime.expired": {"The channel's token expired", "A channel ends with its token.", accessToken, is("claim.exp", "expired", warn, fail), nil},
	"realtime.domain": {
		"Clerk at a domain of one's own, which Realtime has had trouble with", "See supabase/supabase#44527.", "Watch the issue; the Data API is not concerned.", nil, is("claim.iss", "clerk.accounts.dev", pass),
	},
	"edge.verify_jwt": {
		"The gateway of Edge Functions does not know Clerk's tokens", "verify_jwt checks Supabase's own keys (supabase/edge-runtime#542).", "Deploy with verify_jwt = false, and verify Clerk's token in the function.", nil, nil,
	},
	"open.service_role": {
		"The request runs as service_role", "With the service key as the client's key and no user token, or with the role in the token.", "Keep the service key on the server; the role has to be authenticated.",
		either(is("claim.role", "service_role", fail), kinds(SupabaseService, SupabaseSecretKey)), nil,
	},
	"open.rls_off": {"Row level security is off for the table, or the view reads as its owner", "", "alter table … enable row level security; views with (security_invoker = on).", is("rls.*", "row level security is off", fail), nil},
	"open.policy":  {"A policy lets everybody through", "using (true), or to public.", "clerksync configure-rls lint.", nil, nil},
	"sql_editor": {
		"The SQL editor runs as postgres, for which row level security does not hold", "What works there proves nothing about the application.", "Use its role impersonation, or clerksync configure-rls test.", nil, nil,
	},
}

// maxSymptom is how much of a pasted symptom is read, in bytes.
const maxSymptom = 16 << 10

// Explain lists what can be behind a symptom while no token is known: an error
// code, a message, or the body of an error, PostgREST's or another. The likeliest
// come first; it is empty where the symptom is not known.
func Explain(symptom string) []Cause { return explain(symptom, Report{}, "") }

// explain orders the causes by what the report knows of them.
func explain(text string, r Report, helpers catalog.Helpers) []Cause {
	if len(text) > maxSymptom {
		text = text[:maxSymptom]
	}
	text = symptomText(text)
	var list []Cause
	for _, s := range symptoms {
		if !s.shows.MatchString(text) {
			continue
		}
		for i, id := range s.causes {
			c := causesByID[id]
			one := Cause{ID: id, Likelihood: Possible, Title: c.title, Detail: sentence(c.detail), Remedy: helpers.Fill(c.remedy)}
			if i == 0 {
				one.Likelihood = Likely
			}
			if c.found != nil {
				if id := c.found(r); id != "" {
					one.Likelihood, one.Finding = Confirmed, id
				}
			}
			if one.Likelihood != Confirmed && c.absent != nil {
				if id := c.absent(r); id != "" {
					one.Likelihood, one.Finding = RuledOut, id
				}
			}
			list = append(list, one)
		}
		break
	}
	slices.SortStableFunc(list, func(a, b Cause) int { return a.rank(r) - b.rank(r) })
	if len(list) > 0 && list[0].Likelihood == Possible {
		list[0].Likelihood = Likely // what was likelier is ruled out
	}
	return list
}

// rank orders causes; what the report calls the first cause is first here, too.
func (c Cause) rank(r Report) int {
	if c.Likelihood == Confirmed && c.Finding == r.Cause {
		return -1
	}
	return slices.Index([]Likelihood{Confirmed, Likely, Possible, RuledOut}, c.Likelihood)
}

// symptomText takes code, message and the rest out of the body of an error, so
// that names of members are not taken for what they hold.
func symptomText(text string) string {
	var body map[string]json.RawMessage
	trimmed := strings.TrimSpace(text)
	if json.Unmarshal([]byte(trimmed), &body) != nil {
		return trimmed
	}
	if inner, ok := body["error"]; ok {
		var nested map[string]json.RawMessage
		if json.Unmarshal(inner, &nested) == nil {
			body = nested
		}
	}
	var parts []string
	for _, name := range []string{"code", "message", "msg", "error", "error_code", "details", "hint", "statusCode", "status"} {
		value, ok := body[name]
		if !ok {
			continue
		}
		if s, isText := asText(value); isText {
			parts = append(parts, s)
		} else if jsonkind.Of(value) == "a number" {
			parts = append(parts, string(value))
		}
	}
	if len(parts) == 0 {
		return trimmed
	}
	return strings.Join(parts, " ")
}

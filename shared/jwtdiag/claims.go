package jwtdiag

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"clerksync/shared/clerk"
	"clerksync/shared/jsonkind"
	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// checkIssuer compares iss exactly. Neither Clerk's verifier, unless told to, nor
// PostgREST compares it: it tells which instance the token is of.
func (x *diagnosis) checkIssuer(id string) *check {
	raw, there := x.payload.value("iss")
	issuer, isText := asText(raw)
	want := x.options.Issuer
	switch {
	case !there || !isText || issuer == "":
		return failed(id, "The token names no issuer", "iss is "+orMissing(there, jsonkind.Of(raw))+". Clerk always names the instance's Frontend API.", useSessionToken)
	case x.kind == SupabaseAnon || x.kind == SupabaseService || x.kind == SupabaseSession:
		return skipped(id, "The issuer was not compared", "this is "+x.kind.String(), "")
	case want == "":
		return skipped(id, "The issuer "+show(issuer)+" was compared with nothing", "the instance's issuer is not configured", "Set CLERK_PUBLISHABLE_KEY or CLERK_ISSUER.")
	case issuer == want:
		return passed(id, "The issuer is the instance's", show(issuer)+".")
	}
	near := nearly(issuer, want)
	detail := "The token says " + show(issuer) + ", the instance's is " + show(want) + "."
	remedy := x.oneInstance()
	title := "The issuer is not the instance's"
	theirs, ours := clerk.IssuerKind(strings.TrimSuffix(issuer, "/")), clerk.IssuerKind(want)
	switch {
	case near != "":
		title, remedy = "The issuer is the instance's but for "+near, "Issuers are compared letter by letter: write CLERK_ISSUER exactly as the token has it, if the token is right."
	case theirs == clerk.TestInstance && ours == clerk.LiveInstance:
		title = "The token is of a development instance, and this set-up is for production"
	case theirs == clerk.LiveInstance && ours == clerk.TestInstance:
		title = "The token is of a production instance, and this set-up is for development"
	}
	if x.verified {
		return warned(id, title, detail+" The signature is the instance's all the same: it may have moved to another domain, or stand behind a proxy. Who compares issuers refuses the token.", remedy)
	}
	return failed(id, title, detail, remedy)
}

// nearly says by what little two addresses differ; "" where it is more.
func nearly(got, want string) string {
	switch {
	case strings.TrimRight(got, "/") == strings.TrimRight(want, "/"):
		return "a slash at its end"
	case strings.EqualFold(got, want):
		return "large and small letters"
	case strings.TrimSpace(got) == strings.TrimSpace(want):
		return "spaces around it"
	}
	a, errA := url.Parse(got)
	b, errB := url.Parse(want)
	switch {
	case errA != nil || errB != nil:
		return ""
	case a.Host == "" && strings.TrimPrefix(want, "https://") == got:
		return "the missing https://"
	case a.Scheme != b.Scheme && a.Host == b.Host && a.Path == b.Path:
		return "its scheme, " + a.Scheme + " in place of " + b.Scheme
	case a.Hostname() == b.Hostname() && a.Port() != b.Port() && a.Path == b.Path:
		return "its port"
	case a.Host == b.Host && a.Path != b.Path:
		return "its path"
	default:
		return ""
	}
}

// checkParty is about azp, the origin that asked for the token. Clerk's verifier
// compares it only where it is told the parties, and then refuses a token without one
// since July 2026; PostgREST does not know the claim.
func (x *diagnosis) checkParty(id string) *check {
	raw, there := x.payload.value("azp")
	party, isText := asText(raw)
	parties := x.options.AuthorizedParties
	refused := clerkSays("token-invalid-authorized-parties")
	switch {
	case len(parties) == 0 && there && !isText && jsonkind.Of(raw) != "null":
		return warned(id, "The authorized party (azp) is "+jsonkind.Of(raw), "Clerk sets the origin of the page that asked for the token.", "")
	case len(parties) == 0:
		said := "The token names none, as those of native applications."
		if party != "" {
			said = "The token names " + show(party) + "."
		}
		return skipped(id, "The authorized party was compared with nothing", "CLERK_AUTHORIZED_PARTIES is not set. "+said,
			"List the origins of your application there, and as authorizedParties in your backend: a token that another site of the same domain got is then refused.")
	case !isText || party == "":
		return failed(id, "The token names no authorized party (azp), and this set-up wants one", "Clerk's verifier refuses that since July 2026. Native applications and server-made tokens have none.",
			"Accept them without authorizedParties where such clients are served.").refusedBy(refused, nil)
	case slices.Contains(parties, party):
		return passed(id, "The authorized party is one of the application's", show(party)+".")
	}
	title, remedy := "The authorized party "+show(party)+" is not one of the application's", "Add it to CLERK_AUTHORIZED_PARTIES and to authorizedParties in the backend, if it is yours."
	for _, p := range parties {
		if near := nearly(party, p); near != "" {
			title = "The authorized party is " + show(p) + " but for " + near
			remedy = "Write the origin as browsers do: scheme, host and port, no path and no slash at its end."
		}
	}
	var list []string
	for _, p := range parties {
		list = append(list, show(p))
	}
	return failed(id, title, "The token says "+show(party)+"; expected is "+strings.Join(list, " or ")+". The Data API does not look at it.", remedy).refusedBy(refused, nil)
}

// checkAudience is about aud. Session tokens have none. PostgREST reads it even where
// no audience is configured, and refuses what cannot be one (Auth/Jwt.hs).
func (x *diagnosis) checkAudience(id string) *check {
	raw, there := x.payload.value("aud")
	_, one := asText(raw)
	_, several := asTexts(raw)
	switch {
	case !there || jsonkind.Of(raw) == "null":
		return passed(id, "No audience, as session tokens have", "")
	case one || several:
		return passed(id, "An audience that nobody compares here", "aud is "+show(string(raw))+". Clerk's verifier compares it where it is given one; the Data API where the project configures one.")
	default:
		return failed(id, "The audience (aud) is neither a string nor a list of strings", "It is "+jsonkind.Of(raw)+". The Data API refuses that even where no audience is configured.",
			"Mend the claim aud in the template or in the session token's custom claims.").
			refusedBy(nil, postgrestSays("PGRST303", "The JWT 'aud' claim must be a string or an array of strings"))
	}
}

var (
	userID = regexp.MustCompile(`^user_[A-Za-z0-9]{1,64}$`)
	uuid   = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
)

// checkSubject is about sub, who the token is about.
func (x *diagnosis) checkSubject(id string) *check {
	raw, there := x.payload.value("sub")
	subject, isText := asText(raw)
	switch {
	case !there || !isText:
		return failed(id, "The token is about nobody: it has no sub", "sub is "+orMissing(there, jsonkind.Of(raw))+". Policies that ask for the user match no row.", useSessionToken).
			refusedBy(unverifiable, nil)
	case subject == "":
		return failed(id, "The token is about nobody: its sub is empty", "Policies that ask for the user match no row.", useSessionToken)
	case userID.MatchString(subject):
		c := passed(id, "About the user "+subject, "")
		if actor := x.payload.object("act"); actor != nil {
			who, _ := actor.text("sub")
			c.Detail = "Somebody acts as this user: " + show(who) + " (act)."
		}
		return c
	case strings.HasPrefix(subject, "mch_"):
		return failed(id, "The token is about a machine, "+show(subject), "Policies that ask for a user's id match no row.", useSessionToken)
	case uuid.MatchString(subject):
		return warned(id, "The subject is a UUID, as Supabase Auth has them, not an id of Clerk", show(subject)+".", "Clerk's ids begin with user_. A template that sets sub, or a token of Supabase Auth, looks like this.")
	default:
		return warned(id, "The subject "+show(subject)+" is no id of a Clerk user", "Clerk's ids begin with user_.", "")
	}
}

// notGranted are roles that exist and that the Data API's login may not become.
var notGranted = []string{
	"postgres", "supabase_admin", "supabase_auth_admin", "supabase_storage_admin", "supabase_realtime_admin", "supabase_functions_admin",
	"supabase_replication_admin", "supabase_read_only_user", "supabase_etl_admin", "dashboard_user", "pgbouncer", "authenticator",
	"clerksync_writer", "clerksync_writer_b", "clerksync_diagnostics", "clerksync_diagnostics_b",
}

// role is what the Data API runs the token's requests as, and whether the token
// says so. Of a repeated claim PostgREST takes the first.
func (x *diagnosis) role() (role string, said bool) {
	raw, there := x.payload.first["role"]
	if !there {
		return platform.Anon, false
	}
	if text, isText := asText(raw); isText {
		return text, true
	}
	return string(raw), true
}

// checkRole is about the claim role. PostgREST runs a request without it as anon, and
// otherwise takes the role that it names, if authenticator is a member of it
// (PostgREST docs, Authentication): service_role is one of those.
func (x *diagnosis) checkRole(id string) *check {
	const activate = ActivateIntegration + " Then sign in anew or wait a minute."
	role, said := x.role()
	raw := x.payload.first["role"]
	doesNotExist := &refusal{status: 401, code: "22023", message: fmt.Sprintf("role %q does not exist", cut(role))}
	switch {
	case !said:
		return failed(id, "The token has no role", "The Data API runs it as anon. Policies to authenticated do not hold for anon: reading gives no rows, or 401 42501 permission denied; writing is refused.", activate)
	case jsonkind.Of(raw) != "a string":
		return failed(id, "The claim role is "+jsonkind.Of(raw)+", and has to be the text authenticated", "PostgREST takes it for the name of a role that does not exist.", activate).refusedBy(nil, doesNotExist)
	case x.kind == SupabaseAnon || x.kind == SupabaseService:
		return passed(id, "Runs as "+role, "")
	case role == platform.Authenticated:
		return passed(id, "Runs as authenticated", "")
	case role == platform.Anon:
		return warned(id, "The token says that it is to run as anon", "Policies to authenticated do not hold for it.", activate)
	case role == platform.ServiceRole:
		return failed(id, "ALARM: the user's token runs as service_role, for which row level security does not hold",
			"Everybody with such a token reads and writes every row. Whatever fills the claim role has to be the fixed text authenticated.",
			"Take the claim out of the session token or template at once, and look whether it is filled from metadata that users may write. "+activate)
	case slices.Contains(notGranted, role):
		return failed(id, "The role "+show(role)+" may not be taken by the Data API", "Its login is not a member of that role.", activate).
			refusedBy(nil, notGrantedTo(role))
	case x.named != nil && x.named.Granted && x.named.Bypasses:
		return failed(id, "ALARM: the user's token runs as "+show(role)+", for which row level security does not hold", "Everybody with such a token reads and writes every row.",
			"Take the claim out of the session token or template at once. "+activate)
	case x.named != nil && x.named.Granted:
		return passed(id, "Runs as "+role+", a role of this database's own", "authenticator may become it.")
	case x.named != nil && x.named.Exists:
		return failed(id, "The role "+show(role)+" may not be taken by the Data API", "Its login, authenticator, is not a member of it.",
			"If it is meant: grant "+catalog.QuoteIdentifier(role)+" to authenticator;\nOtherwise: "+activate).refusedBy(nil, notGrantedTo(role))
	case x.named == nil && roleName.MatchString(role):
		c := warned(id, "The claim role is "+show(role)+", a role that Supabase does not bring along", "The token runs as it if the database has that role and it is granted to authenticator; otherwise it is refused. Which it is was not looked up.", "If it is an application's role: "+activate)
		c.supabaseOpen = true
		return c
	default:
		return failed(id, "The claim role is "+show(role)+", which is no role of the database", "An application's own roles belong in another claim; this one names a role of Postgres.", activate).
			refusedBy(nil, doesNotExist)
	}
}

// roleName is what a role of one's own is mostly called; an application's role,
// such as org:admin, is not.
var roleName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// ownRole reports whether the token names a role that not every project has.
func (x *diagnosis) ownRole() bool {
	role, said := x.role()
	return said && jsonkind.Of(x.payload.first["role"]) == "a string" && role != platform.Authenticated && role != platform.Anon && role != platform.ServiceRole && !slices.Contains(notGranted, role)
}

func notGrantedTo(role string) *refusal {
	return &refusal{status: 403, code: "42501", message: fmt.Sprintf("permission denied to set role %q", cut(role))}
}

// checkStatus is about sts, whether the session has tasks left (Clerk docs, session
// tasks). Tokens of version 1 may leave it out.
func (x *diagnosis) checkStatus(id string) *check {
	raw, there := x.payload.value("sts")
	status, _ := asText(raw)
	switch {
	case !there:
		return passed(id, "The token says nothing about the session's state, so it is active", "")
	case status == "active":
		return passed(id, "The session is active", "")
	case status == "pending":
		return warned(id, "The session is pending: a task is left, such as choosing an organization",
			"Clerk's libraries treat the user as signed out until it is done; Supabase does not know the claim and lets the user in.",
			x.helpers.Fill("Let the user finish (<TaskChooseOrganization /> and its like). In policies: (select {{helpers}}.session_is_active()), as configure-rls --require active-session writes it."))
	default:
		return warned(id, "The session's state (sts) is "+shownOrKind(raw)+", which is not known", "Known are active and pending; the helpers in the database count anything else as not active.", "")
	}
}

// checkVersion is about v.
func (x *diagnosis) checkVersion(id string) *check {
	raw, there := x.payload.value("v")
	hasOne := slices.ContainsFunc(x.payload.names, func(name string) bool { return strings.HasPrefix(name, "org_") })
	switch {
	case !there && x.payload.has("o"):
		return warned(id, "The token has the organization of version 2 and no version", "Clerk's libraries read it as version 1, without an organization; the helpers in the database read what is there.", useSessionToken)
	case !there:
		return warned(id, "Version 1 of Clerk's session tokens, deprecated since April 2025", "Its organization is in org_id, org_role and org_permissions. The helpers in the database read both versions.",
			"Switch in the Clerk dashboard under Updates, once nothing of your own reads org_id from the token.")
	case string(raw) == "2" && hasOne && x.payload.has("o"):
		return warned(id, "The token has the organization of both versions", "What reads org_id and what reads o.id may see different ones. The helpers in the database read o.", "Take custom claims that begin with org_ out of the session token.")
	case string(raw) == "2":
		return passed(id, "Version 2 of Clerk's session tokens", "")
	default:
		return warned(id, "The version of the token is "+show(string(raw))+", which is not known", "Known are 1 (without v) and 2.", "")
	}
}

// organization is what the token says of its active organization.
type organization struct {
	id, role string
	there    bool
	problem  string
}

func (x *diagnosis) organization() organization {
	if raw, there := x.payload.value("o"); there && jsonkind.Of(raw) != "null" {
		o := x.payload.object("o")
		if o == nil {
			return organization{problem: "o is " + jsonkind.Of(raw) + " instead of an object"}
		}
		id, isText := o.text("id")
		role, _ := o.text("rol")
		if !isText || id == "" {
			return organization{problem: "o has no id"}
		}
		return organization{id: id, role: withPrefix(role), there: true}
	}
	raw, there := x.payload.value("org_id")
	if !there || jsonkind.Of(raw) == "null" {
		return organization{}
	}
	id, isText := asText(raw)
	if !isText || id == "" {
		return organization{problem: "org_id is " + jsonkind.Of(raw) + " instead of an id"}
	}
	role, _ := x.payload.text("org_role")
	return organization{id: id, role: withPrefix(role), there: true}
}

func withPrefix(role string) string {
	if role == "" || strings.HasPrefix(role, "org:") {
		return role
	}
	return "org:" + role
}

// checkOrganization is about the active organization.
func (x *diagnosis) checkOrganization(id string) *check {
	o := x.organization()
	switch {
	case o.problem != "":
		return failed(id, "The token's organization cannot be read", o.problem+". Policies that ask for it match no row.", useSessionToken)
	case !o.there && x.kind != Session:
		return skipped(id, "The token names no organization", "templates do so only where they say so", `Add "org_id": "{{org.id}}" to the template, or send session tokens.`)
	case !o.there:
		return passed(id, "No organization is active", "Policies that ask for the active organization match no row, without an error. The user may choose one, or policies may ask for all of the user's organizations: "+x.helpers.String()+".my_org_ids().")
	case !strings.HasPrefix(o.id, "org_"):
		return warned(id, "The active organization "+show(o.id)+" is no id of Clerk", "Clerk's ids begin with org_; a slug does not.", "")
	case o.role == "":
		return warned(id, "The organization "+show(o.id)+" is active, without a role", "Policies that ask for a role in the token match no row.", "")
	default:
		return passed(id, "In the organization "+show(o.id)+" as "+show(o.role), "")
	}
}

// checkPermissions decodes what the token grants in the active organization.
func (x *diagnosis) checkPermissions(id string) *check {
	o := x.organization()
	if !o.there {
		return skipped(id, "The token grants no permissions", "no organization is active in it", "")
	}
	if !x.payload.has("o") {
		raw, there := x.payload.value("org_permissions")
		list, isList := asTexts(raw)
		if there && !isList && jsonkind.Of(raw) != "null" {
			return warned(id, "The permissions (org_permissions) are "+jsonkind.Of(raw)+" instead of a list of texts", "They count as none.", "")
		}
		x.permissions = list
		return passed(id, granted(list), "")
	}
	active := x.payload.object("o")
	text := func(o *object, name string) (string, string) {
		raw, there := o.value(name)
		value, isText := asText(raw)
		if there && !isText && jsonkind.Of(raw) != "null" {
			return "", name + " is " + jsonkind.Of(raw) + " instead of a text"
		}
		return value, ""
	}
	features, problemF := text(x.payload, "fea")
	names, problemN := text(active, "per")
	masks, problemM := text(active, "fpm")
	if problem := join(problemF, problemN, problemM); problem != "" {
		return warned(id, "The token's permissions cannot be read", problem+" They count as none.", "")
	}
	p := clerk.DecodePermissions(features, names, masks)
	x.permissions = p.Agreed
	if len(p.Problems) > 0 || len(p.Disputed) > 0 {
		detail := join(p.Problems...)
		if len(p.Disputed) > 0 {
			detail = join(detail, "Only one of the two grants "+listed(p.Disputed))
		}
		return warned(id, "Clerk's own libraries read this token's permissions differently", join(detail, granted(p.Agreed)+" by both; the helpers in the database grant what both do"),
			"Ask the copy in policies, "+x.helpers.String()+".my_org_ids_with_permission(…), and Clerk's API elsewhere.")
	}
	return passed(id, granted(p.Agreed), "")
}

func granted(list []string) string {
	if len(list) == 0 {
		return "No permissions of your own features (system permissions are never in a token)"
	}
	return "Granted: " + listed(list)
}

// listed writes the first of a list, and how many more there are.
func listed(list []string) string {
	const most = 20
	text := catalog.List(list[:min(len(list), most)], cut)
	if len(list) > most {
		text += fmt.Sprintf(" and %d more", len(list)-most)
	}
	return text
}

// shown is a decoded part for the token's holder; nil where it is too large to show.
func shown(o *object) json.RawMessage {
	const most = 32 << 10
	if o == nil || len(o.raw) > most || !json.Valid(o.raw) {
		return nil
	}
	return o.raw
}

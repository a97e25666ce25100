package jwtdiag

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/rls/access"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/supabase/management"
	"clerksync/sql/platform"
)

// Request is one question.
type Request struct {
	// Token is what was pasted.
	Token string `json:"token"`
	// Tables to look at; empty: those that the Data API serves.
	Tables []string `json:"tables,omitempty"`
	// Symptom, if set, is explained: an error code, or an error's body.
	Symptom string `json:"symptom,omitempty"`
}

// Keys has the keys of the Clerk instance; *keyset.Source is one.
type Keys interface {
	// Keys returns them; kid is the one that is wanted, which an implementation
	// may look for anew.
	Keys(ctx context.Context, kid string) (keyset.Set, error)
}

// Providers lists the third-party providers that the Supabase project trusts;
// *management.Providers is one.
type Providers interface {
	ThirdPartyAuth(ctx context.Context) ([]management.ThirdPartyAuth, error)
}

// Options say what is known about the instance and the project. The zero value
// knows nothing: a token is then read, and what cannot be checked is skipped.
type Options struct {
	// Issuer is what session tokens of the instance name, https://…; "": not known.
	Issuer string
	// InstanceID is the instance's id (ins_…), which is the kid of its tokens; "": not known.
	InstanceID string
	// AuthorizedParties are the origins that azp may name; empty: any.
	AuthorizedParties []string
	Keys              Keys            // nil: the signature is not checked
	Providers         Providers       // nil: not known
	Database          access.Beginner // nil: not looked at
	// Offline: nothing is asked over the network because nobody wants it, rather
	// than because nothing is configured.
	Offline bool
	// Operator: whoever asks holds the connection string. The database is looked at
	// also for a token whose signature was not verified, and the findings say why it
	// could not be, with its address.
	Operator bool
	// Failed is told why the database could not be looked at; nil: nobody is.
	Failed func(context.Context, error)
	Now    func() time.Time // nil: time.Now
}

// networkLimit is for the keys and the providers together, which are asked at the
// same time.
const networkLimit = 5 * time.Second

// Diagnoser answers requests. It is safe for concurrent use. Call New.
type Diagnoser struct{ options Options }

// New returns a Diagnoser. It calls nothing.
func New(o Options) *Diagnoser {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Diagnoser{options: o}
}

// diagnosis is one request under way.
type diagnosis struct {
	options Options
	now     time.Time

	paste                         paste
	tooLarge                      int
	parts                         []part
	header, payload               *object
	headerProblem, payloadProblem jsonProblem
	kind                          Kind

	keys    keyset.Set
	keysErr error
	// noKeys: there are none to verify with.
	noKeys       bool
	providers    []management.ThirdPartyAuth
	providersErr error
	// verified: one of the instance's keys made the signature. provided: one of the
	// keys that the project has did; nil where those are not known.
	verified bool
	provided *bool
	// named is what the database says of the role that the token names; nil where
	// that is not known.
	named *access.Role
	// helpers is where the database has clerksync's functions, as far as it was asked.
	helpers catalog.Helpers
	// permissions are those that the token grants in its active organization.
	permissions []string

	checks map[string]*check
}

// Diagnose answers one request. It does not fail: what could not be found out is a
// finding with the status skip. What is left of the time of ctx is kept to.
func (d *Diagnoser) Diagnose(ctx context.Context, r Request) Report {
	x := &diagnosis{options: d.options, now: d.options.Now(), checks: map[string]*check{}}
	x.read(r.Token)
	kind, evidence := Malformed, ""
	if x.tooLarge == 0 {
		kind, evidence = x.recognise()
	}
	x.kind = kind
	x.ask(ctx)
	x.add(x.checkFormat())
	x.add(x.checkKind(evidence))
	x.add(x.checkAlgorithm())
	x.add(x.checkKeys())
	x.add(x.checkKeyID())
	x.add(x.checkProvider())
	x.add(x.checkSignature())
	x.lookUpRole(ctx)
	view := x.look(ctx, r.Tables)
	x.helpers = view.Helpers
	x.checkClaims()
	verdicts := x.verdicts()
	x.subordinate()
	report := Report{
		Verdicts: verdicts, Surfaces: x.surfaces(verdicts.Supabase), Token: x.token(), Tables: view.Tables, CheckedAt: x.now.UTC(),
	}
	for _, id := range order {
		report.Findings = append(report.Findings, x.checks[id].Finding)
	}
	report.Findings = append(report.Findings, view.Findings...)
	report.Cause, report.Sentence = conclude(report.Findings, verdicts, nil)
	if r.Symptom != "" {
		report.Causes = explain(r.Symptom, report, x.helpers)
		report.Cause, report.Sentence = conclude(report.Findings, verdicts, report.Causes)
	}
	return report
}

// checkClaims looks at each claim, where there are any and it applies to the kind.
func (x *diagnosis) checkClaims() {
	session, withOrganization := []Kind{Session}, []Kind{Session, Template, LegacyTemplate}
	for _, c := range []struct {
		id string
		// unknown is what is told where the claims cannot be read.
		unknown string
		// of are the kinds that have the claim; none: every kind.
		of    []Kind
		check func(id string) *check
	}{
		{"claim.iss", "The issuer is not known", nil, x.checkIssuer},
		{"claim.exp", "When the token expires is not known", nil, x.checkExpiry},
		{"claim.nbf", "The claim nbf is not known", nil, x.checkNotBefore},
		{"claim.iat", "The claim iat is not known", nil, x.checkIssuedAt},
		{"claim.azp", "The authorized party is not known", nil, x.checkParty},
		{"claim.aud", "The audience is not known", nil, x.checkAudience},
		{"claim.sub", "The subject is not known", nil, x.checkSubject},
		{"claim.role", "The role is not known", nil, x.checkRole},
		{"claim.sts", "The session's state does not apply", session, x.checkStatus},
		{"claim.version", "The version does not apply", session, x.checkVersion},
		{"claim.org", "The organization does not apply", withOrganization, x.checkOrganization},
		{"claim.permissions", "Permissions do not apply", session, x.checkPermissions},
	} {
		switch {
		case x.payload == nil:
			x.add(skipped(c.id, c.unknown, x.unread("payload"), ""))
		case c.of != nil && !slices.Contains(c.of, x.kind):
			x.add(skipped(c.id, c.unknown, "this is "+x.kind.String(), ""))
		default:
			x.add(c.check(c.id))
		}
	}
}

func (x *diagnosis) add(c *check) { x.checks[c.ID] = c }

// order is that of the findings in a report.
var order = []string{
	"token.format", "token.kind", "header.alg", "header.kid", "jwks.fetch", "signature",
	"claim.iss", "claim.exp", "claim.nbf", "claim.iat", "claim.azp", "claim.aud", "claim.sub", "claim.role", "claim.sts", "claim.version", "claim.org", "claim.permissions",
	"supabase.provider",
}

// ask fetches what has to be asked for, all at once.
func (x *diagnosis) ask(ctx context.Context) {
	if !x.wantsKeys() {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, networkLimit, errNetworkLimit)
	defer cancel()
	kid, _ := x.kid()
	var asking sync.WaitGroup
	if x.options.Keys != nil {
		asking.Go(func() { x.keys, x.keysErr = x.options.Keys.Keys(ctx, kid) })
	}
	if x.options.Providers != nil {
		asking.Go(func() { x.providers, x.providersErr = x.options.Providers.ThirdPartyAuth(ctx) })
	}
	asking.Wait()
}

// look asks the database what the token's user gets.
func (x *diagnosis) look(ctx context.Context, tables []string) access.View {
	names, bad := tableNames(tables)
	skip := func(why string) access.View {
		return access.View{Findings: append(access.Unavailable(errors.New(why), names), bad...)}
	}
	switch {
	case x.mayNotLook() != "":
		return skip(x.mayNotLook())
	case len(tables) > 0 && len(names) == 0:
		return skip("no table was named")
	}
	role, _ := x.role()
	if role != platform.Anon && role != platform.Authenticated {
		return skip("the token would run as " + show(role) + ", and only anon and authenticated are looked through")
	}
	view, err := access.Look(ctx, x.options.Database, access.Options{Claims: x.payload.asFirst(), Role: role, Tables: names})
	if err != nil {
		if x.options.Failed != nil {
			x.options.Failed(ctx, err)
		}
		if !x.options.Operator {
			// The error names host and login.
			return skip("the database could not be reached; the log of the diagnostics says why")
		}
		return skip(err.Error())
	}
	view.Findings = append(view.Findings, bad...)
	return view
}

// showable is how long after its end a token tells what its user sees: long enough
// to be pasted, and too short for one that was found in an old log.
const showable = time.Hour

// recent reports whether the token's end is not longer ago. One without an end is
// not for ever.
func (x *diagnosis) recent() bool {
	m := readMoment(x.payload, "exp")
	return m.usable() && m.time().After(x.now.Add(-showable))
}

// mayNotLook says why the database is not asked about the token; empty where it is.
func (x *diagnosis) mayNotLook() string {
	switch {
	case x.options.Database == nil && x.options.Offline:
		return "nothing is asked over the network"
	case x.options.Database == nil:
		return "no database was named (DIAGNOSTICS_DATABASE_URL), or it was to be left alone"
	case x.payload == nil:
		return x.unread("payload")
	case x.payloadProblem.text != "":
		return "the Data API cannot read the token's claims"
	case !x.verified && !x.options.Operator:
		return "the signature was not verified, so nobody is told what the token's user sees"
	case !x.recent() && !x.options.Operator:
		return "the token expired more than " + span(showable) + " ago, so it tells nobody any more what its user sees"
	default:
		return ""
	}
}

// lookUpRole asks the database about a role that it does not have by itself.
func (x *diagnosis) lookUpRole(ctx context.Context) {
	if x.mayNotLook() != "" || !x.ownRole() {
		return
	}
	role, _ := x.role()
	// Why it could not be asked is told of the look that follows.
	if named, err := access.LookUpRole(ctx, x.options.Database, role); err == nil {
		x.named = &named
	}
}

// tableNames reads the names of tables; of what is none there is a finding.
func tableNames(tables []string) (names []catalog.Name, bad []finding.Finding) {
	for _, text := range tables {
		name, err := catalog.ParseName(text)
		if err != nil {
			bad = append(bad, finding.Finding{
				ID: "rls." + show(text), Status: finding.Fail, Title: "This is not the name of a table", Detail: sentence(err.Error()),
				Remedy: "Write schema.table, with double quotes around names that have capitals.",
			})
			continue
		}
		names = append(names, name)
	}
	return names, bad
}

// token is what the token says, for its holder.
func (x *diagnosis) token() Token {
	t := Token{Kind: x.kind, Name: x.kind.String(), Header: shown(x.header), Claims: shown(x.payload), Permissions: x.permissions}
	if x.payload == nil {
		return t
	}
	if m := readMoment(x.payload, "iat"); m.usable() && !far(m.whole, x.now) {
		t.IssuedAt = m.time()
	}
	if m := readMoment(x.payload, "exp"); m.usable() && !far(m.whole, x.now) {
		t.ExpiresAt = m.time()
	}
	return t
}

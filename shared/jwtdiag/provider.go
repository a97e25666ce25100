package jwtdiag

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/supabase/management"
)

// rotation is how long Supabase may take to notice that a provider's keys have
// changed (Supabase's documentation of third-party auth).
const rotation = 30 * time.Minute

// checkProvider says whether the Supabase project trusts who signed the token.
func (x *diagnosis) checkProvider() *check {
	const id = "supabase.provider"
	open := func(c *check) *check {
		c.supabaseOpen = true
		return c
	}
	switch x.kind {
	case SupabaseAnon, SupabaseService, SupabaseSession, LegacyTemplate:
		return open(skipped(id, "No third-party provider is concerned", "this is "+x.kind.String()+", which the project verifies with keys of its own", ""))
	default:
	}
	const setUp = `Supabase dashboard: Authentication, Sign In / Providers, Third-party auth, add Clerk with the domain of the issuer (without https://).`
	switch {
	case !x.wantsKeys():
		return skipped(id, "The project's providers were not looked at", x.unread("header"), "")
	case x.options.Providers == nil && x.options.Offline:
		return open(skipped(id, "Whether the project trusts this Clerk instance was not checked", "nothing is asked over the network", ""))
	case x.options.Providers == nil:
		return open(skipped(id, "Whether the project trusts this Clerk instance was not checked", "SUPABASE_ACCESS_TOKEN and SUPABASE_PROJECT_REF are not both set",
			"Set them to have it checked, or look: "+setUp))
	case x.providersErr != nil:
		return open(skipped(id, "Whether the project trusts this Clerk instance could not be found out", x.providersErr.Error(), "Or look: "+setUp))
	case len(x.providers) == 0:
		return failed(id, "The project has no third-party provider: it trusts no Clerk instance", "Registrations are lost when a project is moved or restored, too.", setUp).
			refusedBy(nil, noKey)
	}

	issuer, _ := x.payload.text("iss")
	kid, hasKid := x.kid()
	alg, _ := x.header.text("alg")
	issuers := catalog.List(x.providers, func(p management.ThirdPartyAuth) string { return show(p.OIDCIssuerURL) })
	var ours *management.ThirdPartyAuth
	var keys []keyset.Key
	for i, p := range x.providers {
		if strings.TrimSuffix(p.OIDCIssuerURL, "/") == strings.TrimSuffix(issuer, "/") && issuer != "" {
			ours = &x.providers[i]
		}
		keys = append(keys, resolved(p)...)
	}
	x.provided = new(x.tried(keys, alg))
	known := *x.provided || slices.ContainsFunc(keys, func(k keyset.Key) bool { return k.ID == kid })
	switch {
	case x.payload == nil:
		return skipped(id, "Whether the project trusts the token's issuer cannot be told", x.unread("payload"), "")
	case ours != nil && (known || !hasKid && len(resolved(*ours)) > 0):
		return passed(id, "The project trusts this Clerk instance", registration(*ours, x.now))
	case known:
		return warned(id, "The project has the token's key, under another issuer", "Registered: "+issuers+". The token names "+show(issuer)+". The Data API compares keys, not issuers; Realtime may do otherwise.", setUp)
	case ours != nil && len(resolved(*ours)) == 0:
		return failed(id, "The project trusts this Clerk instance and has none of its keys", "Supabase could not resolve them from "+show(ours.OIDCIssuerURL)+".",
			"Open "+strings.TrimSuffix(ours.OIDCIssuerURL, "/")+"/.well-known/openid-configuration in a browser; then remove the provider in the dashboard and add it again.").refusedBy(nil, noKey)
	case ours != nil:
		return failed(id, "The project trusts this Clerk instance and does not have the token's key",
			fmt.Sprintf("It has %s, the token names %s. %s New keys are noticed within %s.", keyIDs(resolved(*ours)), show(kid), registration(*ours, x.now), span(rotation)),
			"After a rotation wait that long; to be faster remove the provider in the dashboard and add it again. If nothing was rotated, the token is of another instance.").refusedBy(nil, noKey)
	default:
		return failed(id, "The project does not trust the token's issuer "+show(issuer), "Registered: "+issuers+"."+mixUp(issuer, x.providers), setUp).
			refusedBy(nil, noKey)
	}
}

// tried reports whether a key that PostgREST tries made the signature: it tries
// those of the algorithm's kind, and with the token's key id where it has one
// (jose-jwt, Jose.Jwk.canDecodeJws).
func (x *diagnosis) tried(keys []keyset.Key, alg string) bool {
	kid, there := x.kid()
	return slices.ContainsFunc(keys, func(k keyset.Key) bool { return (!there || k.ID == kid) && x.verify(alg, k) })
}

// resolved are the keys that Supabase has of a provider.
func resolved(p management.ThirdPartyAuth) []keyset.Key {
	set, err := keyset.Parse(p.ResolvedJWKS)
	if err != nil || len(set.Keys) == 0 {
		// Given by hand, in place of an issuer.
		if set, err = keyset.Parse(p.CustomJWKS); err != nil {
			return nil
		}
	}
	return set.Keys
}

func registration(p management.ThirdPartyAuth, now time.Time) string {
	text := "Registered as " + show(p.OIDCIssuerURL)
	if !p.ResolvedAt.IsZero() {
		text += ", keys fetched " + ago(now.Sub(p.ResolvedAt))
	}
	return text + "."
}

// mixUp names the two kinds of instance where one is registered and the other
// signed.
func mixUp(issuer string, providers []management.ThirdPartyAuth) string {
	theirs := clerk.IssuerKind(strings.TrimSuffix(issuer, "/"))
	for other, text := range map[clerk.InstanceKind]string{
		clerk.LiveInstance: " The project is set up for a production instance, the token is of a development instance.",
		clerk.TestInstance: " The project is set up for a development instance, the token is of a production instance.",
	} {
		is := func(p management.ThirdPartyAuth) bool {
			return clerk.IssuerKind(strings.TrimSuffix(p.OIDCIssuerURL, "/")) == other
		}
		if theirs != "" && theirs != other && slices.ContainsFunc(providers, is) {
			return text
		}
	}
	return ""
}

// unsuitable is the Data API's answer about key and signature, nil where it has
// none against them: from the keys that the project has, or, where those are not
// known, as if it had the instance's.
func (x *diagnosis) unsuitable() *refusal {
	alg, _ := x.header.text("alg")
	switch {
	case !x.wantsKeys() || strings.HasPrefix(alg, "HS") || x.kind == SupabaseSession:
		return nil
	case x.provided != nil:
		return pick(!*x.provided, noKey)
	case x.noKeys || x.verified:
		return nil
	}
	var keys []keyset.Key
	for _, k := range x.keys.Keys {
		if k.ID == "" { // the one that was given stands for the token's own
			k.ID, _ = x.kid()
		}
		keys = append(keys, k)
	}
	return pick(!x.tried(keys, alg), noKey)
}

// surfaces say how the parts of Supabase treat the token, each in its own way.
// Sources: supabase/realtime, which finds a key by kid and wants role and exp;
// supabase/storage, migration 0018 (owner_id); supabase/edge-runtime#542 (verify_jwt).
func (x *diagnosis) surfaces(data Verdict) []Surface {
	api := Surface{Name: "data_api", Title: "Data API", Outcome: data.Outcome, Detail: data.Because}
	realtime := Surface{Name: "realtime", Title: "Realtime", Outcome: data.Outcome, Detail: "A channel ends when the token does, unless the client brings a new one: give supabase-js the option accessToken."}
	issuer, _ := x.payload.text("iss")
	_, hasKid := x.kid()
	switch {
	case data.Outcome == Refused:
		realtime.Detail = "It refuses what the Data API refuses, and says only CHANNEL_ERROR."
	case !x.payload.has("exp") || !x.payload.has("role"):
		realtime.Outcome = Refused
		realtime.Detail = "It wants the claims role and exp, and one of them is missing: CHANNEL_ERROR."
	case !hasKid:
		realtime.Outcome = Refused
		realtime.Detail = "It looks keys up by the token's key id (kid), which is missing: CHANNEL_ERROR."
	case clerk.IssuerKind(strings.TrimSuffix(issuer, "/")) == clerk.LiveInstance:
		realtime.Detail += " With Clerk at a domain of one's own, CHANNEL_ERROR has been reported although the Data API works (supabase/supabase#44527)."
	}
	storage := Surface{
		Name: "storage", Title: "Storage", Outcome: data.Outcome,
		Detail: "Policies on storage.objects see the same claims. The owner's id is in owner_id (text); the old column owner is a uuid and fails with a Clerk id.",
	}
	edge := Surface{
		Name: "edge_functions", Title: "Edge Functions", Outcome: Refused,
		Detail: "Their gateway knows Supabase's own keys only and answers 401 Invalid JWT before the code runs. Deploy with verify_jwt = false and verify Clerk's token in the function.",
	}
	switch x.kind {
	case SupabaseAnon, SupabaseService, SupabaseSession, LegacyTemplate:
		edge.Outcome, edge.Detail = Unknown, "Their gateway verifies it with the project's own keys, which are not known here."
	default:
	}
	return []Surface{api, realtime, storage, edge}
}

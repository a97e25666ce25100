package jwtdiag

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/jsonkind"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/rls/catalog"
)

// kid is the header's key id as JavaScript reads it.
func (x *diagnosis) kid() (string, bool) {
	raw, there := x.header.value("kid")
	if !there {
		return "", false
	}
	kid, isText := asText(raw)
	return kid, isText
}

// wantsKeys reports whether the instance's keys have anything to say about what
// was given.
func (x *diagnosis) wantsKeys() bool { return x.header != nil && x.tooLarge == 0 && len(x.parts) == 3 }

// checkKeys says whether the instance's keys are there.
func (x *diagnosis) checkKeys() *check {
	const id = "jwks.fetch"
	switch {
	case x.options.Keys == nil && x.options.Offline:
		return x.openKeys(skipped(id, "The instance's keys were not fetched", "nothing is asked over the network", "Leave out --offline, or give the public key with --pem."))
	case x.options.Keys == nil:
		return x.openKeys(skipped(id, "The instance's keys are not known", "neither a key set nor a public key is configured",
			"Set CLERK_PUBLISHABLE_KEY (or CLERK_JWKS_URL, or CLERK_JWT_KEY). They are public: the dashboard shows them under API keys."))
	case !x.wantsKeys():
		return skipped(id, "The instance's keys were not needed", x.unread("header"), "")
	case x.keysErr != nil:
		return x.openKeys(x.fetchFailed(id, x.keysErr))
	}
	set := x.keys
	if set.Exposed {
		return failed(id, "ALARM: the key set shows what has to stay secret", join(append([]string{"It came from " + set.Source}, set.Unusable...)...),
			"Whoever has read it can sign in as anybody: if the address is Clerk's own, tell Clerk's support at once; if it is a proxy, replace the keys.")
	}
	what := counted(len(set.Keys), "key", "keys")
	if len(set.Keys) == 0 {
		return x.openKeys(failed(id, "The key set holds no key that could verify a token", join(append([]string{"It came from " + set.Source}, set.Unusable...)...),
			"Compare CLERK_JWKS_URL with the address in the dashboard, under API keys."))
	}
	detail := what + " from " + set.Source
	if !set.FetchedAt.IsZero() {
		detail += ", fetched " + ago(x.now.Sub(set.FetchedAt))
	}
	switch {
	case set.Stale != nil:
		return warned(id, "The instance's keys could not be fetched again: older ones are used", join(detail, x.fetchFailed(id, set.Stale).Title), "Look at the address again later; keys change seldom.")
	case len(set.Unusable) > 0:
		return warned(id, "Not every key of the instance's key set could be used", join(append([]string{detail}, set.Unusable...)...), "If the address is Clerk's own, this is for Clerk's support; if it is a proxy, for whoever runs it.")
	default:
		return passed(id, "The instance's keys are there", detail)
	}
}

// openKeys notes that without the keys neither verdict can be known.
func (x *diagnosis) openKeys(c *check) *check {
	x.noKeys = true
	return c
}

func (x *diagnosis) fetchFailed(id string, err error) *check {
	remedy := "Compare CLERK_JWKS_URL (or CLERK_PUBLISHABLE_KEY) with the dashboard, under API keys."
	title := "The instance's keys could not be fetched"
	if fetch, ok := errors.AsType[*keyset.FetchError](err); ok {
		if fetch.Exposed {
			title = "ALARM: the key set shows what has to stay secret"
		}
		switch fetch.Reason {
		case keyset.ReasonTimeout, keyset.ReasonUnreachable:
			remedy = "See whether this machine reaches the address: a firewall, a proxy or a name that does not resolve. Offline, give the public key with --pem or CLERK_JWT_KEY."
		case keyset.ReasonPrivateAddress, keyset.ReasonRedirect:
			remedy = "The address, or where it sends on to, is not a public one: nothing is fetched from there. " + remedy
		case keyset.ReasonTLS:
			remedy = "The server's certificate was refused: a proxy that opens encrypted connections does that, and so does a host name that is not Clerk's. " + remedy
		default: // what came was no key set: the address is wrong
		}
	}
	return failed(id, title, err.Error(), remedy)
}

// candidates are the keys that a token with this kid may be signed by, as Clerk's
// verifier looks them up: a key that was given without an id is for every token,
// and a list of one text is that text, as JavaScript takes it for a name.
func (x *diagnosis) candidates() []keyset.Key {
	kid, isText := x.kid()
	if raw, _ := x.header.value("kid"); !isText {
		list, _ := asTexts(raw)
		kid = strings.Join(list, ",")
	}
	return x.keys.FindAll(kid)
}

// checkKeyID is about kid: which instance signed the token.
func (x *diagnosis) checkKeyID() *check {
	const id = "header.kid"
	if x.header == nil {
		return skipped(id, "The key id is not known", x.unread("header"), "")
	}
	raw, there := x.header.value("kid")
	kid, isText := asText(raw)
	unmatched := pick(!x.noKeys && len(x.candidates()) == 0, noMatch)
	switch {
	case !there || kid == "" && isText:
		return failed(id, "The header names no key (kid)", "Clerk always names one. Without it Clerk's verifier finds no key, Realtime refuses the token, and the Data API tries every key.", useSessionToken).
			refusedBy(unmatched, nil)
	case !isText:
		return failed(id, "The key id (kid) is "+jsonkind.Of(raw), "It has to be a string.", useSessionToken).
			refusedBy(unmatched, pick(jsonkind.Of(raw) != "null", badCrypto))
	}

	pinned := x.options.InstanceID
	mixed := pinned != "" && kid != pinned
	switch {
	case x.noKeys && mixed:
		return failed(id, "The token is of another Clerk instance: "+show(kid)+", and this set-up is for "+pinned, x.otherInstance(), x.oneInstance())
	case x.noKeys && pinned != "":
		return passed(id, "Signed by the instance that is configured: "+kid, "The signature was not checked with it.")
	case x.noKeys:
		return skipped(id, "The key id "+show(kid)+" was compared with nothing", "the instance's keys are not known", "")
	case unmatched != nil:
		return failed(id, "No key of the instance has the token's key id "+show(kid),
			join("The instance's keys are "+keyIDs(x.keys.Keys), x.otherInstance()), x.oneInstance()).
			refusedBy(unmatched, nil)
	case mixed && !slices.ContainsFunc(x.keys.Keys, func(k keyset.Key) bool { return k.ID == "" }):
		return warned(id, "The token's key is among the instance's, and is not the one of CLERK_INSTANCE_ID", "The token names "+show(kid)+", the setting "+pinned+".", "Compare CLERK_INSTANCE_ID with the kid of the instance's keys.")
	case mixed:
		return failed(id, "The token is of another Clerk instance: "+show(kid)+", and this set-up is for "+pinned, x.otherInstance(), x.oneInstance())
	default:
		return passed(id, "The instance has the key "+show(kid), "")
	}
}

// otherInstance says what the issuer adds to a key that is not the instance's.
func (x *diagnosis) otherInstance() string {
	issuer, _ := x.payload.text("iss")
	theirs, ours := clerk.IssuerKind(strings.TrimSuffix(issuer, "/")), clerk.IssuerKind(x.options.Issuer)
	switch {
	case issuer != "" && issuer == x.options.Issuer:
		return "The issuer is the instance's own, so the keys were changed a short while ago, or the token was forged."
	case theirs == clerk.TestInstance && ours == clerk.LiveInstance:
		return "The token is of a development instance, and the set-up is for production."
	case theirs == clerk.LiveInstance && ours == clerk.TestInstance:
		return "The token is of a production instance, and the set-up is for development."
	case issuer != "":
		return "The token names the issuer " + show(issuer) + "."
	default:
		return ""
	}
}

func (x *diagnosis) oneInstance() string {
	return "Give the application and this set-up keys of the same Clerk instance: publishable key, secret key and the provider in Supabase belong together."
}

// checkSignature verifies, with the keys that Clerk's verifier would use. What the
// project's own copy of the keys says is checkProvider's to tell.
func (x *diagnosis) checkSignature() *check {
	const id = "signature"
	alg, _ := x.header.text("alg")
	open := func(why string) *check {
		c := skipped(id, "The signature was not verified", why, "")
		c.clerkOpen = true
		// What Supabase's own copy of the keys says was found out apart.
		c.supabaseOpen = x.provided == nil
		return c
	}
	switch {
	case !x.wantsKeys():
		return skipped(id, "The signature was not verified", x.unread("header"), "")
	case alg == "none":
		return skipped(id, "There is no signature to verify", "the algorithm is none", "")
	case strings.HasPrefix(alg, "HS"):
		c := skipped(id, "The signature was not verified", "it was made with a shared secret, which is not given to a diagnosis", "")
		c.supabaseOpen = true
		return c
	case x.parts[2].bytes == nil:
		return skipped(id, "The signature was not verified", "it "+x.parts[2].problem, "")
	case x.noKeys:
		return open("the instance's keys are not known")
	}
	candidates := x.candidates()
	if len(candidates) == 0 {
		c := open("no key of the instance has the token's key id")
		c.clerkOpen = false // refused for the key id already
		return c
	}
	for _, key := range candidates {
		if x.verify(alg, key) {
			x.verified = true
			return passed(id, "The signature is right", "Verified with the key "+orGiven(key.ID)+".")
		}
	}
	if !slices.ContainsFunc(candidates, func(k keyset.Key) bool { return fits(alg, k) }) {
		return skipped(id, "The signature was not verified", "the instance's key is for another algorithm than "+show(alg), "")
	}
	detail := "The key is the right one, so the token was changed after it was signed, or cut off and mended, or signed by somebody else."
	if len(x.parts[2].bytes) == 0 {
		detail = "It is empty."
	} else if want := signatureSize(candidates); want > 0 && len(x.parts[2].bytes) != want {
		detail = fmt.Sprintf("The signature has %d bytes where the key makes %d: a part of the token is missing.", len(x.parts[2].bytes), want)
	}
	return failed(id, "The signature does not fit the token", detail, "Copy the token again, whole. If it still fails, whoever sends it did not get it from Clerk.").
		refusedBy(clerkSays("token-invalid-signature"), nil)
}

// signatureSize is what an RSA key makes, in bytes.
func signatureSize(keys []keyset.Key) int {
	for _, k := range keys {
		if sized, ok := k.Public.(interface{ Size() int }); ok {
			return sized.Size()
		}
	}
	return 0
}

func keyIDs(keys []keyset.Key) string {
	return catalog.List(keys, func(k keyset.Key) string { return show(k.ID) })
}

func orGiven(kid string) string {
	if kid == "" {
		return "that was given"
	}
	return kid
}

// ago says how long something is past.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	default:
		return span(d) + " ago"
	}
}

// span writes a duration for people, in one unit.
func span(d time.Duration) string {
	switch d = d.Abs(); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int64(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes", int64(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int64(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int64(d.Hours()/24))
	}
}

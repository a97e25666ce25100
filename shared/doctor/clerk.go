package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/configured"
	"clerksync/shared/jwtdiag/keyset"
)

// clerkFacts are what Clerk's Backend API says.
type clerkFacts struct {
	backend *clerk.Backend
	// asked is how the first question ended.
	asked error
	// instance is the secret key's.
	instance clerk.Instance

	mu sync.Mutex
	// ahead is how far this machine's clock was ahead of the answer's; known where one had a Date.
	ahead time.Duration
	known bool
}

// noteClock compares the clocks by one exchange: the answer was made between its sending
// and its end.
func (x *examination) noteClock(e clerk.Exchange) {
	if e.ServedAt.IsZero() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ahead, x.known = x.now().Add(-e.Duration/2).Sub(e.ServedAt), true
}

// checkKeys compares what the two keys say of themselves.
func checkKeys(_ context.Context, x *examination) finding.Finding {
	var err error
	x.backend, err = clerk.NewBackend(clerk.BackendOptions{
		SecretKey: x.sync.SecretKey, URL: x.sync.APIURL, Share: 1, Observe: x.noteClock,
	})
	if err != nil {
		return fail("The secret key is not usable", sentence(err), settingsRemedy)
	}
	if x.diagnostics.PublishableKey == "" {
		return pass("The secret key is of a "+x.backend.Kind().Environment()+" instance", "CLERK_PUBLISHABLE_KEY is not set, so that there is nothing to compare it with.")
	}
	key, err := clerk.ParsePublishableKey(x.diagnostics.PublishableKey)
	switch {
	case err != nil:
		return fail("The publishable key is not usable", sentence(err), settingsRemedy)
	case key.Kind != x.backend.Kind():
		return fail("The keys are of two instances",
			fmt.Sprintf("CLERK_SECRET_KEY is of a %s instance, CLERK_PUBLISHABLE_KEY of a %s one.", x.backend.Kind().Environment(), key.Kind.Environment()),
			"Copy both keys from the API keys page of one instance in the Clerk dashboard.")
	}
	return pass("Both keys are of "+key.Kind.Environment()+" instances", "The publishable key's is at %s.", key.FrontendAPI)
}

// checkClerk asks Clerk whose key this is. That it refuses the key, or counts one request
// too many, are answers: other checks tell of these.
func checkClerk(ctx context.Context, x *examination) finding.Finding {
	x.instance, x.asked = x.backend.Instance(ctx)
	switch {
	case x.asked == nil || errors.Is(x.asked, clerk.ErrKeyRefused) || errors.Is(x.asked, clerk.ErrRateLimited):
		return pass("Clerk's API answers", "")
	default:
		return fail("Clerk's API does not answer", sentence(x.asked), "Check the network and CLERK_API_URL (normally unset), and look at status.clerk.com.")
	}
}

func checkSecretKey(_ context.Context, x *examination) finding.Finding {
	if errors.Is(x.asked, clerk.ErrKeyRefused) {
		return fail("Clerk refuses the secret key", sentence(x.asked), "Copy an active secret key from the API keys page of the Clerk dashboard, and put it wherever CLERK_SECRET_KEY is set.")
	}
	if x.asked != nil {
		return skip("Whether Clerk takes the secret key is not known", sentence(x.asked), "")
	}
	return pass("Clerk takes the secret key", "It is of the instance %s (%s).", x.instance.ID, x.instance.EnvironmentType)
}

func checkBudget(_ context.Context, x *examination) finding.Finding {
	limit := x.backend.Kind().RateLimit()
	what := fmt.Sprintf("Clerk allows %d requests in %s, counted for all keys of the instance together.", limit.Requests, limit.Per)
	switch {
	case errors.Is(x.asked, clerk.ErrRateLimited):
		return fail("The instance's rate limit is used up", sentence(x.asked)+" "+what, "Find what else uses the instance's keys, or wait; a lower SYNC_RATE_SHARE leaves more to the others.")
	case x.asked != nil:
		return skip("What is left of the rate limit is not known", sentence(x.asked), "")
	case x.backend.Stats().RateLimited > 0:
		return warn("The instance's rate limit was reached a moment ago", what, "Find what else uses the instance's keys; a lower SYNC_RATE_SHARE leaves more to the others.")
	}
	return pass("The rate limit has room", "%s", what)
}

// Tolerances: Svix refuses, and is refused, beyond five minutes; the Data API forgives 30
// seconds of a token's times. A Date has whole seconds.
const (
	clockWarns = 25 * time.Second
	clockFails = 5 * time.Minute
)

func checkClock(_ context.Context, x *examination) finding.Finding {
	x.mu.Lock()
	ahead, known := x.ahead, x.known
	x.mu.Unlock()
	if !known {
		return skip("This machine's clock could not be compared with Clerk's", "No answer had a Date.", "")
	}
	off := ahead.Abs().Round(time.Second)
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	detail := fmt.Sprintf("It is %s %s Clerk's.", off, direction)
	const remedy = "Set the clock with NTP. Where this machine is not the one that receives webhooks, look at that one's too."
	switch {
	case off >= clockFails:
		return fail("This machine's clock is wrong", detail+" Webhooks are refused beyond 5 minutes, tokens beyond 30 seconds.", remedy)
	case off >= clockWarns:
		return warn("This machine's clock is off", detail+" Tokens are refused beyond 30 seconds.", remedy)
	}
	return pass("This machine's clock agrees with Clerk's", "They are within %s.", max(off, time.Second))
}

func checkInstance(_ context.Context, x *examination) finding.Finding {
	switch pinned := x.sync.InstanceID; pinned {
	case "":
		return pass("The secret key is of "+x.instance.ID, "CLERK_INSTANCE_ID pins no instance.")
	case x.instance.ID:
		return pass("The secret key is of the pinned instance", "CLERK_INSTANCE_ID is %s.", pinned)
	default:
		return fail("The secret key is of another instance than the pinned one",
			fmt.Sprintf("CLERK_INSTANCE_ID (%s) is %s, and the secret key is of %s.", x.sync.InstanceOrigin, pinned, x.instance.ID),
			"Copy CLERK_SECRET_KEY from the instance that is pinned, or correct the pin.")
	}
}

// keyFacts are the instance's public keys as its Frontend API publishes them.
type keyFacts struct {
	keys keyset.Set
	// fetched is how fetching them ended.
	fetched error
}

func checkKeySet(ctx context.Context, x *examination) finding.Finding {
	if x.keySet == "" {
		return skip("Where the instance publishes its keys is not known", "None of CLERK_PUBLISHABLE_KEY, CLERK_ISSUER and CLERK_JWKS_URL is set.", "Set CLERK_PUBLISHABLE_KEY.")
	}
	source, err := keyset.NewSource(keyset.SourceOptions{URL: x.keySet})
	if err != nil {
		return fail("The address of the key set is not usable", sentence(err), settingsRemedy)
	}
	x.keys, x.fetched = source.Keys(ctx, "")
	failure, ok := errors.AsType[*keyset.FetchError](x.fetched)
	switch {
	case x.fetched == nil, ok && failure.Reason == keyset.ReasonNoKeys:
		return pass("The instance's key set can be fetched", "It is at %s.", x.keySet)
	case ok && failure.Reason == keyset.ReasonStatus:
		return fail("The instance's domain does not serve its key set", sentence(x.fetched),
			"Look at Domains in the Clerk dashboard: a production domain serves nothing before its DNS records are verified. Otherwise correct CLERK_PUBLISHABLE_KEY, CLERK_ISSUER or CLERK_JWKS_URL.")
	default:
		return fail("The instance's key set cannot be fetched", sentence(x.fetched), "Open "+x.keySet+" from this machine; correct CLERK_PUBLISHABLE_KEY, CLERK_ISSUER or CLERK_JWKS_URL where that is another instance's.")
	}
}

func checkPublicKeys(_ context.Context, x *examination) finding.Finding {
	switch {
	case x.fetched != nil:
		return fail("The key set has no key that tokens can be verified with", sentence(x.fetched), "Correct CLERK_JWKS_URL; if it is Clerk's own address, ask Clerk's support.")
	case x.keys.Exposed:
		return fail("The key set shows keys that must be secret", strings.Join(x.keys.Unusable, " "), "Take them out of the set and rotate them: anybody who has read it can sign tokens.")
	}
	return pass("The key set has usable keys", "%d, with the ids %s.", len(x.keys.Keys), strings.Join(keyIDs(x.keys), ", "))
}

func keyIDs(set keyset.Set) []string {
	var ids []string
	for _, k := range set.Keys {
		ids = append(ids, k.ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// checkPublishableKey compares the published keys with those of the secret key's instance.
func checkPublishableKey(ctx context.Context, x *examination) finding.Finding {
	text, err := x.backend.JWKS(ctx)
	var own keyset.Set
	if err == nil {
		own, err = keyset.Parse(text)
	}
	if err != nil {
		return skip("Whether both keys are of one instance is not known", sentence(err), "")
	}
	if !slices.ContainsFunc(own.Keys, func(k keyset.Key) bool { return x.keys.Holds(k) }) {
		return fail("The secret key and the published keys are of two instances",
			fmt.Sprintf("%s has the keys %s, and the secret key's instance %s signs with %s.", x.keySet, strings.Join(keyIDs(x.keys), ", "), x.instance.ID, strings.Join(keyIDs(own), ", ")),
			"Copy CLERK_SECRET_KEY and CLERK_PUBLISHABLE_KEY from the API keys page of one instance.")
	}
	return pass("The published keys are those of the secret key's instance", "")
}

// checkToken judges a session token, where one is given: nothing else shows its claims.
func checkToken(ctx context.Context, x *examination) finding.Finding {
	if x.Token.IsZero() {
		return skip("Whether session tokens have the claim role was not looked at", "It shows in a token alone.", "Give one of a signed-in user with --token FILE, or to clerksync test-jwt.")
	}
	diagnoser := configured.New(configured.Options{
		Configure: func(context.Context) (config.Diagnostics, error) { return x.diagnostics, nil }, Now: x.now,
	})
	report, err := diagnoser.Diagnose(ctx, jwtdiag.Request{Token: x.Token.Reveal()})
	switch {
	case err != nil:
		return skip("The token was not judged", sentence(err), "")
	case report.Verdicts.Supabase.Outcome == jwtdiag.Refused:
		return fail("The Data API refuses the token", report.Sentence, "clerksync test-jwt says of each claim what to do. Without the claim role: "+jwtdiag.ActivateIntegration)
	case report.Verdicts.Supabase.Role != "" && report.Verdicts.Supabase.Role != "authenticated":
		return fail("The Data API takes the token as "+report.Verdicts.Supabase.Role, report.Sentence, jwtdiag.ActivateIntegration)
	case report.Verdicts.Supabase.Outcome != jwtdiag.Accepted || report.Verdicts.Supabase.Role == "":
		return skip("Whether the Data API takes the token is not known", report.Sentence, "")
	}
	return pass("The Data API takes the token as authenticated", "%s", report.Sentence)
}

// Package keyset has the public keys that tokens are verified with.
//
//	source, err := keyset.NewSource(keyset.SourceOptions{URL: "https://clerk.example.com/.well-known/jwks.json"})
//	set, err := source.Keys(ctx, header.KeyID)
//	for _, key := range set.FindAll(header.KeyID) {
//		… // verify with key.Public
//	}
//
//	set, err := keyset.FromPEM([]byte(os.Getenv("CLERK_JWT_KEY"))) // without a network
//	keys := set.Static()
//
// A [Source] reads the key set of one configured address and keeps it; see there for how often it asks and which
// addresses it refuses. [Parse] reads a set that is at hand.
//
// Keys are taken one by one: one that is broken, weak, private or for something else is left out with a sentence in
// [Set.Unusable], and the others serve. Usable are RSA keys of 2048 to 8192 bits, ECDSA keys on P-256, P-384 and
// P-521, and Ed25519 keys, which are what Clerk, Supabase and PostgREST verify with.
//
// Limits: certificates are read for their keys alone, neither their chain nor their dates are checked; URLs inside a
// key (x5u) are never followed.
package keyset

import (
	"context"
	"crypto"
	"slices"
	"time"
)

// Key is a public key.
type Key struct {
	// ID is its kid; empty for a key that was given without one.
	ID string
	// Algorithm is its alg ("RS256"); may be empty.
	Algorithm string
	// Public is *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey.
	Public crypto.PublicKey
}

// Set is a set of keys and where it came from. Sets share what they point to, which must not be written to.
type Set struct {
	// Keys are in the order of the source; several may have one id.
	Keys []Key
	// Unusable says, one sentence each, which keys were left out and why. No sentence holds key material.
	Unusable []string
	// Exposed says that the source shows private or symmetric keys: whoever has read it can sign tokens. Which ones
	// stands in Unusable.
	Exposed bool
	// Source names where they are from, for people: a URL or a file.
	Source string
	// FetchedAt is zero for keys that were given.
	FetchedAt time.Time
	// Stale is why older keys are served: the error of the latest fetch.
	Stale error
}

// Find returns the key with an id; a key that was given without an id has any. Where several have it, it is the
// first of [Set.FindAll].
func (s Set) Find(kid string) (Key, bool) {
	if found := s.FindAll(kid); len(found) > 0 {
		return found[0], true
	}
	return Key{}, false
}

// FindAll returns every key with an id, in the order of the source, and after them the keys without an id, which may
// have any. Several keys of one id are an error of the source, and the signature tells which one is meant.
func (s Set) FindAll(kid string) []Key {
	var named, unnamed []Key
	for _, k := range s.Keys {
		switch k.ID {
		case "":
			unnamed = append(unnamed, k)
		case kid:
			named = append(named, k)
		}
	}
	return append(named, unnamed...)
}

// Holds reports whether a key is in the set. Ids do not tell: Clerk's is the instance's, so that a new key can have the old
// one's.
func (s Set) Holds(key Key) bool {
	public, ok := key.Public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && slices.ContainsFunc(s.Keys, func(k Key) bool { return public.Equal(k.Public) })
}

// has reports whether a key has exactly this id.
func (s Set) has(kid string) bool {
	return slices.ContainsFunc(s.Keys, func(k Key) bool { return k.ID == kid })
}

// Static serves keys that were given.
func (s Set) Static() Static { return Static{s} }

// Static serves a fixed set. Its zero value serves none.
type Static struct{ set Set }

// Keys returns the set, whichever key is wanted.
func (s Static) Keys(context.Context, string) (Set, error) { return s.set, nil }

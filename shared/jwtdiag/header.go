package jwtdiag

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"clerksync/shared/jsonkind"
	"clerksync/shared/jwtdiag/keyset"
)

// What the two know. Clerk's verifier: Clerk JavaScript,
// backend/src/jwt/algorithms.ts. PostgREST: jose-jwt, Jose.Jwa; another name makes
// its reading of the header fail.
var (
	clerkAlgorithms     = []string{"RS256", "RS384", "RS512"}
	postgrestAlgorithms = []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// checkAlgorithm is about alg, and about typ and crit, which say how to read on.
func (x *diagnosis) checkAlgorithm() *check {
	const id = "header.alg"
	if x.header == nil {
		return skipped(id, "The algorithm is not known", x.unread("header"), "")
	}
	c := x.algorithm(id)
	// Clerk's verifier looks at the type before it looks at the algorithm.
	if ofType := x.checkType(id); ofType != nil && ofType.clerk != nil && c.clerk != nil {
		c.clerk = ofType.clerk
	}
	return c
}

func (x *diagnosis) algorithm(id string) *check {
	raw, there := x.header.value("alg")
	alg, isText := asText(raw)
	switch {
	case !there || !isText:
		return failed(id, "The header names no algorithm", "alg is "+orMissing(there, jsonkind.Of(raw))+".", useSessionToken).refusedBy(badAlgorithm, badCrypto)
	case alg == "none":
		return failed(id, "The token is not signed: its algorithm is none", "Anybody can write such a token. Nobody may accept it.", useSessionToken).
			refusedBy(badAlgorithm, postgrestSays("PGRST301", "Wrong or unsupported encoding algorithm"))
	case x.header.has("enc"):
		return failed(id, "The header is that of an encrypted token", "It has the parameter enc.", useSessionToken).refusedBy(pick(!slices.Contains(clerkAlgorithms, alg), badAlgorithm), badCrypto)
	case strings.HasPrefix(alg, "HS"):
		detail := "Clerk signs with the instance's RSA key (RS256). A shared secret is what the deprecated JWT template and Supabase's own keys use."
		c := failed(id, fmt.Sprintf("The token is signed with a shared secret (%s)", alg), detail, useSessionToken).refusedBy(badAlgorithm, nil)
		if !slices.Contains(postgrestAlgorithms, alg) {
			c.supabase = badCrypto
		}
		// The project's own secret is not known here.
		c.supabaseOpen = c.supabase == nil
		return c
	case !slices.Contains(postgrestAlgorithms, alg) && !slices.Contains(clerkAlgorithms, alg):
		return failed(id, "The algorithm "+show(alg)+" is not one that Clerk or Supabase knows", "Clerk signs with RS256.", useSessionToken).refusedBy(badAlgorithm, badCrypto)
	case !slices.Contains(clerkAlgorithms, alg):
		return failed(id, "The algorithm is "+alg+", and Clerk signs with RS256", "Supabase's own tokens use such algorithms.", useSessionToken).refusedBy(badAlgorithm, nil)
	}
	if refused := x.checkType(id); refused != nil {
		return refused
	}
	if alg != "RS256" {
		return failed(id, "The algorithm is "+alg+", and the instance's keys are for RS256", "Both refuse a token whose algorithm is not the key's own.", useSessionToken).
			refusedBy(unverifiable, nil)
	}
	return passed(id, "RS256, as Clerk signs", "")
}

// checkType is about header parameters that say how to read on; nil where nothing
// is wrong with them.
func (x *diagnosis) checkType(id string) *check {
	// An unknown critical parameter has to be refused (RFC 7515, 4.1.11); neither
	// Clerk's verifier nor PostgREST looks.
	if raw, there := x.header.value("crit"); there {
		return failed(id, "The header has critical parameters, which Clerk never sets", fmt.Sprintf("crit is %s. Who follows RFC 7515 refuses the token; Clerk's verifier and PostgREST do not look.", jsonkind.Of(raw)), useSessionToken)
	}
	raw, there := x.header.value("typ")
	typ, isText := asText(raw)
	if there && typ != "JWT" {
		return failed(id, "The type in the header (typ) is "+shownOrKind(raw)+", and a session token's is JWT", "Clerk's verifier compares it exactly.", useSessionToken).
			refusedBy(clerkSays("token-invalid"), pick(!isText && jsonkind.Of(raw) != "null", badCrypto))
	}
	return nil
}

func orMissing(there bool, kind string) string {
	if !there {
		return "missing"
	}
	return kind
}

// shownOrKind is a text, or of anything else what it is.
func shownOrKind(raw json.RawMessage) string {
	if text, isText := asText(raw); isText {
		return show(text)
	}
	return jsonkind.Of(raw)
}

// unread says why a part is not known.
func (x *diagnosis) unread(name string) string {
	switch {
	case x.tooLarge > 0:
		return "it is too large to be looked at"
	case !x.kind.isJWT() && x.kind != Malformed:
		return "this is " + x.kind.String()
	default:
		return "the " + name + " of the token cannot be read"
	}
}

// verify reports whether a key made the signature. It fails where the key is not
// of the algorithm's kind.
func (x *diagnosis) verify(alg string, key keyset.Key) bool {
	method := jwt.GetSigningMethod(alg)
	if method == nil || !fits(alg, key) || len(x.parts) != 3 || x.parts[2].bytes == nil {
		return false
	}
	return method.Verify(x.parts[0].raw+"."+x.parts[1].raw, x.parts[2].bytes, key.Public) == nil
}

// fits reports whether a key is of the kind that an algorithm uses, and for it.
func fits(alg string, key keyset.Key) bool {
	if key.Algorithm != "" && key.Algorithm != alg {
		return false
	}
	switch key.Public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS")
	case *ecdsa.PublicKey:
		return strings.HasPrefix(alg, "ES")
	case ed25519.PublicKey:
		return alg == "EdDSA"
	default:
		return false
	}
}

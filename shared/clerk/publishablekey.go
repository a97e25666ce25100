package clerk

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"clerksync/shared/secret"
)

// The ways in which a publishable key is refused. No error repeats any of what
// was given, since it may be a secret in the wrong place.
var (
	// ErrNotPublishableKey says that the text is no publishable key.
	ErrNotPublishableKey = errors.New("not a Clerk publishable key")
	// ErrSecretKey says that the text is a secret: a Backend API key or a
	// webhook signing secret. Wherever it was shown by mistake, it needs rotating.
	ErrSecretKey = errors.New("this is a secret, not a Clerk publishable key")
)

// InstanceKind tells a development instance from a production one.
type InstanceKind string

// The kinds of instance, as keys name them.
const (
	TestInstance InstanceKind = "test"
	LiveInstance InstanceKind = "live"
)

// Environment is what people and Clerk's environment_type call the kind.
func (k InstanceKind) Environment() string {
	if k == LiveInstance {
		return "production"
	}
	return "development"
}

// PublishableKey is what a publishable key says. The zero value says nothing.
type PublishableKey struct {
	Kind InstanceKind
	// FrontendAPI is the host of the instance's Frontend API, without scheme,
	// port or path: "….clerk.accounts.dev" for test instances, the team's own
	// domain, mostly "clerk.<domain>", for live ones.
	FrontendAPI string
}

var hostPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ParsePublishableKey reads a key of the form pk_test_… or pk_live_…, in which
// the rest is base64 of the Frontend API host and one "$" (Clerk JavaScript,
// shared/src/keys.ts). White space around it and base64 padding are allowed.
// Errors wrap ErrNotPublishableKey or ErrSecretKey.
func ParsePublishableKey(key string) (PublishableKey, error) {
	key = strings.TrimSpace(key)
	switch kind, prefix := secret.KindOf(key); kind {
	case "", secret.ClerkPublishableKey, secret.SupabasePublishableKey, secret.ClerkDevBrowser, secret.JWT:
	default:
		return PublishableKey{}, fmt.Errorf("%w: it begins with %q, and a publishable key begins with pk_test_ or pk_live_", ErrSecretKey, prefix)
	}
	kind, encoded, ok := cutKind(key)
	if !ok {
		return PublishableKey{}, fmt.Errorf("%w: it does not begin with pk_test_ or pk_live_", ErrNotPublishableKey)
	}
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return PublishableKey{}, fmt.Errorf("%w: what follows pk_%s_ is not base64; it may be cut off", ErrNotPublishableKey, kind)
	}
	host, ended := strings.CutSuffix(string(decoded), "$")
	if !ended || len(host) > 253 || !hostPattern.MatchString(host) {
		return PublishableKey{}, fmt.Errorf("%w: what follows pk_%s_ does not decode to a host name and a final $; it may be cut off", ErrNotPublishableKey, kind)
	}
	return PublishableKey{Kind: kind, FrontendAPI: host}, nil
}

func cutKind(key string) (kind InstanceKind, rest string, ok bool) {
	for _, kind := range []InstanceKind{TestInstance, LiveInstance} {
		if rest, ok := strings.CutPrefix(key, "pk_"+string(kind)+"_"); ok {
			return kind, rest, true
		}
	}
	return "", "", false
}

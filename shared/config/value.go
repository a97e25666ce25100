package config

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
)

// invalid joins the problems there are into one error, or returns nil.
func invalid(problems ...error) error {
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%w:\n%w", ErrInvalid, err)
	}
	return nil
}

var instanceID = regexp.MustCompile(`^ins_[A-Za-z0-9]+$`)

func parseInstanceID(v setting) (string, error) {
	if v.value == "" {
		return "", nil
	}
	if err := v.quoted(); err != nil {
		return "", err
	}
	if !instanceID.MatchString(v.value) {
		if kind := secretKind(v.value); kind != "" {
			return "", v.problem("is a %s, not an instance id: an instance id begins with ins_", kind)
		}
		return "", v.problem("is no instance id: one begins with ins_ and goes on with letters and digits (it is the kid of the instance's keys)")
	}
	return v.value, nil
}

func parseLogLevel(v setting) (slog.Level, error) {
	switch strings.ToLower(v.value) {
	case "":
		return slog.LevelInfo, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	default:
		return slog.LevelInfo, v.problem("is no level: use debug, info, warn or error")
	}
}

// Kinds that somebody decides on.
const (
	kindConnectionString = "database connection string"
	kindSecretKey        = "Clerk secret key (sk_…)"
	kindPublishableKey   = "Clerk publishable key (pk_…)"
	kindAccessToken      = "Supabase access token (sbp_…)"
)

// secretKind names what a value is by its first letters, or returns "" where they say nothing. It recognises what ends
// up in the wrong variable; article-free, to stand after "is a".
func secretKind(value string) string {
	for _, k := range []struct{ prefix, kind string }{
		{"sk_test_", kindSecretKey},
		{"sk_live_", kindSecretKey},
		{"pk_test_", kindPublishableKey},
		{"pk_live_", kindPublishableKey},
		{"whsec_", "webhook signing secret (whsec_…)"},
		{"whsk_", "webhook key pair (whsk_…), which Clerk does not use"},
		{"whpk_", "webhook public key (whpk_…), which Clerk does not use"},
		{"sbp_", kindAccessToken},
		{"sb_secret_", "Supabase secret key (sb_secret_…)"},
		{"sb_publishable_", "Supabase publishable key (sb_publishable_…)"},
		{"eyJ", "JSON web token"},
		{"postgres://", kindConnectionString},
		{"postgresql://", kindConnectionString},
	} {
		if strings.HasPrefix(value, k.prefix) {
			return k.kind
		}
	}
	return ""
}

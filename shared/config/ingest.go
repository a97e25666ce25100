package config

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"clerksync/shared/secret"
)

// parseIngest checks everything the webhook function needs and reports every problem at once.
func parseIngest(s settings) (Ingest, error) {
	var cfg Ingest
	var problems []error
	check := func(errs ...error) { problems = append(problems, errs...) }

	var err error
	cfg.Database, err = parseDatabase(s)
	check(err)
	cfg.SigningSecrets, err = parseSigningSecrets(s.get(keySigningSecret))
	check(err)
	cfg.InstanceID, err = parseInstanceID(s.get(keyInstanceID))
	check(err)
	cfg.LogLevel, err = parseLogLevel(s.get(keyLogLevel))
	check(err)

	if err := errors.Join(problems...); err != nil {
		return Ingest{}, fmt.Errorf("%w:\n%w", ErrInvalid, err)
	}
	return cfg, nil
}

func parseDatabase(s settings) (Database, error) {
	dsn, urlErr := parseDatabaseURL(s.get(keyDatabaseURL))
	ca, caErr := parseCACert(s.get(keyDatabaseCA))
	ref, refErr := parseProjectRef(s.get(keyProjectRef))
	return Database{URL: dsn, CACert: ca, ProjectRef: ref}, errors.Join(urlErr, caErr, refErr)
}

// parseDatabaseURL catches what is no connection string at all. The rest is package supabase's.
func parseDatabaseURL(v setting) (secret.Value, error) {
	const copyIt = "copy the connection string of the transaction pooler from the project's Connect dialog (postgresql://…)"
	if v.value == "" {
		return secret.Value{}, v.missing(copyIt)
	}
	if err := v.quoted(); err != nil {
		return secret.Value{}, err
	}
	lower := strings.ToLower(v.value)
	if strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://") {
		if u, err := url.Parse(lower); err == nil && strings.HasSuffix(u.Hostname(), ".supabase.co") {
			return secret.Value{}, v.problem("is the project's API URL, which belongs in SUPABASE_URL: %s", copyIt)
		}
		return secret.Value{}, v.problem("is a web address: %s", copyIt)
	}
	if kind := secretKind(v.value); kind != "" && kind != kindConnectionString {
		return secret.Value{}, v.problem("is a %s: %s", kind, copyIt)
	}
	return secret.New(v.value), nil
}

// Key sizes that Svix takes for a symmetric secret, in bytes (svix-webhooks server, EndpointSecret: the pattern of its
// API allows 32 to 100 base64 characters).
const (
	minSigningKey = 24
	maxSigningKey = 75
)

func parseSigningSecrets(v setting) ([]secret.Value, error) {
	const copyIt = "copy the signing secret (whsec_…) from the endpoint's page in the Clerk dashboard"
	if v.value == "" {
		return nil, v.missing(copyIt)
	}
	if err := v.quoted(); err != nil {
		return nil, err
	}

	var found []secret.Value
	var problems []error
	for i, item := range strings.Split(v.value, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		one := setting{v.key, item, v.origin}
		if strings.Contains(v.value, ",") {
			one.origin = fmt.Sprintf("%s, item %d", v.origin, i+1)
		}
		if err := checkSigningSecret(one, copyIt); err != nil {
			problems = append(problems, err)
			continue
		}
		if !slices.Contains(found, secret.New(item)) {
			found = append(found, secret.New(item))
		}
	}
	if len(found) == 0 && len(problems) == 0 {
		return nil, v.missing(copyIt)
	}
	return found, errors.Join(problems...)
}

func checkSigningSecret(v setting, copyIt string) error {
	if err := v.quoted(); err != nil {
		return err
	}
	encoded, ok := strings.CutPrefix(v.value, "whsec_")
	if !ok {
		if kind := secretKind(v.value); kind != "" {
			return v.problem("is a %s: %s", kind, copyIt)
		}
		return v.problem("does not begin with whsec_: %s, with its prefix", copyIt)
	}
	// The decoder skips line breaks; the verifying library would be given them too, but a secret that holds one was
	// pasted badly.
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return v.problem("is not base64 after its whsec_ prefix: a part is missing or was changed; %s", copyIt)
	}
	if len(key) < minSigningKey || len(key) > maxSigningKey {
		return v.problem("decodes to %d bytes, but a signing key has %d to %d: a part is missing or doubled; %s",
			len(key), minSigningKey, maxSigningKey, copyIt)
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

var projectRef = regexp.MustCompile(`^[a-z]{20}$`)

func parseProjectRef(v setting) (string, error) {
	if v.value == "" || projectRef.MatchString(v.value) {
		return v.value, nil
	}
	if err := v.quoted(); err != nil {
		return "", err
	}
	if strings.Contains(v.value, ".supabase.") {
		return "", v.problem("is an address: give only the reference, the 20 letters before .supabase.co")
	}
	return "", v.problem("is no project reference: that is 20 lower-case letters, the first part of https://<ref>.supabase.co")
}

// parseCACert returns PEM text with real line breaks. Environment files and consoles keep one line only, so a literal
// \n stands for one.
func parseCACert(v setting) (string, error) {
	if v.value == "" {
		return "", nil
	}
	if err := v.quoted(); err != nil {
		return "", err
	}
	text := strings.NewReplacer(`\r\n`, "\n", `\n`, "\n", "\r\n", "\n").Replace(v.value)
	if !strings.Contains(text, "-----BEGIN") {
		if strings.HasSuffix(text, ".crt") || strings.HasSuffix(text, ".pem") || strings.HasSuffix(text, ".cer") {
			return "", v.problem("is a file name: give the file's text")
		}
		if strings.HasPrefix(text, "LS0tLS1CRUdJTi") {
			return "", v.problem("is PEM text encoded once more in base64: give the text that begins with -----BEGIN CERTIFICATE-----")
		}
		return "", v.problem("is no PEM text: it begins with -----BEGIN CERTIFICATE-----")
	}

	certificates := 0
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return "", v.problem("holds a PEM block that is no certificate: give certificates only, and no private key")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", v.problem("certificate %d cannot be read: download it again", certificates+1)
		}
		certificates++
	}
	if certificates == 0 {
		return "", v.problem(`holds no readable certificate: its line breaks are lost or a part is missing; write each line break as \n`)
	}
	return text, nil
}

const kindConnectionString = "database connection string"

// secretKind names what a value is by its first letters, or returns "" where they say nothing. It recognises what ends
// up in the wrong variable; article-free, to stand after "is a".
func secretKind(value string) string {
	for _, k := range []struct{ prefix, kind string }{
		{"sk_test_", "Clerk secret key (sk_…)"},
		{"sk_live_", "Clerk secret key (sk_…)"},
		{"pk_test_", "Clerk publishable key (pk_…)"},
		{"pk_live_", "Clerk publishable key (pk_…)"},
		{"whsec_", "webhook signing secret (whsec_…)"},
		{"whsk_", "webhook key pair (whsk_…), which Clerk does not use"},
		{"whpk_", "webhook public key (whpk_…), which Clerk does not use"},
		{"sbp_", "Supabase access token (sbp_…)"},
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

package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"regexp"
	"strings"

	"clerksync/shared/secret"
)

func parseDatabase(s settings) (Database, error) {
	dsn, urlErr := parseDatabaseURL(s.get(keyDatabaseURL))
	ca, caErr := parseCACert(s.get(keyDatabaseCA))
	ref, refErr := parseProjectRef(s.get(keyProjectRef))
	database := Database{URL: dsn, CACert: ca, ProjectRef: ref}
	return database, errors.Join(urlErr, caErr, refErr, s.checkDatabase(database))
}

// checkDatabase checks a connection string in depth, with as much of the other settings as can be used.
func (s settings) checkDatabase(d Database) error {
	if s.check == nil || d.URL.IsZero() {
		return nil
	}
	return s.check(d)
}

const copyConnectionString = "copy the connection string of the transaction pooler from the project's Connect dialog (postgresql://…)"

func parseDatabaseURL(v setting) (secret.Value, error) {
	if v.value == "" {
		return secret.Value{}, v.missing(copyConnectionString)
	}
	return parseConnectionString(v)
}

// parseConnectionString catches what is no connection string at all. The rest is package supabase's.
func parseConnectionString(v setting) (secret.Value, error) {
	const copyIt = copyConnectionString
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

// pemText returns PEM text with real line breaks. Environment files and consoles keep one line only, so a literal \n stands
// for one. begin is the first line that is expected.
func (s setting) pemText(begin string) (string, error) {
	if err := s.quoted(); err != nil {
		return "", err
	}
	text := strings.NewReplacer(`\r\n`, "\n", `\n`, "\n", "\r\n", "\n").Replace(s.value)
	if !strings.Contains(text, "-----BEGIN") {
		if strings.HasSuffix(text, ".crt") || strings.HasSuffix(text, ".pem") || strings.HasSuffix(text, ".cer") {
			return "", s.problem("is a file name: give the file's text")
		}
		if strings.HasPrefix(text, "LS0tLS1CRUdJTi") {
			return "", s.problem("is PEM text encoded once more in base64: give the text that begins with %s", begin)
		}
		return "", s.problem("is no PEM text: it begins with %s", begin)
	}
	return text, nil
}

func parseCACert(v setting) (string, error) {
	if v.value == "" {
		return "", nil
	}
	text, err := v.pemText("-----BEGIN CERTIFICATE-----")
	if err != nil {
		return "", err
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

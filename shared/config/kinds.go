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
	"strconv"
	"strings"

	"clerksync/shared/netaddr"
	"clerksync/shared/secret"
)

// into has what a kind reads put where it belongs. A kind is a function that checks a value which is set; each of its
// errors names the fix, and none quotes the value.
func into[T any](field func(*values) *T, kind func(setting) (T, error)) func(*values, setting) error {
	return func(v *values, s setting) (err error) {
		*field(v), err = unquoted(s, kind)
		return err
	}
}

// unquoted refuses a value that arrived with the quotation marks of a shell or a .env file around it.
func unquoted[T any](s setting, kind func(setting) (T, error)) (T, error) {
	for _, marks := range [][2]string{{`"`, `"`}, {"'", "'"}, {"`", "`"}, {"“", "”"}, {"‘", "’"}} {
		if len(s.value) > 1 && strings.HasPrefix(s.value, marks[0]) && strings.HasSuffix(s.value, marks[1]) {
			var none T
			return none, s.errorf("has quotation marks around it: remove them")
		}
	}
	return kind(s)
}

// masked is a kind whose value must not be printed.
func masked(kind func(setting) (string, error)) func(setting) (secret.Value, error) {
	return func(s setting) (secret.Value, error) {
		value, err := kind(s)
		return secret.New(value), err
	}
}

// list is a kind of several values between commas, each of which is kept once.
func list[T comparable](kind func(setting) (T, error)) func(setting) ([]T, error) {
	return func(s setting) ([]T, error) {
		var found []T
		var problems []error
		for i, item := range strings.Split(s.value, ",") {
			one := s
			if one.value = strings.TrimSpace(item); one.value == "" {
				continue
			}
			if strings.Contains(s.value, ",") {
				one.origin = fmt.Sprintf("%s, item %d", s.origin, i+1)
			}
			value, err := unquoted(one, kind)
			if err != nil {
				problems = append(problems, err)
			} else if !slices.Contains(found, value) {
				found = append(found, value)
			}
		}
		if len(found)+len(problems) == 0 {
			return nil, s.missing()
		}
		return found, errors.Join(problems...)
	}
}

// oneOf is a kind of a few words, in any case.
func oneOf[T any](words map[string]T, otherwise string) func(setting) (T, error) {
	return func(s setting) (T, error) {
		value, ok := words[strings.ToLower(s.value)]
		if !ok {
			return value, s.problem("%s", otherwise)
		}
		return value, nil
	}
}

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// share is above 0 and up to 1.
func share(s setting) (float64, error) {
	// What is no number, and NaN, fails the comparisons.
	share, err := strconv.ParseFloat(s.value, 64)
	if err != nil || !(share > 0 && share <= 1) {
		return 0, s.problem("is no share: give a number above 0 and up to 1, with a point, such as 0.2 for a fifth of Clerk's limit")
	}
	return share, nil
}

// credential is a key or token that begins with what it is.
type credential struct {
	// word is what it is called.
	word string
	kind secret.Kind
	// begins is how, for people, and form how as a whole.
	begins string
	form   *regexp.Regexp
}

var (
	// What a secret key is made of, and how long it is, is not documented: only how it begins, the oldest ones without sk_.
	secretKey = credential{"a secret key", secret.ClerkSecretKey, "sk_test_ or sk_live_", regexp.MustCompile(`^(sk_)?(test|live)_[!-~]+$`)}
	// What a publishable key says is read by package clerk. Here only the wrong kind of value is caught.
	publishableKey = credential{"a publishable key", secret.ClerkPublishableKey, "pk_test_ or pk_live_", regexp.MustCompile(`^pk_(test|live)_[A-Za-z0-9+/=_-]+$`)}
	accessToken    = credential{"an access token", secret.SupabaseAccessToken, "sbp_", regexp.MustCompile(`^sbp_[!-~]+$`)}
)

func (c credential) check(s setting) (string, error) {
	kind, _ := secret.KindOf(s.value)
	switch other := mistaken(s.value, c.kind); {
	case other != "":
		return "", s.problem("is a %s", other)
	case strings.HasPrefix(strings.ToLower(s.value), "bearer "):
		return "", s.problem("begins with the name of a header's scheme, which is no part of %s", c.word)
	case strings.ContainsAny(s.value, "*•…") || strings.Contains(s.value, "..."):
		return "", s.problem("is hidden in part, as pages show it, and can be had whole by its copy button")
	case c.form.MatchString(s.value) && !strings.ContainsAny(s.value, ",;"):
		return s.value, nil
	case kind == c.kind:
		return "", s.problem("begins like %s and goes on with nothing, or with more than one key", c.word)
	default:
		return "", s.problem("does not begin with %s", c.begins)
	}
}

// Key sizes that Svix takes for a symmetric secret, in bytes (svix-webhooks server, EndpointSecret: the pattern of its
// API allows 32 to 100 base64 characters).
const (
	minSigningKey = 24
	maxSigningKey = 75
)

func signingSecret(s setting) (string, error) {
	encoded, ok := strings.CutPrefix(s.value, "whsec_")
	if !ok {
		if other := mistaken(s.value, ""); other != "" {
			return "", s.problem("is a %s", other)
		}
		return "", s.problem("does not begin with whsec_")
	}
	// The decoder skips line breaks; the verifying library would be given them too, but a secret that holds one was
	// pasted badly.
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return "", s.problem("is not base64 after its whsec_ prefix, so that a part is missing or was changed")
	}
	if len(key) < minSigningKey || len(key) > maxSigningKey {
		return "", s.problem("decodes to %d bytes, but a signing key has %d to %d, so that a part is missing or doubled", len(key), minSigningKey, maxSigningKey)
	}
	return s.value, nil
}

var instancePattern = regexp.MustCompile(`^ins_[A-Za-z0-9]+$`)

func instanceID(s setting) (string, error) {
	if instancePattern.MatchString(s.value) {
		return s.value, nil
	}
	if other := mistaken(s.value, ""); other != "" {
		return "", s.problem("is a %s, not an instance id: an instance id begins with ins_", other)
	}
	return "", s.problem("is no instance id: one begins with ins_ and goes on with letters and digits (it is the kid of the instance's keys)")
}

var refPattern = regexp.MustCompile(`^[a-z]{20}$`)

func projectRef(s setting) (string, error) {
	if refPattern.MatchString(s.value) {
		return s.value, nil
	}
	if strings.Contains(s.value, ".supabase.") {
		return "", s.problem("is an address: give only the reference, the 20 letters before .supabase.co")
	}
	return "", s.problem("is no project reference: that is 20 lower-case letters, the first part of https://<ref>.supabase.co")
}

// connectionString catches what is no connection string at all. The rest is package supabase's.
func connectionString(s setting) (string, error) {
	lower := strings.ToLower(s.value)
	if strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://") {
		if u, err := url.Parse(lower); err == nil && strings.HasSuffix(u.Hostname(), ".supabase.co") {
			return "", s.problem("is the project's API URL, which belongs in SUPABASE_URL")
		}
		return "", s.problem("is a web address")
	}
	if other := mistaken(s.value, secret.ConnectionString); other != "" {
		return "", s.problem("is a %s", other)
	}
	return s.value, nil
}

// The roles that only write the copy, as user of a connection string: alone, or with a pooler's suffix.
var writerLogin = regexp.MustCompile(`(?i)^postgres(?:ql)?://(clerksync_writer(?:_b)?)[.:@]`)

// readersString is the connection string of a role that may look through a user's eyes.
func readersString(s setting) (string, error) {
	if writer := writerLogin.FindStringSubmatch(s.value); writer != nil {
		return "", s.problem("is the connection string of %s, which may not look through a user's eyes: give that of the role clerksync_diagnostics", strings.ToLower(writer[1]))
	}
	return connectionString(s)
}

// pemText returns PEM text with real line breaks. Environment files and consoles keep one line only, so a literal \n stands
// for one. begin is the first line that is expected.
func pemText(s setting, begin string) (string, error) {
	text := strings.NewReplacer(`\r\n`, "\n", `\n`, "\n", "\r\n", "\n").Replace(s.value)
	switch {
	case strings.Contains(text, "-----BEGIN"):
		return text, nil
	case strings.HasSuffix(text, ".crt") || strings.HasSuffix(text, ".pem") || strings.HasSuffix(text, ".cer"):
		return "", s.problem("is a file name: give the file's text")
	case strings.HasPrefix(text, "LS0tLS1CRUdJTi"):
		return "", s.problem("is PEM text encoded once more in base64: give the text that begins with %s", begin)
	default:
		return "", s.problem("is no PEM text: it begins with %s", begin)
	}
}

func certificates(s setting) (string, error) {
	text, err := pemText(s, "-----BEGIN CERTIFICATE-----")
	if err != nil {
		return "", err
	}
	count := 0
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return "", s.problem("holds a PEM block that is no certificate: give certificates only, and no private key")
		}
		count++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", s.problem("certificate %d cannot be read: download it again", count)
		}
	}
	if count == 0 {
		return "", s.problem(`holds no readable certificate: its line breaks are lost or a part is missing; write each line break as \n`)
	}
	return text, nil
}

// bareKey is a key in base64 without the lines around it, which Clerk's own libraries take too, and which is longer than
// minBareKey. A count of so many in the expression would have every cold start compile it that often.
var bareKey = regexp.MustCompile(`^M[A-Za-z0-9+/\s]+=*$`)

const minBareKey = 40

// notPrivate is said even of a private key in quotation marks: it is worse.
func notPrivate(s setting) error {
	if strings.Contains(s.value, "PRIVATE KEY") {
		return s.problem("holds a private key, and who has that can sign in as anybody: remove it here, and replace the key wherever it is in use")
	}
	return nil
}

// publicKey catches what is no public key at all. The rest is package keyset's, which knows its forms.
func publicKey(s setting) (string, error) {
	switch other := mistaken(s.value, ""); {
	case other != "":
		return "", s.problem("is a %s", other)
	case strings.HasPrefix(s.value, "{"):
		return "", s.problem("is JSON, perhaps a key set, whose address belongs in CLERK_JWKS_URL")
	case len(strings.TrimRight(s.value, "=")) > minBareKey && bareKey.MatchString(s.value):
		return s.value, nil
	}
	text, err := pemText(s, "-----BEGIN PUBLIC KEY-----")
	if err == nil && !strings.Contains(text, "PUBLIC KEY-----") && !strings.Contains(text, "CERTIFICATE-----") {
		return "", s.problem("holds neither a public key nor a certificate")
	}
	return text, err
}

// origin is one as browsers write it, of any scheme: browser extensions and apps have their own.
func origin(s setting) (string, error) {
	if strings.Contains(s.value, "*") {
		return "", s.problem("holds a *: origins are compared as a whole, so name each one; leave it out to check none")
	}
	if other := mistaken(s.value, ""); other != "" {
		return "", s.problem("is a %s, not an origin", other)
	}
	u, err := url.Parse(s.value)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return "", s.problem("is no origin")
	case u.User != nil:
		return "", s.problem("holds a user name or password")
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", s.problem("goes on after the host, where an origin ends without a slash")
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host, nil
}

// address is a base URL: https, or on this machine.
type address struct {
	// what it is that of, and what would be seen on the way there.
	what, exposed string
	// compared ones are so letter by letter with what Clerk writes, whose hosts are in lower case.
	compared bool
	// wrong says what is wrong with one, by its host in lower case and its path; "" for nothing.
	wrong func(host, path string) string
}

// projectHost is where a project's API is, unless it has a domain of its own.
var projectHost = regexp.MustCompile(`^([a-z]{20})\.supabase\.(co|in)$`)

// sameProject takes the reference from the project's URL, which must not contradict one that is given.
func (v *values) sameProject(s setting) error {
	u, err := url.Parse(v.ProjectURL)
	if err != nil {
		return s.problem("is no web address")
	}
	named := projectHost.FindStringSubmatch(strings.ToLower(u.Hostname()))
	if named == nil {
		return nil
	}
	if v.ProjectRef != "" && v.ProjectRef != named[1] {
		return s.errorf("is another project's than SUPABASE_PROJECT_REF names: give both of the same project")
	}
	v.ProjectRef = named[1]
	return nil
}

var (
	backendAPI = address{what: "the address of Clerk's Backend API", exposed: "the secret key", wrong: func(host, path string) string {
		switch {
		case strings.HasSuffix(host, ".clerk.accounts.dev"):
			return "is the instance's Frontend API, which browsers use"
		case host == "api.clerk.com" && path != "/v1":
			return "is not where the Backend API begins: it is https://api.clerk.com/v1, with the version, which is also the default"
		}
		return ""
	}}
	issuer = address{what: "an issuer", exposed: "the keys that tokens are checked with", compared: true, wrong: func(host, path string) string {
		switch {
		case strings.Contains(path, "/.well-known/"):
			return "is the address of what the issuer publishes"
		case host == "api.clerk.com":
			return "is Clerk's Backend API, which issues no session tokens"
		}
		return ""
	}}
	keySet = address{what: "the address of a key set", exposed: "the keys that tokens are checked with", wrong: func(host, path string) string {
		switch {
		case host == "api.clerk.com":
			return "is the Backend API's, which wants the secret key, while the instance's Frontend API publishes the same keys for everybody"
		case path == "":
			return "names a host and no key set"
		}
		return ""
	}}
	projectAPI = address{what: "the project's API URL", exposed: "tokens", wrong: func(host, path string) string {
		switch {
		case host == "supabase.com" || host == "app.supabase.com":
			return "is a page of the Supabase dashboard"
		case host == "api.supabase.com":
			return "is the Management API, which belongs in SUPABASE_API_URL"
		case strings.HasPrefix(host, "db.") || strings.HasSuffix(host, ".pooler.supabase.com"):
			return "is the database's host"
		case path != "":
			return "goes on after the host"
		}
		return ""
	}}
	managementAPI = address{what: "the address of Supabase's Management API", exposed: "the access token", wrong: func(host, path string) string {
		switch {
		case projectHost.MatchString(host):
			return "is the project's API URL, which belongs in SUPABASE_URL"
		case host == "supabase.com" || host == "app.supabase.com":
			return "is a page of the Supabase dashboard"
		case strings.HasSuffix(path, "/v1"):
			return "ends with the version, which is added to it"
		}
		return ""
	}}
	// The URL of a standard queue ends in the account's number and the queue's name (Amazon SQS developer guide, "Queue
	// and message identifiers").
	queue = address{what: "the URL of an SQS queue", exposed: "the events", wrong: func(_, path string) string {
		account, name, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		switch {
		case account == "" || name == "" || strings.Contains(name, "/"):
			return "names no queue"
		case strings.HasSuffix(name, ".fifo"):
			return "is a FIFO queue: make a standard one, since events need no order and name no group"
		}
		return ""
	}}
)

// check returns the address without slashes at its end.
func (a address) check(s setting) (string, error) {
	if other := mistaken(s.value, ""); other != "" {
		return "", s.problem("is a %s, not %s", other, a.what)
	}
	if strings.HasPrefix(s.value, "arn:") {
		return "", s.problem("is an ARN")
	}
	u, err := url.Parse(s.value)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", s.problem("is no web address")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	switch {
	case u.User != nil:
		return "", s.problem("holds a user name or password")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", s.problem("holds more than a base URL, a ? or a #")
	case u.Scheme == "http" && !netaddr.IsLoopback(u.Hostname()):
		return "", s.problem("would send %s in clear: use https:// (http:// is for this machine alone, such as http://127.0.0.1:8787)", a.exposed)
	}
	if wrong := a.wrong(strings.ToLower(u.Hostname()), u.Path); wrong != "" {
		return "", s.problem("%s", wrong)
	}
	if a.compared {
		u.Host = strings.ToLower(u.Host)
	}
	return u.String(), nil
}

// mistaken says what a value is that begins like a credential of another kind, and "" for any other value.
func mistaken(value string, kind secret.Kind) string {
	found, prefix := secret.KindOf(value)
	if found == "" || found == kind {
		return ""
	}
	return fmt.Sprintf("%s (%s…)", found, prefix)
}

package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"clerksync/shared/secret"
)

// parseDiagnostics checks everything that judging tokens can use and reports every problem at once.
func parseDiagnostics(s settings) (Diagnostics, error) {
	var cfg Diagnostics
	var problems [12]error
	cfg.PublishableKey, problems[0] = parsePublishableKey(s.get(keyPublishableKey))
	cfg.Issuer, problems[1] = parseIssuer(s.get(keyIssuer))
	cfg.JWKSURL, problems[2] = parseJWKSURL(s.get(keyJWKSURL))
	cfg.PublicKey, problems[3] = parsePublicKey(s.get(keyJWTKey))
	cfg.InstanceID, problems[4] = parseInstanceID(s.get(keyInstanceID))
	cfg.AuthorizedParties, problems[5] = parseAuthorizedParties(s.get(keyAuthorizedParties))
	cfg.AccessToken, problems[6] = parseAccessToken(s.get(keyAccessToken))
	cfg.ProjectURL, cfg.ProjectRef, problems[7] = parseProject(s.get(keyProjectURL), s.get(keyProjectRef))
	cfg.ManagementURL, problems[8] = parseManagementURL(s.get(keyManagementURL))
	cfg.Database, problems[9] = parseDiagnosticsDatabase(s, cfg.ProjectRef)
	cfg.Page, problems[10] = parseSwitch(s.get(keyDiagnosticsPage))
	cfg.LogLevel, problems[11] = parseLogLevel(s.get(keyLogLevel))
	if err := invalid(problems[:]...); err != nil {
		return Diagnostics{}, err
	}
	return cfg, nil
}

// What a publishable key says is read by package clerk. Here only the wrong kind of value is caught.
var publishableKey = regexp.MustCompile(`^pk_(test|live)_[A-Za-z0-9+/=_-]+$`)

func parsePublishableKey(v setting) (string, error) {
	const copyIt = "copy the publishable key (pk_test_… or pk_live_…) from the API keys page of the Clerk dashboard"
	if v.value == "" {
		return "", nil
	}
	if err := v.quoted(); err != nil {
		return "", err
	}
	kind := secretKind(v.value)
	switch {
	case kind != "" && kind != kindPublishableKey:
		return "", v.problem("is a %s: %s", kind, copyIt)
	case publishableKey.MatchString(v.value):
		return v.value, nil
	case kind == kindPublishableKey:
		return "", v.problem("begins like a publishable key and goes on with nothing, or with more than one key: %s", copyIt)
	default:
		return "", v.problem("does not begin with pk_test_ or pk_live_: %s, with its prefix", copyIt)
	}
}

const keySetPath = "/.well-known/jwks.json"

// parseIssuer returns the issuer as tokens have it: it is compared with theirs letter by letter.
func parseIssuer(v setting) (string, error) {
	const form = "give the Frontend API URL of the instance, such as https://clerk.example.com, or leave it out where the publishable key is set"
	if v.value == "" {
		return "", nil
	}
	u, err := v.webAddress("an issuer", "the keys that tokens are checked with", form)
	if err != nil {
		return "", err
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case strings.Contains(u.Path, "/.well-known/"):
		return "", v.problem("is the address of what the issuer publishes: %s", form)
	case host == "api.clerk.com":
		return "", v.problem("is Clerk's Backend API, which issues no session tokens: %s", form)
	}
	u.Host = strings.ToLower(u.Host)
	return u.String(), nil
}

func parseJWKSURL(v setting) (string, error) {
	const form = "give the address of the key set, such as https://clerk.example.com" + keySetPath + ", or leave it out where the publishable key or the issuer is set"
	if v.value == "" {
		return "", nil
	}
	u, err := v.webAddress("the address of a key set", "the keys that tokens are checked with", form)
	if err != nil {
		return "", err
	}
	switch {
	case strings.EqualFold(u.Hostname(), "api.clerk.com"):
		return "", v.problem("is the Backend API's, which wants the secret key: the instance's Frontend API publishes the same keys for everybody; %s", form)
	case u.Path == "":
		return "", v.problem("names a host and no key set: %s", form)
	}
	return u.String(), nil
}

// bareKey is a key in base64 without the lines around it, which Clerk's own libraries take too.
var bareKey = regexp.MustCompile(`^M[A-Za-z0-9+/\s]{40,}=*$`)

// parsePublicKey catches what is no public key at all. The rest is package keyset's, which knows its forms.
func parsePublicKey(v setting) (string, error) {
	const copyIt = "copy the JWT public key as PEM from the API keys page of the Clerk dashboard"
	if v.value == "" {
		return "", nil
	}
	switch kind := secretKind(v.value); {
	case kind != "":
		return "", v.problem("is a %s: %s", kind, copyIt)
	case strings.HasPrefix(v.value, "{"):
		return "", v.problem("is JSON, perhaps a key set, whose address belongs in %s: %s", keyJWKSURL, copyIt)
	case strings.Contains(v.value, "PRIVATE KEY"):
		return "", v.problem("holds a private key, and whoever has that can sign in as anybody: remove it here, and replace the key wherever it is in use; %s", copyIt)
	case bareKey.MatchString(v.value):
		return v.value, nil
	}
	text, err := v.pemText("-----BEGIN PUBLIC KEY-----")
	if err != nil {
		return "", err
	}
	if !strings.Contains(text, "PUBLIC KEY-----") && !strings.Contains(text, "CERTIFICATE-----") {
		return "", v.problem("holds neither a public key nor a certificate: %s", copyIt)
	}
	return text, nil
}

// parseAuthorizedParties returns the origins as browsers write them, each once.
func parseAuthorizedParties(v setting) ([]string, error) {
	if v.value == "" {
		return nil, nil
	}
	if err := v.quoted(); err != nil {
		return nil, err
	}
	var found []string
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
		origin, err := parseOrigin(one)
		if err != nil {
			problems = append(problems, err)
		} else if !slices.Contains(found, origin) {
			found = append(found, origin)
		}
	}
	return found, errors.Join(problems...)
}

// parseOrigin takes any scheme: browser extensions and apps have their own.
func parseOrigin(v setting) (string, error) {
	const form = "give scheme and host, such as https://app.example.com or http://localhost:3000"
	if err := v.quoted(); err != nil {
		return "", err
	}
	if strings.Contains(v.value, "*") {
		return "", v.problem("holds a *: origins are compared as a whole, so name each one; leave it out to check none")
	}
	if kind := secretKind(v.value); kind != "" {
		return "", v.problem("is a %s, not an origin: %s", kind, form)
	}
	u, err := url.Parse(v.value)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return "", v.problem("is no origin: %s", form)
	case u.User != nil:
		return "", v.problem("holds a user name or password: %s", form)
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", v.problem("goes on after the host: an origin ends there, without a slash; %s", form)
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host, nil
}

var accessToken = regexp.MustCompile(`^sbp_[!-~]+$`)

func parseAccessToken(v setting) (secret.Value, error) {
	const makeIt = "make an access token (sbp_…) on the access tokens page of your Supabase account"
	if v.value == "" {
		return secret.Value{}, nil
	}
	if err := v.quoted(); err != nil {
		return secret.Value{}, err
	}
	kind := secretKind(v.value)
	switch {
	case kind != "" && kind != kindAccessToken:
		return secret.Value{}, v.problem("is a %s: %s", kind, makeIt)
	case strings.HasPrefix(strings.ToLower(v.value), "bearer "):
		return secret.Value{}, v.problem("begins with the name of a header's scheme: give the token alone")
	case strings.ContainsAny(v.value, "*•…") || strings.Contains(v.value, "..."):
		return secret.Value{}, v.problem("is hidden in part, as pages show it: a token is shown once; %s", makeIt)
	case accessToken.MatchString(v.value) && !strings.ContainsAny(v.value, ",;"):
		return secret.New(v.value), nil
	case kind == kindAccessToken:
		return secret.Value{}, v.problem("begins like an access token and goes on with nothing, or with more than one: %s", makeIt)
	default:
		return secret.Value{}, v.problem("does not begin with sbp_: %s", makeIt)
	}
}

// projectHost is where a project's API is, unless it has a domain of its own.
var projectHost = regexp.MustCompile(`^([a-z]{20})\.supabase\.(co|in)$`)

// parseProject returns the project's API URL and its reference, which must not contradict each other.
func parseProject(address, reference setting) (base, ref string, err error) {
	ref, refErr := parseProjectRef(reference)
	base, urlErr := parseProjectURL(address)
	if err := errors.Join(refErr, urlErr); err != nil {
		return "", "", err
	}
	u, err := url.Parse(base)
	if err != nil {
		return "", "", address.problem("is no web address")
	}
	named := projectHost.FindStringSubmatch(strings.ToLower(u.Hostname()))
	switch {
	case named == nil:
	case ref == "":
		ref = named[1]
	case ref != named[1]:
		return "", "", address.problem("is another project's than %s names: give both of the same project", keyProjectRef)
	}
	return base, ref, nil
}

func parseProjectURL(v setting) (string, error) {
	const form = "give the project's API URL, https://<ref>.supabase.co"
	if v.value == "" {
		return "", nil
	}
	u, err := v.webAddress("the project's API URL", "tokens", form)
	if err != nil {
		return "", err
	}
	switch host := strings.ToLower(u.Hostname()); {
	case host == "supabase.com" || host == "app.supabase.com":
		return "", v.problem("is a page of the Supabase dashboard: %s", form)
	case host == "api.supabase.com":
		return "", v.problem("is the Management API, which belongs in %s: %s", keyManagementURL, form)
	case strings.HasPrefix(host, "db.") || strings.HasSuffix(host, ".pooler.supabase.com"):
		return "", v.problem("is the database's host: %s", form)
	case u.Path != "":
		return "", v.problem("goes on after the host: %s", form)
	}
	return u.String(), nil
}

func parseManagementURL(v setting) (string, error) {
	const form = "give the base URL of the Management API without its version, such as https://api.supabase.com, or leave it out"
	if v.value == "" {
		return "", nil
	}
	u, err := v.webAddress("the address of Supabase's Management API", "the access token", form)
	if err != nil {
		return "", err
	}
	switch host := strings.ToLower(u.Hostname()); {
	case projectHost.MatchString(host):
		return "", v.problem("is the project's API URL, which belongs in %s: %s", keyProjectURL, form)
	case host == "supabase.com" || host == "app.supabase.com":
		return "", v.problem("is a page of the Supabase dashboard: %s", form)
	case strings.HasSuffix(u.Path, "/v1"):
		return "", v.problem("ends with the version, which is added to it: %s", form)
	}
	return u.String(), nil
}

// The roles that only write the copy, as user of a connection string: alone, or with a pooler's suffix.
var writerLogin = regexp.MustCompile(`(?i)^postgres(ql)?://(clerksync_writer(?:_b)?)[.:@]`)

// parseDiagnosticsDatabase returns zero where no connection string is set.
func parseDiagnosticsDatabase(s settings, ref string) (Database, error) {
	v := s.get(keyDiagnosticsURL)
	if v.value == "" {
		return Database{}, nil
	}
	dsn, urlErr := parseConnectionString(v)
	if writer := writerLogin.FindStringSubmatch(v.value); urlErr == nil && writer != nil {
		urlErr = v.problem("is the connection string of %s, which may not look through a user's eyes: give that of the role clerksync_diagnostics", strings.ToLower(writer[2]))
	}
	ca, caErr := parseCACert(s.get(keyDatabaseCA))
	database := Database{URL: dsn, CACert: ca, ProjectRef: ref, Setting: keyDiagnosticsURL}
	return database, errors.Join(urlErr, caErr, s.checkDatabase(database))
}

func parseSwitch(v setting) (bool, error) {
	switch strings.ToLower(v.value) {
	case "", "off":
		return false, nil
	case "on":
		return true, nil
	default:
		return false, v.problem("is neither on nor off")
	}
}

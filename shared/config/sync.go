package config

import (
	"regexp"
	"strconv"
	"strings"

	"clerksync/shared/secret"
)

// parseSync checks everything the full sync needs and reports every problem at once.
func parseSync(s settings) (Sync, error) {
	var cfg Sync
	var problems [6]error
	cfg.Database, problems[0] = parseDatabase(s)
	cfg.SecretKey, problems[1] = parseSecretKey(s.get(keySecretKey))
	cfg.APIURL, problems[2] = parseAPIURL(s.get(keyAPIURL))
	cfg.RateShare, problems[3] = parseRateShare(s.get(keyRateShare))
	cfg.InstanceID, problems[4] = parseInstanceID(s.get(keyInstanceID))
	if cfg.InstanceID != "" {
		cfg.InstanceOrigin = s.get(keyInstanceID).origin
	}
	cfg.LogLevel, problems[5] = parseLogLevel(s.get(keyLogLevel))
	if err := invalid(problems[:]...); err != nil {
		return Sync{}, err
	}
	return cfg, nil
}

// What a key is made of, and how long it is, is not documented: only how it begins, the oldest ones without sk_.
var secretKey = regexp.MustCompile(`^(sk_)?(test|live)_[!-~]+$`)

func parseSecretKey(v setting) (secret.Value, error) {
	const copyIt = "copy the secret key (sk_test_… or sk_live_…) from the API keys page of the Clerk dashboard"
	if v.value == "" {
		return secret.Value{}, v.missing(copyIt)
	}
	if err := v.quoted(); err != nil {
		return secret.Value{}, err
	}
	kind := secretKind(v.value)
	switch {
	case kind != "" && kind != kindSecretKey:
		return secret.Value{}, v.problem("is a %s: %s", kind, copyIt)
	case strings.HasPrefix(strings.ToLower(v.value), "bearer "):
		return secret.Value{}, v.problem("begins with the name of a header's scheme: give the key alone")
	case strings.ContainsAny(v.value, "*•…") || strings.Contains(v.value, "..."):
		return secret.Value{}, v.problem("is hidden in part, as pages show it: %s with its copy button", copyIt)
	case secretKey.MatchString(v.value) && !strings.ContainsAny(v.value, ",;"):
		return secret.New(v.value), nil
	case kind == kindSecretKey:
		return secret.Value{}, v.problem("begins like a secret key and goes on with nothing, or with more than one key: %s", copyIt)
	default:
		return secret.Value{}, v.problem("does not begin with sk_test_ or sk_live_: %s, with its prefix", copyIt)
	}
}

// parseAPIURL returns the base URL without a slash at its end.
func parseAPIURL(v setting) (string, error) {
	const form = "give its base URL, such as https://api.clerk.com/v1, or leave it out"
	if v.value == "" {
		return "", nil
	}
	u, err := v.webAddress("the address of Clerk's Backend API", "the secret key", form)
	if err != nil {
		return "", err
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case strings.HasSuffix(host, ".clerk.accounts.dev"):
		return "", v.problem("is the instance's Frontend API, which browsers use: %s", form)
	case host == "api.clerk.com" && u.Path != "/v1":
		return "", v.problem("is not where the Backend API begins: it is https://api.clerk.com/v1, with the version, which is also the default")
	}
	return u.String(), nil
}

// parseRateShare returns 0 where nothing is set.
func parseRateShare(v setting) (float64, error) {
	if v.value == "" {
		return 0, nil
	}
	if err := v.quoted(); err != nil {
		return 0, err
	}
	// What is no number, and NaN, fails the comparisons.
	share, err := strconv.ParseFloat(v.value, 64)
	if err != nil || !(share > 0 && share <= 1) {
		return 0, v.problem("is no share: give a number above 0 and up to 1, with a point, such as 0.2 for a fifth of Clerk's limit")
	}
	return share, nil
}

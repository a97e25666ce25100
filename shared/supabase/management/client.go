// Package management asks Supabase's Management API (https://api.supabase.com) about projects, and changes what setting
// one up needs.
//
//	client, err := management.New(management.Options{Token: token})
//	projects, err := client.Projects(ctx)
//	provider, err := client.Register(ctx, ref, management.Registration{OIDCIssuerURL: issuer})
//
// Every call is bounded in time and size. What did not reach the API, or was refused because the requests of a minute are
// used up, is sent again for as long as [Options.Patience] allows; a call that changes something and whose answer was lost
// is not, since it may have worked: read back before sending it again. Errors name the call, the permission that it needs
// and what to do; errors.Is tells them apart by [ErrToken], [ErrForbidden], [ErrNotFound], [ErrLimited], [ErrRefused] and
// [ErrUnavailable].
//
// [Providers] is for a function that asks one question about one project again and again.
package management

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"clerksync/shared/netaddr"
	"clerksync/shared/secret"
)

// DefaultURL is where Supabase's Management API is.
const DefaultURL = "https://api.supabase.com"

// Options say how the API is asked. Token is required.
type Options struct {
	// Token is a personal access token (sbp_…) or one of an OAuth app.
	Token secret.Value
	// URL is where the API is, without its version; "" means DefaultURL. It must be https, or http on this machine: the
	// token goes with every request.
	URL string
	// HTTPClient sends the requests; nil means one of the client's own. Its redirect rule is not used: redirects are never
	// followed, since the token would go with them.
	HTTPClient *http.Client
	// Patience bounds a call with all its attempts and the pauses between them; 0 means two minutes, in which the limit of
	// requests a minute is whole again.
	Patience time.Duration
	// Attempts bounds how often a call is sent; 0 means as often as Patience allows.
	Attempts uint
}

// defaultPatience is longer than the minute for which the API may refuse.
const defaultPatience = 2 * time.Minute

// Client asks the API. It sends nothing before its first call and is safe for concurrent use. Make it with [New].
type Client struct {
	token    secret.Value
	url      string
	client   *http.Client
	patience time.Duration
	attempts uint
}

// New returns a client. It sends nothing; its error names every option that cannot be used and holds no part of the token.
func New(o Options) (*Client, error) {
	base, urlErr := baseURL(o.URL)
	token := strings.TrimSpace(o.Token.Reveal())
	var tokenErr error
	switch {
	case token == "":
		tokenErr = errors.New("the access token is not set: make one on the account's page of access tokens (sbp_…)")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		tokenErr = errors.New("the access token holds a space, a line break or another character that no token has: copy it again")
	}
	if err := errors.Join(tokenErr, urlErr); err != nil {
		return nil, err
	}
	c := &Client{
		token: secret.New(token), url: base, patience: o.Patience, attempts: o.Attempts,
		client: &http.Client{Transport: newTransport()},
	}
	if c.patience <= 0 {
		c.patience = defaultPatience
	}
	if o.HTTPClient != nil {
		*c.client = *o.HTTPClient
	}
	c.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

var refPattern = regexp.MustCompile(`^[a-z]{20}$`)

// CheckRef says what is wrong about a project's reference, which becomes a part of a path.
func CheckRef(ref string) error {
	if !refPattern.MatchString(ref) {
		return errors.New("the project reference is not 20 lower-case letters, the first part of https://<ref>.supabase.co")
	}
	return nil
}

// baseURL returns the address without a slash at its end. Errors hold none of it: a password may stand there.
func baseURL(address string) (string, error) {
	if address == "" {
		return DefaultURL, nil
	}
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || u.Hostname() == "":
		return "", errors.New("the URL of the Management API is not one; the usual is " + DefaultURL)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("the URL of the Management API holds credentials, a query or a fragment; it ends with the host or a path")
	case u.Scheme == "https", u.Scheme == "http" && netaddr.IsLoopback(u.Hostname()):
		return strings.TrimRight(u.String(), "/"), nil
	}
	return "", errors.New("the URL of the Management API is not https: the access token would travel in clear; http is for this machine only")
}

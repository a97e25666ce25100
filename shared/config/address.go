package config

import (
	"net/netip"
	"net/url"
	"strings"
)

// webAddress reads a base URL and drops the slashes at its end. It refuses what is not https, unless it leads to this
// machine. what says what the address is, exposed what would be seen on the way there, and form is the fix.
func (s setting) webAddress(what, exposed, form string) (*url.URL, error) {
	if err := s.quoted(); err != nil {
		return nil, err
	}
	if kind := secretKind(s.value); kind != "" {
		return nil, s.problem("is a %s, not %s: %s", kind, what, form)
	}
	u, err := url.Parse(s.value)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, s.problem("is no web address: %s", form)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	switch {
	case u.User != nil:
		return nil, s.problem("holds a user name or password: %s", form)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, s.problem("holds more than a base URL, a ? or a #: %s", form)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, s.problem("would send %s in clear: use https:// (http:// is for this machine alone, such as http://127.0.0.1:8787)", exposed)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

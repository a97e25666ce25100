package devstack

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"clerksync/shared/httpapi"
	"clerksync/shared/netaddr"
)

var (
	unknownHost = httpapi.NewRefusal(http.StatusForbidden, "unknown_host", "This server is not called by that name; open it by the address that it prints.")
	crossSite   = httpapi.NewRefusal(http.StatusForbidden, "cross_site", "Pages of other sites may not ask.")
)

// guard lets only this machine's programs, and its browser at this address, ask the
// handler. A browser runs pages of anybody's: by a name that was pointed here (DNS
// rebinding) they would be of one origin with the handler, and some of what it does
// needs no answer that they may read.
func guard(private http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isLoopback(r.Host):
			unknownHost.Write(w)
		case !isOwn(r):
			crossSite.Write(w)
		default:
			private.ServeHTTP(w, r)
		}
	})
}

// isLoopback reports whether a Host header is a name by which a machine calls itself.
func isLoopback(header string) bool {
	name, _, err := net.SplitHostPort(header)
	if err != nil {
		name = header
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	return netaddr.IsLoopback(name)
}

// isOwn reports whether a request is a program's, the person's own, or of a page at
// this address. A person who follows a link from elsewhere only looks.
func isOwn(r *http.Request) bool {
	header := r.Header
	if origin, given := header["Origin"]; given {
		from, err := url.Parse(strings.Join(origin, ","))
		if err != nil || from.Scheme != "http" || !strings.EqualFold(from.Host, r.Host) {
			return false
		}
	}
	switch strings.Join(header["Sec-Fetch-Site"], ",") {
	case "", "same-origin", "none":
		return true
	}
	looks := r.Method == http.MethodGet || r.Method == http.MethodHead
	return looks && header.Get("Sec-Fetch-Mode") == "navigate" && header.Get("Sec-Fetch-Dest") == "document"
}

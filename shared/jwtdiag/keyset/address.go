package keyset

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// maxAddresses is how many addresses of a host are tried.
const maxAddresses = 4

// addressError says that a host is at an address that is not called.
type addressError struct{ host, what string }

func (e *addressError) Error() string {
	return fmt.Sprintf("%s is at %s, and keys are only fetched from the public internet", e.host, e.what)
}

// reserved are networks that do not belong to the public internet and that package netip has no word for (IANA
// registries of special-purpose addresses, 2025).
var reserved = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an address of this network"},
	{netip.MustParsePrefix("100.64.0.0/10"), "an address of a provider's own network"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a metadata address"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a reserved address"},
	{netip.MustParsePrefix("192.0.2.0/24"), "a documentation address"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a reserved address"},
	{netip.MustParsePrefix("198.18.0.0/15"), "a test network's address"},
	{netip.MustParsePrefix("198.51.100.0/24"), "a documentation address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a documentation address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved address"},
	{netip.MustParsePrefix("::/96"), "a reserved address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a private address"},
	{netip.MustParsePrefix("100::/64"), "a reserved address"},
	{netip.MustParsePrefix("2001::/23"), "a reserved address"},
	{netip.MustParsePrefix("2001:db8::/32"), "a documentation address"},
	{netip.MustParsePrefix("3fff::/20"), "a documentation address"},
	{netip.MustParsePrefix("5f00::/16"), "a reserved address"},
	{netip.MustParsePrefix("fec0::/10"), "a private address"},
}

// Networks whose addresses stand for an IPv4 address, which is the one that counts: translation by the network, which
// hosts without IPv4 depend on, and 6to4.
var (
	translated = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
)

// notPublic says what kind of address it is that is not of the public internet, and "" for those that are.
func notPublic(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		b := a.As16()
		switch {
		case translated.Contains(a):
			return notPublic(netip.AddrFrom4([4]byte(b[12:16])))
		case sixToFour.Contains(a):
			return notPublic(netip.AddrFrom4([4]byte(b[2:6])))
		}
	}
	switch {
	case !a.IsValid():
		return "no address"
	case a.IsUnspecified():
		return "the unspecified address"
	case a.IsLoopback():
		return "a loopback address"
	case a.IsPrivate():
		return "a private address"
	case a.IsLinkLocalUnicast():
		return "a link-local or metadata address"
	case a.IsMulticast():
		return "a multicast address"
	}
	for _, r := range reserved {
		if r.network.Contains(a) {
			return r.what
		}
	}
	return ""
}

// dialer connects to hosts whose addresses may be called. The address that is checked is the one that is dialled, so
// a name that changes its mind in between gains nothing.
type dialer struct {
	// loopback allows the addresses of this machine.
	loopback bool
	lookup   func(ctx context.Context, host string) ([]netip.Addr, error)
	connect  func(ctx context.Context, network, address string) (net.Conn, error)
}

func newDialer(loopback bool) *dialer {
	return &dialer{
		loopback: loopback,
		lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		connect: (&net.Dialer{}).DialContext,
	}
}

// dial is a transport's DialContext.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("splitting an address: %w", err)
	}
	addresses, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	addresses = addresses[:min(len(addresses), maxAddresses)]
	for i, a := range addresses {
		var conn net.Conn
		conn, err = d.connectWithin(ctx, len(addresses)-i, network, a.String(), port)
		if err == nil || ctx.Err() != nil {
			return conn, err
		}
	}
	return nil, err
}

// connectWithin leaves a fair share of the time to the addresses that come after, one of which may answer where this
// one is a dead end.
func (d *dialer) connectWithin(ctx context.Context, left int, network, address, port string) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		share := time.Until(deadline) / time.Duration(left)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, share, fmt.Errorf("no connection within %s", share.Round(time.Millisecond)))
		defer cancel()
	}
	return d.connect(ctx, network, net.JoinHostPort(address, port))
}

// resolve returns the addresses of a host that may be called, at least one.
func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	found := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		found = append(found, a)
	} else if found, err = d.lookup(ctx, host); err != nil {
		return nil, err
	}
	var public []netip.Addr
	var refused error
	for _, a := range found {
		what := notPublic(a)
		if what == "" || d.loopback && a.Unmap().IsLoopback() {
			public = append(public, a.Unmap())
		} else if refused == nil {
			refused = &addressError{host: host, what: what}
		}
	}
	switch {
	case len(public) > 0:
		return public, nil
	case refused != nil:
		return nil, refused
	}
	return nil, errors.New("the host has no address")
}

// isLoopback reports whether a URL's host is this machine by name.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

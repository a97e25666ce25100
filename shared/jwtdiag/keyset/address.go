package keyset

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"clerksync/shared/netaddr"
)

// maxAddresses is how many addresses of a host are tried.
const maxAddresses = 4

// addressError says that a host is at an address that is not called.
type addressError struct{ host, what string }

func (e *addressError) Error() string {
	return fmt.Sprintf("%s is at %s, and keys are only fetched from the public internet", e.host, e.what)
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
		what := netaddr.NotPublic(a)
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

package supabase

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
)

// network is what is asked before a connection is made. Tests replace it.
type network struct {
	lookup func(ctx context.Context, host string) ([]string, error)
	// route fails where this machine has no way to an address, and sends nothing.
	route func(ctx context.Context, address netip.AddrPort) error
}

// lookup resolves the host's name. A project's host that cannot be reached from here is told at once and by its reason:
// which errors dialing ends in, and after how long, depends on the network.
func (c *Config) lookup(ctx context.Context, host string) ([]string, error) {
	addresses, err := c.network.lookup(ctx, host)
	if err != nil || c.kind != projectHost || len(addresses) == 0 {
		return addresses, err
	}
	if slices.ContainsFunc(addresses, func(address string) bool { return c.mayReach(ctx, address) }) {
		return addresses, nil
	}
	return nil, &noIPv6Error{host}
}

// mayReach is false for an IPv6 address that there is no way to.
func (c *Config) mayReach(ctx context.Context, text string) bool {
	address, err := netip.ParseAddr(text)
	return err != nil || address.Unmap().Is4() || !noRoute(c.network.route(ctx, netip.AddrPortFrom(address, c.Port)))
}

// noIPv6Error is ErrIPv6Only with what was found out.
type noIPv6Error struct{ host string }

func (e *noIPv6Error) Error() string {
	return fmt.Sprintf("%s has IPv6 addresses only, and this machine has no route to them", e.host)
}

func (e *noIPv6Error) Unwrap() error { return ErrIPv6Only }

// lookupHost resolves a name within a limit of its own: pgx's limit begins once the addresses are known.
func lookupHost(ctx context.Context, host string) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookupLimit, fmt.Errorf("limit of %s to resolve the host name", lookupLimit))
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return addresses, err // pgx wraps it and looks into it
}

// route has the kernel choose the way of a datagram that is never sent.
func route(ctx context.Context, address netip.AddrPort) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(address.Addr().String(), strconv.Itoa(int(address.Port()))))
	if err != nil {
		return fmt.Errorf("looking for a route: %w", err)
	}
	return conn.Close()
}

// noRoute reports whether an error says that there is no way to an address: no route, no address of one's own to leave
// from, or no IPv6 at all. Other errors say nothing about the network.
func noRoute(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) ||
		errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

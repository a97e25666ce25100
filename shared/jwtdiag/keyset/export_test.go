package keyset

import (
	"context"
	"net"
	"net/netip"

	"clerksync/shared/netaddr"
)

// The intervals and limits, for tests that move a clock past them.
const (
	UnknownInterval = unknownInterval
	FailureInterval = failureInterval
	TTL             = ttl
	MaxStale        = maxStale
	FetchLimit      = fetchLimit
	MaxBody         = maxBody
	MaxPEM          = maxPEM
)

// SetNetwork replaces what is below the check of addresses: names and connections.
func (s *Source) SetNetwork(
	lookup func(ctx context.Context, host string) ([]netip.Addr, error),
	connect func(ctx context.Context, network, address string) (net.Conn, error),
) {
	s.dialer.lookup, s.dialer.connect = lookup, connect
}

// NotPublic says what kind of address it is that is not called.
func NotPublic(a netip.Addr) string { return netaddr.NotPublic(a) }

package keyset_test

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"clerksync/shared/jwtdiag/keyset"
)

// network is an internet in memory: names, and servers at addresses. What is dialled in it has passed the check of
// addresses. It can be used in a bubble of package synctest, where limits pass at once.
type network struct {
	mu sync.Mutex
	// names answer a lookup; the last answer is repeated.
	names   map[string][][]netip.Addr
	servers map[string]*pipeListener
	dialled []string
	// roots vouch for all servers.
	roots *x509.CertPool
}

func newNetwork() *network {
	return &network{names: map[string][][]netip.Addr{}, servers: map[string]*pipeListener{}, roots: x509.NewCertPool()}
}

// name gives a host its addresses; more than one list are the answers to one lookup after another.
func (n *network) name(host string, answers ...[]netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[host] = answers
}

func addresses(list ...string) []netip.Addr {
	parsed := make([]netip.Addr, len(list))
	for i, a := range list {
		parsed[i] = netip.MustParseAddr(a)
	}
	return parsed
}

// serve puts an HTTPS server at an address with a port; its certificate is for *.example.com and example.com.
func (n *network) serve(t *testing.T, address string, handler http.Handler) *httptest.Server {
	t.Helper()
	server := n.prepare(t, address, handler)
	server.StartTLS()
	n.roots.AddCert(server.Certificate())
	return server
}

// servePlain puts an HTTP server at an address with a port.
func (n *network) servePlain(t *testing.T, address string, handler http.Handler) {
	t.Helper()
	n.prepare(t, address, handler).Start()
}

func (n *network) prepare(t *testing.T, address string, handler http.Handler) *httptest.Server {
	t.Helper()
	listener := &pipeListener{address: address, connections: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.servers[address] = listener
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}} //nolint:gosec // of a test
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

func (n *network) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answers := n.names[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		n.names[host] = answers[1:]
	}
	return answers[0], nil
}

func (n *network) connect(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialled = append(n.dialled, address)
	listener := n.servers[address]
	n.mu.Unlock()
	if listener == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.AddrError{Err: "connection refused", Addr: address}}
	}
	client, server := net.Pipe()
	select {
	case listener.connections <- server:
		return client, nil
	case <-listener.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// source is one that lives in the network.
func (n *network) source(t *testing.T, o keyset.SourceOptions) *keyset.Source {
	t.Helper()
	o.RootCAs = n.roots
	source, err := keyset.NewSource(o)
	if err != nil {
		t.Fatalf("NewSource(%q) = %v", o.URL, err)
	}
	source.SetNetwork(n.lookup, n.connect)
	return source
}

// pipeListener accepts what is dialled in memory.
type pipeListener struct {
	address     string
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(l.address))
}

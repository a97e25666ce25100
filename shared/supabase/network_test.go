package supabase_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/testdb"
)

// resolving is a name server that knows one host.
func resolving(addresses ...string) func(context.Context, string) ([]string, error) {
	return func(context.Context, string) ([]string, error) { return addresses, nil }
}

func TestDB_SaysThatAProjectsHostNeedsIPv6(t *testing.T) {
	t.Parallel()
	const host = "db." + ref + ".supabase.co"
	failing := func(no syscall.Errno) error {
		return fmt.Errorf("looking for a route: %w", &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("connect", no)})
	}
	for _, tt := range []struct {
		name, host, setting string
		addresses           []string
		route               error
		dialed              bool
	}{
		{"no route", host, "", []string{"2001:db8::1", "2001:db8::2"}, failing(syscall.ENETUNREACH), false},
		{"no address to leave from", host, "", []string{"2001:db8::1"}, failing(syscall.EADDRNOTAVAIL), false},
		{"no IPv6 at all", host, "DIAGNOSTICS_DATABASE_URL", []string{"2001:db8::1"}, failing(syscall.EAFNOSUPPORT), false},
		{"a route", host, "", []string{"2001:db8::1"}, nil, true},
		// The add-on puts an IPv4 address in place of the other.
		{"IPv4 add-on", host, "", []string{"192.0.2.1"}, failing(syscall.ENETUNREACH), true},
		{"both", host, "", []string{"2001:db8::1", "192.0.2.1"}, failing(syscall.ENETUNREACH), true},
		// It says nothing about the network, so the connection may.
		{"no more sockets", host, "", []string{"2001:db8::1"}, failing(syscall.EMFILE), true},
		// Nobody promised that the host of somebody else has IPv4.
		{"another host", "pg.example.com", "", []string{"2001:db8::1"}, failing(syscall.ENETUNREACH), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, "postgres://u:PW@"+tt.host+":6543/postgres", func(o *supabase.Options) { o.Setting = tt.setting })
			asked := 0
			supabase.SetNetwork(c, resolving(tt.addresses...), func(_ context.Context, address netip.AddrPort) error {
				asked++
				if address.Port() != 6543 {
					t.Errorf("asked for a route to %s", address)
				}
				return tt.route
			})
			dialed := false
			supabase.SetDial(c, func(context.Context, string, string) (net.Conn, error) {
				dialed = true
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			})
			db := supabase.Open(supabase.Fixed(c))
			t.Cleanup(db.Close)
			if asked != 0 {
				t.Error("the network was asked before the first query")
			}

			err := db.QueryRow(soon(t), "select 1").Scan(new(int))
			if dialed != tt.dialed || errors.Is(err, supabase.ErrIPv6Only) == tt.dialed {
				t.Fatalf("query = %v, dialed: %t; want dialed: %t, or else ErrIPv6Only", err, dialed, tt.dialed)
			}
			if tt.dialed {
				return
			}
			setting := tt.setting
			if setting == "" {
				setting = "DATABASE_URL"
			}
			for _, part := range []string{host, "shared pooler's string into " + setting + " ", "IPv4 add-on"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error lacks %q: %v", part, err)
				}
			}
			if supabase.IsTransient(err) {
				t.Errorf("called transient: %v", err)
			}
			checkHidden(t, fmt.Sprintf("%v %+v", err, err))
		})
	}
}

// The kernel's own answer: the machine always has a way to itself.
func TestRoute_FindsTheWayWithoutSendingAnything(t *testing.T) {
	t.Parallel()
	listener, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := netip.MustParseAddrPort(listener.LocalAddr().String())
	if err := supabase.Route(t.Context(), address); err != nil {
		t.Errorf("route to %s: %v", address, err)
	}
	// What is sent after it is the first that arrives.
	conn, err := net.Dial("udp", address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("mark")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 16)
	if n, err := listener.Read(got); err != nil || string(got[:n]) != "mark" {
		t.Errorf("arrived first: %q, %v", got[:n], err)
	}
}

// Names are resolved by the system where nothing replaces that.
func TestDB_ResolvesNames(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db := open(t, supabase.Options{
		URL: secret.New(strings.Replace(td.Owner(), "@127.0.0.1:", "@localhost:", 1)),
	})
	if err := one(t, db); err != nil {
		t.Errorf("localhost: %v", err)
	}
}

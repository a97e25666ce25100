package netaddr_test

import (
	"net/netip"
	"testing"

	"clerksync/shared/netaddr"
)

func TestIsLoopback_KnowsThisMachineByItsNames(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.1.2.3": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "host.docker.internal": false,
		"0.0.0.0": false, "10.0.0.1": false, "::": false, "[::1]": false, "clerk.example.com": false,
	} {
		if got := netaddr.IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) = %t, want %t", host, got, want)
		}
	}
}

func TestNotPublic_SeesThroughTranslation(t *testing.T) {
	t.Parallel()
	for address, public := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1": true, "64:ff9b::808:808": true, "2002:808:808::1": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "::ffff:127.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::1": false, "10.0.0.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "168.63.129.16": false, "fd00::1": false, "fe80::1%eth0": false, "::": false, "224.0.0.1": false,
	} {
		if what := netaddr.NotPublic(netip.MustParseAddr(address)); (what == "") != public {
			t.Errorf("NotPublic(%s) = %q, want public: %t", address, what, public)
		}
	}
	if what := netaddr.NotPublic(netip.Addr{}); what == "" {
		t.Error("no address is called public")
	}
}

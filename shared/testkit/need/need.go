// Package need holds the one rule about what a machine may lack: a test that lacks
// something is skipped and says what to install, and with CI=true it fails.
//
//	path := need.Program(t, "sam", "pip install aws-sam-cli")
//	server, err := postgres.Start(ctx, options)
//	need.Success(t, err, postgres.ErrNotFound)
package need

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
)

// InCI tells whether a missing part is a failure: CI=true is set.
func InCI() bool { return os.Getenv("CI") == "true" }

// Missing ends a test or benchmark that lacks something. what says what to install.
func Missing(t testing.TB, what any) {
	t.Helper()
	if InCI() {
		t.Fatalf("CI must have everything that tests need: %v", what)
	}
	t.Skip(what)
}

// Success ends a test that err tells of: as Missing where it is of the kind missing,
// otherwise as a failure.
func Success(t testing.TB, err, missing error) {
	t.Helper()
	if errors.Is(err, missing) {
		Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// OutsideAddress returns one of this machine's addresses that others call it by.
func OutsideAddress(t testing.TB) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if network, ok := a.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	Missing(t, "this machine has no address but its own loopback: connect it to a network")
	return ""
}

// Program returns the path of a program; install is what brings it.
func Program(t testing.TB, name, install string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, name+" is not on PATH: "+install)
	}
	return path
}

//go:build !linux

package main_test

import "testing"

// onOneCore has no way to limit the processes here and says so.
func onOneCore(b *testing.B, do func()) {
	b.Helper()
	b.Log("cold starts are measured with all cores: only Linux can limit them to one")
	do()
}

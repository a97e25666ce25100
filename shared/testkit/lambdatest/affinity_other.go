//go:build !linux

package lambdatest

import "testing"

// OnOneCore has no way to limit the processes here and says so.
func OnOneCore(b *testing.B, do func()) {
	b.Helper()
	b.Log("cold starts are measured with all cores: only Linux can limit them to one")
	do()
}

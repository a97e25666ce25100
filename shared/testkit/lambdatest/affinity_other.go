//go:build !linux

package lambdatest

import "testing"

// oneCore is the core that functions are started on, which nothing sets here.
const oneCore = ""

// OnOneCore has no way to limit the processes here and says so.
func OnOneCore(b *testing.B, do func()) {
	b.Helper()
	b.Log("cold starts are measured with all cores: only Linux can limit them to one")
	do()
}

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

// tests are those of the package, and what ends behind them.
type tests struct{ *testing.M }

func (m tests) Run() int {
	code := testdb.Main(m.M)
	moto.Stop()
	return code
}

// Scripts run the program as a process: this test binary, under its name.
func TestMain(m *testing.M) {
	_ = os.Unsetenv("COLUMNS") // of the terminal of who runs the tests: help is as wide as that says
	testscript.Main(tests{m}, map[string]func(){"clerksync": main})
}

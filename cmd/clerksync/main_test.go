package main

import (
	"os"
	"testing"

	"clerksync/shared/devstack/moto"
	"clerksync/shared/devstack/testdb"
)

func TestMain(m *testing.M) {
	code := testdb.Main(m)
	moto.Stop()
	_ = os.RemoveAll(builtDir)
	os.Exit(code)
}

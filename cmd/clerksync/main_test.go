package main

import (
	"os"
	"testing"

	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) {
	code := testdb.Main(m)
	moto.Stop()
	lambdatest.RemoveBuilt()
	os.Exit(code)
}

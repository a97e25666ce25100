package dev

import (
	"os"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/status"
	"clerksync/cmd/clerksync/internal/syncusers"
	"clerksync/cmd/clerksync/internal/testjwt"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// program has the commands that the tests need.
type program struct {
	Dev       Command           `cmd:""`
	Status    status.Command    `cmd:""`
	SyncUsers syncusers.Command `cmd:""`
	TestJWT   testjwt.Command   `cmd:"" name:"test-jwt"`
}

// clerksync runs one command line with nothing in its environment but the given
// settings.
func clerksync(t *testing.T, settings map[string]string, args ...string) clitest.Result {
	t.Helper()
	return clitest.Run[program](t, settings, args...)
}

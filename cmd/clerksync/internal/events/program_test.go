package events

import (
	"os"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/status"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// program has the commands that the tests need.
type program struct {
	Events Command        `cmd:""`
	Status status.Command `cmd:""`
}

// clerksync runs one command line with nothing in its environment but the given
// settings.
func clerksync(t *testing.T, settings map[string]string, args ...string) clitest.Result {
	t.Helper()
	return clitest.Run[program](t, settings, args...)
}

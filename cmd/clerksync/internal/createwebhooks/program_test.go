package createwebhooks_test

import (
	"os"
	"testing"

	"clerksync/cmd/clerksync/internal/createwebhooks"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// program has the command alone.
type program struct {
	CreateWebhooks createwebhooks.Command `cmd:"" name:"create-webhooks"`
}

package managementdouble_test

import (
	"os"
	"testing"

	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

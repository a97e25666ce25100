package main_test

import (
	"testing"

	"clerksync/shared/testkit/lambdatest"
)

func TestTemplate_BuildsAReproducibleBootstrap(t *testing.T) {
	t.Parallel()
	lambdatest.CheckBuild(t, "JWTDiagnosticsFunction")
}

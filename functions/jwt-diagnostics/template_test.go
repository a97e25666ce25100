package main_test

import (
	"testing"

	"clerksync/functions/internal/lambdatest"
)

func TestTemplate_BuildsAReproducibleBootstrap(t *testing.T) {
	t.Parallel()
	lambdatest.CheckBuild(t, "JWTDiagnosticsFunction")
}

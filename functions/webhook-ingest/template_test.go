package main_test

import (
	"testing"

	"clerksync/functions/internal/lambdatest"
)

func TestTemplate_IsValid(t *testing.T) {
	t.Parallel()
	lambdatest.CheckTemplate(t)
}

func TestTemplate_BuildsAReproducibleBootstrap(t *testing.T) {
	t.Parallel()
	lambdatest.CheckBuild(t, "WebhookIngestFunction")
}

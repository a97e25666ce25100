package main_test

import (
	"testing"

	"clerksync/shared/testkit/lambdatest"
)

// BenchmarkColdStart reports what Lambda waits for before the function takes its
// first event.
func BenchmarkColdStart(b *testing.B) {
	lambdatest.ReportColdStart(b, binary(b), map[string]string{"DATABASE_URL": "postgresql://writer@127.0.0.1:1/app", "CLERK_SECRET_KEY": secretKey})
}

// BenchmarkBinarySize reports what Lambda has to load, built as it is deployed.
func BenchmarkBinarySize(b *testing.B) { lambdatest.ReportSize(b, "FullSyncFunction") }

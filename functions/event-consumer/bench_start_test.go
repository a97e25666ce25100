package main_test

import (
	"testing"

	"clerksync/shared/testkit/lambdatest"
)

// BenchmarkColdStart reports what Lambda waits for before the function takes its
// first batch.
func BenchmarkColdStart(b *testing.B) {
	lambdatest.ReportColdStart(b, eventConsumer.binary(b), map[string]string{"DATABASE_URL": "postgresql://writer@127.0.0.1:1/app"})
}

// BenchmarkBinarySize reports what Lambda has to load, built as it is deployed.
func BenchmarkBinarySize(b *testing.B) { lambdatest.ReportSize(b, "EventConsumerFunction") }

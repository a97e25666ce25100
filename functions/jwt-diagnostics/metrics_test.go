package main

import (
	"bytes"
	"testing"

	"clerksync/shared/testkit/lambdatest"
)

func TestMetrics_AreThoseThatTheMonitoringReads(t *testing.T) {
	t.Parallel()
	const deployedAs = "clerksync-JWTDiagnosticsFunction-1A2B3C"
	var out bytes.Buffer
	for _, question := range []struct{ setting, value, question string }{
		{question: `{}`},
		// An address that is none.
		{setting: "CLERK_ISSUER", value: "oops", question: `{"token":"a.b.c"}`},
	} {
		handler, closeDB, err := newHandler(func(key string) (string, bool) {
			if key == question.setting {
				return question.value, true
			}
			return deployedAs, key == "AWS_LAMBDA_FUNCTION_NAME"
		}, &out)
		if err != nil {
			t.Fatal(err)
		}
		defer closeDB()
		if answer, err := handler.Invoke(t.Context(), []byte(question.question)); err == nil {
			t.Errorf("the answer to %s is %s, want an error", question.question, answer)
		}
	}
	lambdatest.CheckMetrics(t, functionName, deployedAs, out.String())
}

package lambdatest_test

import (
	"fmt"
	"strings"
	"testing"

	"clerksync/shared/testkit/lambdatest"
)

// reported notes what a test would have been failed with, and cleans up at once.
type reported struct {
	testing.TB
	cleanups []func()
	errors   string
}

func (r *reported) Cleanup(f func())                { r.cleanups = append(r.cleanups, f) }
func (r *reported) Errorf(text string, args ...any) { r.errors += fmt.Sprintf(text, args...) }

// A race in a function fails the test that has started it, under the race detector. Without,
// the function is built without, too.
func TestStart_ReportsARaceInTheFunction(t *testing.T) {
	t.Parallel()
	r := &reported{TB: t}
	f := lambdatest.Start(r, lambdatest.Build(t, "clerksync/shared/testkit/lambdatest/testdata/racy"), nil)
	if _, err := f.Invoke(t.Context(), []byte("{}")); err != nil {
		t.Fatalf("%v\n%s", err, f.Logs())
	}
	for _, cleanup := range r.cleanups {
		cleanup()
	}
	if found := strings.Contains(r.errors, "racy/main.go"); found != lambdatest.RaceDetector {
		t.Errorf("race detector %t, failed with %q", lambdatest.RaceDetector, r.errors)
	}
}

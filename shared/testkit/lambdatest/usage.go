package lambdatest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// PeakMemory is the high-water mark of the process, in bytes, or 0 where there
// is no /proc.
func (f *Function) PeakMemory(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.child.PID()))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if kibibytes, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.Fields(kibibytes)[0], 10, 64)
			if err != nil {
				t.Fatalf("VmHWM is %q", line)
			}
			return n << 10
		}
	}
	t.Fatal("the function's process has no VmHWM")
	return 0
}

// CPUTime is how long the process's threads have been on a processor so far, or
// 0 where there is no /proc.
func (f *Function) CPUTime(t testing.TB) time.Duration {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", f.child.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var total time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		// On a processor, waiting for one, and how often; the first two in nanoseconds.
		fields := strings.Fields(string(text))
		if len(fields) == 0 {
			continue
		}
		n, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			t.Fatalf("%s is %q", thread, text)
		}
		total += time.Duration(n)
	}
	return total
}

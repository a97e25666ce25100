package lambdatest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// PeakMemory is the high-water mark of the process that runs a binary, in bytes.
// It needs /proc. What wait4 reports will not do: it counts the parent's memory before exec.
func PeakMemory(b *testing.B, binary string) int64 {
	b.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		b.Fatal(err)
	}
	for _, process := range processes {
		if target, err := os.Readlink(process); err != nil || target != binary {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(process), "status"))
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			if kibibytes, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				n, err := strconv.ParseInt(strings.Fields(kibibytes)[0], 10, 64)
				if err != nil {
					b.Fatalf("VmHWM of %s is %q", process, line)
				}
				return n << 10
			}
		}
	}
	b.Fatalf("no process runs %s", binary)
	return 0
}

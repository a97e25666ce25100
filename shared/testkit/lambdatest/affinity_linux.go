package lambdatest

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// OnOneCore runs do such that the processes it starts have one core, as a
// function with little memory has at most.
func OnOneCore(b *testing.B, do func()) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		b.Fatal(err)
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := unix.SchedSetaffinity(0, &allowed); err != nil {
			b.Error(err)
		}
	}()
	do()
}

package lambdatest

import (
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"clerksync/shared/testkit/need"
)

// oneCore is the core that functions are started on; "" is all of them.
var oneCore string

// OnOneCore runs do such that the functions it starts have one core, as a
// function with little memory has at most. Functions are started by another thread
// than the caller's: a program has to hand the core on, which takes it a millisecond.
func OnOneCore(b *testing.B, do func()) {
	b.Helper()
	need.Program(b, "taskset", "apt install util-linux")
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		b.Fatal(err)
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	oneCore = strconv.Itoa(cpu)
	defer func() { oneCore = "" }()
	do()
}

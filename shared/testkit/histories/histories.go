// Package histories holds how many random histories a test plays: few in every run,
// and with -histories 10, which `make soak` sets, ten times as many.
//
//	for seed := range histories.Seeds(4) {
//
// A test says the few, which are enough to show what it shows; it begins with the same
// ones always, so that what was found with many can be looked at with -run alone.
//
// Limits: only packages that import this one know the flag.
package histories

import (
	"flag"
	"iter"
)

var times = flag.Int("histories", 1, "play `times` as many random histories")

// Seeds are the seeds of the histories: 0 up to few, or to as many times that as
// the flag says.
func Seeds(few int) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for seed := range uint64(few * max(*times, 1)) {
			if !yield(seed) {
				return
			}
		}
	}
}

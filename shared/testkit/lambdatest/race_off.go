//go:build !race

package lambdatest

// RaceDetector is whether this test binary has it, and functions shall.
const RaceDetector = false

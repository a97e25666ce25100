//go:build race

package lambdatest

// raceDetector is whether this test binary has it, and functions shall.
const raceDetector = true

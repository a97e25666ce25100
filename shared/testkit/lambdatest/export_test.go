package lambdatest

// RaceDetector is raceDetector, for tests.
const RaceDetector = raceDetector

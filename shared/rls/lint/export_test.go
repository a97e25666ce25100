package lint

// RunWithin is Run with another limit for each query.
var RunWithin = run

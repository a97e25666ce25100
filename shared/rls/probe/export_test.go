package probe

// RunWithin is Run with another limit for each statement of a persona.
var RunWithin = run

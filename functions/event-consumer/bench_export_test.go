package main

// NewHandler builds the function's handler, for benchmarks that run it in
// their own process.
var NewHandler = newHandler

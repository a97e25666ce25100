package process

// Watch is watch, for a test without the kernel's help.
var Watch = watch

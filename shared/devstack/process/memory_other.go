//go:build !linux

package process

// MemoryRoot is "": macOS has no folder that lives in memory.
func MemoryRoot(_ uint64) string { return "" }

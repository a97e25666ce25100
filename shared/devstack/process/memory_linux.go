package process

import (
	"os"
	"syscall"
)

// tmpfs is the magic number of file systems that live in memory.
const tmpfs = 0x01021994

// memoryRoot is the folder that systems keep in memory. Containers often have a
// small one.
const memoryRoot = "/dev/shm"

// MemoryRoot is a folder below which files live in memory, or "" where there is
// none with that many bytes to spare. Programs may not be runnable from it.
func MemoryRoot(spare uint64) string {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(memoryRoot, &stat); err != nil || stat.Type != tmpfs {
		return ""
	}
	if stat.Bavail*uint64(stat.Bsize) < spare {
		return ""
	}
	// Some systems keep it for root.
	probe, err := os.MkdirTemp(memoryRoot, "clerksync-probe-")
	if err != nil {
		return ""
	}
	_ = os.Remove(probe)
	return memoryRoot
}

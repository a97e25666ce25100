package process

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// settling protects a folder that was made but not yet locked by its maker.
const settling = 10 * time.Second

// TempDir is a temporary folder that is known to be in use as long as its maker
// lives, because the maker holds a lock on it that the kernel takes back.
type TempDir struct {
	path string
	lock *DirLock
}

// NewTempDir makes a folder that only this user can enter, and removes the ones
// with the same prefix whose makers are dead. Its path is short enough for a
// Unix socket below it.
func NewTempDir(prefix string) (*TempDir, error) {
	root := os.TempDir()
	// A socket's path may have some hundred bytes; deep temporary folders leave
	// no room for it.
	if len(root)+len(prefix) > 70 {
		root = "/tmp"
	}
	return NewTempDirIn(root, prefix)
}

// NewTempDirIn is [NewTempDir] in a folder of the caller's choice.
func NewTempDirIn(root, prefix string) (*TempDir, error) {
	sweep(root, prefix)
	path, err := os.MkdirTemp(root, prefix)
	if err != nil {
		return nil, fmt.Errorf("making a temporary folder: %w", err)
	}
	lock, err := LockDir(path)
	if err != nil {
		_ = os.RemoveAll(path)
		return nil, err
	}
	return &TempDir{path: path, lock: lock}, nil
}

// Path is the folder.
func (d *TempDir) Path() string { return d.path }

// Remove deletes the folder and everything in it. Calling it again is harmless.
func (d *TempDir) Remove() error {
	err := os.RemoveAll(d.path)
	_ = d.lock.Close()
	if err != nil {
		return fmt.Errorf("removing a temporary folder: %w", err)
	}
	return nil
}

// DirLock is the lock of a folder.
type DirLock struct{ dir *os.File }

// LockDir takes the lock of a folder, and answers an error at once if another
// process, or another caller in this one, holds it.
func LockDir(path string) (*DirLock, error) {
	dir, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a folder to lock it: %w", err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = dir.Close()
		return nil, fmt.Errorf("locking %s, which another process uses: %w", path, err)
	}
	return &DirLock{dir}, nil
}

// Close gives the lock back. It says so, since closing alone would not do: a
// program that is being started elsewhere in this process has a copy of the
// open folder for a moment, and the lock would last until that is gone.
func (l *DirLock) Close() error {
	_ = syscall.Flock(int(l.dir.Fd()), syscall.LOCK_UN)
	return l.dir.Close()
}

// sweep removes what dead makers left. It is a courtesy: what cannot be removed
// is somebody else's, or the next sweep's.
func sweep(root, prefix string) {
	candidates, err := filepath.Glob(filepath.Join(root, prefix+"*"))
	if err != nil {
		return
	}
	for _, path := range candidates {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < settling {
			continue
		}
		lock, err := LockDir(path)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(path)
		_ = lock.Close()
	}
}

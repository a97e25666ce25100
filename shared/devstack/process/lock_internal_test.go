package process

import (
	"os"
	"os/exec"
	"testing"
)

// A child that has a copy of the locked folder, as every child has between fork
// and exec, does not keep the lock when its maker gives it back.
func TestLockDir_IsGivenBackWhileAChildHasACopy(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	lock, err := LockDir(path)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), "sleep", "60")
	child.ExtraFiles = []*os.File{lock.dir}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	if second, err := LockDir(path); err == nil {
		_ = second.Close()
		t.Fatal("a second lock was taken while the first was held")
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := LockDir(path)
	if err != nil {
		t.Fatalf("given back, it cannot be taken: %v", err)
	}
	_ = again.Close()
}

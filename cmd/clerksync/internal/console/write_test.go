package console

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	// writeHelper names, for the test's own program, how it writes which file.
	writeHelper = "CLERKSYNC_TEST_WRITE"
	long        = 1 << 16
)

// TestWriteHelper is the program that is killed while it writes.
func TestWriteHelper(t *testing.T) {
	t.Parallel()
	how, path, ok := strings.Cut(os.Getenv(writeHelper), " ")
	if !ok {
		t.Skip("it is run by TestWrite_KilledLeavesNoPart")
	}
	write := map[string]func(string, string) error{"new": WriteNewFile, "over": WriteFile}[how]
	if err := write(path, strings.Repeat("x", long)); err != nil {
		t.Fatal(err)
	}
}

// The system kills a process that makes a file longer than it may.
func TestWrite_KilledLeavesNoPart(t *testing.T) {
	t.Parallel()
	for how, earlier := range map[string]string{"new": "", "over": "what was there"} {
		path := filepath.Join(t.TempDir(), "file")
		if earlier != "" {
			if err := os.WriteFile(path, []byte(earlier), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		child := exec.CommandContext(t.Context(), "/bin/sh", "-c", `ulimit -f 1; exec "$0" -test.run '^TestWriteHelper$'`, os.Args[0])
		child.Env = append(os.Environ(), writeHelper+"="+how+" "+path)
		if out, err := child.CombinedOutput(); err == nil {
			t.Fatalf("%s: a file of %d bytes was written under a limit of 1 block:\n%s", how, long, out)
		}
		got, err := os.ReadFile(path)
		if string(got) != earlier || (earlier == "") != errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: killed, it leaves %d bytes (%v), want %q", how, len(got), err, earlier)
		}
	}
}

func TestWrite_PutsAFileInItsPlace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(WriteNewFile(path, "one"), os.Chmod(path, 0o640), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	if err := WriteNewFile(path, "two"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second new file: %v, want fs.ErrExist", err)
	}
	if err := errors.Join(WriteFile(link, "three"), WriteFile("/dev/null", "four")); err != nil {
		t.Error(err)
	}
	got, err := os.ReadFile(path)
	info, statErr := os.Lstat(link)
	if err = errors.Join(err, statErr); err != nil || string(got) != "three" || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("through a link: %q, %v, want the file written and the link kept", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file's mode is %v, %v, want what it was", info.Mode(), err)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode().IsRegular() {
		t.Errorf("/dev/null is %v, %v, want it left a device", info.Mode(), err)
	}
	names, err := filepath.Glob(filepath.Join(dir, ".*"))
	if names = slices.DeleteFunc(names, func(n string) bool { return filepath.Base(n) == "." || filepath.Base(n) == ".." }); err != nil || len(names) > 0 {
		t.Errorf("beside it are left %q, %v", names, err)
	}
}

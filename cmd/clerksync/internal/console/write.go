package console

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes a file, whole or not at all; it replaces an earlier one.
// What is no file, such as /dev/stdout, is written to as it is.
func WriteFile(path, text string) error {
	mode := fs.FileMode(0o644)           // part of a repository, which others read
	switch info, err := os.Stat(path); { //nolint:gosec // whichever file the person names
	case err == nil && !info.Mode().IsRegular():
		return os.WriteFile(path, []byte(text), mode) //nolint:gosec // the same
	case err == nil:
		mode = info.Mode().Perm()
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	}
	return writeBeside(path, text, mode, os.Rename)
}

// WriteNewFile writes a file that is there whole or not at all. One of its name that is
// there is left, and [fs.ErrExist].
func WriteNewFile(path, text string) error {
	return writeBeside(path, text, 0o644, os.Link)
}

// writeBeside writes a file beside its place and puts it there.
func writeBeside(path, text string, mode fs.FileMode, put func(from, to string) error) error {
	beside, err := os.CreateTemp(filepath.Dir(path), ".clerksync-*")
	if err != nil {
		return err
	}
	_, err = beside.WriteString(text)
	if err = errors.Join(err, beside.Chmod(mode), beside.Sync(), beside.Close()); err == nil {
		err = put(beside.Name(), path)
	}
	if left := os.Remove(beside.Name()); !errors.Is(left, fs.ErrNotExist) { //nolint:gosec // beside the file that the person named
		err = errors.Join(err, left)
	}
	return err
}

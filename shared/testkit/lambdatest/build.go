package lambdatest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// built are the binaries that this test binary has asked for, by the arguments.
var built sync.Map

type binary struct {
	once sync.Once
	path string
}

// Build compiles a program for this machine but otherwise as a function is deployed, and
// returns its path. Under the race detector the program has it too.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	return build(t, pkg, pkg)
}

// build compiles a package once for each name.
func build(t testing.TB, name, pkg string, flags ...string) string {
	t.Helper()
	known, _ := built.LoadOrStore(name, &binary{})
	b := known.(*binary)
	b.once.Do(func() {
		args := append([]string{"run", "-exec", "echo", "-trimpath", "-tags", "lambda.norpc"}, flags...)
		cgo := "CGO_ENABLED=0"
		if RaceDetector {
			args, cgo = append(args, "-race"), "CGO_ENABLED=1"
		} else {
			args = append(args, "-ldflags", "-s -w")
		}
		b.path = linked(t, append(args, pkg), cgo)
	})
	if b.path == "" {
		t.Fatalf("%s did not build", pkg)
	}
	return b.path
}

// linked is the path of a program in Go's cache, where `go run` keeps what it has linked:
// packages whose tests need the same program share it, until anything that it is made of
// changes, and Go removes what is not used any more. The run that links runs the program,
// here echo in its stead, in a folder that is gone afterwards; the next one from the cache.
func linked(t testing.TB, args []string, env string) string {
	t.Helper()
	var path string
	for range 2 {
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Env = append(os.Environ(), env)
		var stderr bytes.Buffer
		command.Stderr = &stderr
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", command, err, stderr.String())
		}
		path = strings.TrimSpace(string(out))
		if _, err := os.Stat(path); err == nil {
			return path
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Fatalf("go run kept no program: %s is gone", path)
	return ""
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

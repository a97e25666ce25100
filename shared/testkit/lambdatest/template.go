package lambdatest

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clerksync/shared/testkit/need"
)

const (
	// root is where template.yaml and the Makefile lie, seen from a function.
	root = "../.."
	// maxBootstrap is what a cold start may have to load, in bytes.
	maxBootstrap = 15 << 20
)

// CheckBuild builds a function as a deployment does, checks that Lambda can
// start the bootstrap, and compares it with a build of a copy of the tree: the
// bytes depend on the source and the version, not on where the source lies or
// who builds it. It is to be called by the function's own tests. The test is
// skipped where make or the SAM CLI is not installed, and fails there when CI=true.
func CheckBuild(t *testing.T, logicalID string) {
	t.Helper()
	need.Program(t, "sam", "pip install aws-sam-cli")
	need.Program(t, "make", "install make")

	version := "VERSION=v0.0.0-test"
	built := filepath.Join(t.TempDir(), "sam")
	run(t, root, append(samEnv, version), "sam", "build", logicalID, "--template", "template.yaml", "--build-dir", built)
	first := filepath.Join(built, logicalID, "bootstrap")
	checkBootstrap(t, first)

	tree, artifacts := t.TempDir(), t.TempDir()
	copyTree(t, tree)
	run(t, tree, []string{version, "ARTIFACTS_DIR=" + artifacts}, "make", "build-"+logicalID)
	second := filepath.Join(artifacts, "bootstrap")

	if a, b := read(t, first), read(t, second); !bytes.Equal(a, b) {
		t.Errorf("bootstrap of %d bytes built by sam differs from %d bytes built by make from a copy of the tree", len(a), len(b))
	}
	if !bytes.Contains(read(t, first), []byte("v0.0.0-test")) {
		t.Error("bootstrap does not contain its version v0.0.0-test")
	}
}

// SampleEnvironment is the environment that infra/env.json has for a function. The
// caller owns the map.
func SampleEnvironment(t testing.TB, logicalID string) map[string]string {
	t.Helper()
	var environment map[string]map[string]string
	if err := json.Unmarshal(read(t, filepath.Join(root, "infra", "env.json")), &environment); err != nil {
		t.Fatalf("infra/env.json: %v", err)
	}
	if environment[logicalID] == nil {
		t.Fatalf("infra/env.json has nothing for %s", logicalID)
	}
	return environment[logicalID]
}

// SampleEvent is an event of infra/events, such as "full-sync.json".
func SampleEvent(t testing.TB, name string) []byte {
	t.Helper()
	return read(t, filepath.Join(root, "infra", "events", name))
}

// CheckMetrics fails unless what a function has written, in CloudWatch's embedded
// metric format, holds every metric that infra/monitoring.yaml reads of it: the
// lines of infra/testdata/metrics.txt that begin with its folder. All of them must
// name the function as it is deployed.
func CheckMetrics(t *testing.T, folder, deployedAs, written string) {
	t.Helper()
	found := map[string]bool{}
	for text := range strings.Lines(written) {
		var line struct {
			Metadata struct {
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name string }
				}
			} `json:"_aws"`
		}
		var values map[string]any
		if err := errors.Join(json.Unmarshal([]byte(text), &line), json.Unmarshal([]byte(text), &values)); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		for _, directive := range line.Metadata.CloudWatchMetrics {
			for _, dimensions := range directive.Dimensions {
				var exact, searched string
				for _, name := range slices.Sorted(slices.Values(dimensions)) {
					if name == "function" {
						if values[name] != deployedAs {
							t.Errorf("a metric is the function %v's, want %s: %s", values[name], deployedAs, text)
						}
						continue
					}
					exact += fmt.Sprintf(" %s=%v", name, values[name])
					searched += fmt.Sprintf(" %s=*", name)
				}
				for _, metric := range directive.Metrics {
					found[folder+" "+metric.Name+exact], found[folder+" "+metric.Name+searched] = true, true
				}
			}
		}
	}
	wanted := 0
	for line := range strings.Lines(string(read(t, filepath.Join(root, "infra", "testdata", "metrics.txt")))) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, folder+" ") {
			continue
		}
		wanted++
		if !found[line] {
			t.Errorf("the monitoring reads a metric that was not written: %s", line)
		}
	}
	if wanted == 0 {
		t.Errorf("the monitoring reads nothing of %s", folder)
	}
}

// ReportSize reports the size of a function's bootstrap, built as it is
// deployed, as the result of a benchmark.
func ReportSize(b *testing.B, logicalID string) {
	b.Helper()
	need.Program(b, "make", "install make")
	sizes := map[string]int64{}
	for b.Loop() {
		for _, arch := range []string{"arm64", "amd64"} {
			dir := b.TempDir()
			run(b, root, nil, "make", "build-"+logicalID, "ARTIFACTS_DIR="+dir, "LAMBDA_GOARCH="+arch)
			info, err := os.Stat(filepath.Join(dir, "bootstrap"))
			if err != nil {
				b.Fatal(err)
			}
			sizes[arch] = info.Size()
		}
	}
	for arch, size := range sizes {
		b.ReportMetric(float64(size)/(1<<20), arch+"-MiB")
	}
	b.ReportMetric(0, "ns/op")
}

// checkBootstrap checks that Lambda can start the file: a static arm64 executable of bounded size.
func checkBootstrap(t *testing.T, path string) {
	t.Helper()

	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o111 == 0 {
		t.Errorf("bootstrap has mode %v, want it executable", info.Mode())
	}
	if info.Size() > maxBootstrap {
		t.Errorf("bootstrap has %d bytes, want at most %d", info.Size(), maxBootstrap)
	}

	file, err := elf.Open(path)
	if err != nil {
		t.Fatalf("bootstrap is no ELF file: %v", err)
	}
	defer file.Close()
	if file.Machine != elf.EM_AARCH64 {
		t.Errorf("bootstrap is for %v, want %v", file.Machine, elf.EM_AARCH64)
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("bootstrap asks for a dynamic loader, want it static")
		}
	}
}

// samEnv keeps sam from calling home and gives it the region that validation asks for; nothing is sent to it.
var samEnv = []string{"SAM_CLI_TELEMETRY=0", "AWS_DEFAULT_REGION=us-east-1"}

// run runs a command in dir with env added to the test's own, and fails the test with its output when it fails.
func run(t testing.TB, dir string, env []string, name string, args ...string) {
	t.Helper()

	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
}

// copyTree copies what the build needs to dir: no .git, so nothing there could tell it a version.
func copyTree(t *testing.T, dir string) {
	t.Helper()

	for _, name := range []string{"functions", "shared", "sql"} {
		err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name)))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "Makefile"} {
		if err := os.WriteFile(filepath.Join(dir, name), read(t, filepath.Join(root, name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

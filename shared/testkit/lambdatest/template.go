package lambdatest

import (
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

// root is where template.yaml and the Makefile lie, seen from a function.
const root = "../.."

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

func read(t testing.TB, path string) []byte {
	t.Helper()

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

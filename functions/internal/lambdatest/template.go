package lambdatest

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	// root is where template.yaml and the Makefile lie, seen from a function.
	root = "../.."
	// maxBootstrap is what a cold start may have to load, in bytes.
	maxBootstrap = 15 << 20
)

// CheckTemplate runs cfn-lint and the SAM CLI over template.yaml. The test is
// skipped where one of them is not installed, and fails there when CI=true.
func CheckTemplate(t *testing.T) {
	t.Helper()
	t.Run("cfn-lint", func(t *testing.T) {
		t.Parallel()
		requireTool(t, "cfn-lint", "pip install cfn-lint")
		run(t, root, nil, "cfn-lint", "--", "template.yaml")
	})
	t.Run("sam validate", func(t *testing.T) {
		t.Parallel()
		requireTool(t, "sam", "pip install aws-sam-cli")
		run(t, root, samEnv, "sam", "validate", "--lint", "--template", "template.yaml")
	})
}

// CheckBuild builds a function as a deployment does, checks that Lambda can
// start the bootstrap, and compares it with a build of a copy of the tree: the
// bytes depend on the source and the version, not on where the source lies or
// who builds it. It is to be called by the function's own tests, under the same
// conditions as CheckTemplate.
func CheckBuild(t *testing.T, logicalID string) {
	t.Helper()
	requireTool(t, "sam", "pip install aws-sam-cli")
	requireTool(t, "make", "install make")

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

// ReportSize reports the size of a function's bootstrap, built as it is
// deployed, as the result of a benchmark.
func ReportSize(b *testing.B, logicalID string) {
	b.Helper()
	requireTool(b, "make", "install make")
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

// requireTool skips the test or benchmark where a stranger's machine lacks the tool, and fails it in CI.
func requireTool(t testing.TB, name, install string) {
	t.Helper()

	_, err := exec.LookPath(name)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is not on PATH: %s", name, install)
	default:
		t.Skipf("%s is not on PATH: %s", name, install)
	}
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

func read(t *testing.T, path string) []byte {
	t.Helper()

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

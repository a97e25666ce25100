// Package nodepkg runs Node programs that use packages of npm, for tests that ask
// the libraries of others.
//
//	modules := nodepkg.Find(t, "@clerk/backend")
//	out := modules.Run(t, `const { verifyToken } = require("@clerk/backend"); …`, input)
//
// A package is looked for in the folders of NODE_PATH, in the node_modules whose
// .bin is on PATH, and in .cache/npm/node_modules of the module's root, where the
// checks of every change install it. A test is skipped where Node or the package
// is missing, and fails there when CI=true.
package nodepkg

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"clerksync/shared/testkit/need"
)

// minNode is the oldest main version that is used.
const minNode = 20

// Modules is a folder that has the packages that were asked for. Call [Find].
type Modules struct {
	// Dir is called node_modules, mostly.
	Dir string

	node string
}

// Find returns where packages are installed, all of them in one folder.
func Find(t testing.TB, packages ...string) Modules {
	t.Helper()
	node := need.Program(t, "node", "install Node "+strconv.Itoa(minNode)+" or newer")
	version, err := exec.CommandContext(t.Context(), node, "--version").Output()
	if err != nil {
		t.Fatalf("node --version: %v", err)
	}
	digits, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if major, err := strconv.Atoi(digits); err != nil || major < minNode {
		need.Missing(t, "Node is "+strings.TrimSpace(string(version))+"; install version "+strconv.Itoa(minNode)+" or newer")
	}
	for _, dir := range folders() {
		if has(dir, packages) {
			return Modules{Dir: dir, node: node}
		}
	}
	names := strings.Join(packages, " ")
	need.Missing(t, "npm has not installed "+names+`; in the module's root, "npm install --prefix .cache/npm --no-save `+names+`" brings it`)
	return Modules{}
}

// folders are where packages may be, the likeliest first.
func folders() []string {
	list := filepath.SplitList(os.Getenv("NODE_PATH"))
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.Base(dir) == ".bin" {
			list = append(list, filepath.Dir(dir))
		}
	}
	if root, ok := moduleRoot(); ok {
		list = append(list, filepath.Join(root, ".cache", "npm", "node_modules"))
	}
	return list
}

// moduleRoot is the nearest folder above with a go.mod; tests run in the folder
// of their package.
func moduleRoot() (string, bool) {
	dir, err := os.Getwd()
	if err != nil {
		return "", false
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, true
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", false
		}
		dir = above
	}
}

func has(dir string, packages []string) bool {
	if !filepath.IsAbs(dir) {
		return false
	}
	for _, name := range packages {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name), "package.json")); err != nil {
			return false
		}
	}
	return true
}

// Version is the installed version of a package.
func (m Modules) Version(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.Dir, filepath.FromSlash(name), "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Version string }
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatalf("reading package.json of %s: %v", name, err)
	}
	return manifest.Version
}

// Run runs a CommonJS program, which may require the packages, and returns what
// it prints. input, as JSON, is what it reads on its standard input. A program
// that fails ends the test.
func (m Modules) Run(t testing.TB, program string, input any) []byte {
	t.Helper()
	stdin, err := json.Marshal(input)
	if err != nil {
		t.Fatalf("encoding the input of a Node program: %v", err)
	}
	file := filepath.Join(t.TempDir(), "program.cjs")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), m.node, file)
	command.Env = append(os.Environ(), "NODE_PATH="+m.Dir, "NODE_OPTIONS=", "NO_COLOR=1", "CLERK_TELEMETRY_DISABLED=1", "DO_NOT_TRACK=1")
	command.Stdin = bytes.NewReader(stdin)
	var talk strings.Builder
	command.Stderr = &talk
	out, err := command.Output()
	if err != nil {
		t.Fatalf("a Node program: %v\n%s%s", err, out, talk.String())
	}
	return out
}

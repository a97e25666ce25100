package infra_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// importRule is a rule about what the files of some rooms may import.
type importRule struct {
	Mode  string   `yaml:"list-mode"`
	Files []string `yaml:"files"`
}

// holds tells whether the rule lists everything that production files of a folder may
// import.
func (r importRule) holds(folder string) bool {
	if r.Mode != "strict" {
		return false
	}
	held := false
	for _, pattern := range r.Files {
		pattern, excluded := strings.CutPrefix(pattern, "!")
		room, ok := strings.CutPrefix(pattern, "${config-path}/")
		if !ok {
			continue // "$test"
		}
		below, all := strings.CutSuffix(room, "/**")
		if all && (folder == below || strings.HasPrefix(folder, below+"/")) || !all && path.Dir(room) == folder {
			if excluded {
				return false
			}
			held = true
		}
	}
	return held
}

// A room without a rule could import everything, and nothing would say so.
func TestLinter_KnowsEveryRoom(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, ".golangci.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Linters struct {
			Settings struct {
				Depguard struct {
					Rules map[string]importRule `yaml:"rules"`
				} `yaml:"depguard"`
			} `yaml:"settings"`
		} `yaml:"linters"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	rooms := map[string]bool{}
	for _, top := range []string{"cmd", "functions", "shared", "sql"} {
		err := fs.WalkDir(os.DirFS(root), top, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && entry.Name() == "testdata" {
				return fs.SkipDir
			}
			if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
				rooms[path.Dir(name)] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(rooms) < 40 {
		t.Fatalf("%d rooms were found; nothing is shown", len(rooms))
	}
	free := func(room string) bool {
		// They may use every room, but for the double of Clerk.
		return room == "shared/devstack" || strings.HasPrefix(room, "shared/devstack/") && !strings.HasPrefix(room, "shared/devstack/clerkdouble/") ||
			strings.HasPrefix(room, "shared/testkit/") || room == "cmd/clerksync/internal/clitest"
	}
	for room := range rooms {
		rules := 0
		for _, rule := range config.Linters.Settings.Depguard.Rules {
			if rule.holds(room) {
				rules++
			}
		}
		if !free(room) && rules != 1 {
			t.Errorf("%s: %d rules of .golangci.yaml list what it may import, want one", room, rules)
		}
	}
}

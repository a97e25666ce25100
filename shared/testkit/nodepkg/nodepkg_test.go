package nodepkg_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"clerksync/shared/testkit/nodepkg"
)

// install puts a package below a folder by hand.
func install(t *testing.T, modules, name, version, program string) {
	t.Helper()
	dir := filepath.Join(modules, filepath.FromSlash(name))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"package.json": `{"name":"` + name + `","version":"` + version + `","main":"main.js"}`, "main.js": program,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind_RunsProgramsWithAPackage(t *testing.T) {
	for _, variable := range []string{"NODE_PATH", "PATH"} {
		t.Run(variable, func(t *testing.T) {
			modules := filepath.Join(t.TempDir(), "node_modules")
			install(t, modules, "@scope/shout", "1.2.3", `module.exports = (s) => s.toUpperCase();`)
			dir := modules
			if variable == "PATH" {
				dir = filepath.Join(modules, ".bin")
			}
			t.Setenv(variable, dir+string(filepath.ListSeparator)+os.Getenv(variable))
			found := nodepkg.Find(t, "@scope/shout")
			if version := found.Version(t, "@scope/shout"); found.Dir != modules || version != "1.2.3" {
				t.Errorf("Find = %q with version %s, want %q with 1.2.3", found.Dir, version, modules)
			}
			out := found.Run(t, `
				const shout = require("@scope/shout");
				const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
				process.stdout.write(shout(input.word));`, map[string]string{"word": "ja\u00df"})
			if string(out) != "JASS" {
				t.Errorf("the program printed %q, want JASS", out)
			}
		})
	}
}

// recorder notes how a test was ended instead of ending it.
type recorder struct {
	*testing.T
	ended chan string
}

func (r recorder) Skip(args ...any)                { r.end("skip", fmt.Sprint(args...)) }
func (r recorder) Fatalf(text string, args ...any) { r.end("fatal", fmt.Sprintf(text, args...)) }

func (r recorder) end(how, text string) {
	r.ended <- how + ": " + text
	runtime.Goexit()
}

func TestFind_SaysWhatIsMissing(t *testing.T) {
	for ci, how := range map[string]string{"": "skip: ", "true": "fatal: "} {
		t.Setenv("CI", ci)
		r := recorder{T: t, ended: make(chan string)}
		go nodepkg.Find(r, "@scope/nobody-has-this")
		if got := <-r.ended; !strings.HasPrefix(got, how) || !strings.Contains(got, "install") {
			t.Errorf("Find of a package that is not there, CI=%q: %q, want %q and how to get it", ci, got, how)
		}
	}
}

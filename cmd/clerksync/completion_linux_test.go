package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/testkit/need"
)

// shells are those that complete, with what installs them.
var shells = map[string]string{"bash": "apt install bash", "zsh": "apt install zsh", "fish": "apt install fish"}

// completionScript is a file with what "clerksync completion" prints.
func completionScript(t *testing.T, shell, name string) string {
	t.Helper()
	got := clerksync(t, nil, "completion", shell)
	if got.Code != commandline.ExitOK || got.Stderr != "" {
		t.Fatalf("completion %s: exit %d\n%s", shell, got.Code, got.Stderr)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(got.Stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// question is a command line whose last word is to be completed, and what it may become.
type question struct {
	words []string
	want  []string
}

// questions are about everything that there is to be completed.
func questions(t *testing.T) []question {
	t.Helper()
	var all []question
	for _, command := range clitest.Grammar[program](t).All() {
		path := command.Path()
		var names, flags []string
		for _, below := range command.Commands {
			names = append(names, below.Name)
		}
		if len(names) > 0 {
			all = append(all, question{append(path, ""), names})
		}
		for _, f := range command.Called() {
			flags = append(flags, "--"+f.Name)
			if len(f.Choices) > 0 {
				all = append(all,
					question{append(path, "--"+f.Name, ""), f.Choices},
					question{append(path, "--json", "--"+f.Name, f.Choices[0][:1]), beginning(f.Choices, f.Choices[0][:1])})
			}
		}
		all = append(all, question{append(path, "--"), flags})
		for _, a := range command.Arguments {
			if len(a.Choices) > 0 {
				all = append(all, question{append(path, ""), a.Choices}, question{append(path, "--env-file", "x", "--json", ""), a.Choices})
			}
		}
	}
	return all
}

func beginning(words []string, with string) []string {
	var some []string
	for _, w := range words {
		if strings.HasPrefix(w, with) {
			some = append(some, w)
		}
	}
	return some
}

// asking are scripts that print, for each question, a line "? number" and then what is
// offered, one a line.
var asking = map[string]func(script string, all []question) string{
	"bash": func(script string, all []question) string {
		var b strings.Builder
		fmt.Fprintf(&b, ". '%s'\n", script)
		for i, q := range all {
			fmt.Fprintf(&b, "COMP_WORDS=(clerksync %s); COMP_CWORD=%d; _clerksync; echo '? %d'; printf '%%s\\n' \"${COMPREPLY[@]}\"\n", shellQuoted(q.words), len(q.words), i)
		}
		return b.String()
	},
	// As the functions see it that zsh calls them with.
	"zsh": func(script string, all []question) string {
		var b strings.Builder
		fmt.Fprintf(&b, `
compdef() { : }
compset() { PREFIX=${PREFIX#*=} }
offer() { (( $# )) && print -l -- ${(M)@:#$PREFIX*} }
compadd() { offer ${(P)@[-1]} }
_describe() { local entries=(${(P)@[-1]}); offer ${entries%%%%:*} }
_files() { print files }
. '%s'
`, script)
		for i, q := range all {
			fmt.Fprintf(&b, "words=(clerksync %s); CURRENT=%d; PREFIX=%s; print '? %d'; _clerksync\n", shellQuoted(q.words), len(q.words)+1, shellQuoted(q.words[len(q.words)-1:]), i)
		}
		return b.String() + "true\n"
	},
	"fish": func(script string, all []question) string {
		var b strings.Builder
		fmt.Fprintf(&b, "source '%s'\n", script)
		for i, q := range all {
			fmt.Fprintf(&b, "echo '? %d'; complete -C 'clerksync %s' | string replace -r '\\t.*' ''\n", i, strings.Join(q.words, " "))
		}
		return b.String() + "true\n"
	},
}

func shellQuoted(words []string) string {
	var quoted []string
	for _, w := range words {
		quoted = append(quoted, "'"+w+"'")
	}
	return strings.Join(quoted, " ")
}

// Each shell offers each command, flag and choice, where it belongs and nowhere else.
func TestCompletion_OffersEverythingThereIs(t *testing.T) {
	t.Parallel()
	all := questions(t)
	if len(all) < 50 {
		t.Fatalf("%d questions, too few for the whole program", len(all))
	}
	for shell, install := range shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			need.Program(t, shell, install)
			asked := filepath.Join(t.TempDir(), "asked")
			if err := os.WriteFile(asked, []byte(asking[shell](completionScript(t, shell, "script"), all)), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), shell, asked).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for i, q := range all {
				_, answer, found := strings.Cut("\n"+string(out), fmt.Sprintf("\n? %d\n", i))
				answer, _, _ = strings.Cut(answer+"\n? ", "\n? ")
				got, want := strings.Fields(answer), slices.Clone(q.want)
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(want, got); diff != "" || !found {
					t.Errorf("clerksync %q (-want +offered):\n%s", q.words, diff)
				}
			}
		})
	}
}

// What a person sees: a tab becomes the rest of the word, and what is typed then is read
// by the program as it was meant.
func TestCompletion_CompletesAtATerminal(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, name := range []string{"my settings.env", "token.txt"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "migrations"), 0o700); err != nil {
		t.Fatal(err)
	}
	const shows = "clerksync() { printf '<%s>' \"$@\"; echo; }\n"
	starts := map[string]func(t *testing.T, home string) *exec.Cmd{
		"bash": func(t *testing.T, home string) *exec.Cmd {
			t.Helper()
			write(t, filepath.Join(home, "rc"), "PS1='ready> '\nbind 'set enable-bracketed-paste off'\nbind 'set bell-style none'\n"+shows+". '"+completionScript(t, "bash", "script")+"'\n")
			return exec.CommandContext(t.Context(), "bash", "--noprofile", "--rcfile", filepath.Join(home, "rc"), "-i")
		},
		// From fpath, as its help says.
		"zsh": func(t *testing.T, home string) *exec.Cmd {
			t.Helper()
			write(t, filepath.Join(home, ".zshrc"), "PS1='ready> '\nunsetopt beep zle_bracketed_paste\nunset zle_bracketed_paste\nfpath=('"+filepath.Dir(completionScript(t, "zsh", "_clerksync"))+
				"' $fpath)\nautoload -Uz compinit && compinit -u -D\n"+shows)
			return exec.CommandContext(t.Context(), "zsh", "-d", "-i")
		},
	}
	for shell, start := range starts {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			need.Program(t, shell, shells[shell])
			home := t.TempDir()
			command := start(t, home)
			tty, keys := clitest.NewKeyboard(t)
			command.Stdin, command.Stdout, command.Stderr, command.Dir = tty, tty, tty, folder
			command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "ZDOTDIR=" + home, "TERM=dumb", "LC_ALL=C"}
			command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- command.Wait() }()
			seen := 0
			await := func(what string) {
				t.Helper()
				keys.Screen.Await(t, what, done, func() bool { return strings.Contains(keys.Screen.Stdout()[seen:], what) })
				seen += strings.Index(keys.Screen.Stdout()[seen:], what) + len(what)
			}
			await("ready> ")
			for _, line := range []struct{ typed, want string }{
				{"clerksync ev\tli\t--outc\tap\t", "<events><list><--outcome><applied>"},
				{"clerksync events list --outcome=rej\t", "<events><list><--outcome=rejected>"},
				{"clerksync mig\tlog\tdiag\t", "<migrate><login><diagnostics>"},
				{"clerksync --env-file my\tsync\t--dry\t", "<--env-file><my settings.env><sync-users><--dry-run>"},
				{"clerksync --json configure-rls notes --pat\tpub\t-p\t", "<--json><configure-rls><notes><--pattern><pub"},
				{"clerksync migrate export --dir mi\t", "<migrate><export><--dir><migrations"},
				{"clerksync test-jwt --file tok\t", "<test-jwt><--file><token.txt>"},
				{"clerksync compl\tfi\t", "<completion><fish>"},
			} {
				if _, err := keys.WriteString(line.typed + "\r"); err != nil {
					t.Fatal(err)
				}
				await(line.want)
				await("ready> ")
			}
			if _, err := keys.WriteString("exit\r"); err != nil {
				t.Fatal(err)
			}
			<-done
		})
	}
	t.Run("fish", func(t *testing.T) {
		t.Parallel()
		need.Program(t, "fish", shells["fish"])
		home := t.TempDir()
		got := clerksync(t, nil, "completion", "fish")
		if err := os.MkdirAll(filepath.Join(home, "fish", "completions"), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(home, "fish", "completions", "clerksync.fish"), got.Stdout)
		for line, want := range map[string]string{
			"clerksync ev":                        "events\tList the webhook events that arrived, and replay rejected ones",
			"clerksync events list --outcome=rej": "--outcome=rejected\tOnly events with this outcome",
			"clerksync --env-file my":             "my settings.env",
			"clerksync migrate export --dir mi":   "migrations/\tDirectory",
			"clerksync test-jwt --file tok":       "token.txt",
			"clerksync status tok":                "",
		} {
			command := exec.CommandContext(t.Context(), "fish", "-c", "complete -C '"+line+"'")
			command.Dir = folder
			command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_DATA_HOME=" + home, "LC_ALL=C.UTF-8"}
			out, err := command.CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != want {
				t.Errorf("%s: %v, fish offers %q, want %q", line, err, out, want)
			}
		}
	})
}

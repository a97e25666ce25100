package commandline_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
)

// program has commands that do what any may do.
type program struct {
	Show  showCommand  `cmd:""`
	Tell  tellCommand  `cmd:""`
	Fails failsCommand `cmd:""`
}

// showCommand prints a setting.
type showCommand struct{}

func (showCommand) Run(c console.Console) error {
	value, _ := c.Lookup("SETTING")
	return c.Print(map[string]string{"setting": value}, func(row func(...any)) { row(value) })
}

// tellCommand prints without looking whether it succeeds, and ends when it is told to.
type tellCommand struct {
	Talk bool
}

func (cmd tellCommand) Run(ctx context.Context, c console.Console) error {
	if cmd.Talk {
		c.Say("talk")
	} else {
		fmt.Fprintln(c.Stdout, "data")
	}
	<-ctx.Done()
	return fmt.Errorf("stopped: %w", ctx.Err())
}

// failsCommand fails with what a terminal would obey in the error.
type failsCommand struct{}

func (failsCommand) Run() error { return errors.New("one \x1b[2J\nclerksync: all is well") }

// failing takes nothing.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func envFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEnvFile_GivesWhatTheEnvironmentDoesNot(t *testing.T) {
	t.Parallel()
	long := "SETTING=\"the file's\"\n#"
	long += strings.Repeat("x", 1<<20-len(long))
	for name, test := range map[string]struct {
		text     string
		settings map[string]string
		want     wanted
	}{
		"a setting":                           {"SETTING=\"the file's\"\n", nil, wanted{commandline.ExitOK, "the file's\n", ""}},
		"the environment has it":              {"SETTING=\"the file's\"\n", map[string]string{"SETTING": "its own"}, wanted{commandline.ExitOK, "its own\n", ""}},
		"the environment has it, but empty":   {"SETTING=\"the file's\"\n", map[string]string{"SETTING": ""}, wanted{commandline.ExitOK, "\n", ""}},
		"1 MiB":                               {long, nil, wanted{commandline.ExitOK, "the file's\n", ""}},
		"more than that":                      {long + "x", nil, wanted{commandline.ExitUsage, "", "more than 1024 KiB"}},
		"broken, with a secret in it":         {"SETTING=\"topsecret\n", nil, wanted{commandline.ExitUsage, "", "is not a file of KEY=VALUE lines"}},
		"with a byte order mark":              {"\ufeffSETTING=the file's\r\n", nil, wanted{commandline.ExitOK, "the file's\n", ""}},
		"with line breaks of Windows":         {"OTHER=x\r\nSETTING=the file's\r\n", nil, wanted{commandline.ExitOK, "the file's\n", ""}},
		"in two bytes a letter":               {"\xff\xfeS\x00E\x00T\x00", nil, wanted{commandline.ExitUsage, "", "UTF-16; save it as UTF-8"}},
		"in two bytes a letter, the long way": {"\xfe\xff\x00S\x00E\x00T", nil, wanted{commandline.ExitUsage, "", "UTF-16; save it as UTF-8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := clitest.Run[program](t, test.settings, "--env-file", envFile(t, test.text), "show")
			if got.Code != test.want.code || got.Stdout != test.want.stdout || !strings.Contains(got.Stderr, test.want.stderr) || strings.Contains(got.Stderr, "topsecret") {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
	if got := clitest.Run[program](t, nil, "--env-file", "/dev/zero", "show"); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "more than 1024 KiB") {
		t.Errorf("/dev/zero: %+v, want a usage error with the limit", got)
	}
}

// wanted is what is wanted: of stderr a part.
type wanted struct {
	code           int
	stdout, stderr string
}

func TestRun_EndsWithTheFirstWriteThatFails(t *testing.T) {
	t.Parallel()
	full, gone := failing{syscall.ENOSPC}, failing{&os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.EPIPE}}
	for name, test := range map[string]struct {
		console console.Console
		line    string
		code    int
		stderr  string
	}{
		"a full disk":                    {console.Console{Stdout: full}, "tell", commandline.ExitFailed, "clerksync: error: writing what was asked for: no space left on device\n"},
		"a full disk, and help":          {console.Console{Stdout: full}, "--help", commandline.ExitFailed, "clerksync: error: no space left on device\n"},
		"a full disk, and a table":       {console.Console{Stdout: full}, "show", commandline.ExitFailed, "clerksync: error: no space left on device\n"},
		"a reader that is gone":          {console.Console{Stdout: gone}, "tell", commandline.ExitInterrupted, ""},
		"a reader of talk that is gone":  {console.Console{Stderr: gone}, "tell --talk", commandline.ExitInterrupted, ""},
		"a reader of a table, that went": {console.Console{Stdout: gone}, "show", commandline.ExitInterrupted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := clitest.On[program](t.Context(), test.console, nil, strings.Fields(test.line)...)
			if got.Code != test.code || got.Stderr != test.stderr {
				t.Errorf("%s: %+v, want exit %d and %q", test.line, got, test.code, test.stderr)
			}
		})
	}
}

// Something that failed is never hidden by something that stayed unknown.
func TestConclude_ChoosesTheExitCode(t *testing.T) {
	t.Parallel()
	failed, unknown := errors.New("failed"), console.Unknown(errors.New("unknown"))
	for name, test := range map[string]struct {
		err  error
		code int
	}{
		"nothing":                {nil, commandline.ExitOK},
		"failed":                 {failed, commandline.ExitFailed},
		"failed, hinted":         {console.Hint(failed, "mend it"), commandline.ExitFailed},
		"usage":                  {console.Hint(console.Usage(failed), "say it otherwise"), commandline.ExitUsage},
		"unknown":                {unknown, commandline.ExitUnknown},
		"unknown, hinted":        {console.Hint(fmt.Errorf("one: %w", unknown), "look there"), commandline.ExitUnknown},
		"unknown twice":          {errors.Join(unknown, console.Hint(unknown, "look there")), commandline.ExitUnknown},
		"unknown, and failed":    {errors.Join(unknown, failed), commandline.ExitFailed},
		"failed, and unknown":    {errors.Join(console.Hint(failed, "mend it"), unknown), commandline.ExitFailed},
		"interrupted":            {console.ErrInterrupted, commandline.ExitInterrupted},
		"unknown, and wrong use": {errors.Join(unknown, console.Usage(failed)), commandline.ExitUsage},
	} {
		var stderr strings.Builder
		if code := commandline.Conclude(t.Context(), console.Console{Stderr: &stderr}, test.err); code != test.code {
			t.Errorf("%s: exit %d, want %d\n%s", name, code, test.code, &stderr)
		}
	}
}

func TestRun_InterruptedIsNoFailure(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	if got := clitest.On[program](ctx, console.Console{}, nil, "tell"); got.Code != commandline.ExitInterrupted || got.Stderr != "clerksync: interrupted\n" {
		t.Errorf("%+v, want 130 and no error", got)
	}
}

// An error has its place on the screen, whatever it says.
func TestRun_ErrorsGiveNoOrders(t *testing.T) {
	t.Parallel()
	got := clitest.Run[program](t, nil, "fails")
	if want := "clerksync: error: one ?[2J\n  clerksync: all is well\n"; got.Code != commandline.ExitFailed || got.Stderr != want {
		t.Errorf("%+v, want %q", got, want)
	}
}

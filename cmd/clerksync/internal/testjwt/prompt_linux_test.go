package testjwt

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/jwtdiag/jwttest"
)

// modes are what a terminal does with what is typed.
func modes(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

func TestTestJWT_AsksAtATerminalWithoutShowing(t *testing.T) {
	t.Parallel()
	settings := clitest.JWTSettings(t)
	long := jwttest.Sign(jwttest.Header(), jwttest.Claims().With("blob", `"`+strings.Repeat("x", 6<<10)+`"`))
	token := session()
	for name, test := range map[string]struct {
		typed  string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		"pasted":                        {"\x1b[200~" + token + "\x1b[201~\r", nil, commandline.ExitOK, "Nothing is wrong", ""},
		"pasted without marks":          {token + "\r", nil, commandline.ExitOK, "Nothing is wrong", ""},
		"longer than a terminal's line": {"\x1b[200~" + long + "\x1b[201~\r", nil, commandline.ExitOK, "", "1 warning"},
		"wrapped into lines":            {token[:100] + "\r" + token[100:200] + "\n" + token[200:] + "\r", nil, commandline.ExitOK, "", "1 warning"},
		"by the name of stdin":          {token + "\r", []string{"--file", "-"}, commandline.ExitOK, "Nothing is wrong", ""},
		"interrupted":                   {token + "\x03", nil, commandline.ExitInterrupted, "", "clerksync: interrupted"},
		"wanted without colours":        {token + "\r", nil, commandline.ExitOK, "Nothing is wrong", ""},
		"nothing":                       {"\r", nil, commandline.ExitUsage, "", "there is no token"},
		"end of input":                  {"\x04", nil, commandline.ExitUsage, "", "there is no token"},
		"only a symptom":                {"\r", []string{"--symptom", "22P02"}, commandline.ExitOK, "uuid.auth_uid", "without one press Enter alone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tty, keys := clitest.NewKeyboard(t)
			before := modes(t, tty)
			var stdout bytes.Buffer
			done := make(chan error, 1)
			go func() {
				settings := maps.Clone(settings)
				if name == "wanted without colours" {
					settings["NO_COLOR"] = "1"
				}
				c := console.Console{Stdin: tty, Stdout: &stdout, Stderr: tty, StderrTTY: true, Now: jwttest.Clock}
				got := clitest.On[program](t.Context(), c, settings, append([]string{"test-jwt"}, test.args...)...)
				done <- fmt.Errorf("exit code %d", got.Code)
			}()
			keys.Screen.Await(t, "the prompt", done, func() bool { return strings.Contains(keys.Screen.Stdout(), "Paste the token") })
			if _, err := keys.WriteString(test.typed); err != nil {
				t.Fatal(err)
			}
			ended := <-done
			if got, want := ended.Error(), fmt.Sprintf("exit code %d", test.code); got != want {
				t.Errorf("it ended with %s, want %s", got, want)
			}
			if after := modes(t, tty); after != before {
				t.Errorf("the terminal was left in other modes:\n%+v\n%+v", before, after)
			}
			if _, err := tty.WriteString("the end"); err != nil {
				t.Fatal(err)
			}
			keys.Screen.Await(t, "the last line", nil, func() bool { return strings.Contains(keys.Screen.Stdout(), "the end") })
			talk := keys.Screen.Stdout()
			if !strings.HasPrefix(talk, console.MarkPastes) || strings.Count(talk, console.UnmarkPastes) != 1 {
				t.Errorf("pastes are not marked, or still are afterwards: %q", talk)
			}
			if !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(talk, test.stderr) {
				t.Errorf("stdout:\n%s\nstderr:\n%s\nwant %q and %q", stdout.String(), talk, test.stdout, test.stderr)
			}
			for part := range strings.SplitSeq(token, ".") {
				if strings.Contains(talk+stdout.String(), part[:20]) {
					t.Errorf("the terminal shows the token: %q", talk)
				}
			}
		})
	}
}

// SIGTERM, or Ctrl-C from elsewhere, while it asks.
func TestTestJWT_LeavesTheTerminalInOrderWhenInterrupted(t *testing.T) {
	t.Parallel()
	tty, keys := clitest.NewKeyboard(t)
	before := modes(t, tty)
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		got := clitest.On[program](ctx, console.Console{Stdin: tty, Stderr: tty, StderrTTY: true}, nil, "test-jwt")
		done <- fmt.Errorf("exit code %d", got.Code)
	}()
	keys.Screen.Await(t, "the prompt", done, func() bool { return strings.Contains(keys.Screen.Stdout(), "Paste the token") })
	interrupt()
	if got := <-done; got.Error() != fmt.Sprintf("exit code %d", commandline.ExitInterrupted) {
		t.Errorf("it ended with %v, want %d", got, commandline.ExitInterrupted)
	}
	if after := modes(t, tty); after != before {
		t.Errorf("the terminal was left in other modes:\n%+v\n%+v", before, after)
	}
}

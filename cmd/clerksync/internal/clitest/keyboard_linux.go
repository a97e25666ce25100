package clitest

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"clerksync/shared/testkit/need"
)

// Keyboard is the other side of a terminal.
type Keyboard struct {
	*os.File
	// Screen is what the terminal shows.
	Screen *Terminal
}

// NewKeyboard opens a pseudo terminal.
func NewKeyboard(t *testing.T) (tty *os.File, keys *Keyboard) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		need.Missing(t, fmt.Errorf("this machine has no pseudo terminals (mount devpts at /dev/pts): %w", err))
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	keys = &Keyboard{master, NewTerminal(nil)}
	go func() {
		for {
			buffer := make([]byte, 4<<10)
			n, err := master.Read(buffer)
			if err != nil {
				return
			}
			_, _ = keys.Screen.Console(false).Stdout.Write(buffer[:n])
		}
	}()
	return tty, keys
}

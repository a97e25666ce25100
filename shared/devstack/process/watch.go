package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// watching waits for the end of what comes in, which is that of the process that
// started it, however that died, unless a line says that there is nothing left to end.
// Only then does it send the signal, and what can be sent to everything after ten
// seconds. A terminal's interrupt is not for it.
const watching = `trap '' INT TERM HUP QUIT
read -r over && exit 0
kill -"$1" "$2" 2>/dev/null
tries=0
while kill -0 "$2" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -9 "-$2" 2>/dev/null`

// watch has the child that leads a process group end with this process, also where
// the kernel does not see to that, or is told so by a signal that the child does not
// hear at the time. What it returns is called once the child has ended.
func watch(pid int, parentDeath syscall.Signal) (over func(), err error) {
	cmd := exec.Command("/bin/sh", "-c", watching, "watch", strconv.Itoa(int(parentDeath)), strconv.Itoa(pid))
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("watching over a process: %w", err)
	}
	cmd.Stdin = read
	err = cmd.Start()
	_ = read.Close()
	if err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("watching over a process: %w", err)
	}
	return func() {
		// One that was killed does not listen, and has nothing to do either.
		_, _ = io.WriteString(write, "over\n")
		_ = write.Close()
		_ = cmd.Wait()
	}, nil
}

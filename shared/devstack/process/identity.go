package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Mode says how a server is kept from running as root.
type Mode int

const (
	// Auto takes Namespace where the kernel allows it and OtherUser elsewhere.
	Auto Mode = iota
	// Namespace runs the server in a user namespace in which root appears as
	// an ordinary user. It needs no second user and works below a home that
	// only root may enter; many container sandboxes forbid it. Linux only.
	Namespace
	// OtherUser runs the server as the system's user postgres or, where there
	// is none, nobody. What the server reads must be open to that user.
	OtherUser
)

// Identity is who a server runs as. The zero value is the caller itself, which
// is what [Identify] answers for anyone but root.
type Identity struct {
	// mode is Auto for the caller itself.
	mode Mode
	// uid and gid own the server's files as seen from outside the namespace.
	uid, gid int
	// innerID is the user id that the server sees inside its namespace.
	innerID int
	name    string
}

// errNoNamespace is the answer where user namespaces are not to be had.
var errNoNamespace = errors.New("this system does not let a process make a user namespace")

// Identify chooses who a server runs as. Mode only matters to root; everybody
// else runs a server as themselves.
func Identify(ctx context.Context, mode Mode) (Identity, error) {
	if os.Geteuid() != 0 {
		return Identity{}, nil
	}
	if mode == Auto || mode == Namespace {
		err := namespaceAllowed(ctx)
		if err == nil {
			return Identity{mode: Namespace, innerID: unprivilegedID(), name: "root inside a user namespace"}, nil
		}
		if mode == Namespace {
			return Identity{}, err
		}
	}
	return otherUser()
}

// String names the identity for messages.
func (id Identity) String() string {
	if id.name == "" {
		return "the current user"
	}
	return id.name
}

// Own hands path and everything below it to the identity. It does nothing for
// anyone but root.
func (id Identity) Own(path string) error {
	if id.mode == Auto {
		return nil
	}
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) == id.uid {
			return nil
		}
		return os.Lchown(name, id.uid, id.gid)
	})
	if err != nil {
		return fmt.Errorf("handing %s to %s: %w", path, id, err)
	}
	return nil
}

// Reach reports whether the identity may enter every folder on the way to path
// and use path itself. Root's own rights do not count: a server in either mode
// has lost them.
func (id Identity) Reach(path string) error {
	if id.mode == Auto {
		return nil
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("looking up the way to a file: %w", err)
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("looking up the way to a file: %w", err)
	}
	for step := path; ; step = filepath.Dir(step) {
		info, err := os.Stat(step)
		if err != nil {
			return fmt.Errorf("looking up the way to %s: %w", path, err)
		}
		if !id.mayEnter(info) {
			return fmt.Errorf("%s may not enter %s on the way to %s", id, step, path)
		}
		if step == filepath.Dir(step) {
			return nil
		}
	}
}

func (id Identity) mayEnter(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	switch {
	case int(stat.Uid) == id.uid:
		return info.Mode()&0o100 != 0
	case int(stat.Gid) == id.gid:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}

// namespaceAllowed tries one namespace, since kernels, container runtimes and
// security modules all forbid them in ways of their own.
func namespaceAllowed(ctx context.Context) error {
	probe.Lock()
	defer probe.Unlock()
	if probe.done {
		return probe.err
	}
	binary, err := exec.LookPath("true")
	if err != nil {
		return fmt.Errorf("looking for a program to try a user namespace with: %w", err)
	}
	cmd := exec.CommandContext(ctx, binary)
	cmd.SysProcAttr = attributes(Identity{mode: Namespace, innerID: unprivilegedID()}, syscall.SIGKILL)
	if cmd.SysProcAttr == nil {
		probe.err = errNoNamespace
	} else if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("trying a user namespace: %w", context.Cause(ctx))
		}
		probe.err = fmt.Errorf("%w: %w", errNoNamespace, err)
	}
	probe.done = true
	return probe.err
}

// probe remembers whether namespaces work: the answer does not change while a
// process lives.
var probe struct {
	sync.Mutex
	done bool
	err  error
}

// unprivilegedID is an id that the password file knows, because initdb wants to
// look up its own name. 65534 is nobody on every current system.
func unprivilegedID() int {
	if u, err := user.Lookup("nobody"); err == nil {
		if uid, err := strconv.Atoi(u.Uid); err == nil && uid > 0 {
			return uid
		}
	}
	return 65534
}

func otherUser() (Identity, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr != nil || gidErr != nil || uid <= 0 {
			continue
		}
		return Identity{mode: OtherUser, uid: uid, gid: gid, name: "user " + name}, nil
	}
	return Identity{}, errors.New("the server refuses to run as root, user namespaces are forbidden here and there is neither a user postgres nor nobody: run as an ordinary user")
}

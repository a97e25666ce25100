// Package postgres starts a real PostgreSQL for tests, benchmarks and the local
// stack: thrown away afterwards, or kept in a folder.
//
//	server, err := postgres.Start(ctx, postgres.Options{})
//	defer server.Stop(context.WithoutCancel(ctx))
//	conn, err := pgx.Connect(ctx, server.URL("postgres", postgres.Superuser, ""))
//
// [Stubs] makes a database look like one of Supabase's: its roles, the auth
// helpers and either of its two regimes of default privileges.
//
// Limits: the server listens on 127.0.0.1, where it asks everybody for a password
// (SCRAM), and on a socket that only its owner can reach. Linux and macOS; as root it
// runs as another user (package process).
package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"clerksync/shared/devstack/process"
)

// Superuser is the name of the role that owns the cluster.
const Superuser = "postgres"

// dirPrefix begins the names of the temporary folders that servers live in.
const dirPrefix = "clerksync-postgres-"

const (
	// initTimeout is the limit for making an empty cluster.
	initTimeout = 2 * time.Minute
	// startTimeout is the limit for a server to accept connections, recovery
	// after a crash included.
	startTimeout = time.Minute
	// stopTimeout is the limit for a server to end when asked.
	stopTimeout = 30 * time.Second
	// portAttempts is how often a start is tried with another port when
	// somebody else took the one that was free a moment before.
	portAttempts = 8
	// memoryToSpare is what a system must have left for data in memory: many
	// times what tests need, since running out of it ends more than a test.
	memoryToSpare = 4 << 30
)

// TLS is what a server shows to clients that ask for encryption.
type TLS struct {
	// Certificate and Key are PEM.
	Certificate, Key []byte
}

// Options describe a server. The zero value is a throw-away server of whatever
// version is found, on a free port, safe against nothing.
type Options struct {
	// Install is the PostgreSQL to run; the zero value asks [Find] for Major.
	Install Install
	// Major is the main version to find; 0 takes any.
	Major int
	// DataDir is a folder that keeps the data between runs; it is made when
	// missing. "" keeps the data in a temporary folder that Stop removes.
	DataDir string
	// InMemory keeps the data of a throw-away server in memory where the system
	// has several gigabytes to spare for that; making databases is several
	// times faster there. Elsewhere, and with DataDir, it changes nothing.
	InMemory bool
	// Fresh is a folder for a fresh cluster of each version, for throw-away servers without
	// a Password to begin with: to copy one takes a tenth of the time that making it does.
	// "" makes one for each server.
	Fresh string
	// Port is the TCP port on 127.0.0.1; 0 takes a free one. The error for one
	// that is in use is [process.ErrPortTaken].
	Port int
	// Fsync makes commits survive a crash of the machine. Without it the server
	// is faster and a crash may cost the whole cluster.
	Fsync bool
	// Password is the superuser's, and other roles need to be given theirs; a kept
	// folder remembers the one that it was made with. "" is a random one at every
	// start, which [Server.URL] gives to every role that it is asked for.
	Password string
	// Settings are further server settings such as max_connections (default
	// 100); they win over the ones this package makes.
	Settings map[string]string
	// TLS turns encryption on for those who ask for it; nil leaves it off.
	TLS *TLS
	// Mode says how root gives up its rights. It is for tests of that.
	Mode process.Mode
}

// Server is a running PostgreSQL. What reads it can be called concurrently, but
// not while Stop, Kill or Restart runs.
type Server struct {
	options Options
	install Install
	// origin is the folder of install's programs, which may be copied elsewhere.
	origin string
	id     process.Identity
	// temp holds the socket, TLS files and, for most throw-away servers, the data.
	temp *process.TempDir
	// memory holds the data of a server that keeps it there; nil otherwise.
	memory *process.TempDir
	// dataLock keeps a kept folder to one server; nil otherwise.
	dataLock *process.DirLock
	data     string
	socket   string
	port     int
	child    *process.Process

	password  string
	admitting sync.Mutex
	admitted  map[string]bool
}

// Start starts a server and returns once it accepts connections. ctx bounds the
// start, not the life of the server: that ends with the process, at the latest. An error carries the last lines of
// the server's log.
func Start(ctx context.Context, options Options) (_ *Server, err error) {
	s := &Server{options: options, install: options.Install, port: options.Port, password: options.Password, admitted: map[string]bool{}}
	if s.password == "" {
		s.password = rand.Text()
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if s.id, err = process.Identify(ctx, options.Mode); err != nil {
		return nil, fmt.Errorf("choosing a user for PostgreSQL: %w", err)
	}
	if s.install.Bin == "" {
		if s.install, err = Find(ctx, options.Major); err != nil {
			return nil, err
		}
	}
	if s.temp, err = process.NewTempDir(dirPrefix); err != nil {
		return nil, err
	}
	s.origin = s.install.Bin
	if s.install, err = s.install.usableBy(s.id, s.temp.Path()); err != nil {
		return nil, err
	}
	if err := s.prepareTemp(); err != nil {
		return nil, err
	}
	if err := s.prepareData(ctx); err != nil {
		return nil, err
	}
	if err := s.launchOnFreePort(ctx); err != nil {
		return nil, err
	}
	if options.Password == "" {
		if err := s.admit(ctx, Superuser); err != nil {
			return nil, errors.Join(err, s.halt(context.WithoutCancel(ctx)))
		}
	}
	return s, nil
}

// Port is the TCP port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// Host is the address the server listens on.
func (s *Server) Host() string { return "127.0.0.1" }

// Major is the server's main version.
func (s *Server) Major() int { return s.install.Major }

// Version is the server's version, such as "15.18".
func (s *Server) Version() string { return s.install.Version }

// Log is the last of what the server logged since it was last started.
func (s *Server) Log() string { return s.child.Log().String() }

// Done is closed when the server has ended, by itself or by Stop or Kill. A
// restarted server has a new one.
func (s *Server) Done() <-chan struct{} { return s.child.Done() }

// URL is a connection string for the database and role. Without a password it has
// the server's own, which the role is given if there is one that may log in; where
// [Options] have a password that is the superuser's alone, and others have none.
func (s *Server) URL(database, user, password string) string {
	switch {
	case password != "":
	case s.options.Password == "":
		password = s.password
		// A role that could not be given it is refused, which says as much.
		_ = s.admit(context.Background(), user)
	case user == Superuser:
		password = s.password
	}
	u := s.url(database, user)
	if password != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// Password is the superuser's, and that of every role that URL was asked for where
// [Options] have none.
func (s *Server) Password() string { return s.password }

// ShownURL is [Server.URL] for people and their screens: the password is in a file
// that only the server's user may read, which libpq finds by the string.
func (s *Server) ShownURL(database, user string) (string, error) {
	file := filepath.Join(s.temp.Path(), "pgpass")
	_ = s.URL(database, user, "")
	if err := s.write(file, "*:*:*:*:"+s.password+"\n"); err != nil {
		return "", err
	}
	u := s.url(database, user)
	u.RawQuery += "&passfile=" + url.QueryEscape(file)
	return u.String(), nil
}

// Write writes a file that only the server's user may read, and that goes with the
// server, and returns its path.
func (s *Server) Write(name, text string) (string, error) {
	path := filepath.Join(s.temp.Path(), name)
	return path, s.write(path, text)
}

func (s *Server) write(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing a file beside the server: %w", err)
	}
	return s.id.Own(path)
}

func (s *Server) url(database, user string) url.URL {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     net.JoinHostPort(s.Host(), strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	if s.options.TLS != nil {
		u.RawQuery = "sslmode=require"
	}
	return u
}

// Stop ends the server, breaking off what clients are doing, and removes its
// temporary folder. Calling it again, or after Kill, is harmless.
func (s *Server) Stop(ctx context.Context) error {
	err := s.halt(ctx)
	s.release()
	return err
}

// Kill ends the server as a crash would: nothing is flushed, clients lose their
// connections, the next start has to recover. The data stays for Restart.
func (s *Server) Kill() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), stopTimeout, limit("crash", stopTimeout))
	defer cancel()
	// An immediate shutdown: the postmaster takes its children with it, which
	// killing only the postmaster would leave to chance.
	return s.child.Stop(ctx, syscall.SIGQUIT)
}

// Restart stops the server if it runs and starts it again with the same data on
// the same port.
func (s *Server) Restart(ctx context.Context) error {
	if s.temp == nil {
		return errors.New("restarting PostgreSQL: it was stopped for good")
	}
	if err := s.halt(ctx); err != nil {
		return err
	}
	return s.launch(ctx)
}

func (s *Server) halt(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, limit("stop", stopTimeout))
	defer cancel()
	if err := s.child.Stop(ctx, syscall.SIGINT); err != nil {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) release() {
	if s.dataLock != nil {
		_ = s.dataLock.Close()
		s.dataLock = nil
	}
	if s.temp != nil {
		// What is left of a temporary folder is removed by the next server.
		_ = s.temp.Remove()
		s.temp = nil
	}
	if s.memory != nil {
		_ = s.memory.Remove()
		s.memory = nil
	}
}

func limit(step string, d time.Duration) error {
	return fmt.Errorf("PostgreSQL did not %s within %s", step, d)
}

// prepareTemp makes what every start needs and hands it to the server's user.
func (s *Server) prepareTemp() error {
	dir := s.temp.Path()
	s.socket = filepath.Join(dir, "socket")
	if err := os.MkdirAll(s.socket, 0o700); err != nil {
		return fmt.Errorf("making a folder for the socket: %w", err)
	}
	if tls := s.options.TLS; tls != nil {
		for name, pem := range map[string][]byte{"server.crt": tls.Certificate, "server.key": tls.Key} {
			if err := os.WriteFile(filepath.Join(dir, name), pem, 0o600); err != nil {
				return fmt.Errorf("writing the certificate: %w", err)
			}
		}
	}
	return s.id.Own(dir)
}

// prepareData makes or checks the cluster. It lies one folder below the one it
// was asked to live in: a cluster somebody else made is never touched, and a
// new one appears in one step.
func (s *Server) prepareData(ctx context.Context) error {
	home := s.temp.Path()
	switch {
	case s.options.DataDir == "" && s.options.InMemory:
		root := process.MemoryRoot(memoryToSpare)
		if root == "" {
			break
		}
		var err error
		if s.memory, err = process.NewTempDirIn(root, dirPrefix); err != nil {
			return err
		}
		home = s.memory.Path()
		if err := s.id.Own(home); err != nil {
			return err
		}
	case s.options.DataDir != "":
		var err error
		if home, err = filepath.Abs(s.options.DataDir); err != nil {
			return fmt.Errorf("looking up the data folder: %w", err)
		}
		if err := os.MkdirAll(home, 0o755); err != nil {
			return fmt.Errorf("making the data folder: %w", err)
		}
		if err := s.id.Reach(home); err != nil {
			return fmt.Errorf("using the data folder: %w; choose another folder or run as an ordinary user", err)
		}
		if s.dataLock, err = process.LockDir(home); err != nil {
			return fmt.Errorf("using the data folder: %w", err)
		}
	}
	s.data = filepath.Join(home, "pgdata")
	version, err := os.ReadFile(filepath.Join(s.data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		if err := s.initialise(ctx); err != nil {
			return err
		}
		return s.guard()
	}
	if err != nil {
		return fmt.Errorf("reading the version of the data folder: %w", err)
	}
	if got := strings.TrimSpace(string(version)); got != strconv.Itoa(s.install.Major) {
		return fmt.Errorf("the data in %s was made by PostgreSQL %s, the one at hand is %s: use version %s or remove the folder",
			home, got, s.install.Version, got)
	}
	if s.dataLock != nil {
		if err := s.awaitEarlier(ctx); err != nil {
			return fmt.Errorf("using the data folder: %w", err)
		}
	}
	if err := s.guard(); err != nil {
		return err
	}
	return s.id.Own(s.data)
}

// awaitEarlier waits for a server whose program was killed: the lock on its folder went
// with the program, and the server itself ends a moment later.
func (s *Server) awaitEarlier(ctx context.Context) error {
	file := filepath.Join(s.data, "postmaster.pid")
	limit := fmt.Errorf("a PostgreSQL that was started before does not end; end it, or remove %s if that process is another program", file)
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		line, _, _ := strings.Cut(string(text), "\n")
		// What is no process any more has left the file behind, which the next server knows.
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err != nil || pid <= 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// access lets in over the socket, in a folder that only the server's user may enter,
// and asks all others for a password.
const access = `local all all trust
local replication all trust
host all all all scram-sha-256
host replication all all scram-sha-256
`

// guard writes who is let in, also into a folder that was made to let in everybody.
func (s *Server) guard() error {
	if s.options.Password != "" {
		return nil
	}
	return s.write(filepath.Join(s.data, "pg_hba.conf"), access)
}

func (s *Server) initialise(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, initTimeout, limit("make a cluster", initTimeout))
	defer cancel()
	// initdb can be interrupted; the rename afterwards cannot.
	fresh := s.data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("removing an unfinished cluster: %w", err)
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return fmt.Errorf("making a folder for the cluster: %w", err)
	}
	if err := s.id.Own(fresh); err != nil {
		return err
	}
	if s.options.Fresh != "" && s.options.DataDir == "" && s.options.Password == "" {
		if err := s.copyFresh(ctx, fresh); err != nil {
			return err
		}
	} else if err := s.initdb(ctx, fresh); err != nil {
		return err
	}
	if err := os.Rename(fresh, s.data); err != nil {
		return fmt.Errorf("making a cluster: %w", err)
	}
	return nil
}

func (s *Server) initdb(ctx context.Context, fresh string) error {
	args := []string{"-D", fresh, "-U", Superuser, "-E", "UTF8", "--locale=C", "--no-instructions"}
	if !s.options.Fsync {
		args = append(args, "--no-sync")
	}
	file := filepath.Join(s.temp.Path(), "password")
	if err := s.write(file, s.password+"\n"); err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }()
	args = append(args, "-A", "scram-sha-256", "--pwfile", file)
	if err := process.Run(ctx, s.command("initdb", args...), s.id); err != nil {
		return fmt.Errorf("making a cluster: %w", err)
	}
	return nil
}

// copyFresh makes a cluster a copy of one that no server has run on, which the first to ask
// makes. Its superuser has a password that nobody knows, until it is given the server's.
func (s *Server) copyFresh(ctx context.Context, fresh string) error {
	if err := os.MkdirAll(s.options.Fresh, 0o700); err != nil {
		return fmt.Errorf("making a folder for fresh clusters: %w", err)
	}
	// Builds of one version may differ, as with and without a library.
	kept := filepath.Join(s.options.Fresh, fmt.Sprintf("cluster-%s-%x", s.install.Version, sha256.Sum256([]byte(s.origin)))[:40])
	unlock, err := lockFile(ctx, kept+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if !exists(kept) {
		if err := s.initdb(ctx, fresh); err != nil {
			return err
		}
		// It appears in one step: what exists is whole.
		unfinished := kept + ".new"
		if err := errors.Join(os.RemoveAll(unfinished), os.CopyFS(unfinished, os.DirFS(fresh)), os.Rename(unfinished, kept)); err != nil {
			return fmt.Errorf("keeping a fresh cluster: %w", err)
		}
		return nil
	}
	if err := os.CopyFS(fresh, os.DirFS(kept)); err != nil {
		return fmt.Errorf("copying a fresh cluster: %w", err)
	}
	return s.id.Own(fresh)
}

// launchOnFreePort tries other ports when the chosen one is taken meanwhile.
func (s *Server) launchOnFreePort(ctx context.Context) error {
	if s.options.Port != 0 {
		return s.launch(ctx)
	}
	var err error
	for range portAttempts {
		if s.port, err = process.FreePort(); err != nil {
			return err
		}
		if err = s.launch(ctx); !errors.Is(err, process.ErrPortTaken) {
			return err
		}
	}
	return fmt.Errorf("after %d attempts: %w", portAttempts, err)
}

func (s *Server) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, limit("start", startTimeout))
	defer cancel()
	args := []string{"-D", s.data, "-p", strconv.Itoa(s.port), "-k", s.socket}
	settings := s.settings()
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	// SIGINT is PostgreSQL's fast shutdown: clients are cut off, data is safe.
	child, err := process.Start(s.command("postgres", args...), s.id, syscall.SIGINT)
	if err != nil {
		return err
	}
	s.child = child
	if err := s.awaitReady(ctx); err != nil {
		child.Kill()
		if strings.Contains(child.Log().String(), "could not bind") {
			err = fmt.Errorf("%w: %d", process.ErrPortTaken, s.port)
		}
		return fmt.Errorf("starting PostgreSQL %s: %w\n%s", s.install.Version, err, child.Log().Tail(20))
	}
	return nil
}

// awaitReady reads the file in which a postmaster writes its process id first
// and its state last. That needs no connection, so it works with any settings.
func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
		if err == nil {
			lines := strings.Split(string(state), "\n")
			mine := strings.TrimSpace(lines[0]) == strconv.Itoa(s.child.PID())
			if mine && len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready" {
				return nil
			}
		}
		select {
		case <-s.child.Done():
			return process.ErrEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (s *Server) settings() map[string]string {
	settings := map[string]string{
		"listen_addresses": s.Host(),
		"log_timezone":     "UTC",
		"timezone":         "UTC",
	}
	if !s.options.Fsync {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		settings["synchronous_commit"] = "off"
	}
	if s.options.TLS != nil {
		settings["ssl"] = "on"
		settings["ssl_cert_file"] = filepath.Join(s.temp.Path(), "server.crt")
		settings["ssl_key_file"] = filepath.Join(s.temp.Path(), "server.key")
	}
	maps.Copy(settings, s.options.Settings)
	return settings
}

// command runs one of the server's programs in a folder that its user may
// enter, in English, and without the settings for clients that PG* variables
// carry.
func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.install.Bin, program), args...)
	cmd.Dir = s.temp.Path()
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PG") || strings.HasPrefix(variable, "LC_") || strings.HasPrefix(variable, "LANG")
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	return cmd
}

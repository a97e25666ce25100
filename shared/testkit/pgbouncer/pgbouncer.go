// Package pgbouncer starts a real PgBouncer, the pooler that Supabase's
// dedicated pooler is and whose rules its shared one follows, so that what only
// breaks behind a transaction pooler breaks in a test.
//
//	pooler, err := pgbouncer.Start(ctx, pgbouncer.Options{Host: server.Host(), Port: server.Port(), AuthUser: "postgres", AuthPassword: server.Password()})
//	defer pooler.Stop(context.WithoutCancel(ctx))
//	conn, err := pgx.Connect(ctx, pooler.URL("app", "clerksync_writer", ""))
//
// Every database of the server is reachable under its own name.
//
// Limits: it listens on 127.0.0.1 without encryption, and without Users asks the
// server for every user's password. Linux and macOS; as root it runs as another
// user (package process).
package pgbouncer

import (
	"context"
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
	"syscall"
	"time"

	"clerksync/shared/devstack/process"
)

// ErrNotFound is returned when there is no PgBouncer on this machine.
var ErrNotFound = errors.New("PgBouncer is not installed: apt install pgbouncer, brew install pgbouncer, or set PGBOUNCER to its path")

const (
	startTimeout = 10 * time.Second
	stopTimeout  = 10 * time.Second
	// portAttempts is how often a start is tried with another port when
	// somebody else took the one that was free a moment before.
	portAttempts = 8
)

// Options describe a pooler. Port, and either AuthUser or Users, are needed.
type Options struct {
	// Host and Port are where PostgreSQL listens; Host defaults to 127.0.0.1.
	Host string
	Port int
	// PoolMode is "transaction" (the default), "session" or "statement".
	PoolMode string
	// DefaultPoolSize is how many connections to the server each pair of
	// database and user may hold; 0 means 20.
	DefaultPoolSize int
	// MaxClientConn is how many clients may be connected; 0 means 1000.
	MaxClientConn int
	// AuthUser is a superuser, and AuthPassword its password, that lets the pooler
	// ask the server for the verifier of each role's password. They are not used
	// when Users is set.
	AuthUser, AuthPassword string
	// Admit, if set, is told of each role that [Pooler.URL] gives AuthPassword, so that
	// the server can, too.
	Admit func(role string)
	// Users are the only ones let in, each with its password, which the pooler
	// also shows to the server (SCRAM).
	Users map[string]string
	// Settings are further lines of the configuration's section [pgbouncer];
	// they win over the ones this package makes.
	Settings map[string]string
	// Mode says how root gives up its rights. It is for tests of that.
	Mode process.Mode
}

// Pooler is a running PgBouncer.
type Pooler struct {
	port int
	// password is that of the superuser who was given, and admit gives it to others.
	password string
	admit    func(role string)
	child    *process.Process
	temp     *process.TempDir
}

// Find answers the path of a pgbouncer: the one that $PGBOUNCER names, or the
// one on PATH, or the one in the folders of Debian and Homebrew. The error wraps
// [ErrNotFound].
func Find() (string, error) {
	if path := os.Getenv("PGBOUNCER"); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("%w; PGBOUNCER names no program: %w", ErrNotFound, err)
		}
		return found, nil
	}
	// Debian installs it where an ordinary user's PATH does not lead.
	for _, path := range []string{
		"pgbouncer",
		"/usr/sbin/pgbouncer",
		"/usr/local/sbin/pgbouncer",
		"/opt/homebrew/bin/pgbouncer",
		"/usr/local/bin/pgbouncer",
	} {
		if found, err := exec.LookPath(path); err == nil {
			return found, nil
		}
	}
	return "", ErrNotFound
}

// Start starts a pooler on a free port and returns once it accepts connections;
// it connects to the server when a client asks for it. ctx bounds the start
// only. An error carries the last lines of the pooler's log.
func Start(ctx context.Context, options Options) (_ *Pooler, err error) {
	binary, err := Find()
	if err != nil {
		return nil, err
	}
	id, err := process.Identify(ctx, options.Mode)
	if err != nil {
		return nil, fmt.Errorf("choosing a user for PgBouncer: %w", err)
	}
	temp, err := process.NewTempDir("clerksync-pgbouncer-")
	if err != nil {
		return nil, err
	}
	p := &Pooler{temp: temp}
	if options.Users == nil {
		p.password, p.admit = options.AuthPassword, options.Admit
	}
	defer func() {
		if err != nil {
			_ = temp.Remove()
		}
	}()
	for range portAttempts {
		if p.port, err = process.FreePort(); err != nil {
			return nil, err
		}
		if err = p.launch(ctx, binary, id, options); !errors.Is(err, process.ErrPortTaken) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("starting PgBouncer: %w", err)
	}
	return p, nil
}

// Port is the TCP port on 127.0.0.1.
func (p *Pooler) Port() int { return p.port }

// Host is the address the pooler listens on.
func (p *Pooler) Host() string { return "127.0.0.1" }

// Log is the last of what the pooler logged.
func (p *Pooler) Log() string { return p.child.Log().String() }

// URL is a connection string for a database of the server and a role. Without a
// password it has that of Options.AuthUser, which package postgres gives to all.
func (p *Pooler) URL(database, user, password string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     net.JoinHostPort(p.Host(), strconv.Itoa(p.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	if password == "" && p.admit != nil {
		p.admit(user)
	}
	if password = orElse(password, p.password); password != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// Stop lets the transactions under way end, for at most ten seconds or until
// ctx is done, and then ends the pooler. Calling it again is harmless.
func (p *Pooler) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTimeout, fmt.Errorf("transactions did not end within %s", stopTimeout))
	defer cancel()
	err := p.child.Stop(ctx, syscall.SIGINT)
	return errors.Join(err, p.temp.Remove())
}

// Kill ends the pooler at once: clients lose their connections in the middle of
// whatever they do.
func (p *Pooler) Kill() error {
	p.child.Kill()
	return p.temp.Remove()
}

func (p *Pooler) launch(ctx context.Context, binary string, id process.Identity, options Options) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("PgBouncer did not start within %s", startTimeout))
	defer cancel()
	dir := p.temp.Path()
	config := filepath.Join(dir, "pgbouncer.ini")
	users := filepath.Join(dir, "users.txt")
	if err := os.WriteFile(config, []byte(configuration(options, p.port, users)), 0o600); err != nil {
		return fmt.Errorf("writing its configuration: %w", err)
	}
	if err := os.WriteFile(users, []byte(userList(options)), 0o600); err != nil {
		return fmt.Errorf("writing its list of users: %w", err)
	}
	if err := id.Own(dir); err != nil {
		return err
	}
	cmd := exec.Command(binary, config)
	cmd.Dir = dir
	// It has nothing to save: when this process dies it may end at once.
	child, err := process.Start(cmd, id, syscall.SIGKILL)
	if err != nil {
		return err
	}
	p.child = child
	if err := awaitReady(ctx, child); err != nil {
		child.Kill()
		if strings.Contains(child.Log().String(), "in use") {
			err = fmt.Errorf("%w: %d", process.ErrPortTaken, p.port)
		}
		return fmt.Errorf("%w\n%s", err, child.Log().Tail(20))
	}
	return nil
}

// awaitReady waits for the line that ends PgBouncer's start. Connecting would
// prove less: somebody else may have the port.
func awaitReady(ctx context.Context, child *process.Process) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if strings.Contains(child.Log().String(), "process up") {
			return nil
		}
		select {
		case <-child.Done():
			return process.ErrEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func configuration(options Options, port int, users string) string {
	settings := map[string]string{
		"listen_addr": "127.0.0.1",
		"listen_port": strconv.Itoa(port),
		// No socket: the port is the only way in, and failing to get it is
		// fatal, as it should be.
		"unix_socket_dir":   "",
		"pool_mode":         orElse(options.PoolMode, "transaction"),
		"default_pool_size": strconv.Itoa(orElse(options.DefaultPoolSize, 20)),
		"max_client_conn":   strconv.Itoa(orElse(options.MaxClientConn, 1000)),
		"auth_file":         users,
		// Drivers send it and poolers cannot pass it on; Supabase's ignore it.
		"ignore_startup_parameters": "extra_float_digits",
		// Idle connections would keep the server's slots from other databases.
		"server_idle_timeout": "15",
		"server_lifetime":     "600",
		// A server that restarts is tried again soon, not after 15 s.
		"server_login_retry": "1",
		"log_connections":    "0",
		"log_disconnections": "0",
	}
	settings["auth_type"] = "scram-sha-256"
	if options.Users == nil {
		settings["auth_user"] = options.AuthUser
		settings["auth_query"] = "select rolname, rolpassword from pg_catalog.pg_authid where rolname = $1 and rolcanlogin"
		// The pooler's own console, for tests that look at its pools.
		settings["admin_users"] = options.AuthUser
	}
	maps.Copy(settings, options.Settings)

	var text strings.Builder
	fmt.Fprintf(&text, "[databases]\n* = host=%s port=%d\n\n[pgbouncer]\n", orElse(options.Host, "127.0.0.1"), options.Port)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = %s\n", name, settings[name])
	}
	return text.String()
}

// userList writes name and password in double quotes, doubled inside.
func userList(options Options) string {
	users := options.Users
	if users == nil {
		users = map[string]string{options.AuthUser: options.AuthPassword}
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&text, "\"%s\" \"%s\"\n", strings.ReplaceAll(name, `"`, `""`), strings.ReplaceAll(users[name], `"`, `""`))
	}
	return text.String()
}

func orElse[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

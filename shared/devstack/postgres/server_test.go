package postgres_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/devstack/process"
	"clerksync/shared/testkit/need"
)

// parentVariable makes this test binary start a server and wait to be killed.
const parentVariable = "CLERKSYNC_POSTGRES_TEST_PARENT"

func TestMain(m *testing.M) {
	if major := os.Getenv(parentVariable); major != "" {
		parent(major)
		return
	}
	os.Exit(run(m))
}

// fresh keeps a cluster of each version for tests that are about what runs on one.
var fresh string

func run(m *testing.M) int {
	dir, err := process.NewTempDir("clerksync-fresh-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = dir.Remove() }()
	fresh = dir.Path()
	return m.Run()
}

func parent(version string) {
	major, err := strconv.Atoi(version)
	if err != nil {
		panic(err)
	}
	server, err := postgres.Start(context.Background(), postgres.Options{Major: major})
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stdout, "port %d\n", server.Port())
	_, _ = io.Copy(io.Discard, os.Stdin)
	select {}
}

// requireMajor answers an installation of the version, or skips.
func requireMajor(t *testing.T, major int) postgres.Install {
	t.Helper()
	install, err := postgres.Find(t.Context(), major)
	if err != nil {
		need.Missing(t, err)
	}
	return install
}

// onBoth runs a test on the two versions that Supabase runs.
func onBoth(t *testing.T, test func(t *testing.T, install postgres.Install)) {
	t.Helper()
	for _, major := range []int{15, 17} {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			test(t, requireMajor(t, major))
		})
	}
}

// start keeps data in memory unless the test is about what is on disk.
func start(t *testing.T, options postgres.Options) *postgres.Server {
	t.Helper()
	options.InMemory = options.InMemory || !options.Fsync
	server, err := postgres.Start(t.Context(), options)
	if err != nil {
		t.Fatalf("Start = %v", err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Errorf("Stop = %v", err)
		}
	})
	return server
}

// startCopy is [start] on a copy of a cluster that one test has made, for tests that are
// about something else than how a cluster is made.
func startCopy(t *testing.T, options postgres.Options) *postgres.Server {
	t.Helper()
	options.Fresh = fresh
	return start(t, options)
}

// Throw-away servers begin with a copy of one cluster, and none lets in the other's password.
func TestStart_CopiesAFreshCluster(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		fresh := t.TempDir()
		first := start(t, postgres.Options{Install: install, Fresh: fresh})
		kept, err := filepath.Glob(filepath.Join(fresh, "cluster-*[0-9a-f]"))
		if err != nil || len(kept) != 1 {
			t.Fatalf("kept: %v, %v; want one cluster", kept, err)
		}
		if err := os.WriteFile(filepath.Join(kept[0], "copied"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		second := start(t, postgres.Options{Install: install, Fresh: fresh})
		for server, copied := range map[*postgres.Server]bool{first: false, second: true} {
			var got bool
			conn := connect(t, server.URL("postgres", postgres.Superuser, ""))
			if err := conn.QueryRow(t.Context(), "select 'copied' in (select pg_ls_dir('.'))").Scan(&got); err != nil || got != copied {
				t.Errorf("the cluster is the copy: %t, %v; want %t", got, err, copied)
			}
		}
		if conn, err := pgx.Connect(t.Context(), second.URL("postgres", postgres.Superuser, first.Password())); err == nil {
			_ = conn.Close(t.Context())
			t.Error("the password of another server lets in")
		}
	})
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func value[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func listening(port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func TestStart_AnswersInEveryMode(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		for name, mode := range map[string]process.Mode{"namespace": process.Namespace, "other user": process.OtherUser} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if _, err := process.Identify(t.Context(), mode); err != nil && mode == process.Namespace {
					t.Skipf("this machine forbids user namespaces, which the other mode is for: %v", err)
				}
				server := start(t, postgres.Options{Install: install, Mode: mode})
				conn := connect(t, server.URL("postgres", postgres.Superuser, ""))
				want := strconv.Itoa(install.Major) + "."
				if got := value[string](t, conn, "show server_version"); !strings.HasPrefix(got, want) {
					t.Errorf("server_version = %q, want %s…", got, want)
				}
				if got, want := value[string](t, conn, "show max_connections"), "100"; got != want {
					t.Errorf("max_connections = %s, want %s", got, want)
				}
				if got, want := value[string](t, conn, "show listen_addresses"), "127.0.0.1"; got != want {
					t.Errorf("listen_addresses = %s, want %s", got, want)
				}
			})
		}
	})
}

func TestServer_KeepsCommitsThroughACrash(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		server := startCopy(t, postgres.Options{Install: install, Fsync: true})
		port := server.Port()
		conn := connect(t, server.URL("postgres", postgres.Superuser, ""))
		mustExec(t, conn, "create table kept (n int)")
		mustExec(t, conn, "insert into kept select generate_series(1, 1000)")

		if err := server.Kill(); err != nil {
			t.Fatalf("Kill = %v", err)
		}
		if _, err := conn.Exec(t.Context(), "select 1"); err == nil {
			t.Error("a client is served after Kill")
		}
		if listening(port) {
			t.Errorf("port %d answers after Kill", port)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatalf("Restart after Kill = %v", err)
		}
		if !strings.Contains(server.Log(), "automatic recovery in progress") {
			t.Errorf("the restarted server did not recover, so Kill was no crash:\n%s", server.Log())
		}
		if server.Port() != port {
			t.Errorf("port after Restart = %d, want %d", server.Port(), port)
		}
		again := connect(t, server.URL("postgres", postgres.Superuser, ""))
		if got := value[int](t, again, "select count(*) from kept"); got != 1000 {
			t.Errorf("rows after the crash = %d, want 1000", got)
		}

		done := server.Done()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatalf("Restart of a running server = %v", err)
		}
		select {
		case <-done:
		default:
			t.Error("Done of the first server is open after Restart")
		}
		again = connect(t, server.URL("postgres", postgres.Superuser, ""))
		if got := value[int](t, again, "select count(*) from kept"); got != 1000 {
			t.Errorf("rows after Restart = %d, want 1000", got)
		}
	})
}

func TestStop_LeavesNothing(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]postgres.Options{
		"on disk":               {Fsync: true},
		"in memory":             {InMemory: true},
		"in memory, other user": {InMemory: true, Mode: process.OtherUser},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := startCopy(t, options)
			conn := connect(t, server.URL("postgres", postgres.Superuser, ""))
			data := value[string](t, conn, "show data_directory")
			if _, err := os.Stat(data); err != nil {
				t.Fatalf("the data folder of a running server: %v", err)
			}
			if root := process.MemoryRoot(4 << 30); options.InMemory && root != "" && !strings.HasPrefix(data, root+"/") {
				t.Errorf("data folder = %s, want it below %s", data, root)
			}
			// The client is still connected, in a transaction.
			mustExec(t, conn, "begin")
			if err := server.Stop(t.Context()); err != nil {
				t.Fatalf("Stop = %v", err)
			}
			if _, err := os.Stat(filepath.Dir(data)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the temporary folder after Stop: %v, want it gone", err)
			}
			if listening(server.Port()) {
				t.Errorf("port %d answers after Stop", server.Port())
			}
			if err := server.Restart(t.Context()); err == nil {
				t.Error("Restart after Stop = nil, want an error: the data is gone")
			}
		})
	}
}

func TestStart_ServerDiesWithAKilledParent(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", parentVariable, install.Major))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = stdin.Close() }()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatalf("the helper said nothing: %v", err)
		}
		port, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "port ")))
		if err != nil {
			t.Fatalf("the helper said %q", line)
		}
		if !listening(port) {
			t.Fatalf("port %d does not answer before the parent is killed", port)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // says that it was killed
		deadline := time.Now().Add(20 * time.Second)
		for listening(port) {
			if time.Now().After(deadline) {
				t.Fatalf("the server answers 20 s after its parent was killed")
			}
			<-time.After(10 * time.Millisecond)
		}
	})
}

func TestStart_ReopensAKeptFolder(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		for _, mode := range []process.Mode{process.Auto, process.OtherUser} {
			dir := openTempDir(t)
			options := postgres.Options{Install: install, DataDir: filepath.Join(dir, "made", "when missing"), Mode: mode}
			server := start(t, options)
			mustExec(t, connect(t, server.URL("postgres", postgres.Superuser, "")), "create table kept as select 42 as answer")

			if _, err := postgres.Start(t.Context(), options); err == nil || !strings.Contains(err.Error(), "another process uses") {
				t.Errorf("second server in one folder = %v, want a refusal", err)
			}
			if err := server.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}

			// The next run may shed root in the other way.
			options.Mode = process.Auto
			server = start(t, options)
			conn := connect(t, server.URL("postgres", postgres.Superuser, ""))
			if got := value[int](t, conn, "select answer from kept"); got != 42 {
				t.Errorf("what was kept = %d, want 42", got)
			}
			if err := server.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}

			other := install
			other.Major++
			options.Install = other
			_, err := postgres.Start(t.Context(), options)
			if want := fmt.Sprintf("made by PostgreSQL %d", install.Major); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Start of another version in the folder = %v, want an error with %q", err, want)
			}
		}
	})
}

// openTempDir is a folder that other users may enter, which t.TempDir is not.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "clerksync-kept-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStart_LeavesAForeignClusterAlone(t *testing.T) {
	t.Parallel()
	// Somebody's cluster lies where a person might point by mistake.
	dir := openTempDir(t)
	theirs := filepath.Join(dir, "PG_VERSION")
	if err := os.WriteFile(theirs, []byte("9.6\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(theirs)
	if err != nil {
		t.Fatal(err)
	}
	start(t, postgres.Options{DataDir: dir})
	after, err := os.Stat(theirs)
	if err != nil || !os.SameFile(before, after) || before.Mode() != after.Mode() {
		t.Errorf("their file after Start: %v, %v; want it as it was", after, err)
	}
}

func TestStart_ReportsWhyItFailed(t *testing.T) {
	t.Parallel()
	install := requireMajor(t, 0)
	running := start(t, postgres.Options{Install: install})
	for name, test := range map[string]struct {
		options postgres.Options
		want    string
	}{
		"unknown setting": {postgres.Options{Settings: map[string]string{"no_such_setting": "1"}}, `"no_such_setting"`},
		"port in use":     {postgres.Options{Port: running.Port()}, process.ErrPortTaken.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.options.Install = install
			_, err := postgres.Start(t.Context(), test.options)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start = %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestStart_RefusesAFolderThatItsUserCannotReach(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root starts servers as somebody else")
	}
	install := requireMajor(t, 0)
	// The folders of t.TempDir are closed to others, as homes are.
	_, err := postgres.Start(t.Context(), postgres.Options{Install: install, DataDir: t.TempDir(), Mode: process.OtherUser})
	if err == nil || !strings.Contains(err.Error(), "choose another folder") {
		t.Errorf("Start in a closed folder = %v, want a refusal that says what to do", err)
	}
}

func TestStart_GivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	install := requireMajor(t, 0)
	changedMind := errors.New("the caller changed its mind")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(changedMind)
	if _, err := postgres.Start(ctx, postgres.Options{Install: install}); !errors.Is(err, changedMind) && !errors.Is(err, context.Canceled) {
		t.Errorf("Start with a context that is done = %v, want %v", err, changedMind)
	}
}

// Whatever is not the socket needs the password of this start, for every user, and it
// shows nowhere: not in the log of a server that logs everything, and not in the
// list of processes.
func TestStart_LetsNobodyInWithoutItsPassword(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		dir := openTempDir(t)
		options := postgres.Options{Install: install, DataDir: dir, Settings: map[string]string{"log_statement": "all", "log_min_duration_statement": "0"}}
		var passwords []string
		for range 2 {
			server := start(t, options)
			conn := connect(t, server.URL("postgres", postgres.Superuser, ""))
			mustExec(t, conn, "drop role if exists app; create role app login")
			connect(t, server.URL("postgres", "app", ""))
			for _, user := range []string{postgres.Superuser, "app", "stranger"} {
				for _, password := range []string{"wrong", "postgres", strings.ToLower(server.Password())} {
					_, err := pgx.Connect(t.Context(), server.URL("postgres", user, password))
					if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "28P01" {
						t.Errorf("connecting as %s with %q = %v, want 28P01", user, password, err)
					}
				}
			}
			shown, err := server.ShownURL("postgres", "app")
			if err != nil {
				t.Fatal(err)
			}
			if got := value[string](t, connect(t, shown), "select current_user::text"); got != "app" || strings.Contains(shown, server.Password()) {
				t.Errorf("%s leads in as %s, want app and no password", shown, got)
			}
			if strings.Contains(server.Log(), server.Password()) {
				t.Errorf("the log has the password:\n%s", server.Log())
			}
			lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range lines {
				if text, err := os.ReadFile(line); err == nil && strings.Contains(string(text), server.Password()) {
					t.Errorf("the list of processes has the password: %q", text)
				}
			}
			passwords = append(passwords, server.Password())
			if err := server.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			// What an earlier version made let everybody in.
			if err := os.WriteFile(filepath.Join(dir, "pgdata", "pg_hba.conf"), []byte("host all all 127.0.0.1/32 trust\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if passwords[0] == passwords[1] {
			t.Error("two starts have one password")
		}
	})
}

func TestStart_AsksForThePassword(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		server := start(t, postgres.Options{Install: install, Password: `s3cr€t 'with" marks`})
		conn := connect(t, server.URL("postgres", postgres.Superuser, ""))
		mustExec(t, conn, "create role app login password 'app-password'")
		connect(t, server.URL("postgres", "app", "app-password"))

		for user, password := range map[string]string{postgres.Superuser: "wrong", "app": "wrong", "nobody": "app-password"} {
			_, err := pgx.Connect(t.Context(), server.URL("postgres", user, password))
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != "28P01" {
				t.Errorf("connecting as %s with password %q = %v, want 28P01", user, password, err)
			}
		}
	})
}

func TestStart_ShowsItsCertificate(t *testing.T) {
	t.Parallel()
	ours, roots := certificate(t)
	_, strangers := certificate(t)
	onBoth(t, func(t *testing.T, install postgres.Install) {
		server := startCopy(t, postgres.Options{Install: install, TLS: ours})
		for name, test := range map[string]struct {
			roots  *x509.CertPool
			refuse bool
		}{
			"the authority that signed it": {roots, false},
			"another authority":            {strangers, true},
		} {
			config, err := pgx.ParseConfig(server.URL("postgres", postgres.Superuser, ""))
			if err != nil {
				t.Fatal(err)
			}
			// What sslmode=verify-full does, with roots from memory.
			config.TLSConfig = &tls.Config{RootCAs: test.roots, ServerName: "127.0.0.1"}
			config.Fallbacks = nil
			conn, err := pgx.ConnectConfig(t.Context(), config)
			if (err != nil) != test.refuse {
				t.Errorf("connecting with %s = %v, want an error: %v", name, err, test.refuse)
			}
			if err == nil {
				if !value[bool](t, conn, "select ssl from pg_stat_ssl where pid = pg_backend_pid()") {
					t.Errorf("the connection with %s is not encrypted", name)
				}
				_ = conn.Close(context.Background())
			}
		}
	})
}

// certificate is one for 127.0.0.1 that signs itself, and the pool that knows it.
func certificate(t *testing.T) (*postgres.TLS, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "clerksync test"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return &postgres.TLS{
		Certificate: certPEM,
		Key:         pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, pool
}

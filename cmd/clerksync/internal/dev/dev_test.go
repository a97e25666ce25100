package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/testdb"
)

// command is dev with the flags' defaults, except for the port.
func command() Command {
	return Command{
		Addr: "127.0.0.1:0", Postgres: os.Getenv("CLERKSYNC_TEST_POSTGRES"),
		Seed: 1, Users: 20, Rate: 5, Late: 0.1, Twice: 0.05,
	}
}

// needPostgres skips where there is nothing to embed.
func needPostgres(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, postgres.ErrNotFound) {
		need.Missing(t, err)
	}
}

var embeddedURL = regexp.MustCompile(`psql '(postgres://\S+)'`)

// postgresAddress is where the banner says that the database is.
func postgresAddress(t *testing.T, talk string) string {
	t.Helper()
	match := embeddedURL.FindStringSubmatch(talk)
	if match == nil {
		t.Fatalf("the banner names no database:\n%s", talk)
	}
	u, err := url.Parse(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// awaitClosed waits until nobody listens any more.
func awaitClosed(t *testing.T, address string) {
	t.Helper()
	dialer := net.Dialer{}
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatalf("somebody still listens on %s", address)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestDev_EndsWithAnEqualCopy(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*Command){
		"a little disorder": func(cmd *Command) { cmd.Seed, cmd.Rate = 7, 100 },
		"hardly any order":  func(cmd *Command) { cmd.Seed, cmd.Rate, cmd.Late, cmd.Twice = 8, 100, 0.9, 0.9 },
		"nothing happens":   func(cmd *Command) { cmd.Users, cmd.Rate = 0, 0 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command()
			cmd.Duration = 3 * time.Second
			change(&cmd)
			term := clitest.NewTerminal(nil)
			err := cmd.Run(t.Context(), term.Console(true))
			needPostgres(t, err)
			if err != nil {
				t.Fatalf("dev %+v = %v; stderr:\n%s", cmd, err, term.Stderr())
			}
			awaitClosed(t, postgresAddress(t, term.Stderr()))
			if line := syncLine.FindString(term.Stderr()); !strings.Contains(line, " clerksync --env-file ") {
				t.Errorf("the line for a second terminal is %q, want the file with DATABASE_URL in it", line)
			}

			lines := strings.Split(strings.TrimSpace(term.Stdout()), "\n")
			delivered := 0
			outcomes := map[string]int{"applied": 0, "duplicate": 0, "stale": 0, "ignored": 0, "rejected": 0}
			for _, line := range lines[:len(lines)-1] {
				var d deliveryObject
				if err := json.Unmarshal([]byte(line), &d); err != nil {
					t.Fatalf("a line is no JSON: %v\n%s", err, line)
				}
				if d.Kind != "delivery" || d.SvixID == "" || d.Type == "" || d.ObjectID == "" || d.Attempt == 0 {
					t.Fatalf("a line lacks something: %s", line)
				}
				if d.Status == http.StatusOK {
					delivered++
					outcomes[d.Outcome]++
				}
			}
			var s summaryObject
			last := lines[len(lines)-1]
			if err := json.Unmarshal([]byte(last), &s); err != nil {
				t.Fatalf("the last line is no JSON: %v\n%s", err, last)
			}
			if s.Kind != "summary" || s.Equal == nil || !*s.Equal || len(s.Differences) > 0 {
				t.Errorf("the last line does not say that the copy is equal: %s", last)
			}
			if s.Deliveries == nil || s.Deliveries.Delivered != delivered || s.Deliveries.Pending != 0 || s.Deliveries.GivenUp != 0 {
				t.Errorf("the summary counts %+v, the lines %d deliveries", s.Deliveries, delivered)
			}
			for outcome, n := range outcomes {
				if s.Outcomes[outcome] != n {
					t.Errorf("the summary counts %d %s, the lines %d", s.Outcomes[outcome], outcome, n)
				}
			}
			if outcomes["applied"] == 0 || outcomes["rejected"] > 0 {
				t.Errorf("outcomes are %v, want some applied and none rejected", outcomes)
			}
			if cmd.Twice > 0.5 && outcomes["duplicate"] == 0 || cmd.Late > 0.5 && outcomes["stale"] == 0 {
				t.Errorf("outcomes are %v: the disorder does not show", outcomes)
			}
		})
	}
}

func TestDev_InterruptEndsEverything(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := clitest.NewTerminal(nil)
	cmd := command()
	cmd.Rate = 50
	done := make(chan error, 1)
	go func() {
		err := cmd.Run(ctx, term.Console(false))
		if errors.Is(err, postgres.ErrNotFound) {
			fmt.Fprint(term.Console(false).Stdout, "user.created") // ends the wait
		}
		done <- err
	}()
	term.Await(t, "the first user", done, func() bool { return strings.Contains(term.Stdout(), clerk.UserCreated) })
	interrupt()
	err := <-done
	needPostgres(t, err)
	if err != nil {
		t.Errorf("dev, interrupted = %v, want no error; stderr:\n%s", err, term.Stderr())
	}
	if !strings.Contains(term.Stderr(), "the copy equals Clerk's state: ") {
		t.Errorf("stderr does not say how it ended:\n%s", term.Stderr())
	}
	if strings.Contains(term.Stdout()+term.Stderr(), "\x1b") {
		t.Error("without a terminal there are escape sequences")
	}
	awaitClosed(t, postgresAddress(t, term.Stderr()))
}

var syncLine = regexp.MustCompile(`(?m)^\s+((?:[A-Z_]+=\S+ )+)clerksync ((?:--env-file \S+ )?sync-users)$`)

// What dev prints for a second terminal is typed there: afterwards the copy has
// also what no event has told of.
func TestDev_PrintsTheLineThatSyncs(t *testing.T) {
	t.Parallel()
	for name, sync := range map[string]bool{"not synced": false, "synced": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			db := testdb.New(t)
			term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.Owner()})
			cmd := command()
			cmd.Unseen, cmd.Rate, cmd.Late, cmd.Twice = 40, 0, 0, 0
			done := make(chan error, 1)
			go func() { done <- cmd.Run(ctx, term.Console(false)) }()
			term.Await(t, "the last of 20 people", done, func() bool { return strings.Count(term.Stdout(), clerk.UserCreated) == cmd.Users })

			line := syncLine.FindStringSubmatch(term.Stderr())
			if line == nil {
				t.Fatalf("the banner has no line to type:\n%s", term.Stderr())
			}
			if strings.Contains(line[0], "DATABASE_URL") {
				t.Errorf("the line repeats a given DATABASE_URL: %s", line[0])
			}
			settings := map[string]string{"DATABASE_URL": db.Owner(), "SYNC_RATE_SHARE": "1"}
			for setting := range strings.FieldsSeq(line[1]) {
				key, value, _ := strings.Cut(setting, "=")
				settings[key] = value
			}
			if sync {
				if got := clerksync(t, settings, strings.Fields(line[2])...); got.Code != commandline.ExitOK {
					t.Fatalf("%s: exit %d\n%s%s", line[0], got.Code, got.Stdout, got.Stderr)
				}
			}
			interrupt()
			if err := <-done; err != nil {
				t.Errorf("dev --unseen 40 = %v; stderr:\n%s", err, term.Stderr())
			}
			if got := term.Stderr(); strings.Contains(got, "from before the endpoint, and sync-users brings them") == sync {
				t.Errorf("synced: %t, and stderr says:\n%s", sync, got)
			}
		})
	}
}

var bannerGateway, bannerSecret = regexp.MustCompile(`gateway +(http://\S+)`), regexp.MustCompile(`secret +(whsec_\S+)`)

// An event signed by hand with the secret of the run makes a user that the double does
// not have, and the full sync ends it: a copy with that tombstone is equal.
func TestDev_TakesTheTombstoneOfAForeignEventForEqual(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	db := testdb.New(t)
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.Owner()})
	cmd := command()
	cmd.Unseen, cmd.Rate, cmd.Late, cmd.Twice, cmd.PrintSecret = 40, 0, 0, 0, true
	done := make(chan error, 1)
	go func() { done <- cmd.Run(ctx, term.Console(false)) }()
	term.Await(t, "the last of 20 people", done, func() bool { return strings.Count(term.Stdout(), clerk.UserCreated) == cmd.Users })

	gateway, secret := bannerGateway.FindStringSubmatch(term.Stderr()), bannerSecret.FindStringSubmatch(term.Stderr())
	line := syncLine.FindStringSubmatch(term.Stderr())
	if gateway == nil || secret == nil || line == nil {
		t.Fatalf("the banner lacks the gateway, the secret or the line to type:\n%s", term.Stderr())
	}
	old := clerktest.User("user_2example").Name("Example", "").CreatedAt(clerktest.Epoch)
	body := old.Event(clerk.UserCreated, clerktest.Epoch, clerktest.Instance(""))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, gateway[1], bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = clerktest.Sign(secret[1], "msg_by_hand", time.Now(), body)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the event by hand is answered %s", response.Status)
	}
	settings := map[string]string{"DATABASE_URL": db.Owner(), "SYNC_RATE_SHARE": "1"}
	for setting := range strings.FieldsSeq(line[1]) {
		key, value, _ := strings.Cut(setting, "=")
		settings[key] = value
	}
	if got := clerksync(t, settings, line[2]); got.Code != commandline.ExitOK {
		t.Fatalf("%s: exit %d\n%s%s", line[0], got.Code, got.Stdout, got.Stderr)
	}
	var gone bool
	if err := db.Conn(t, db.Superuser()).QueryRow(t.Context(), `select deleted_at is not null from users where clerk_id = 'user_2example'`).Scan(&gone); err != nil || !gone {
		t.Fatalf("the user of the event by hand is deleted: %t, %v", gone, err)
	}
	interrupt()
	if err := <-done; err != nil || !strings.Contains(term.Stderr(), "the copy equals Clerk's state: ") {
		t.Errorf("dev = %v; stderr:\n%s", err, term.Stderr())
	}
}

// Other users of the machine reach the port of the embedded database, and see neither
// its password nor what has it; the person at the screen copies a line.
func TestDev_KeepsThePasswordOfItsDatabase(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := clitest.NewTerminal(nil)
	cmd := command()
	cmd.Users = 1
	done := make(chan error, 1)
	go func() { done <- cmd.Run(ctx, term.Console(false)) }()
	term.Await(t, "the first person", done, func() bool { return strings.Contains(term.Stdout(), clerk.UserCreated) })

	line := syncLine.FindStringSubmatch(term.Stderr())
	shown := embeddedURL.FindStringSubmatch(term.Stderr())
	if line == nil || shown == nil {
		t.Fatalf("the banner has no lines to type:\n%s", term.Stderr())
	}
	file := strings.Fields(line[2])[1]
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file with the connection strings: %v, %v, want it for its owner alone", info, err)
	}
	conn, err := pgx.Connect(t.Context(), shown[1])
	if err != nil {
		t.Fatalf("the line for psql leads nowhere: %v", err)
	}
	defer conn.Close(context.Background())
	password := conn.Config().Password
	if len(password) < 20 || strings.Contains(term.Stdout()+term.Stderr(), password) {
		t.Errorf("the password is %d characters long and on the screen, or short", len(password))
	}
	for _, user := range []string{postgres.Superuser, postgres.Owner, "clerksync_writer", "clerksync_diagnostics", "authenticator"} {
		_, err := pgx.Connect(t.Context(), "postgres://"+user+"@"+postgresAddress(t, term.Stderr())+"/postgres?sslmode=disable")
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || !strings.HasPrefix(pgErr.Code, "28") {
			t.Errorf("connecting as %s without a password = %v, want a refusal", user, err)
		}
	}
	got := clerksync(t, nil, "--env-file", file, "status")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "users") {
		t.Errorf("status with that file: %+v", got)
	}
	interrupt()
	if err := <-done; err != nil {
		t.Errorf("dev, interrupted = %v; stderr:\n%s", err, term.Stderr())
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file after the end: %v, want it gone", err)
	}
}

func TestDev_SaysThatTheAddressIsInUse(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	cmd := command()
	cmd.Addr = listener.Addr().String()
	err = cmd.Run(t.Context(), clitest.NewTerminal(nil).Console(false))
	if !errors.Is(err, devstack.ErrAddressInUse) || !strings.Contains(hint(err), "--addr") {
		t.Errorf("dev on a taken port = %v, want ErrAddressInUse and a word on --addr", err)
	}
}

// hint is what an error says to do.
func hint(err error) string {
	if hinted, ok := errors.AsType[*console.HintedError](err); ok {
		return hinted.Hint
	}
	return ""
}

// Somebody may have DATABASE_URL set to a copy of real people.
func TestDev_MixesWithAGivenCopyOnlyWhenTold(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	if _, err := db.Conn(t, db.Superuser()).Exec(t.Context(), `insert into users (clerk_id) values ('user_real')`); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"DATABASE_URL": db.Owner()}
	cmd := command()
	cmd.Duration = time.Second
	term := clitest.NewTerminal(environment)
	if err := cmd.Run(t.Context(), term.Console(true)); err == nil || !strings.Contains(hint(err), "--mix") {
		t.Errorf("dev into a copy with rows = %v, want a refusal that names --mix", err)
	}
	if term.Stdout() != "" {
		t.Errorf("it was refused and yet something was delivered:\n%s", term.Stdout())
	}

	cmd.Mix = true
	term = clitest.NewTerminal(environment)
	if err := cmd.Run(t.Context(), term.Console(true)); err != nil {
		t.Errorf("dev --mix = %v; stderr:\n%s", err, term.Stderr())
	}
	if strings.Contains(term.Stderr(), "psql") {
		t.Errorf("with DATABASE_URL a database was started nevertheless:\n%s", term.Stderr())
	}
}

// A login that cannot look into the tables must not take that for an empty copy: the
// runtime role asks the sync rules, and another one is refused.
func TestDev_MixesWithWhatItCannotReadOnlyWhenTold(t *testing.T) {
	t.Parallel()
	const person = `insert into users (clerk_id) values ('user_real')`
	const noRow = "nothing there"
	for name, test := range map[string]struct {
		made, login, refusal string
	}{
		"no row":             {"", "clerksync_writer", noRow},
		"a person":           {person, "clerksync_writer", "holds 1 row already"},
		"the second login":   {person, "clerksync_writer_b", "holds 1 row already"},
		"a tombstone":        {`insert into users (clerk_id, deleted_at, sync_version) values ('user_gone', now(), '9')`, "clerksync_writer", "holds 1 row already"},
		"an event":           {`select clerk_sync.apply_event('msg_1', '{"type":"session.created","data":{"id":"sess_1"}}')`, "clerksync_writer", "has heard of an instance"},
		"a full sync":        {`insert into clerk_sync.sync_runs (state, trigger, instance_id, initial, ended_at) values ('complete', 'manual', 'ins_1', true, now())`, "clerksync_writer", "has heard of an instance"},
		"a failing count":    {`create or replace function clerk_sync.count_objects(object text) returns jsonb language plpgsql as 'begin raise query_canceled; end'`, "clerksync_writer", "cannot be told"},
		"no right to count":  {`revoke execute on function clerk_sync.count_objects(text) from clerksync_writer`, "clerksync_writer", "cannot be told"},
		"a reader under RLS": {person + `; create role %[1]s login; grant pg_read_all_data to %[1]s`, "reader_under_rls", "cannot be told"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			login := test.login
			if login == "reader_under_rls" {
				// Roles belong to the whole server.
				login = "r_" + db.Name()
				owner := db.Conn(t, db.Superuser())
				t.Cleanup(func() {
					_, err := owner.Exec(context.Background(), "drop owned by "+login+"; drop role "+login)
					if err != nil {
						t.Error(err)
					}
				})
				test.made = fmt.Sprintf(test.made, login)
			}
			if test.made != "" {
				if _, err := db.Conn(t, db.Superuser()).Exec(t.Context(), test.made); err != nil {
					t.Fatal(err)
				}
			}
			cmd := command()
			cmd.Duration, cmd.Rate, cmd.Users = time.Second, 0, 1
			term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.As(login)})
			err := cmd.Run(t.Context(), term.Console(true))
			if test.refusal == noRow {
				if err != nil {
					t.Errorf("dev into an empty copy = %v; stderr:\n%s", err, term.Stderr())
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.refusal) || !strings.Contains(hint(err), "--mix") {
				t.Errorf("dev as %s = %v, want a refusal with %q that names --mix", login, err, test.refusal)
			}
			if term.Stdout() != "" {
				t.Errorf("it was refused and yet something was delivered:\n%s", term.Stdout())
			}
		})
	}
}

func TestDev_ReportsACopyThatDiffers(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.Owner()})
	cmd := command()
	cmd.Rate = 0
	done := make(chan error, 1)
	go func() { done <- cmd.Run(ctx, term.Console(true)) }()
	conn := db.Conn(t, db.Superuser())
	term.Await(t, "20 users", done, func() bool {
		var n int
		if err := conn.QueryRow(t.Context(), `select count(*) from users where not is_placeholder`).Scan(&n); err != nil {
			t.Error(err)
			return true
		}
		return n == 20
	})
	if _, err := conn.Exec(t.Context(), `update users set username = 'somebody else' where clerk_id = (select min(clerk_id) from users)`); err != nil {
		t.Fatal(err)
	}
	interrupt()
	if err := <-done; !errors.Is(err, errDiffers) {
		t.Errorf("dev over a spoiled copy = %v, want errDiffers", err)
	}
	lines := strings.Split(strings.TrimSpace(term.Stdout()), "\n")
	var s summaryObject
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, d := range s.Differences {
		fields = append(fields, d.Table+"."+d.Field)
	}
	if s.Equal == nil || *s.Equal || !slices.Equal(fields, []string{"users.username", "users_public.username"}) {
		t.Errorf("the summary says equal: %v, differences in %v", s.Equal, fields)
	}
	if !strings.Contains(term.Stderr(), `username is`) {
		t.Errorf("stderr does not list the difference:\n%s", term.Stderr())
	}
}

func TestDev_WaitsForRealWebhooks(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.Owner(), "CLERK_WEBHOOK_SIGNING_SECRET": clerktest.Secret})
	cmd := command()
	cmd.PrintSecret = true
	done := make(chan error, 1)
	go func() { done <- cmd.Run(ctx, term.Console(false)) }()
	gateway := regexp.MustCompile(`clerk webhooks listen --forward-to (http://\S+)`)
	term.Await(t, "the hint at forwarding", done, func() bool { return gateway.MatchString(term.Stderr()) })

	body := clerktest.User("user_ines").Email("ines@example.com").Event(clerk.UserCreated, time.Now())
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, gateway.FindStringSubmatch(term.Stderr())[1], bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = clerktest.Sign(clerktest.Secret, "msg_1", time.Now(), body)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	term.Await(t, "the line about the delivery", done, func() bool { return strings.Contains(term.Stdout(), "user_ines") })
	interrupt()
	if err := <-done; err != nil {
		t.Errorf("dev with a real instance, interrupted = %v", err)
	}
	if got := term.Stdout(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "applied") {
		t.Errorf("stdout is %q, want one line about what was applied", got)
	}
	// There is no double whose API could be read.
	if talk := term.Stderr(); strings.Contains(talk, "sync-users") || strings.Contains(talk, "CLERK_SECRET_KEY") {
		t.Errorf("the banner tells how to sync from a double:\n%s", talk)
	}
	// --print-secret is for the secret that was made here.
	if talk := term.Stdout() + term.Stderr(); strings.Contains(talk, clerktest.Secret) {
		t.Error("the instance's signing secret was printed")
	}
}

func TestDevCommand_Validate(t *testing.T) {
	t.Parallel()
	if err := command().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	for flag, change := range map[string]func(*Command){
		"--late":     func(cmd *Command) { cmd.Late = 1.1 },
		"--twice":    func(cmd *Command) { cmd.Twice = -0.1 },
		"--users":    func(cmd *Command) { cmd.Users = -1 },
		"--unseen":   func(cmd *Command) { cmd.Unseen = -1 },
		"--rate":     func(cmd *Command) { cmd.Rate = -1 },
		"--duration": func(cmd *Command) { cmd.Duration = -time.Second },
	} {
		cmd := command()
		change(&cmd)
		if err := cmd.Validate(); err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("Validate with a wrong %s = %v, want it named", flag, err)
		}
	}
}

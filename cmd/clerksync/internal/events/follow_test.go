package events

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

// record records events of something that is not copied, from the nth on.
func record(t *testing.T, url string, from, to int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for n := from; n < to; n++ {
		if _, err := conn.Exec(t.Context(), `select clerk_sync.apply_event($1, '{"type":"email.created","data":{"id":"ema_1"}}')`, fmt.Sprint("msg_", n)); err != nil {
			t.Fatal(err)
		}
	}
}

// talk hands over what is said on stderr.
type talk chan string

func (c talk) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// hears waits until something is said.
func (c talk) hears(t *testing.T, what string) {
	t.Helper()
	for {
		select {
		case said := <-c:
			if strings.Contains(said, what) {
				return
			}
		case <-t.Context().Done():
			t.Fatalf("%q was not said", what)
		}
	}
}

// followed runs follow and hands over its lines.
func followed(ctx context.Context, t *testing.T, url string, stderr talk, args ...string) (lines *bufio.Scanner, ended <-chan clitest.Result) {
	t.Helper()
	out, in := io.Pipe()
	done := make(chan clitest.Result, 1)
	go func() {
		done <- clitest.On[program](ctx, console.Console{Stdout: in, Stderr: stderr}, map[string]string{"DATABASE_URL": url}, append([]string{"--json", "events", "follow"}, args...)...)
		_ = in.Close()
	}()
	return bufio.NewScanner(out), done
}

func next(t *testing.T, lines *bufio.Scanner, n int) (got []string) {
	t.Helper()
	for len(got) < n && lines.Scan() {
		var e mirror.RecordedEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		got = append(got, e.SvixID)
	}
	return got
}

// What came before the database went and what comes after it: once each.
func TestFollow_GoesOnAfterTheDatabaseHasRestarted(t *testing.T) {
	t.Parallel()
	server := testdb.NewServer(t, nil)
	url := server.URL(testdb.ServerDatabase, "clerksync_writer", "")
	record(t, url, 0, 2)
	ctx, interrupt := context.WithCancel(t.Context())
	said := make(talk, 100)
	lines, ended := followed(ctx, t, url, said, "--since", "1h")
	got := next(t, lines, 2)
	for round, restart := range []func() error{
		func() error { return server.Restart(t.Context()) },
		func() error {
			if err := server.Kill(); err != nil {
				return err
			}
			said.hears(t, "goes on when the database answers")
			return server.Restart(t.Context())
		},
	} {
		if err := restart(); err != nil {
			t.Fatal(err)
		}
		record(t, url, 2+2*round, 4+2*round)
		got = append(got, next(t, lines, 2)...)
	}
	said.hears(t, "answers again")
	interrupt()
	for lines.Scan() {
		got = append(got, lines.Text())
	}
	if want := []string{"msg_0", "msg_1", "msg_2", "msg_3", "msg_4", "msg_5"}; !slices.Equal(got, want) {
		t.Errorf("followed %v, want %v", got, want)
	}
	if r := <-ended; r.Code != commandline.ExitInterrupted {
		t.Errorf("%+v, want 130", r)
	}
}

func TestFollow_EndsWhenAsked(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	settings := map[string]string{"DATABASE_URL": db.Pooled(t, db.Writer())}
	if got := clerksync(t, settings, "events", "follow", "--for", "1ms"); got.Code != commandline.ExitOK {
		t.Errorf("%+v, want 0", got)
	}
	record(t, db.Writer(), 0, 1)
	got := clerksync(t, settings, "events", "follow", "--for", "1500ms", "--since", "1h")
	if got.Code != commandline.ExitOK || strings.Count(got.Stdout, "msg_0") != 1 {
		t.Errorf("%+v, want the event of before once", got)
	}
	// What has to be mended is not waited for.
	got = clerksync(t, map[string]string{"DATABASE_URL": db.Diagnostics()}, "events", "follow")
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "42501") {
		t.Errorf("as a login that may not: %+v", got)
	}
}

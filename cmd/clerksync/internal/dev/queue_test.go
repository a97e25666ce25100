package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/testkit/testdb"
)

// queuedCommand is dev --ingest queued with the flags' other defaults.
func queuedCommand() Command {
	cmd := command()
	cmd.Ingest = ingestQueued
	return cmd
}

// summary is the last line of --json.
func summary(t *testing.T, term *clitest.Terminal) summaryObject {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(term.Stdout()), "\n")
	var s summaryObject
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil || s.Kind != "summary" {
		t.Fatalf("the last line is no summary: %v\n%s", err, lines[len(lines)-1])
	}
	return s
}

func TestDev_QueuedEndsWithAnEqualCopy(t *testing.T) {
	t.Parallel()
	cmd := queuedCommand()
	cmd.Seed, cmd.Rate, cmd.Late, cmd.Twice, cmd.Duration = 31, 100, 0.3, 0.3, 3*time.Second
	term := clitest.NewTerminal(nil)
	err := cmd.Run(t.Context(), term.Console(true))
	needPostgres(t, err)
	if err != nil {
		t.Fatalf("dev --ingest queued = %v; stderr:\n%s", err, term.Stderr())
	}
	queued, outcomes := 0, map[string]int{}
	for line := range strings.Lines(term.Stdout()) {
		var x struct {
			Kind, Outcome, Type string
			Status, Batch       int
			SvixID              string `json:"svix_id"`
		}
		if err := json.Unmarshal([]byte(line), &x); err != nil {
			t.Fatalf("a line is no JSON: %v\n%s", err, line)
		}
		switch x.Kind {
		case "delivery":
			if x.Status != 202 || x.Outcome != "queued" {
				t.Errorf("a delivery is not queued: %s", line)
			}
			queued++
		case "event":
			if x.SvixID == "" || x.Type == "" || x.Batch == 0 {
				t.Errorf("a line lacks something: %s", line)
			}
			outcomes[x.Outcome]++
		}
	}
	s := summary(t, term)
	if s.Equal == nil || !*s.Equal || s.Queue == nil || *s.Queue != (devstack.QueueStatus{Batches: s.Queue.Batches}) || s.Queue.Batches == 0 || s.Lag == nil || s.Lag.P50 == 0 {
		t.Errorf("the summary does not say that the copy is equal and the queue empty: %+v", s)
	}
	if s.Outcomes["queued"] != queued || s.Outcomes["rejected"] > 0 || outcomes["applied"] == 0 || outcomes["duplicate"] == 0 {
		t.Errorf("%d queued, then %v, and the summary counts %v", queued, outcomes, s.Outcomes)
	}
	for outcome, n := range outcomes {
		if s.Outcomes[outcome] != n {
			t.Errorf("the summary counts %d %s, the lines %d", s.Outcomes[outcome], outcome, n)
		}
	}
}

// People see an event twice: when it lies in the queue, and when it is applied.
func TestDev_QueuedShowsBothHalves(t *testing.T) {
	t.Parallel()
	cmd := queuedCommand()
	cmd.Users, cmd.Rate, cmd.Late, cmd.Twice, cmd.Duration = 3, 0, 0, 0, 2*time.Second
	db := testdb.New(t)
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.Owner()})
	if err := cmd.Run(t.Context(), term.Console(false)); err != nil {
		t.Fatalf("dev --ingest queued = %v; stderr:\n%s", err, term.Stderr())
	}
	var created []string
	for line := range strings.Lines(term.Stdout()) {
		if fields := strings.Fields(line); fields[1] == clerk.UserCreated {
			created = append(created, fields[3])
		}
	}
	slices.Sort(created)
	if want := []string{"applied", "applied", "applied", "queued", "queued", "queued"}; !slices.Equal(created, want) || !strings.Contains(term.Stdout(), "from the queue, batch of ") {
		t.Errorf("the outcomes of user.created are %v, want %v:\n%s", created, want, term.Stdout())
	}
	for _, part := range []string{"batches of up to 100, gathered for 1s, 2 at a time", "the copy equals Clerk's state: 3 users", "0 in the queue", "from Clerk to the copy p50"} {
		if !strings.Contains(term.Stderr(), part) {
			t.Errorf("stderr does not say %q:\n%s", part, term.Stderr())
		}
	}
}

// A trigger of the team's own refuses one user for a reason that may pass, and does
// not.
func TestDev_QueuedFailsForADeadLetterAndNamesIt(t *testing.T) {
	t.Parallel()
	cmd := queuedCommand()
	cmd.Users, cmd.Rate, cmd.Late, cmd.Twice, cmd.Duration = 3, 0, 0, 0, 2*time.Second
	cmd.queue = devstack.Queued{Visibility: 1500 * time.Millisecond, Receives: 2}
	// One seed is one history.
	instance := clerkinstance.New(clerkinstance.Options{Seed: cmd.Seed})
	if err := clerkinstance.NewTraffic(instance, cmd.Seed).SignUps(cmd.Users); err != nil {
		t.Fatal(err)
	}
	refused := slices.Min(slices.Collect(maps.Keys(instance.Snapshot().Users)))

	db := testdb.New(t)
	if _, err := db.Conn(t, db.Superuser()).Exec(t.Context(), `
		create function public.refuse() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as
			$$ begin raise lock_not_available; end $$;
		create trigger refuse before insert on public.users for each row when (new.clerk_id = '`+refused+`') execute function public.refuse()`); err != nil {
		t.Fatal(err)
	}
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.Owner()})
	err := cmd.Run(t.Context(), term.Console(true))
	if !errors.Is(err, errDeadLetters) || !errors.Is(err, errDiffers) {
		t.Errorf("dev --ingest queued = %v, want errDeadLetters and errDiffers; stderr:\n%s", err, term.Stderr())
	}
	s := summary(t, term)
	if len(s.DeadLetters) == 0 || s.Queue == nil || s.Queue.Dead != len(s.DeadLetters) || s.Queue.Waiting > 0 || s.Equal == nil || *s.Equal {
		t.Fatalf("the summary has %+v, dead letters %v, equal: %v", s.Queue, s.DeadLetters, s.Equal)
	}
	if !slices.ContainsFunc(s.DeadLetters, func(l devstack.DeadLetter) bool { return l.ObjectID == refused && l.Type == clerk.UserCreated }) {
		t.Errorf("dead letters %v, want one about %s", s.DeadLetters, refused)
	}
	for _, letter := range s.DeadLetters {
		if letter.Receives != 2 || !strings.Contains(term.Stderr(), "given up: "+letter.String()) {
			t.Errorf("dead letter %s, want it tried twice, and on stderr:\n%s", letter, term.Stderr())
		}
	}
	// The others were not held up.
	if s.Outcomes["applied"] == 0 || s.Tables.Users.Live != 2 {
		t.Errorf("outcomes %v, %d users, want the other two", s.Outcomes, s.Tables.Users.Live)
	}
}

// What was acknowledged to a real instance is applied, although Ctrl-C comes before
// the window is over.
func TestDev_QueuedAppliesWhatItHasAcknowledgedBeforeItEnds(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	term := clitest.NewTerminal(map[string]string{"DATABASE_URL": db.Owner(), "CLERK_WEBHOOK_SIGNING_SECRET": clerktest.Secret})
	done := make(chan error, 1)
	go func() { done <- queuedCommand().Run(ctx, term.Console(false)) }()
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
	interrupt()
	if err := <-done; err != nil || response.StatusCode != http.StatusAccepted {
		t.Errorf("answer %d, and dev, interrupted = %v; stderr:\n%s", response.StatusCode, err, term.Stderr())
	}
	var users int
	if err := db.Conn(t, db.Superuser()).QueryRow(t.Context(), `select count(*) from public.users where clerk_id = 'user_ines'`).Scan(&users); err != nil || users != 1 {
		t.Errorf("%d users are in the copy, %v, want the one; stdout:\n%s", users, err, term.Stdout())
	}
}

package syncusers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

func TestSyncUsers_RefusesWrongUsage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args string
		want string // part of stderr
	}{
		{"--user user_1 --organization org_1", "can't be used together"},
		{"--user user_1 --since 24h", "can't be used together"},
		{"--organization org_1 --since 24h", "can't be used together"},
		{"--user user_1 --user user_2", "one at a time"},
		{"--user=", "--user: it is empty"}, // a variable of the shell that is not set
		{"--user ada@example.com", "user_"},
		{"--organization acme", "org_"}, // a slug
		{"--since yesterday", "24h"},
		{"--since=-1h", "not in the past"},
		{"--since 2999-01-01T00:00:00Z", "not in the past"},
		{"--since 24h --since 48h", "once"},
		{"--since 24h --fresh", "--fresh"},
		{"--user user_1 --allow-deletions", "--allow-deletions"},
		{"--max-delete-share 10", "--max-delete-share is 10"}, // not per cent
		{"--max-delete-share NaN", "--max-delete-share is NaN"},
		{"--max-deletes 0", "--dry-run"},
		{"--rate-share 1.5", "--rate-share is 1.5"},
		{"--workers 0", "--workers is 0"},
		{"--workers 1000", "--workers is 1000"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			got := clerksync(t, nil, append([]string{"sync-users"}, strings.Fields(test.args)...)...)
			if got.Code != commandline.ExitUsage || got.Stdout != "" || !strings.Contains(got.Stderr, test.want) {
				t.Errorf("sync-users %s = %+v, want wrong usage with %q", test.args, got, test.want)
			}
		})
	}
}

func TestSyncUsers_NamesEverySettingThatIsMissing(t *testing.T) {
	t.Parallel()
	got := clerksync(t, nil, "sync-users")
	if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, "DATABASE_URL") || !strings.Contains(got.Stderr, "CLERK_SECRET_KEY") {
		t.Errorf("sync-users without settings = %+v, want both sides named", got)
	}
}

// The help of the flags says what the packages do without them.
func TestSyncUsers_FlagsHaveTheDefaultsOfTheWork(t *testing.T) {
	t.Parallel()
	flags := reflect.TypeFor[Command]()
	for name, want := range map[string]any{
		"MaxDeleteShare": fullsync.DefaultMaxDeleteShare, "MaxDeletes": fullsync.DefaultMaxDeletes, "Workers": fullsync.DefaultWorkers,
	} {
		if field, _ := flags.FieldByName(name); field.Tag.Get("default") != fmt.Sprint(want) {
			t.Errorf("%s is %q without its flag, want %v", name, field.Tag.Get("default"), want)
		}
	}
	if field, _ := flags.FieldByName("RateShare"); !strings.Contains(field.Tag.Get("help"), fmt.Sprintf("or %v)", clerk.DefaultShare)) {
		t.Errorf("--rate-share says %q, want %v", field.Tag.Get("help"), clerk.DefaultShare)
	}
}

// syncCommand is sync-users with the flags' defaults.
func syncCommand() Command {
	return Command{
		MaxDeleteShare: fullsync.DefaultMaxDeleteShare, MaxDeletes: fullsync.DefaultMaxDeletes, Workers: fullsync.DefaultWorkers,
	}
}

// syncWith is a command line whose work is done by a double.
func syncWith(ctx context.Context, cmd Command, asJSON bool, work engine) clitest.Result {
	var stdout, stderr bytes.Buffer
	c := console.Console{Stdout: &stdout, Stderr: &stderr, JSON: asJSON, Lookup: func(string) (string, bool) { return "", false }}
	code := commandline.Conclude(ctx, c, cmd.sync(ctx, c, work, slog.LevelInfo, fullsync.Options{}))
	return clitest.Result{Code: code, Stdout: stdout.String(), Stderr: stderr.String()}
}

func TestSyncUsers_EndsAsTheRunDoes(t *testing.T) {
	t.Parallel()
	done := fullsync.Report{RunID: 7, State: fullsync.Complete}
	partial := fullsync.Report{RunID: 7, State: fullsync.Partial, Reason: "clerk_unavailable"}
	tests := []struct {
		name        string
		change      func(*Command)
		report      fullsync.Report
		err         error
		interrupted bool
		code        int
		stdout      string   // a part; empty means that nothing may be printed
		stderr      []string // parts
	}{
		{name: "complete", report: done, code: commandline.ExitOK, stdout: "run 7 complete"},
		{
			name: "interrupted", interrupted: true,
			report: fullsync.Report{RunID: 7, State: fullsync.Partial, Reason: "interrupted"},
			err:    fmt.Errorf("the full sync was stopped: %w", context.Canceled),
			code:   commandline.ExitInterrupted, stdout: "run 7 partial (interrupted)",
			stderr: []string{"clerksync: interrupted\n", "kept", `"clerksync sync-users" goes on from there`},
		},
		{
			// The request that Ctrl-C broke off need not say so.
			name: "interrupted, with an error of its own", interrupted: true,
			report: partial, err: fmt.Errorf("GET /users: %w", clerk.ErrClerkUnavailable),
			code: commandline.ExitInterrupted, stdout: "partial", stderr: []string{"goes on from there"},
		},
		{
			name: "a dry run is interrupted", interrupted: true, change: func(cmd *Command) { cmd.DryRun = true },
			report: fullsync.Report{State: fullsync.Partial, Reason: "interrupted", DryRun: true}, err: context.Canceled,
			code: commandline.ExitInterrupted, stdout: "partial", stderr: []string{"nothing was written: run the same command again"},
		},
		{
			// A part is not recorded and so not resumed.
			name: "a part is interrupted", interrupted: true, change: func(cmd *Command) { cmd.User = "user_1" },
			report: fullsync.Report{Reason: "interrupted"}, err: context.Canceled,
			code: commandline.ExitInterrupted, stderr: []string{"run the same command again"},
		},
		{
			name: "Clerk is away", report: partial, err: fmt.Errorf("GET /users: %w", clerk.ErrClerkUnavailable),
			code: commandline.ExitFailed, stdout: "run 7 partial (clerk_unavailable)",
			stderr: []string{"error: GET /users", "hint: what is done is kept", "goes on from there"},
		},
		{
			name: "the key is refused", report: fullsync.Report{RunID: 7, State: fullsync.Partial, Reason: "key_refused"},
			err:  fmt.Errorf("GET /users: %w", clerk.ErrKeyRefused),
			code: commandline.ExitFailed, stdout: "key_refused", stderr: []string{"CLERK_SECRET_KEY", "goes on from there"},
		},
		{
			name: "another run is at work", report: fullsync.Report{Reason: "busy"},
			err:  fmt.Errorf("%w: run 6 holds the lock until 12:00", fullsync.ErrBusy),
			code: commandline.ExitFailed, stderr: []string{"run 6 holds the lock until 12:00", `hint: "clerksync status"`},
		},
		{
			name: "too many deletions", report: fullsync.Report{RunID: 7, State: fullsync.Stopped, Reason: "too_many_deletions"},
			err:  fmt.Errorf("%w: 600 of 1000 users", fullsync.ErrTooManyDeletions),
			code: commandline.ExitFailed, stdout: "run 7 stopped", stderr: []string{"600 of 1000", "--dry-run --allow-deletions", "--max-delete-share"},
		},
		{
			// It is no matter of trying again, whatever Ctrl-C broke off.
			name: "too many deletions, and then Ctrl-C", interrupted: true,
			report: fullsync.Report{RunID: 7, State: fullsync.Stopped, Reason: "too_many_deletions"}, err: fullsync.ErrTooManyDeletions,
			code: commandline.ExitFailed, stdout: "stopped", stderr: []string{"--allow-deletions"},
		},
		{
			name: "another instance", report: fullsync.Report{State: fullsync.Stopped, Reason: "wrong_instance"},
			err:  fmt.Errorf("%w: ins_a and ins_b", fullsync.ErrWrongInstance),
			code: commandline.ExitFailed, stdout: "stopped (wrong_instance)", stderr: []string{"ins_a and ins_b", "--accept-instance"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			cmd := syncCommand()
			if test.change != nil {
				test.change(&cmd)
			}
			got := syncWith(ctx, cmd, false, func(context.Context, fullsync.Options) (fullsync.Report, error) {
				if test.interrupted {
					interrupt()
				}
				return test.report, test.err
			})
			if got.Code != test.code {
				t.Errorf("exits %d, want %d", got.Code, test.code)
			}
			if !strings.Contains(got.Stdout, test.stdout) || (test.stdout == "") != (got.Stdout == "") {
				t.Errorf("stdout is\n%s\nwant %q in it", got.Stdout, test.stdout)
			}
			for _, want := range test.stderr {
				if !strings.Contains(got.Stderr, want) {
					t.Errorf("stderr is\n%s\nwant %q in it", got.Stderr, want)
				}
			}
		})
	}
}

func TestSyncUsers_HandsOverWhatTheFlagsSay(t *testing.T) {
	t.Parallel()
	cmd := Command{
		DryRun: true, Fresh: true, AllowDeletions: true, AcceptInstance: true, MaxDeleteShare: 0.5, MaxDeletes: 9, Workers: 3,
	}
	var got fullsync.Options
	syncWith(t.Context(), cmd, false, func(_ context.Context, o fullsync.Options) (fullsync.Report, error) {
		got = o
		return fullsync.Report{}, nil
	})
	if got.Logger == nil || got.OnDifference == nil || got.Progress == nil {
		t.Errorf("options %+v lack somebody to tell", got)
	}
	got.Logger, got.OnDifference, got.Progress = nil, nil, nil
	want := fullsync.Options{
		Trigger: "cli", DryRun: true, Fresh: true, AllowDeletions: true, AcceptInstance: true, MaxDeleteShare: 0.5, MaxDeletes: 9, Workers: 3,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the flags %+v make the options\n%+v, want\n%+v", cmd, got, want)
	}
}

// emails are differences in the address of so many users.
func emails(n int) []mirror.Difference {
	differences := make([]mirror.Difference, n)
	for i := range differences {
		differences[i] = mirror.Difference{
			Object: mirror.Users, ID: fmt.Sprintf("user_%03d", i), Result: "updated",
			Fields: []mirror.FieldDifference{{Name: "email", Here: json.RawMessage(`"a@x"`), Clerk: json.RawMessage(`"b@y"`)}},
		}
	}
	return differences
}

// find is an engine that tells differences from many goroutines at once.
func find(differences []mirror.Difference) engine {
	return func(_ context.Context, o fullsync.Options) (fullsync.Report, error) {
		var tellers sync.WaitGroup
		for _, d := range differences {
			tellers.Go(func() { o.OnDifference(d) })
		}
		tellers.Wait()
		return fullsync.Report{State: fullsync.Complete, DryRun: true}, nil
	}
}

func TestSyncUsers_ADryRunListsSomeOfEachKind(t *testing.T) {
	t.Parallel()
	cmd := syncCommand()
	cmd.DryRun = true
	long := strings.Repeat("x", 200)
	differences := append(emails(maxOfKind+5),
		mirror.Difference{Object: mirror.Organizations, ID: "org_1", Result: "deleted"},
		mirror.Difference{Object: mirror.Memberships, ID: "orgmem_1", Result: "created", Fields: []mirror.FieldDifference{
			{Name: "role", Here: json.RawMessage("null"), Clerk: json.RawMessage(`"org:admin"`)},
		}},
		mirror.Difference{Object: mirror.Organizations, ID: "org_2", Result: "updated", Fields: []mirror.FieldDifference{
			{Name: "metadata", Here: json.RawMessage(`{"a": 1}`), Clerk: json.RawMessage(`{"a": "` + long + `"}`)},
			{Name: "name", Here: nil, Clerk: json.RawMessage("\"\u202eemcA\"")}, // would turn the rest of the line round
		}},
	)
	got := syncWith(t.Context(), cmd, false, find(differences))
	for _, want := range []string{
		`updated  user_000  email: "a@x" → "b@y"` + "\n",
		"… and 5 more of the kind user; --json lists all",
		"deleted  org_1", "created  orgmem_1",
		`metadata: {"a":1} → {"a":"xxx`, `name: null → "?emcA"`,
		"dry run",
	} {
		if !strings.Contains(got.Stdout, want) {
			t.Errorf("stdout is\n%s\nwant %q in it", got.Stdout, want)
		}
	}
	if n := strings.Count(got.Stdout, "email:"); n != maxOfKind {
		t.Errorf("%d users are listed, want %d", n, maxOfKind)
	}
	if strings.Contains(got.Stdout, long) || strings.Contains(got.Stdout, "role:") {
		t.Errorf("stdout holds a long value, or the fields of what is wholly new:\n%s", got.Stdout)
	}
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "nothing was written") {
		t.Errorf("exit %d, stderr %q, want 0 and that nothing was written", got.Code, got.Stderr)
	}
	order := []string{"user_000", "user_001", "org_1", "org_2", "orgmem_1", "listed"}
	for i := 1; i < len(order); i++ {
		if strings.Index(got.Stdout, order[i-1]) > strings.Index(got.Stdout, order[i]) {
			t.Errorf("%s stands before %s:\n%s", order[i], order[i-1], got.Stdout)
		}
	}
}

func TestSyncUsers_ADryRunAsJSONIsOneDocument(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			cmd := syncCommand()
			cmd.DryRun = true
			got := syncWith(t.Context(), cmd, true, find(emails(n)))
			var document struct {
				Differences []mirror.Difference `json:"differences"`
				Report      fullsync.Report     `json:"report"`
			}
			if err := json.Unmarshal([]byte(got.Stdout), &document); err != nil {
				t.Fatalf("stdout is no JSON: %v\n%s", err, got.Stdout)
			}
			if len(document.Differences) != n || document.Report.State != fullsync.Complete {
				t.Errorf("the document has %d differences and the state %q, want %d and complete", len(document.Differences), document.Report.State, n)
			}
		})
	}
}

func TestSyncUsers_AsJSONPrintsTheReport(t *testing.T) {
	t.Parallel()
	report := fullsync.Report{RunID: 7, State: fullsync.Complete, Users: fullsync.ObjectReport{Listed: 3, Tally: mirror.Tally{Created: 2, Unchanged: 1}}}
	got := syncWith(t.Context(), syncCommand(), true, func(context.Context, fullsync.Options) (fullsync.Report, error) { return report, nil })
	var printed fullsync.Report
	if err := json.Unmarshal([]byte(got.Stdout), &printed); err != nil {
		t.Fatalf("stdout is no JSON: %v\n%s", err, got.Stdout)
	}
	if diff := cmp.Diff(report, printed); diff != "" {
		t.Errorf("printed was another report (-want +got):\n%s", diff)
	}
	// What did not begin has a reason all the same.
	got = syncWith(t.Context(), syncCommand(), true, func(context.Context, fullsync.Options) (fullsync.Report, error) {
		return fullsync.Report{Reason: "busy"}, fullsync.ErrBusy
	})
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, `"reason":"busy"`) {
		t.Errorf("busy, as JSON = %+v, want the reason on stdout", got)
	}
}

func TestReport_ForPeople(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	webhook := now.Add(-3 * time.Minute)
	report := fullsync.Report{
		RunID: 17, State: fullsync.Complete, Resumed: true, DurationMS: 100_400, Drift: 4,
		Users: fullsync.ObjectReport{
			Listed: 100, Tally: mirror.Tally{Created: 1, Updated: 2, Deleted: 3, Unchanged: 90, Stale: 4, Drift: 4},
		},
		Organizations: fullsync.ObjectReport{Skipped: "not_enabled"},
		Requests:      12, Retries: 3, RateLimited: 2,
		LastEventAt: &webhook, Purged: mirror.Purged{Payloads: 1, Users: 2, HeldBack: 5, Held: 1},
	}
	tests := []struct {
		name   string
		change func(*fullsync.Report)
		want   []string
	}{
		{"everything", func(*fullsync.Report) {}, []string{
			"                          listed  created  updated  deleted  unchanged  stale  drift",
			"users                     100     1        2        3        90         4      4",
			"organizations             -       -        -        -        -          -      -  not enabled",
			"organization_memberships  0       0        0        0        0          0      0",
			"result    run 17 complete after 1m40s, resumed",
			"drift     4 objects",
			"requests  12, of which 3 repeated; 2 answered 429",
			"purged    1 payload, 0 events, 2 tombstones, 5 held back; 1 kept, which another table refers to",
			"webhooks  last verified webhook 3 minutes ago",
		}},
		// Everything is new to an empty copy: no webhook has failed to tell.
		{"the first run", func(r *fullsync.Report) { r.Initial = true }, []string{
			"users                     100     1        2        3        90         4      -", "drift     not told by a first run",
		}},
		{"no webhook yet", func(r *fullsync.Report) { r.LastEventAt = nil }, []string{"webhooks  last verified webhook never"}},
		{"partial", func(r *fullsync.Report) { r.State, r.Reason = fullsync.Partial, "out_of_time" }, []string{"run 17 partial (out_of_time) after"}},
		{"a part", func(r *fullsync.Report) { r.RunID, r.Resumed, r.DurationMS = 0, false, 640 }, []string{"result    complete after 640ms"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stdout bytes.Buffer
			changed := report
			test.change(&changed)
			c := console.Console{Stdout: &stdout}
			if err := c.Print(changed, func(row func(...any)) { reportRows(changed, now, row) }); err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("the report is\n%s\nwant %q in it", stdout.String(), want)
				}
			}
		})
	}
}

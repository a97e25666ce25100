package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

func TestStatus_ShowsBothSidesAndTheLastRun(t *testing.T) {
	t.Parallel()
	p := clitest.NewPair[program](t, 100, backendapi.Options{})
	p.Report(t)
	if err := p.Clerk.DeleteUser(p.Users()[0], false); err != nil {
		t.Fatal(err)
	}
	got := clerksync(t, p.Settings, "status", "--runs", "5")
	for _, want := range []string{
		"users                     100   99     0             0",
		"organizations             5     5 ",
		"last full sync         complete less than a minute ago, by cli",
		"last verified webhook  never",
		"run  started",
	} {
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, want) {
			t.Errorf("status: exit %d\n%s%s\nwant %q in it", got.Code, got.Stdout, got.Stderr, want)
		}
	}
	if got.Stderr != "" {
		t.Errorf("there is nothing to say, and yet stderr has\n%s", got.Stderr)
	}

	got = clerksync(t, p.Settings, "--json", "status", "--runs", "1")
	var status copyStatus
	if err := json.Unmarshal([]byte(got.Stdout), &status); err != nil {
		t.Fatalf("status --json: %v\n%s", err, got.Stdout)
	}
	if status.Users.Live != 100 || status.Clerk == nil || status.Clerk.Users == nil || *status.Clerk.Users != 99 ||
		status.LastComplete == nil || status.LastComplete.State != "complete" || len(status.Runs) != 1 {
		t.Errorf("status --json prints %s", got.Stdout)
	}
}

// A status is asked for when something is wrong: what can be read is shown.
func TestStatus_DoesWithoutClerk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		api     backendapi.Options
		change  func(settings map[string]string)
		stdout  string
		stderr  string
		nothing bool // on stderr
	}{
		{
			name: "no key", change: func(s map[string]string) { delete(s, "CLERK_SECRET_KEY") },
			stdout: "users                     0     -  ", stderr: "hint: with CLERK_SECRET_KEY set",
		},
		{
			name: "a refused key", change: func(s map[string]string) { s["CLERK_SECRET_KEY"] = "sk_live_revoked" },
			stdout: "users                     0     -  ", stderr: "warning: counting in Clerk: GET /users/count: Clerk answered 401",
		},
		{
			name: "no key at all", change: func(s map[string]string) { s["CLERK_SECRET_KEY"] = "pk_live_oops" },
			stdout: "users                     0     -  ", stderr: "CLERK_SECRET_KEY",
		},
		{
			// An instance without organizations has none to count.
			name: "organizations disabled", api: backendapi.Options{OrganizationsDisabled: true}, change: func(map[string]string) {},
			stdout: "organizations             0     -  ", nothing: true,
		},
		{
			name: "half of it fails", change: func(map[string]string) {},
			api: backendapi.Options{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.HasSuffix(r.URL.Path, "/organizations") {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				next.ServeHTTP(w, r)
			}},
			stdout: "users                     0     40 ", stderr: "warning: counting in Clerk: GET /organizations",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := clitest.NewPair[program](t, 40, test.api)
			test.change(p.Settings)
			got := clerksync(t, p.Settings, "status")
			if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, test.stdout) {
				t.Errorf("exit %d\n%s\nwant 0 and %q", got.Code, got.Stdout, test.stdout)
			}
			if !strings.Contains(got.Stderr, test.stderr) || test.nothing != (got.Stderr == "") {
				t.Errorf("stderr is\n%s\nwant %q in it", got.Stderr, test.stderr)
			}
			if strings.Contains(got.Stderr, "pk_live_oops") || strings.Contains(got.Stderr, "sk_live_") && test.name == "a refused key" {
				t.Errorf("stderr holds a key:\n%s", got.Stderr)
			}
		})
	}
}

// The numbers of another instance than the copy's say nothing about it.
func TestStatus_ShowsNothingOfAnotherInstance(t *testing.T) {
	t.Parallel()
	p := clitest.NewPair[program](t, 40, backendapi.Options{})
	p.Report(t)
	other := clerkinstance.New(clerkinstance.Options{Seed: 2})
	if err := other.Seed(clerkinstance.SeedOptions{Users: 7777}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(backendapi.New(other, backendapi.Options{}))
	t.Cleanup(server.Close)
	for name, test := range map[string]struct {
		change func(settings map[string]string)
		want   string
	}{
		"a key of another": {func(s map[string]string) { s["CLERK_API_URL"] = server.URL + "/v1" }, other.ID()},
		"a pin of another": {func(s map[string]string) { s["CLERK_INSTANCE_ID"] = "ins_other" }, "CLERK_INSTANCE_ID (environment) pins ins_other"},
	} {
		settings := maps.Clone(p.Settings)
		test.change(settings)
		got := clerksync(t, settings, "status")
		if got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, "users                     40    -  ") || strings.Contains(got.Stdout, "7777") {
			t.Errorf("%s: exit %d\n%s\nwant 1, the copy's numbers and none of Clerk's", name, got.Code, got.Stdout)
		}
		for _, want := range []string{"the copy is of another Clerk instance", test.want} {
			if !strings.Contains(got.Stderr, want) {
				t.Errorf("%s: stderr is\n%s\nwant %q in it", name, got.Stderr, want)
			}
		}
		got = clerksync(t, settings, "--json", "status")
		if got.Code != commandline.ExitFailed || !strings.Contains(got.Stdout, `"clerk": null`) && !strings.Contains(got.Stdout, `"clerk":null`) {
			t.Errorf("%s: exit %d\n%s", name, got.Code, got.Stdout)
		}
	}
}

func TestStatus_SaysThatMigrationsAreMissing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	got := clerksync(t, map[string]string{"DATABASE_URL": db.Owner()}, "status")
	if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, "clerksync migrate up") {
		t.Errorf("status of an empty database = %+v, want what to do", got)
	}
}

// What an account of AWS lets the stack do is asked where --aws says so. That the
// caller may not ask is an answer, and not known.
func TestStatus_SaysWhatTheAccountMayReserve(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	var status int
	var body string
	asked := 0
	lambda := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		if status != http.StatusOK {
			w.Header().Set("X-Amzn-ErrorType", "AccessDeniedException")
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(lambda.Close)
	settings := map[string]string{
		"DATABASE_URL": db.Owner(), "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL_LAMBDA": lambda.URL,
	}
	if got := clerksync(t, settings, "status"); got.Code != commandline.ExitOK || strings.Contains(got.Stdout, "AWS") || asked != 0 {
		t.Errorf("status without --aws: exit %d, Lambda was asked %d times\n%s%s", got.Code, asked, got.Stdout, got.Stderr)
	}
	tests := []struct {
		name   string
		status int
		body   string
		want   []string
		json   string
	}{
		{
			"a new account", http.StatusOK, `{"AccountLimit":{"ConcurrentExecutions":10,"UnreservedConcurrentExecutions":10}}`,
			[]string{"10 in eu-central-1, of which 10 are not reserved", `nothing: leave ReservedConcurrency and DiagnosticsConcurrency at -1, or raise the quota "Concurrent executions" of AWS Lambda`},
			`"aws":{"concurrency":{"region":"eu-central-1","limit":10,"unreserved":10,"reservable":0}}`,
		},
		{
			"little left", http.StatusOK, `{"AccountLimit":{"ConcurrentExecutions":1000,"UnreservedConcurrentExecutions":110}}`,
			[]string{"1000 in eu-central-1, of which 110 are not reserved", "10 in all\n"},
			`"reservable":10}`,
		},
		{
			"the usual quota", http.StatusOK, `{"AccountLimit":{"ConcurrentExecutions":1000,"UnreservedConcurrentExecutions":1000}}`,
			[]string{"900 in all, such as ReservedConcurrency=20 and DiagnosticsConcurrency=5"},
			`"reservable":900}`,
		},
		{
			"no permission", http.StatusForbidden, `{"Message":"not authorized"}`,
			[]string{"unknown: access denied (AccessDeniedException): it needs lambda:GetAccountSettings"},
			`"aws":{"concurrency":null,"unknown":"access denied`,
		},
	}
	for _, test := range tests {
		status, body = test.status, test.body
		code := commandline.ExitOK
		if test.status != http.StatusOK {
			code = commandline.ExitUnknown // it was asked for
		}
		got := clerksync(t, settings, "status", "--aws")
		for _, want := range test.want {
			if got.Code != code || !strings.Contains(got.Stdout, want) {
				t.Errorf("%s: exit %d\n%s%s\nwant %q in it", test.name, got.Code, got.Stdout, got.Stderr, want)
			}
		}
		if got := clerksync(t, settings, "--json", "status", "--aws"); got.Code != code || !strings.Contains(got.Stdout, test.json) {
			t.Errorf("%s: exit %d\n%s%s\nwant %q in it", test.name, got.Code, got.Stdout, got.Stderr, test.json)
		}
	}
}

func TestStatus_ForPeople(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ended := now.Add(-2 * time.Hour)
	complete := &mirror.RunRecord{ID: 3, State: "complete", Trigger: "schedule", StartedAt: ended.Add(-time.Minute), EndedAt: &ended, Drift: new(int64(4))}
	tests := []struct {
		name   string
		status mirror.Status
		want   []string
		not    string
	}{
		{"never", mirror.Status{}, []string{"last full sync         never", "last verified webhook  never", "events rejected        0\n"}, "last complete"},
		{
			"complete",
			mirror.Status{LastRun: complete, LastComplete: complete},
			[]string{"last full sync         complete 2 hours ago, by schedule, drift of 4 objects"},
			"last complete",
		},
		{
			"running",
			mirror.Status{LastRun: &mirror.RunRecord{State: "running", Trigger: "cli", StartedAt: now.Add(-3 * time.Minute)}, LastComplete: complete},
			[]string{"last full sync           running, begun 3 minutes ago by cli", "last complete full sync  complete 2 hours ago"},
			"",
		},
		{
			"partial",
			mirror.Status{LastRun: &mirror.RunRecord{State: "partial", Reason: "out_of_time", Trigger: "schedule", EndedAt: &ended}},
			[]string{"partial (out_of_time) 2 hours ago, by schedule; the next one goes on from there", "last complete full sync  never"},
			"",
		},
		{
			// Its process was killed: nobody has written down the end.
			"killed",
			mirror.Status{LastRun: &mirror.RunRecord{State: "partial", Reason: "killed", Trigger: "cli", StartedAt: ended}},
			[]string{"partial (killed), begun 2 hours ago by cli"},
			"",
		},
		{
			"rejected events",
			mirror.Status{Events: map[mirror.Outcome]int64{mirror.Rejected: 2}, LastEventAt: &ended},
			[]string{`events rejected        2; "clerksync events list --outcome rejected" shows why`, "last verified webhook  2 hours ago"},
			"",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stdout bytes.Buffer
			status := copyStatus{Status: test.status}
			c := console.Console{Stdout: &stdout}
			if err := c.Print(status, func(row func(...any)) { statusRows(status, now, row) }); err != nil {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("the status is\n%s\nwant %q in it", stdout.String(), want)
				}
			}
			if test.not != "" && strings.Contains(stdout.String(), test.not) {
				t.Errorf("the status is\n%s\nwant no %q", stdout.String(), test.not)
			}
		})
	}
}

func TestStatusRows_SayWhatIsNotCounted(t *testing.T) {
	t.Parallel()
	status := copyStatus{Status: mirror.Status{
		Users:           mirror.Counts{Live: 1_200_000, Placeholders: 7, Tombstones: 20_500, Held: 12, Estimated: true},
		Events:          map[mirror.Outcome]int64{mirror.Applied: 3_000_000, mirror.Rejected: 2},
		EventsEstimated: []mirror.Outcome{mirror.Applied},
		Ending:          1,
		HeldBack:        3,
		Missing:         []string{"organizations", "last_event_at"},
	}}
	var rows []string
	statusRows(status, time.Now(), func(cells ...any) {
		rows = append(rows, strings.TrimSpace(strings.Join(strings.Fields(fmt.Sprintln(cells...)), " ")))
	})
	for _, want := range []string{
		"users about 1200000 - 7 about 20500",
		"organizations ? - ? ?",
		"not read in time organizations, last_event_at",
		"tombstones kept 12, which other tables refer to, when they were last looked through",
		"memberships ending of 1 deleted user or organization; no policy shows them",
		`deletions held back 3; "clerksync deletions list" shows which`,
		"last verified webhook ?",
		"events applied about 3000000",
	} {
		if !slices.Contains(rows, want) {
			t.Errorf("no row %q in\n%s", want, strings.Join(rows, "\n"))
		}
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

// clerkKey is of the kind with the higher limit.
const clerkKey = "sk_live_" + "NotARealKeyButLongEnough"

// pair is a Clerk instance and a database for its copy.
type pair struct {
	clerk    *clerkinstance.Instance
	api      *backendapi.API
	db       *testdb.DB
	settings map[string]string
}

func newPair(t *testing.T, users int, options backendapi.Options) *pair {
	t.Helper()
	instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
	err := instance.Seed(clerkinstance.SeedOptions{
		Users: users, Organizations: users / 20, Memberships: users / 2, To: time.Now().Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	options.SecretKeys = []string{clerkKey}
	api := backendapi.New(instance, options)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	db := testdb.New(t)
	return &pair{clerk: instance, api: api, db: db, settings: map[string]string{
		"DATABASE_URL": db.Pooled(t, db.Writer()), "CLERK_SECRET_KEY": clerkKey, "CLERK_API_URL": server.URL + "/v1", "SYNC_RATE_SHARE": "1",
	}}
}

// report runs a command line with --json that must succeed.
func (p *pair) report(t *testing.T, args ...string) fullsync.Report {
	t.Helper()
	got := clerksync(t, p.settings, append([]string{"--json", "sync-users"}, args...)...)
	var report fullsync.Report
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || got.code != exitOK {
		t.Fatalf("sync-users %q: exit %d, %v\n%s%s", args, got.code, err, got.stdout, got.stderr)
	}
	if report.State != fullsync.Complete {
		t.Fatalf("sync-users %q ended %q (%s)", args, report.State, report.Reason)
	}
	return report
}

// users are the ids of the instance's users, in order.
func (p *pair) users() []string {
	var ids []string
	for id := range p.clerk.Snapshot().Users {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (p *pair) count(t *testing.T, where string) int {
	t.Helper()
	var n int
	if err := p.db.Conn(t, p.db.Superuser()).QueryRow(t.Context(), "select count(*) from "+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSyncUsers_FillsACopyAndThenFindsNothingToDo(t *testing.T) {
	t.Parallel()
	p := newPair(t, 600, backendapi.Options{})
	first := p.report(t)
	if first.Users.Created != 600 || first.Organizations.Created != 30 || first.Memberships.Created != 300 || !first.Initial {
		t.Errorf("the first run's report is %+v, want 600 users, 30 organizations and 300 memberships created", first)
	}
	if n := p.count(t, "users where deleted_at is null and not is_placeholder"); n != 600 {
		t.Errorf("the copy has %d users, want 600", n)
	}
	got := clerksync(t, p.settings, "sync-users")
	for _, want := range []string{
		"users                     600     0        0        0        600 ",
		"organization_memberships  300     0        0        0        300 ",
		"complete after", "0 objects", "last verified webhook never",
	} {
		if got.code != exitOK || !strings.Contains(got.stdout, want) {
			t.Errorf("a second run: exit %d\n%s\nwant %q in it", got.code, got.stdout, want)
		}
	}
	if !strings.Contains(got.stderr, "\nclerksync: users, ") || strings.Contains(got.stderr, "level=") {
		t.Errorf("stderr is\n%s\nwant the phases and no log", got.stderr)
	}
	for _, secret := range []string{clerkKey, "postgres", "@"} {
		if strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("%q is in what was printed:\n%s%s", secret, got.stdout, got.stderr)
		}
	}
}

func TestSyncUsers_ADryRunShowsFieldsAndWritesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, 100, backendapi.Options{})
	p.report(t)
	ids := p.users()
	changed, gone := ids[3], ids[5]
	var before string
	err := p.clerk.UpdateUser(changed, func(u *resource.User) {
		if u.FirstName != nil {
			before = *u.FirstName
		}
		u.FirstName = new("Grace")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.clerk.DeleteUser(gone, false); err != nil {
		t.Fatal(err)
	}

	got := clerksync(t, p.settings, "sync-users", "--dry-run")
	if got.code != exitOK || !strings.Contains(got.stdout, "updated  "+changed+"  first_name") || strings.Contains(got.stdout, "Grace") || !strings.Contains(got.stderr, "the owner's string") {
		t.Errorf("a dry run as the runtime role: exit %d\n%s%s\nwant names of fields, and why there are no values", got.code, got.stdout, got.stderr)
	}

	p.settings["DATABASE_URL"] = p.db.Owner()
	for range 2 { // the second finds what the first has found
		got := clerksync(t, p.settings, "sync-users", "--dry-run")
		difference := fmt.Sprintf("first_name: %q → %q", before, "Grace")
		if before == "" {
			difference = `first_name: null → "Grace"`
		}
		for _, want := range []string{"updated  " + changed, difference, "deleted  " + gone, "dry run "} {
			if got.code != exitOK || !strings.Contains(got.stdout, want) {
				t.Errorf("a dry run: exit %d\n%s%s\nwant %q in it", got.code, got.stdout, got.stderr, want)
			}
		}
		if !strings.Contains(got.stderr, "nothing was written") {
			t.Errorf("stderr is\n%s\nwant that nothing was written", got.stderr)
		}
	}
	if n := p.count(t, "users where first_name = 'Grace' or deleted_at is not null"); n != 0 {
		t.Errorf("the dry runs have written %d rows", n)
	}

	got = clerksync(t, p.settings, "--json", "sync-users", "--dry-run")
	var document struct {
		Differences []mirror.Difference `json:"differences"`
		Report      fullsync.Report     `json:"report"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &document); err != nil {
		t.Fatalf("--json --dry-run: %v\n%s", err, got.stdout)
	}
	if !slices.ContainsFunc(document.Differences, func(d mirror.Difference) bool {
		return d.ID == changed && slices.ContainsFunc(d.Fields, func(f mirror.FieldDifference) bool {
			return f.Name == "first_name" && string(f.Clerk) == `"Grace"`
		})
	}) {
		t.Errorf("the document lacks the change of %s:\n%s", changed, got.stdout)
	}

	if report := p.report(t); report.Users.Updated != 1 || report.Users.Deleted != 1 || report.Users.Unchanged != 98 {
		t.Errorf("the run after it did %+v, want one user updated and one deleted", report.Users)
	}
}

func TestSyncUsers_BringsAPartUpToDate(t *testing.T) {
	t.Parallel()
	p := newPair(t, 100, backendapi.Options{})
	p.report(t)
	ids := p.users()
	rename := func(id string) {
		t.Helper()
		if err := p.clerk.UpdateUser(id, func(u *resource.User) { u.FirstName = new("Grace") }); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids[:3] {
		rename(id)
	}
	if err := p.clerk.DeleteUser(ids[9], false); err != nil {
		t.Fatal(err)
	}

	if report := p.report(t, "--user", ids[0]); report.Users.Updated != 1 || report.RunID != 0 {
		t.Errorf("--user of a changed user: %+v, want it updated, and no run of it", report)
	}
	if n := p.count(t, "users where first_name = 'Grace'"); n != 1 {
		t.Errorf("%d users were renamed, want the one", n)
	}
	if report := p.report(t, "--user", ids[9]); report.Users.Deleted != 1 {
		t.Errorf("--user of a deleted user: %+v, want it deleted", report)
	}
	if n := p.count(t, "users where deleted_at is not null"); n != 1 {
		t.Errorf("%d users are tombstones, want the one", n)
	}
	if report := p.report(t, "--since", "30m"); report.Users.Updated != 2 {
		t.Errorf("--since: %+v, want the two others updated", report)
	}
	organizations := p.clerk.Snapshot().Organizations
	for id := range organizations {
		if err := p.clerk.UpdateOrganization(id, func(o *resource.Organization) { o.Name = "Difference Engines" }); err != nil {
			t.Fatal(err)
		}
		if report := p.report(t, "--organization", id); report.Organizations.Updated != 1 {
			t.Errorf("--organization: %+v, want it updated", report)
		}
		break
	}
	if got := clerksync(t, p.settings, "sync-users", "--user", "user_nobody"); got.code != exitFailed || !strings.Contains(got.stderr, "user_nobody") || got.stdout != "" {
		t.Errorf("--user of nobody = %+v, want a failure that names the id", got)
	}
}

func TestSyncUsers_StopsBeforeTooManyDeletions(t *testing.T) {
	t.Parallel()
	p := newPair(t, 100, backendapi.Options{})
	p.report(t)
	for _, id := range p.users()[:40] {
		if err := p.clerk.DeleteUser(id, false); err != nil {
			t.Fatal(err)
		}
	}
	got := clerksync(t, p.settings, "sync-users")
	for _, want := range []string{"40 of the 100", "--dry-run --allow-deletions"} {
		if got.code != exitFailed || !strings.Contains(got.stderr, want) {
			t.Errorf("without a word: exit %d, stderr\n%s\nwant a refusal with %q", got.code, got.stderr, want)
		}
	}
	if n := p.count(t, "users where deleted_at is not null"); n != 0 {
		t.Errorf("%d users were deleted nevertheless", n)
	}
	// What the hint says lists them.
	got = clerksync(t, p.settings, "sync-users", "--dry-run", "--allow-deletions")
	if n := strings.Count(got.stdout, "deleted  user_"); got.code != exitOK || n != maxShown || !strings.Contains(got.stdout, "… and 20 more of the kind user;") {
		t.Errorf("the dry run: exit %d\n%s%s\nwant %d of 40 deletions listed", got.code, got.stdout, got.stderr, maxShown)
	}
	if report := p.report(t, "--allow-deletions"); report.Users.Deleted != 40 {
		t.Errorf("allowed, the run deleted %d users, want 40", report.Users.Deleted)
	}
}

func TestSyncUsers_RefusesAnotherInstance(t *testing.T) {
	t.Parallel()
	p, other := newPair(t, 20, backendapi.Options{}), newPair(t, 30, backendapi.Options{})
	p.report(t)
	theirs := map[string]string{
		"DATABASE_URL": p.settings["DATABASE_URL"], "CLERK_SECRET_KEY": clerkKey, "CLERK_API_URL": other.settings["CLERK_API_URL"],
	}
	if p.clerk.ID() == other.clerk.ID() {
		other.clerk = clerkinstance.New(clerkinstance.Options{Seed: 2})
		server := httptest.NewServer(backendapi.New(other.clerk, backendapi.Options{}))
		t.Cleanup(server.Close)
		theirs["CLERK_API_URL"] = server.URL + "/v1"
	}
	for _, args := range [][]string{
		{"sync-users"}, {"sync-users", "--dry-run"}, {"sync-users", "--since", "24h"}, {"sync-users", "--user", p.users()[0]},
	} {
		got := clerksync(t, theirs, args...)
		for _, want := range []string{p.clerk.ID(), other.clerk.ID(), "--accept-instance"} {
			if got.code != exitFailed || !strings.Contains(got.stderr, want) {
				t.Errorf("%v with a key of another instance: exit %d, stderr\n%s\nwant a refusal with %q", args, got.code, got.stderr, want)
			}
		}
	}
	if n := p.count(t, "users where deleted_at is not null"); n != 0 {
		t.Errorf("%d users were deleted", n)
	}
}

// A pin is a decision that --accept-instance does not overrule: the refusal says which
// and where it is set.
func TestSyncUsers_NamesThePinThatRefusesAnInstance(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pin  func(p *pair)
		want string
	}{
		"environment": {func(p *pair) { p.settings["CLERK_INSTANCE_ID"] = "ins_other" }, "CLERK_INSTANCE_ID (environment) pins ins_other"},
		"database": {func(p *pair) {
			owner := p.db.Conn(t, p.db.Superuser())
			if _, err := owner.Exec(t.Context(), `update clerk_sync.settings set instance_id = 'ins_other'`); err != nil {
				t.Fatal(err)
			}
		}, "instance_id in clerk_sync.settings pins ins_other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, 20, backendapi.Options{})
			test.pin(p)
			for _, args := range [][]string{{"sync-users"}, {"sync-users", "--dry-run"}, {"sync-users", "--user", p.users()[0]}} {
				for _, args := range [][]string{args, append(args, "--accept-instance")} {
					got := clerksync(t, p.settings, args...)
					for _, want := range []string{test.want, p.clerk.ID(), "--accept-instance does not overrule it"} {
						if got.code != exitFailed || !strings.Contains(got.stderr, want) {
							t.Errorf("%v: exit %d, stderr\n%s\nwant a refusal with %q", args, got.code, got.stderr, want)
						}
					}
				}
			}
		})
	}
}

// A user that Clerk has and that is deleted here, as Clerk once stated: every command that
// could bring the copy up to date says that it did not.
func TestSyncUsers_TellsWhatIsDeletedHere(t *testing.T) {
	t.Parallel()
	p := newPair(t, 40, backendapi.Options{})
	p.report(t)
	id := p.users()[0]
	owner := p.db.Conn(t, p.db.Superuser())
	if _, err := owner.Exec(t.Context(), `select clerk_sync.apply_event('msg_1', jsonb_build_object(
		'object', 'event', 'type', 'user.deleted', 'timestamp', $2::bigint,
		'data', jsonb_build_object('id', $1::text, 'object', 'user', 'deleted', true)))`,
		id, time.Now().Add(-time.Hour).UnixMilli()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		code   int
		stdout string
	}{
		{[]string{"sync-users"}, exitFailed, "live in Clerk"},
		{[]string{"sync-users", "--user", id}, exitFailed, "live in Clerk"},
		{[]string{"sync-users", "--dry-run"}, exitOK, "deleted_here  " + id},
		{[]string{"status"}, exitOK, "live in Clerk when it was last read whole"},
	} {
		got := clerksync(t, p.settings, test.args...)
		if got.code != test.code || !strings.Contains(got.stdout, test.stdout) || strings.Contains(got.stdout, "drift of 0") {
			t.Errorf("%v: exit %d\n%s%s\nwant %d and %q", test.args, got.code, got.stdout, got.stderr, test.code, test.stdout)
		}
		if test.code != exitOK && !strings.Contains(got.stderr, "in Clerk and deleted in the copy") {
			t.Errorf("%v says\n%s", test.args, got.stderr)
		}
	}

	// What the documentation says to do about it.
	if _, err := p.db.Conn(t, p.db.Owner()).Exec(t.Context(), `delete from users where clerk_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if report := p.report(t); report.Users.Created != 1 || deletedHere(report) != 0 {
		t.Errorf("without the tombstone the run reports %+v, want one user created", report)
	}
}

// Ctrl-C comes while memberships are read: users and organizations are done by
// then, and are not read again.
func TestSyncUsers_InterruptedGoesOnFromThere(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 100)
	var released atomic.Bool
	p := newPair(t, 600, backendapi.Options{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/organization_memberships") && r.URL.Query().Get("limit") == "500" && !released.Load() {
			reached <- struct{}{}
			<-r.Context().Done()
			return
		}
		next.ServeHTTP(w, r)
	}})
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	go func() {
		<-reached
		interrupt()
	}()
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"sync-users"}, console{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
		Lookup: func(key string) (string, bool) { value, ok := p.settings[key]; return value, ok },
	})
	if code != exitInterrupted || !strings.Contains(stdout.String(), "partial (interrupted)") || !strings.Contains(stderr.String(), `"clerksync sync-users" goes on from there`) {
		t.Fatalf("interrupted: exit %d\n%s%s\nwant 130, the report and how to go on", code, stdout.String(), stderr.String())
	}

	released.Store(true)
	got := clerksync(t, p.settings, "status")
	if got.code != exitOK || !strings.Contains(got.stdout, "partial (interrupted)") {
		t.Errorf("status: exit %d\n%s%s\nwant the partial run", got.code, got.stdout, got.stderr)
	}
	before := p.api.Requests()
	report := p.report(t)
	if !report.Resumed || report.Users.Created != 600 || report.Memberships.Created != 300 {
		t.Errorf("the next run's report is %+v, want the same run resumed and all it did", report)
	}
	if n := p.api.Requests().Routes["/users"] - before.Routes["/users"]; n > 0 {
		t.Errorf("the next run read %d pages of users again", n)
	}
}

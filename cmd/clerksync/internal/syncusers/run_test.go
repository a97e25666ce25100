package syncusers

import (
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

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

func TestSyncUsers_FillsACopyAndThenFindsNothingToDo(t *testing.T) {
	t.Parallel()
	p := clitest.NewPair[program](t, 600, backendapi.Options{})
	first := p.Report(t)
	if first.Users.Created != 600 || first.Organizations.Created != 30 || first.Memberships.Created != 300 || !first.Initial {
		t.Errorf("the first run's report is %+v, want 600 users, 30 organizations and 300 memberships created", first)
	}
	if n := p.Count(t, "users where deleted_at is null and not is_placeholder"); n != 600 {
		t.Errorf("the copy has %d users, want 600", n)
	}
	got := clerksync(t, p.Settings, "sync-users")
	for _, want := range []string{
		"users                     600     0        0        0        600 ",
		"organization_memberships  300     0        0        0        300 ",
		"complete after", "0 objects", "last verified webhook never",
	} {
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, want) {
			t.Errorf("a second run: exit %d\n%s\nwant %q in it", got.Code, got.Stdout, want)
		}
	}
	if !strings.Contains(got.Stderr, "\nclerksync: users, ") || strings.Contains(got.Stderr, "level=") {
		t.Errorf("stderr is\n%s\nwant the phases and no log", got.Stderr)
	}
	for _, secret := range []string{clitest.ClerkKey, "postgres", "@"} {
		if strings.Contains(got.Stdout+got.Stderr, secret) {
			t.Errorf("%q is in what was printed:\n%s%s", secret, got.Stdout, got.Stderr)
		}
	}
}

func TestSyncUsers_ADryRunShowsFieldsAndWritesNothing(t *testing.T) {
	t.Parallel()
	p := clitest.NewPair[program](t, 100, backendapi.Options{})
	p.Report(t)
	ids := p.Users()
	changed, gone := ids[3], ids[5]
	var before string
	err := p.Clerk.UpdateUser(changed, func(u *resource.User) {
		if u.FirstName != nil {
			before = *u.FirstName
		}
		u.FirstName = new("Grace")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Clerk.DeleteUser(gone, false); err != nil {
		t.Fatal(err)
	}

	got := clerksync(t, p.Settings, "sync-users", "--dry-run")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "updated  "+changed+"  first_name") || strings.Contains(got.Stdout, "Grace") || !strings.Contains(got.Stderr, "the owner's string") {
		t.Errorf("a dry run as the runtime role: exit %d\n%s%s\nwant names of fields, and why there are no values", got.Code, got.Stdout, got.Stderr)
	}

	p.Settings["DATABASE_URL"] = p.DB.Owner()
	for range 2 { // the second finds what the first has found
		got := clerksync(t, p.Settings, "sync-users", "--dry-run")
		difference := fmt.Sprintf("first_name: %q → %q", before, "Grace")
		if before == "" {
			difference = `first_name: null → "Grace"`
		}
		for _, want := range []string{"updated  " + changed, difference, "deleted  " + gone, "dry run "} {
			if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, want) {
				t.Errorf("a dry run: exit %d\n%s%s\nwant %q in it", got.Code, got.Stdout, got.Stderr, want)
			}
		}
		if !strings.Contains(got.Stderr, "nothing was written") {
			t.Errorf("stderr is\n%s\nwant that nothing was written", got.Stderr)
		}
	}
	if n := p.Count(t, "users where first_name = 'Grace' or deleted_at is not null"); n != 0 {
		t.Errorf("the dry runs have written %d rows", n)
	}

	got = clerksync(t, p.Settings, "--json", "sync-users", "--dry-run")
	var document struct {
		Differences []mirror.Difference `json:"differences"`
		Report      fullsync.Report     `json:"report"`
	}
	if err := json.Unmarshal([]byte(got.Stdout), &document); err != nil {
		t.Fatalf("--json --dry-run: %v\n%s", err, got.Stdout)
	}
	if !slices.ContainsFunc(document.Differences, func(d mirror.Difference) bool {
		return d.ID == changed && slices.ContainsFunc(d.Fields, func(f mirror.FieldDifference) bool {
			return f.Name == "first_name" && string(f.Clerk) == `"Grace"`
		})
	}) {
		t.Errorf("the document lacks the change of %s:\n%s", changed, got.Stdout)
	}

	if report := p.Report(t); report.Users.Updated != 1 || report.Users.Deleted != 1 || report.Users.Unchanged != 98 {
		t.Errorf("the run after it did %+v, want one user updated and one deleted", report.Users)
	}
}

func TestSyncUsers_BringsAPartUpToDate(t *testing.T) {
	t.Parallel()
	p := clitest.NewPair[program](t, 100, backendapi.Options{})
	p.Report(t)
	ids := p.Users()
	rename := func(id string) {
		t.Helper()
		if err := p.Clerk.UpdateUser(id, func(u *resource.User) { u.FirstName = new("Grace") }); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range ids[:3] {
		rename(id)
	}
	if err := p.Clerk.DeleteUser(ids[9], false); err != nil {
		t.Fatal(err)
	}

	if report := p.Report(t, "--user", ids[0]); report.Users.Updated != 1 || report.RunID != 0 {
		t.Errorf("--user of a changed user: %+v, want it updated, and no run of it", report)
	}
	if n := p.Count(t, "users where first_name = 'Grace'"); n != 1 {
		t.Errorf("%d users were renamed, want the one", n)
	}
	if report := p.Report(t, "--user", ids[9]); report.Users.Deleted != 1 {
		t.Errorf("--user of a deleted user: %+v, want it deleted", report)
	}
	if n := p.Count(t, "users where deleted_at is not null"); n != 1 {
		t.Errorf("%d users are tombstones, want the one", n)
	}
	if report := p.Report(t, "--since", "30m"); report.Users.Updated != 2 {
		t.Errorf("--since: %+v, want the two others updated", report)
	}
	organizations := p.Clerk.Snapshot().Organizations
	for id := range organizations {
		if err := p.Clerk.UpdateOrganization(id, func(o *resource.Organization) { o.Name = "Difference Engines" }); err != nil {
			t.Fatal(err)
		}
		if report := p.Report(t, "--organization", id); report.Organizations.Updated != 1 {
			t.Errorf("--organization: %+v, want it updated", report)
		}
		break
	}
	if got := clerksync(t, p.Settings, "sync-users", "--user", "user_nobody"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "user_nobody") || got.Stdout != "" {
		t.Errorf("--user of nobody = %+v, want a failure that names the id", got)
	}
}

func TestSyncUsers_StopsBeforeTooManyDeletions(t *testing.T) {
	t.Parallel()
	p := clitest.NewPair[program](t, 100, backendapi.Options{})
	p.Report(t)
	for _, id := range p.Users()[:40] {
		if err := p.Clerk.DeleteUser(id, false); err != nil {
			t.Fatal(err)
		}
	}
	got := clerksync(t, p.Settings, "sync-users")
	for _, want := range []string{"40 of the 100", "--dry-run --allow-deletions"} {
		if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, want) {
			t.Errorf("without a word: exit %d, stderr\n%s\nwant a refusal with %q", got.Code, got.Stderr, want)
		}
	}
	if n := p.Count(t, "users where deleted_at is not null"); n != 0 {
		t.Errorf("%d users were deleted nevertheless", n)
	}
	// What the hint says lists them.
	got = clerksync(t, p.Settings, "sync-users", "--dry-run", "--allow-deletions")
	if n := strings.Count(got.Stdout, "deleted  user_"); got.Code != commandline.ExitOK || n != maxOfKind || !strings.Contains(got.Stdout, "… and 20 more of the kind user;") {
		t.Errorf("the dry run: exit %d\n%s%s\nwant %d of 40 deletions listed", got.Code, got.Stdout, got.Stderr, maxOfKind)
	}
	if report := p.Report(t, "--allow-deletions"); report.Users.Deleted != 40 {
		t.Errorf("allowed, the run deleted %d users, want 40", report.Users.Deleted)
	}
}

func TestSyncUsers_RefusesAnotherInstance(t *testing.T) {
	t.Parallel()
	p, other := clitest.NewPair[program](t, 20, backendapi.Options{}), clitest.NewPair[program](t, 30, backendapi.Options{})
	p.Report(t)
	theirs := map[string]string{
		"DATABASE_URL": p.Settings["DATABASE_URL"], "CLERK_SECRET_KEY": clitest.ClerkKey, "CLERK_API_URL": other.Settings["CLERK_API_URL"],
	}
	if p.Clerk.ID() == other.Clerk.ID() {
		other.Clerk = clerkinstance.New(clerkinstance.Options{Seed: 2})
		server := httptest.NewServer(backendapi.New(other.Clerk, backendapi.Options{}))
		t.Cleanup(server.Close)
		theirs["CLERK_API_URL"] = server.URL + "/v1"
	}
	for _, args := range [][]string{
		{"sync-users"}, {"sync-users", "--dry-run"}, {"sync-users", "--since", "24h"}, {"sync-users", "--user", p.Users()[0]},
	} {
		got := clerksync(t, theirs, args...)
		for _, want := range []string{p.Clerk.ID(), other.Clerk.ID(), "--accept-instance"} {
			if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, want) {
				t.Errorf("%v with a key of another instance: exit %d, stderr\n%s\nwant a refusal with %q", args, got.Code, got.Stderr, want)
			}
		}
	}
	if n := p.Count(t, "users where deleted_at is not null"); n != 0 {
		t.Errorf("%d users were deleted", n)
	}
}

// A pin is a decision that --accept-instance does not overrule: the refusal says which
// and where it is set.
func TestSyncUsers_NamesThePinThatRefusesAnInstance(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pin  func(p *clitest.Pair[program])
		want string
	}{
		"environment": {func(p *clitest.Pair[program]) { p.Settings["CLERK_INSTANCE_ID"] = "ins_other" }, "CLERK_INSTANCE_ID (environment) pins ins_other"},
		"database": {func(p *clitest.Pair[program]) {
			owner := p.DB.Conn(t, p.DB.Superuser())
			if _, err := owner.Exec(t.Context(), `update clerk_sync.settings set instance_id = 'ins_other'`); err != nil {
				t.Fatal(err)
			}
		}, "instance_id in clerk_sync.settings pins ins_other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := clitest.NewPair[program](t, 20, backendapi.Options{})
			test.pin(p)
			for _, args := range [][]string{{"sync-users"}, {"sync-users", "--dry-run"}, {"sync-users", "--user", p.Users()[0]}} {
				for _, args := range [][]string{args, append(args, "--accept-instance")} {
					got := clerksync(t, p.Settings, args...)
					for _, want := range []string{test.want, p.Clerk.ID(), "--accept-instance does not overrule it"} {
						if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, want) {
							t.Errorf("%v: exit %d, stderr\n%s\nwant a refusal with %q", args, got.Code, got.Stderr, want)
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
	p := clitest.NewPair[program](t, 40, backendapi.Options{})
	p.Report(t)
	id := p.Users()[0]
	owner := p.DB.Conn(t, p.DB.Superuser())
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
		{[]string{"sync-users"}, commandline.ExitFailed, "live in Clerk"},
		{[]string{"sync-users", "--user", id}, commandline.ExitFailed, "live in Clerk"},
		{[]string{"sync-users", "--dry-run"}, commandline.ExitOK, "deleted_here  " + id},
		{[]string{"status"}, commandline.ExitOK, "live in Clerk when it was last read whole"},
	} {
		got := clerksync(t, p.Settings, test.args...)
		if got.Code != test.code || !strings.Contains(got.Stdout, test.stdout) || strings.Contains(got.Stdout, "drift of 0") {
			t.Errorf("%v: exit %d\n%s%s\nwant %d and %q", test.args, got.Code, got.Stdout, got.Stderr, test.code, test.stdout)
		}
		if test.code != commandline.ExitOK && !strings.Contains(got.Stderr, "in Clerk and deleted in the copy") {
			t.Errorf("%v says\n%s", test.args, got.Stderr)
		}
	}

	// What the documentation says to do about it.
	if _, err := p.DB.Conn(t, p.DB.Owner()).Exec(t.Context(), `delete from users where clerk_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	if report := p.Report(t); report.Users.Created != 1 || report.DeletedHere() != 0 {
		t.Errorf("without the tombstone the run reports %+v, want one user created", report)
	}
}

// Ctrl-C comes while memberships are read: users and organizations are done by
// then, and are not read again.
func TestSyncUsers_InterruptedGoesOnFromThere(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 100)
	var released atomic.Bool
	p := clitest.NewPair[program](t, 600, backendapi.Options{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
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
	got := clitest.On[program](ctx, console.Console{}, p.Settings, "sync-users")
	if got.Code != commandline.ExitInterrupted || !strings.Contains(got.Stdout, "partial (interrupted)") || !strings.Contains(got.Stderr, `"clerksync sync-users" goes on from there`) {
		t.Fatalf("interrupted: exit %d\n%s%s\nwant 130, the report and how to go on", got.Code, got.Stdout, got.Stderr)
	}

	released.Store(true)
	got = clerksync(t, p.Settings, "status")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "partial (interrupted)") {
		t.Errorf("status: exit %d\n%s%s\nwant the partial run", got.Code, got.Stdout, got.Stderr)
	}
	before := p.API.Requests()
	report := p.Report(t)
	if !report.Resumed || report.Users.Created != 600 || report.Memberships.Created != 300 {
		t.Errorf("the next run's report is %+v, want the same run resumed and all it did", report)
	}
	if n := p.API.Requests().Routes["/users"] - before.Routes["/users"]; n > 0 {
		t.Errorf("the next run read %d pages of users again", n)
	}
}

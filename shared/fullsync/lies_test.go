package fullsync_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

// isListOf tells whether a request is for a list, whole or by ids.
var isListOf = map[mirror.Object]*regexp.Regexp{
	mirror.Users:         regexp.MustCompile(`^/v1/users(/count)?$`),
	mirror.Organizations: regexp.MustCompile(`^/v1/organizations$`),
	mirror.Memberships:   regexp.MustCompile(`^/v1/(organization_memberships|.+/memberships|.+/organization_memberships)$`),
	mirror.Roles:         regexp.MustCompile(`^/v1/organization_roles$`),
	mirror.Permissions:   regexp.MustCompile(`^/v1/organization_permissions$`),
}

func isList(r *http.Request) bool {
	for _, list := range isListOf {
		if list.MatchString(r.URL.Path) {
			return true
		}
	}
	return false
}

// empty is what a list answers that has nothing.
func empty(rw http.ResponseWriter, r *http.Request) {
	body := `{"data":[],"total_count":0}`
	switch r.URL.Path {
	case "/v1/users":
		body = `[]`
	case "/v1/users/count":
		body = `{"object":"total_count","total_count":0}`
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write([]byte(body))
}

// lost counts what Clerk has and the copy holds for deleted.
func (w *world) lost() (n int64) {
	w.Helper()
	live := w.clerk.Snapshot().IDs()
	rows, err := w.owner.Query(w.Context(), `
		select clerk_id from public.users where deleted_at is not null
		union all select clerk_org_id from public.organizations where deleted_at is not null
		union all select clerk_membership_id from public.organization_memberships where deleted_at is not null
		union all select clerk_role_id from clerk.organization_roles where deleted_at is not null
		union all select clerk_permission_id from clerk.organization_permissions where deleted_at is not null`)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			w.Fatal(err)
		}
		if live[id] {
			n++
		}
	}
	if rows.Err() != nil {
		w.Fatal(rows.Err())
	}
	return n
}

// Lists that answer with nothing, however small the copy and wherever in a run that
// begins, delete nothing that is there.
func TestRun_AnEmptyListIsNoDeletion(t *testing.T) {
	t.Parallel()
	lists := map[string]func(*http.Request) bool{"every list": isList}
	for object, path := range isListOf {
		lists[object.Object().Plural] = func(r *http.Request) bool { return path.MatchString(r.URL.Path) }
	}
	for _, size := range [][3]int{{1, 1, 1}, {4, 2, 5}, {300, 8, 529}} {
		for name, lies := range lists {
			t.Run(fmt.Sprint(name, " of ", size), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, backendapi.Options{})
				w.seed(size[0], size[1], size[2])
				w.complete(nil)
				w.lieFrom(lies, func(int32) bool { return true })
				w.notLost(nil)
				for _, dry := range []bool{true, false} {
					report, err := w.run(func(o *fullsync.Options) { o.DryRun, o.Fresh = dry, true })
					if err == nil && tally(report).Deleted == 0 {
						continue // nothing was asked that the lists could lie about
					}
					if !errors.Is(err, fullsync.ErrTooManyDeletions) && !errors.Is(err, fullsync.ErrIncomplete) {
						t.Errorf("dry run %t: %v, %+v; want it refused", dry, err, tally(report))
					}
				}
			})
		}
	}
}

// lieFrom lets the lists that lie answer with nothing when the moment is there, given
// how many requests came before.
func (w *world) lieFrom(lies func(*http.Request) bool, now func(n int32) bool) {
	w.Helper()
	var asked atomic.Int32
	w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if n := asked.Add(1); lies(r) && now(n) {
			empty(rw, r)
			return
		}
		next.ServeHTTP(rw, r)
	}})
}

// notLost fails if a run against lies loses anything.
func (w *world) notLost(change func(*fullsync.Options)) {
	w.Helper()
	report, err := w.run(change)
	if n := w.lost(); n != 0 {
		w.Errorf("%d live objects were deleted: %v, %s %s", n, err, report.State, report.Reason)
	}
}

func TestRun_ListsThatAreEmptyFromAnyMomentOn(t *testing.T) {
	t.Parallel()
	for _, once := range []bool{true, false} {
		t.Run(map[bool]string{true: "one answer", false: "from then on"}[once], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, backendapi.Options{})
			w.seed(60, 4, 80)
			small := func(o *fullsync.Options) { o.Workers = 1; o.Small(20, 10) }
			w.complete(small)
			var n atomic.Int32
			for step := int32(1); ; step++ {
				w.lieFrom(isList, func(at int32) bool { n.Store(at); return at == step || !once && at > step })
				w.notLost(func(o *fullsync.Options) { small(o); o.Fresh = true })
				if w.Failed() {
					t.Fatalf("lists were empty at request %d", step)
				}
				if n.Load() < step {
					break
				}
			}
			w.serve(backendapi.Options{})
			w.complete(func(o *fullsync.Options) { o.Fresh = true })
			w.same()
		})
	}
}

func TestRun_AnEmptyListOfManyIsNoDeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(fullsync.WindowSize+200, 100, fullsync.WindowSize+100)
	w.complete(nil)
	w.lieFrom(isList, func(int32) bool { return true })
	w.notLost(nil)
	w.serve(backendapi.Options{})
	if report := w.complete(nil); report.Drift != 0 {
		t.Errorf("drift %d after nothing was lost", report.Drift)
	}
	w.same()
}

// Told by an operator that it is right, a list that lies is believed; and what Clerk
// lists later is back, memberships and all.
func TestRun_BringsBackWhatWasThereAfterAll(t *testing.T) {
	t.Parallel()
	for _, size := range [][3]int{{3, 1, 3}, {300, 8, 529}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, backendapi.Options{})
			w.seed(size[0], size[1], size[2])
			w.complete(nil)
			w.lieFrom(isList, func(int32) bool { return true })
			w.complete(func(o *fullsync.Options) { o.AllowDeletions = true })
			lost := w.lost()
			if lost < int64(size[0]+size[1]+size[2]) {
				t.Fatalf("%d objects are lost; nothing is shown", lost)
			}
			w.serve(backendapi.Options{})
			if report := w.complete(nil); report.Drift != lost {
				t.Errorf("drift %d, want %d", report.Drift, lost)
			}
			w.same()
		})
	}
}

// One by one, beside something that is there, Clerk is believed also of the last.
func TestRun_TheLastOfAKindMayGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(5, 1, 5)
	w.complete(nil)
	for id := range w.clerk.Snapshot().Organizations {
		if err := w.clerk.DeleteOrganization(id, false); err != nil {
			t.Fatal(err)
		}
	}
	dry, err := w.run(func(o *fullsync.Options) { o.DryRun = true })
	if err != nil || dry.Organizations.Deleted != 1 || dry.Memberships.Deleted != 5 {
		t.Errorf("dry run: %v, %+v; want one organization with 5 memberships gone", err, tally(dry))
	}
	report := w.complete(nil)
	if report.Organizations.Deleted != 1 || report.Memberships.Deleted != 5 {
		t.Errorf("organizations %+v, memberships %+v; want one gone with all 5", report.Organizations, report.Memberships)
	}
	w.same()

	// But where nothing is left that Clerk could be asked for, its silence proves nothing.
	for id := range w.clerk.Snapshot().Users {
		if err := w.clerk.DeleteUser(id, false); err != nil {
			t.Fatal(err)
		}
	}
	if report, err := w.run(nil); !errors.Is(err, fullsync.ErrTooManyDeletions) || report.State != fullsync.Stopped {
		t.Errorf("nothing is left: %v, %s; want ErrTooManyDeletions", err, report.State)
	}
	w.complete(func(o *fullsync.Options) { o.AllowDeletions = true })
	w.same()
}

// Memberships of which none can be asked for by itself, and whose parents are there.
func TestRun_TheLastMembershipNeedsSomebodyToDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(3, 1, 2)
	w.complete(nil)
	for id := range w.clerk.Snapshot().Memberships {
		if err := w.clerk.Leave(id); err != nil {
			t.Fatal(err)
		}
	}
	if report, err := w.run(nil); !errors.Is(err, fullsync.ErrTooManyDeletions) || report.Reason != "too_many_deletions" {
		t.Errorf("all memberships gone: %v, %s; want ErrTooManyDeletions", err, report.Reason)
	}
	w.complete(func(o *fullsync.Options) { o.AllowDeletions = true })
	w.same()
}

// Memberships that fall with their organization are deletions like others.
func TestRun_CountsWhatFallsWithItsParents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(60, 20, 100)
	w.complete(nil)
	members := map[string]int{}
	largest := ""
	for _, m := range w.clerk.Snapshot().Memberships {
		if members[m.Organization.ID]++; members[m.Organization.ID] > members[largest] {
			largest = m.Organization.ID
		}
	}
	if members[largest] <= 10 {
		t.Fatalf("the largest organization has %d members; nothing is shown", members[largest])
	}
	if err := w.clerk.DeleteOrganization(largest, false); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		_, err := w.run(func(o *fullsync.Options) { o.DryRun = dry })
		if !errors.Is(err, fullsync.ErrTooManyDeletions) || !strings.Contains(err.Error(), fmt.Sprintf("%d of the 100 live rows of the kind organization_membership", members[largest])) {
			t.Errorf("dry run %t: %v; want too many memberships, %d of 100", dry, err, members[largest])
		}
	}
	if w.lost() != 0 || w.countGone("organizations") != 0 {
		t.Error("something was deleted")
	}
	w.complete(func(o *fullsync.Options) { o.AllowDeletions = true })
	w.same()
}

func (w *world) countGone(table string) (n int) {
	w.Helper()
	if err := w.owner.QueryRow(w.Context(), `select count(*) from public.`+table+` where deleted_at is not null`).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// An object that is asked for beside a suspect may be gone since it was listed.
func TestRun_AsksBesideSeveral(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		questions int32 // in which all who are asked for are gone
		want      error
	}{
		"those of one question are gone": {1, nil},
		"all are":                        {100, fullsync.ErrIncomplete},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, backendapi.Options{})
			w.seed(300, 0, 0)
			w.complete(nil)
			deleteOne(w)
			var asked atomic.Int32
			w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
				if ids := r.URL.Query()["user_id"]; ids != nil && asked.Add(1) <= test.questions {
					live := w.clerk.Snapshot().Users
					for _, id := range ids {
						if _, ok := live[id]; ok {
							if err := w.clerk.DeleteUser(id, false); err != nil {
								t.Error(err)
							}
						}
					}
				}
				next.ServeHTTP(rw, r)
			}})
			report, err := w.run(nil)
			if !errors.Is(err, test.want) {
				t.Errorf("%v, %s %s; want %v", err, report.State, report.Reason, test.want)
			}
			if asked.Load() < 2 {
				t.Errorf("%d questions; want another after the first", asked.Load())
			}
			w.serve(backendapi.Options{})
			w.complete(func(o *fullsync.Options) { o.Fresh = true })
			w.same()
		})
	}
}

// Memberships are asked for beside others, too.
func TestRun_BelievesNoOrganizationThatFindsNoMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(100, 5, 200)
	w.complete(nil)
	for id := range w.clerk.Snapshot().Memberships {
		if err := w.clerk.Leave(id); err != nil {
			t.Fatal(err)
		}
		break
	}
	members := regexp.MustCompile(`^/v1/organizations/.+/memberships$`)
	w.lieFrom(func(r *http.Request) bool { return members.MatchString(r.URL.Path) }, func(int32) bool { return true })
	if report, err := w.run(nil); !errors.Is(err, fullsync.ErrIncomplete) || w.countGone("organization_memberships") != 0 {
		t.Errorf("%v, %+v; want ErrIncomplete", err, report.Memberships)
	}
	w.serve(backendapi.Options{})
	if report := w.complete(nil); report.Memberships.Deleted != 1 {
		t.Errorf("memberships %+v, want one deleted", report.Memberships)
	}
	w.same()
}

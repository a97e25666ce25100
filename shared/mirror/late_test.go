package mirror_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/histories"
)

// told is one statement about an object: an event, or what a full sync has read.
type told struct {
	updated, stated time.Time
	kind            int
	name            string
	body            []byte
}

// later is the order of R3, but for its last resort.
func (s told) later(o told) int {
	return statement{2, s.kind, s.updated, s.stated, ""}.compare(statement{2, o.kind, o.updated, o.stated, ""})
}

// subject is an object of a kind, and what it is to say in the end.
type subject struct {
	object mirror.Object
	table  string
	column string
	build  func(id, name string, updated time.Time) (event func(suffix string, stated time.Time) []byte, resource any)
}

var subjects = []subject{
	{mirror.Users, "users", "first_name", func(id, name string, updated time.Time) (func(string, time.Time) []byte, any) {
		u := clerktest.User(id).Name(name, "").UpdatedAt(updated)
		return func(suffix string, stated time.Time) []byte { return u.Event("user."+suffix, stated) }, u.Resource()
	}},
	{mirror.Organizations, "organizations", "name", func(id, name string, updated time.Time) (func(string, time.Time) []byte, any) {
		o := clerktest.Organization(id, name).UpdatedAt(updated)
		return func(suffix string, stated time.Time) []byte { return o.Event("organization."+suffix, stated) }, o.Resource()
	}},
	{mirror.Memberships, "organization_memberships", "role", func(id, name string, updated time.Time) (func(string, time.Time) []byte, any) {
		m := clerktest.Membership(id, clerktest.Organization("org_parent", "Parent"), clerktest.User("user_parent")).Role(name).UpdatedAt(updated)
		return func(suffix string, stated time.Time) []byte {
			return m.Event("organizationMembership."+suffix, stated)
		}, m.Resource()
	}},
	{mirror.Roles, "roles", "name", func(id, name string, updated time.Time) (func(string, time.Time) []byte, any) {
		r := clerktest.Role(id, "org:"+id)
		r.Name, r.UpdatedAt = name, clerk.MillisOf(updated)
		return func(suffix string, stated time.Time) []byte { return clerktest.Wrap("role."+suffix, stated, r) }, r
	}},
	{mirror.Permissions, "permissions", "name", func(id, name string, updated time.Time) (func(string, time.Time) []byte, any) {
		p := clerktest.Permission(id, "org:"+id+":read")
		p.Name, p.UpdatedAt = name, clerk.MillisOf(updated)
		return func(suffix string, stated time.Time) []byte { return clerktest.Wrap("permission."+suffix, stated, p) }, p
	}},
}

// says is what the copy has in the column that tells statements of a subject apart.
func (b *bench) says(s subject, id string) string {
	b.Helper()
	return scalar[string](b, fmt.Sprintf(`
		select clerk_sync.stated_rows('%s', array[$1]) -> $1 ->> '%s'`, s.object, s.column), id)
}

// page is what a full sync reads of a kind, at a moment.
func page(t testing.TB, requested time.Time, resources map[string]any, updated map[string]time.Time) clerk.Page {
	t.Helper()
	p := clerk.Page{RequestedAt: requested, Total: int64(len(resources))}
	list := []any{}
	for id, resource := range resources {
		list = append(list, resource)
		p.Items = append(p.Items, clerk.Item{ID: id, CreatedAt: clerk.MillisOf(clerktest.Epoch), UpdatedAt: clerk.MillisOf(updated[id])})
	}
	var err error
	if p.Resources, err = json.Marshal(list); err != nil {
		t.Fatal(err)
	}
	return p
}

// read is a full sync that lists these pages, a window each, and ends in a state.
func (b *bench) read(state string, pages map[mirror.Object][]clerk.Page) {
	b.Helper()
	run := b.mustBegin(fmt.Sprint(state, len(pages), time.Now()))
	for object, list := range pages {
		for i, p := range list {
			w := mirror.Window{Object: object, Phase: mirror.PhaseSpan, Position: i + 1, Listed: int64(len(p.Items))}
			w.Tally = must[mirror.Tally](b)(run.ApplyPage(b.Context(), w, p, p.RequestedAt))
			w.Finished = true
			if err := run.Finish(b.Context(), w); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := run.End(b.Context(), state, "", nil, nil); err != nil {
		b.Fatal(err)
	}
}

// Statements about a few objects at a few moments, some of them before a complete full
// sync and some only after it, singly and in batches, in any order, doubled or lost: each
// object says what the newest of all says, of which the full sync's is one. It is most
// often what the copy says already, so that the full sync writes nothing of it.
func TestApply_LateTiesAfterACompleteFullSyncAreStale(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			b := newBench(t)
			synced := at(10)
			newest := map[string]told{}
			of := map[string]subject{}
			var before, after [][]byte
			pages := map[mirror.Object][]clerk.Page{}
			for _, s := range subjects {
				resources, updated := map[string]any{}, map[string]time.Time{}
				for n := range 3 {
					id := fmt.Sprintf("%s_%d", s.object, n)
					of[id] = s
					var all []told
					for i := range 5 {
						x := told{updated: at(r.IntN(2)), stated: at(3 + r.IntN(4)), kind: 1 + r.IntN(2), name: fmt.Sprint("name", i)}
						// No two tie in all: what then wins is another test's.
						for slices.ContainsFunc(all, func(o told) bool { return o.later(x) == 0 }) {
							x.stated = x.stated.Add(time.Millisecond)
						}
						event, _ := s.build(id, x.name, x.updated)
						x.body = event(map[int]string{1: "created", 2: "updated"}[x.kind], x.stated)
						all = append(all, x)
					}
					// Clerk has what one of those with the newest updated_at says.
					clerkHas := slices.MaxFunc(all, func(x, y told) int { return x.updated.Compare(y.updated) })
					for _, x := range all {
						if x.updated.Equal(clerkHas.updated) && r.IntN(2) == 0 {
							clerkHas = x
						}
					}
					_, resources[id] = s.build(id, clerkHas.name, clerkHas.updated)
					updated[id] = clerkHas.updated
					newest[id] = told{updated: clerkHas.updated, stated: synced, kind: 3, name: clerkHas.name}
					before = append(before, clerkHas.body)
					for _, x := range all {
						switch r.IntN(4) {
						case 0:
							before = append(before, x.body)
						case 1:
							before, after = append(before, x.body), append(after, x.body)
						case 2:
							after = append(after, x.body)
						}
					}
					if r.IntN(3) == 0 {
						// Stated before the list was read, and yet newer than it.
						x := told{updated: at(2), stated: at(8), kind: 2, name: "newer"}
						event, _ := s.build(id, x.name, x.updated)
						after, newest[id] = append(after, event("updated", x.stated)), x
					}
				}
				pages[s.object] = []clerk.Page{page(t, synced, resources, updated)}
			}
			deliver := func(part string, bodies [][]byte) {
				r.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
				for i := 0; i < len(bodies); {
					some := min(1+r.IntN(4), len(bodies)-i)
					var batch []mirror.Delivery
					for _, body := range bodies[i : i+some] {
						batch = append(batch, delivery(t, fmt.Sprintf("msg_%s_%d_%d", part, i, len(batch)), body))
					}
					if some == 1 {
						must[mirror.Result](t)(b.store.Apply(t.Context(), batch[0]))
					} else {
						must[[]mirror.Result](t)(b.store.ApplyBatch(t.Context(), batch))
					}
					i += some
				}
			}
			deliver("before", before)
			b.read("complete", pages)
			deliver("after", after)
			for id, want := range newest {
				if got := b.says(of[id], id); got != want.name {
					t.Errorf("%s says %q, want %q (updated %s, stated %s)", id, got, want.name, want.updated.Format("05"), want.stated.Format("05"))
				}
			}
		})
	}
}

// A full sync that finds everything right and is complete keeps what it knows without
// writing a row; one that is not complete, or only of a part, keeps nothing.
func TestApply_OnlyWhatACompleteFullSyncHasSeenIsConfirmed(t *testing.T) {
	t.Parallel()
	ada := clerktest.User("user_ada").CreatedAt(at(0)).UpdatedAt(at(1))
	right, wrong, newer := ada.Name("Right", ""), ada.Name("Wrong", ""), ada.Name("Newer", "").UpdatedAt(at(2))
	fellow := clerktest.User("user_fellow").UpdatedAt(at(1))
	users := func(pages ...clerk.Page) map[mirror.Object][]clerk.Page {
		return map[mirror.Object][]clerk.Page{mirror.Users: pages}
	}
	for name, test := range map[string]struct {
		sync func(b *bench)
		late []byte
		want mirror.Outcome
	}{
		"a complete run": {
			func(b *bench) { b.read("complete", users(listed(at(10), right))) },
			wrong.Event("user.updated", at(5)), mirror.Stale,
		},
		"up to the millisecond of its first page": {
			func(b *bench) { b.read("complete", users(listed(at(10), fellow), listed(at(12), right))) },
			wrong.Event("user.updated", at(10)), mirror.Stale,
		},
		"not behind it": {
			func(b *bench) { b.read("complete", users(listed(at(10), fellow), listed(at(12), right))) },
			wrong.Event("user.updated", at(11)), mirror.Applied,
		},
		"no event with a newer updated_at is refused": {
			func(b *bench) { b.read("complete", users(listed(at(10), right))) },
			newer.Event("user.updated", at(5)), mirror.Applied,
		},
		"the same event again says nothing new": {
			func(b *bench) { b.read("complete", users(listed(at(10), right))) },
			right.Event("user.updated", at(3)), mirror.Applied,
		},
		"a partial run": {
			func(b *bench) { b.read("partial", users(listed(at(10), right))) },
			wrong.Event("user.updated", at(5)), mirror.Applied,
		},
		"a part": {
			func(b *bench) {
				must[mirror.Tally](b)(b.store.ApplyPage(b.Context(), mirror.Users, listed(at(10), right), at(10)))
			},
			wrong.Event("user.updated", at(5)), mirror.Applied,
		},
		"a run that could not list the kind": {
			func(b *bench) {
				b.read("complete", map[mirror.Object][]clerk.Page{mirror.Organizations: {page(b, at(10), map[string]any{
					"org_1": clerktest.Organization("org_1", "One").Resource(),
				}, nil)}})
			},
			wrong.Event("user.updated", at(5)), mirror.Applied,
		},
		"a run of several calls counts from its first page": {
			func(b *bench) {
				first := b.mustBegin("first")
				must[mirror.Tally](b)(first.ApplyPage(b.Context(), mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 1}, listed(at(4), fellow), at(4)))
				if err := first.Finish(b.Context(), mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: 1, Listed: 1}); err != nil {
					b.Fatal(err)
				}
				b.expire()
				b.read("complete", users(clerk.Page{}, listed(at(10), right)))
			},
			wrong.Event("user.updated", at(5)), mirror.Applied,
		},
		"what the list was behind of": {
			func(b *bench) {
				b.send(newer.Event("user.updated", at(4)))
				b.read("complete", users(listed(at(10), right)))
			},
			newer.Name("Newest", "").Event("user.updated", at(5)), mirror.Applied,
		},
		"what was made behind the list": {
			func(b *bench) {
				b.read("complete", users(listed(at(10), fellow)))
				b.exec(`delete from public.users where clerk_id = 'user_ada'`)
				b.send(right.Event("user.created", at(3)))
			},
			wrong.Event("user.updated", at(5)), mirror.Applied,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.send(right.Event("user.updated", at(3)))
			test.sync(b)
			written := scalar[string](b, `select xmin::text from public.users where clerk_id = 'user_ada'`)
			b.want(test.want, test.late)
			if now := scalar[string](b, `select xmin::text from public.users where clerk_id = 'user_ada'`); (now == written) == (test.want == mirror.Applied && name != "the same event again says nothing new") {
				t.Errorf("the row was written: %t", now != written)
			}
		})
	}
}

// What is confirmed costs an event one row, by its key: also one that makes the parents
// of a membership, and a page no more.
func TestApply_ReadsOneWatermark(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`insert into clerk_sync.watermarks select object, 1, now() from clerk_sync.objects`)
	r := newReads(b)
	user, org := clerktest.User("user_1"), clerktest.Organization("org_1", "One")
	resources := map[string]any{}
	for n := range 100 {
		id := fmt.Sprintf("user_of_a_page_%d", n)
		resources[id] = clerktest.User(id).Resource()
	}
	p := page(t, at(9), resources, nil)
	for _, s := range []struct {
		name, sql string
		args      []any
	}{
		{"a user", `select clerk_sync.apply_event($1, $2)`, []any{"msg_1", string(user.Event(clerk.UserCreated, at(1)))}},
		{"a user again", `select clerk_sync.apply_event($1, $2)`, []any{"msg_2", string(user.Event(clerk.UserUpdated, at(2)))}},
		{
			"a membership of parents that nothing is known of", `select clerk_sync.apply_event($1, $2)`,
			[]any{"msg_3", string(clerktest.Membership("orgmem_1", org, clerktest.User("user_2")).Event(clerk.OrganizationMembershipCreated, at(1)))},
		},
		{
			"a page", `select clerk_sync.apply_page(null, null, null, null, null, 'user', $1, $2, $3, $4, 0)`,
			[]any{string(p.Resources), at(9).UnixMilli(), slices.Collect(maps.Keys(resources)), make([]int64, 100)},
		},
	} {
		of := r.of(r.conn, s.sql, s.args...)
		if rows, byKey := of["clerk_sync.watermarks"].rows, of["clerk_sync.watermarks_pkey"].rows; rows != 1 || byKey != 1 {
			t.Errorf("%s: %d watermarks were read, %d by the key; want one", s.name, rows, byKey)
		}
	}
}

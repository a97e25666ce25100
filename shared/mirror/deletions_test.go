package mirror_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/histories"
)

// ownersStore is the store of an operator, with the owner's connection string.
func (b *bench) ownersStore() *mirror.Store {
	b.Helper()
	return mirror.New(pool(b.T, b.db.Owner(), 1))
}

// texts is a query of keys and texts.
func (b *bench) texts(sql string) map[string]string {
	b.Helper()
	rows, err := b.owner.Query(b.Context(), sql)
	if err != nil {
		b.Fatal(err)
	}
	found := map[string]string{}
	var key, text string
	if _, err := pgx.ForEachRow(rows, []any{&key, &text}, func() error { found[key] = text; return nil }); err != nil {
		b.Fatal(err)
	}
	return found
}

// livingRows is what every live row holds that Clerk, or a child, has told of.
func (b *bench) livingRows() map[string]string {
	b.Helper()
	const own = `- '{deleted_at,synced_at,sync_version,is_placeholder}'::text[])::text`
	return b.texts(`
		select clerk_id, (to_jsonb(r) ` + own + ` from public.users as r where deleted_at is null and sync_version <> '0'
		union all select clerk_org_id, (to_jsonb(r) ` + own + ` from public.organizations as r where deleted_at is null and sync_version <> '0'
		union all select clerk_membership_id, (to_jsonb(r) ` + own + ` from public.organization_memberships as r where deleted_at is null`)
}

// tombstones are the ids of what is deleted.
func (b *bench) tombstones() map[string]string {
	b.Helper()
	return b.texts(`select clerk_id, '' from public.users where deleted_at is not null
		union all select clerk_org_id, '' from public.organizations where deleted_at is not null
		union all select clerk_membership_id, '' from public.organization_memberships where deleted_at is not null`)
}

// readable is everything that anything but the hold-back keeps, without the moments at
// which it was written; log says whether the audit log is part of it.
func (b *bench) readable(log bool) []string {
	b.Helper()
	all := strings.Split(dump(b.Context(), b, b.owner), "\n")
	for _, sql := range []string{
		`select (to_jsonb(l) - '{id,at}'::text[])::text from clerk_sync.audit_log as l order by id`,
		`select (to_jsonb(e) - '{received_at,replayed_at,recorded_in}'::text[])::text from clerk_sync.webhook_events as e order by svix_id`,
		`select e::text from clerk_sync.ended_memberships as e order by 1`,
		`select e::text from clerk_sync.endings as e order by 1`,
		`select p::text from clerk_sync.private_metadata as p order by 1`,
	} {
		if strings.Contains(sql, "audit_log") && !log {
			continue
		}
		all = append(append(all, sql), lines(b.Context(), b, b.owner, sql)...)
	}
	return all
}

// Whatever deletes, one event, many, a replay, a step or a full sync: what a deleted row
// held is held back as it last was, no reader can tell, and nothing of it is left when the
// grace is over.
func TestDeletionGrace_ChangesNothingThatCanBeRead(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := randomHistory(9000+seed, 48)
			r := rand.New(rand.NewPCG(seed, 9))
			plain, graced := newBench(t), newBench(t)
			// Which rows a step takes first is not said: with steps only the end is compared.
			steps := seed%2 == 1
			both := func(f func(b *bench)) { f(plain); f(graced) }
			both(func(b *bench) {
				b.exec(`update clerk_sync.settings set keep_applied_payloads = true, store_private_metadata = true, tombstone_retention = '100 years'`)
				if steps {
					b.exec(`update clerk_sync.settings set memberships_at_once = 1`)
				}
			})
			graced.exec(`update clerk_sync.settings set deletion_grace = '7 days'`)

			want, possible := map[string]string{}, map[string]bool{}
			var rejected []string
			for order := h.shuffled(r); len(order) > 0; {
				living, before := graced.livingRows(), graced.tombstones()
				n := 1
				switch r.IntN(8) {
				case 0, 1:
					n = min(2+r.IntN(3), len(order))
					part := order[:n]
					both(func(b *bench) {
						must[[]mirror.Result](t)(b.store.ApplyBatch(withoutTime{t.Context()}, h.batch(t, part)))
					})
				case 2:
					both(func(b *bench) {
						b.exec(`update clerk_sync.settings set instance_id = 'ins_other'`)
						h.play(t.Context(), t, b.store, order[:1])
						b.exec(`update clerk_sync.settings set instance_id = null`)
					})
					rejected = append(rejected, fmt.Sprintf("msg_%d", order[0]))
				case 3:
					n = 0
					if len(rejected) > 0 {
						both(func(b *bench) { must[mirror.Result](t)(b.store.Replay(t.Context(), rejected[0])) })
						rejected = rejected[1:]
					}
				case 4:
					n = 0
					object, id := "organization_membership", fmt.Sprintf("orgmem_%d", r.IntN(4))
					switch r.IntN(4) {
					case 0:
						object, id = "user", fmt.Sprintf("user_%d", r.IntN(3))
					case 1, 2:
						// Those of its memberships that are left meet later events.
						object, id = "organization", fmt.Sprintf("org_%d", r.IntN(2))
					}
					if _, lives := living[id]; lives {
						both(func(b *bench) { b.exec(`select clerk_sync.delete_objects($1, array[$2], $3)`, object, id, at(2)) })
					}
				case 5:
					n = 0
					both(func(b *bench) { must[mirror.Purged](t)(b.store.Purge(t.Context(), 1000)) })
				default:
					both(func(b *bench) {
						// As one statement, without the steps behind it.
						d := h.batch(t, order[:1])[0]
						b.exec(`select clerk_sync.apply_event($1, $2)`, d.SvixID, string(d.Event.JSON))
					})
				}
				order = order[n:]

				for id := range graced.tombstones() {
					_, was := before[id]
					row, lived := living[id]
					switch {
					case was:
					case lived && n < 2:
						want[id] = row
					case n >= 2:
						// Within a batch a placeholder may change, or come to be, before it goes.
						possible[id] = true
					}
				}
				if !steps {
					if diff := cmp.Diff(plain.readable(true), graced.readable(true)); diff != "" {
						t.Fatalf("with a grace something else can be read (-without +with):\n%s", diff)
					}
				}
				got := graced.texts(`select object_id, held::text from clerk_sync.held_back`)
				maps.DeleteFunc(got, func(id, _ string) bool { return possible[id] })
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("what is held back is not what the rows held (-want +got):\n%s", diff)
				}
			}
			both(func(b *bench) { b.finish() })
			if diff := cmp.Diff(plain.readable(!steps), graced.readable(!steps)); diff != "" {
				t.Errorf("in the end, with a grace something else can be read (-without +with):\n%s", diff)
			}
			if n := scalar[int](plain, `select count(*) from clerk_sync.held_back`); n != 0 {
				t.Errorf("without a grace %d rows are held back", n)
			}

			n := scalar[int64](graced, `select count(*) from clerk_sync.held_back`)
			graced.exec(`update clerk_sync.held_back set held_at = held_at - interval '7 days' + interval '1 hour'`)
			if got := must[mirror.Purged](t)(graced.store.Purge(t.Context(), 1000)); got.HeldBack != 0 {
				t.Errorf("an hour before its end a purge empties %d of what is held back", got.HeldBack)
			}
			graced.exec(`update clerk_sync.held_back set held_at = held_at - interval '1 hour'`)
			var emptied int64
			for {
				got := must[mirror.Purged](t)(graced.store.Purge(t.Context(), 2))
				emptied += got.HeldBack
				if !got.More {
					break
				}
			}
			if left := scalar[int](graced, `select count(*) from clerk_sync.held_back`); emptied != n || left != 0 {
				t.Errorf("at the end of the grace %d of %d are emptied and %d are left", emptied, n, left)
			}
			if n == 0 {
				t.Errorf("this history holds nothing back: it tests nothing")
			}
		})
	}
}

// A membership that a step has not reached may meet an event first, which ends it.
func TestDeletionGrace_KeepsWhatAnEventEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set deletion_grace = '3 days', store_private_metadata = true, memberships_at_once = 1`)
	var members []clerktest.MembershipBuilder
	for i := range 3 {
		m := clerktest.Membership(fmt.Sprintf("orgmem_%d", i), acme, clerktest.User(fmt.Sprintf("user_%d", i))).Role("org:first").
			With(func(m *resource.OrganizationMembership) { m.PrivateMetadata = json.RawMessage(`{"seat":"secret"}`) })
		b.want(mirror.Applied, m.Event(clerk.OrganizationMembershipCreated, at(0)))
		members = append(members, m)
	}
	b.exec(`select clerk_sync.tombstone_organizations('{org_acme}', $1)`, at(1))
	for _, m := range members {
		b.send(m.Role("org:later").UpdatedAt(at(2)).Event(clerk.OrganizationMembershipUpdated, at(2)))
	}
	b.finish()
	for i := range members {
		id := fmt.Sprintf("orgmem_%d", i)
		b.has("organization_memberships", id, map[string]any{"role": nil})
		held := scalar[string](b, `select coalesce(max(concat(held ->> 'role', ' ', private_metadata ->> 'seat')), '') from clerk_sync.held_back where object_id = $1`, id)
		if held != "org:first secret" {
			t.Errorf("%s: %q is held back, want what the row held", id, held)
		}
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.private_metadata`); n != 0 {
		t.Errorf("%d rows of private metadata are left", n)
	}
}

// What is held back is what the row held when it went, also where the deletion waited for
// another transaction that changed it.
func TestDeletionGrace_KeepsWhatWasWrittenLast(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set deletion_grace = '3 days'`)
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(0)))
	holder := b.db.Conn(t, b.db.Owner())
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	newer := ines.Name("Newer", "").UpdatedAt(at(1)).Event(clerk.UserUpdated, at(1))
	if _, err := tx.Exec(t.Context(), `select clerk_sync.apply_event('msg_newer', $1::jsonb)`, string(newer)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.store.Apply(t.Context(), delivery(t, "msg_deleted", ines.Deleted(at(2))))
		done <- err
	}()
	for waiting := false; !waiting; {
		select {
		case err := <-done:
			t.Fatalf("the deletion did not wait: %v", err)
		default:
		}
		waiting = scalar[bool](b, `select exists (select from pg_stat_activity where $1::int = any (pg_blocking_pids(pid)))`, holder.PgConn().PID())
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := scalar[string](b, `select held ->> 'first_name' from clerk_sync.held_back`); got != "Newer" {
		t.Errorf("held back is %q, want what was written last", got)
	}
}

// Personal data that must leave at once does so with a grace, too; and no role that
// serves requests reaches what is held back.
func TestDeletionGrace_HidesWhatItKeeps(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set deletion_grace = '3 days', keep_applied_payloads = true`)
	b.want(mirror.Applied, clerktest.Membership("orgmem_1", acme, ines).Event(clerk.OrganizationMembershipCreated, at(0)))
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(0)))
	if _, err := b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_broken", Reason: "not_json", Body: []byte(`{"id":"user_ines","email":"ines@example.com"`)}); err != nil {
		t.Fatal(err)
	}
	b.want(mirror.Applied, ines.Deleted(at(1)))
	if n := scalar[int](b, `select count(*) from clerk_sync.webhook_events where payload::text like '%ines@%' or raw_body is not null`); n != 0 {
		t.Errorf("%d payloads or bodies about a deleted user are kept", n)
	}
	found := lines(t.Context(), t, b.owner, `
		select c.oid::regclass::text from pg_class as c
		where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'clerk'::regnamespace, 'clerk_sync'::regnamespace)
		  and query_to_xml(format('select t::text as line from %s as t', c.oid::regclass), true, false, '')::text like '%ines@example.com%'`)
	if !slices.Equal(found, []string{"clerk_sync.held_back"}) {
		t.Errorf("the address of a deleted user is in %v, want it in clerk_sync.held_back only", found)
	}
	for _, role := range []string{"clerksync_writer", "clerksync_diagnostics", "service_role", "authenticated", "anon"} {
		conn := b.db.Conn(t, b.db.As(role))
		for _, sql := range []string{
			`select held from clerk_sync.held_back`, `select clerk_sync.deletions()`, `select clerk_sync.deletion('user_ines')`,
			`select clerk_sync.drop_deletion('user_ines')`, `select clerk_sync.hold_back('user', '{user_ines}')`,
		} {
			if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s: %s: %v, want 42501", role, sql, err)
			}
		}
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.audit_log as l where l.table_name = 'held_back'`); n != 0 {
		t.Errorf("%d records of the audit log are about what is held back", n)
	}
}

func TestDeletionGrace_FollowsTheRuleOfPrivateMetadata(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{true, false} {
		t.Run(fmt.Sprintf("stored %t", stored), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.exec(`update clerk_sync.settings set deletion_grace = '3 days', store_private_metadata = true`)
			b.want(mirror.Applied, ines.With(func(u *resource.User) { u.PrivateMetadata = json.RawMessage(`{"stripe":"cus_secret"}`) }).Event(clerk.UserCreated, at(0)))
			// Switched off, it counts as gone from then on, and not from the next purge.
			b.exec(`update clerk_sync.settings set store_private_metadata = $1`, stored)
			b.want(mirror.Applied, ines.Deleted(at(1)))
			const kept = `select coalesce(private_metadata ->> 'stripe', '') from clerk_sync.held_back`
			if got := scalar[string](b, kept); (got == "cus_secret") != stored {
				t.Errorf("held back of the private metadata is %q", got)
			}
			if n := scalar[int](b, `select count(*) from clerk_sync.private_metadata`); n != 0 {
				t.Errorf("%d rows of private metadata are left elsewhere", n)
			}
			b.exec(`update clerk_sync.settings set store_private_metadata = false`)
			must[mirror.Purged](t)(b.store.Purge(t.Context(), 10))
			if got := scalar[string](b, kept); got != "" {
				t.Errorf("switched off, %q is left after a purge", got)
			}
		})
	}
}

func TestSettings_BoundTheDeletionGrace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if got := scalar[string](b, `select deletion_grace::text from clerk_sync.settings`); got != "00:00:00" {
		t.Errorf("deletion_grace is %s at first, want none", got)
	}
	for grace, allowed := range map[string]bool{"0": true, "30 days": true, "30 days 1 second": false, "-1 second": false} {
		_, err := b.owner.Exec(t.Context(), `update clerk_sync.settings set deletion_grace = $1::text::interval`, grace)
		if (err == nil) != allowed || err != nil && !strings.Contains(err.Error(), "settings_deletion_grace") {
			t.Errorf("a grace of %s: %v, want allowed %t", grace, err, allowed)
		}
	}
}

func TestDeletions_AreListedShownAndDropped(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set deletion_grace = '3 days'`)
	owner := b.ownersStore()
	for i := range 3 {
		user := clerktest.User(fmt.Sprintf("user_%d", i))
		b.want(mirror.Applied, clerktest.Membership(fmt.Sprintf("orgmem_%d", i), acme, user).Event(clerk.OrganizationMembershipCreated, at(0)))
	}
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(0)))
	b.want(mirror.Applied, acme.Deleted(at(1)))
	b.want(mirror.Applied, ines.Deleted(at(1)))
	b.exec(`update clerk_sync.held_back set held_at = '2026-05-01T10:00:00Z'`)
	b.exec(`update clerk_sync.held_back set held_at = '2026-05-02T10:00:00Z' where object_id = 'user_ines'`)

	since, day := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC), 24*time.Hour
	membership := func(i int) mirror.HeldDeletion {
		return mirror.HeldDeletion{Object: "organization_membership", ID: fmt.Sprintf("orgmem_%d", i), UserID: fmt.Sprintf("user_%d", i), OrganizationID: "org_acme", HeldAt: since, HeldUntil: since.Add(3 * day)}
	}
	acmeHeld := mirror.HeldDeletion{Object: "organization", ID: "org_acme", OrganizationID: "org_acme", HeldAt: since, HeldUntil: since.Add(3 * day)}
	inesHeld := mirror.HeldDeletion{Object: "user", ID: "user_ines", UserID: "user_ines", HeldAt: since.Add(day), HeldUntil: since.Add(4 * day)}
	for _, test := range []struct {
		of    string
		limit int
		want  []mirror.HeldDeletion
	}{
		{"", 50, []mirror.HeldDeletion{inesHeld, acmeHeld, membership(0), membership(1), membership(2)}},
		{"", 2, []mirror.HeldDeletion{inesHeld, acmeHeld}},
		{"org_acme", 50, []mirror.HeldDeletion{acmeHeld, membership(0), membership(1), membership(2)}},
		{"user_1", 50, []mirror.HeldDeletion{membership(1)}},
		{"orgmem_2", 50, []mirror.HeldDeletion{membership(2)}},
		{"user_nobody", 50, nil},
	} {
		got := must[[]mirror.HeldDeletion](t)(owner.Deletions(t.Context(), test.of, test.limit))
		for i := range got {
			got[i].HeldAt, got[i].HeldUntil = got[i].HeldAt.UTC(), got[i].HeldUntil.UTC()
		}
		if diff := cmp.Diff(test.want, got, cmp.Comparer(func(a, b []mirror.HeldDeletion) bool { return slices.Equal(a, b) })); diff != "" {
			t.Errorf("Deletions(%q, %d) (-want +got):\n%s", test.of, test.limit, diff)
		}
	}

	shown := must[[]mirror.HeldRow](t)(owner.Deletion(t.Context(), "user_ines"))
	if len(shown) != 1 || shown[0].Object != "user" || !strings.Contains(string(shown[0].Row), `"email": "ines@example.com"`) || shown[0].PrivateMetadata != nil {
		t.Errorf("Deletion(user_ines) = %+v", shown)
	}
	if got := must[mirror.Status](t)(b.store.Status(t.Context())); got.HeldBack != 5 {
		t.Errorf("the status counts %d held back, want 5", got.HeldBack)
	}

	// With an organization go its memberships and no others.
	dropped := must[[]mirror.Dropped](t)(owner.DropDeletion(t.Context(), "org_acme"))
	if want := []mirror.Dropped{{Object: "organization", Count: 1}, {Object: "organization_membership", Count: 3}}; !slices.Equal(dropped, want) {
		t.Errorf("DropDeletion(org_acme) = %v, want %v", dropped, want)
	}
	if left := lines(t.Context(), t, b.owner, `select object_id from clerk_sync.held_back`); !slices.Equal(left, []string{"user_ines"}) {
		t.Errorf("left is %v, want user_ines", left)
	}
	if _, err := owner.DropDeletion(t.Context(), "org_acme"); !errors.Is(err, mirror.ErrNothingHeld) {
		t.Errorf("dropping it again: %v, want ErrNothingHeld", err)
	}
	if _, err := owner.Deletion(t.Context(), "org_acme"); !errors.Is(err, mirror.ErrNothingHeld) {
		t.Errorf("showing it: %v, want ErrNothingHeld", err)
	}

	// Without a grace what is held is due.
	b.exec(`update clerk_sync.settings set deletion_grace = '0'`)
	if got := must[mirror.Purged](t)(b.store.Purge(t.Context(), 10)); got.HeldBack != 1 {
		t.Errorf("with the grace taken away a purge empties %d, want 1", got.HeldBack)
	}
}

// A membership brings its user back as a placeholder, which is no reason to let go of what
// the user held, also if that is deleted once more; what Clerk states of it itself is.
func TestDeletionGrace_KeepsWhatOnlyAPlaceholderIsLeftOf(t *testing.T) {
	t.Parallel()
	for _, object := range []mirror.Object{mirror.Users, mirror.Organizations} {
		t.Run(string(object), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.exec(`update clerk_sync.settings set deletion_grace = '7 days'`)
			user, org := clerktest.User("user_1").Name("Ada", "King"), clerktest.Organization("org_1", "One")
			id := map[mirror.Object]string{mirror.Users: "user_1", mirror.Organizations: "org_1"}[object]
			held := func() string {
				t.Helper()
				return b.texts(`select object_id, held_at || ' ' || coalesce(held ->> 'first_name', held ->> 'name', '') from clerk_sync.held_back
					where object in ('user', 'organization')`)[id]
			}
			b.send(user.Event(clerk.UserCreated, at(0)))
			b.send(org.Event(clerk.OrganizationCreated, at(0)))
			b.absent(at(10), map[mirror.Object][]string{object: {id}})
			before := held()
			if !strings.HasSuffix(before, " Ada") && !strings.HasSuffix(before, " One") {
				t.Fatalf("held: %q, want what it was", before)
			}
			for round := range 2 {
				b.send(clerktest.Membership(fmt.Sprint("orgmem_", round), org, user).Event("organizationMembership.created", at(20+20*round)))
				if !must[bool](t)(b.store.IsLive(t.Context(), object, id)) {
					t.Fatal("a membership has not brought it back")
				}
				if got := held(); got != before {
					t.Errorf("a placeholder is back: held %q, want %q", got, before)
				}
				b.absent(at(30+20*round), map[mirror.Object][]string{object: {id}})
				if got := held(); got != before {
					t.Errorf("deleted again: held %q, want %q", got, before)
				}
			}
			b.send(clerktest.Membership("orgmem_9", org, user).Event("organizationMembership.created", at(80)))
			b.send(user.UpdatedAt(at(90)).Event(clerk.UserUpdated, at(90)))
			b.send(org.UpdatedAt(at(90)).Event(clerk.OrganizationUpdated, at(90)))
			if got := held(); got != "" {
				t.Errorf("stated again: held %q, want nothing", got)
			}
		})
	}
}

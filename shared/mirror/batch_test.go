package mirror_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/histories"
	"clerksync/shared/testkit/testdb"
)

// batch are the deliveries of some events of a history.
func (h history) batch(t testing.TB, order []int) []mirror.Delivery {
	t.Helper()
	batch := make([]mirror.Delivery, len(order))
	for i, n := range order {
		batch[i] = delivery(t, fmt.Sprintf("msg_%d", n), h.bodies[n])
	}
	return batch
}

// batches cuts an order into batches of random sizes.
func batches(r *rand.Rand, order []int) [][]int {
	var cut [][]int
	for len(order) > 0 {
		n := min(1+r.IntN(12), len(order))
		cut, order = append(cut, order[:n]), order[n:]
	}
	return cut
}

// inbox is what is remembered of every message, apart from when it came.
func inbox(ctx context.Context, t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	return strings.Join(lines(ctx, t, conn, `select (to_jsonb(e) - '{received_at,recorded_in}'::text[])::text from clerk_sync.webhook_events as e order by svix_id`), "\n")
}

// However events are ordered, repeated and put together, the rows are those that
// they leave one by one.
func TestApplyBatch_ConvergesForAnyOrderDuplicationAndDivision(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := randomHistory(1000+seed, 24)
			single := newBench(t)
			h.play(t.Context(), t, single.store, h.inOrder())
			want := dump(t.Context(), t, single.owner)

			r := rand.New(rand.NewPCG(seed, 4))
			for range 4 {
				order := h.shuffled(r)
				b := newBench(t)
				for _, part := range batches(r, order) {
					if r.IntN(4) == 0 { // both ways at once
						h.play(t.Context(), t, b.store, part)
						continue
					}
					if _, err := b.store.ApplyBatch(t.Context(), h.batch(t, part)); err != nil {
						t.Fatalf("ApplyBatch(%v): %v", part, err)
					}
				}
				h.check(t, b.owner)
				if diff := gocmp.Diff(want, dump(t.Context(), t, b.owner)); diff != "" || t.Failed() {
					t.Fatalf("this order\n%sends elsewhere in batches (-one by one +batches):\n%s", orderOf(h, order), diff)
				}
			}
		})
	}
}

// inBatchOrder sorts the events of a batch as apply_events says it takes them:
// deletions, the earliest first, and then statements, of which the newest comes first,
// each by kind of object.
func (b *bench) inBatchOrder(batch []mirror.Delivery) []mirror.Delivery {
	b.Helper()
	type place struct {
		step    int
		version string
		mirror.Delivery
	}
	steps := []string{
		"organizationMembership.deleted", "user.deleted", "organization.deleted", "user", "organization", "organizationMembership",
	}
	seen := map[string]bool{}
	var places []place
	for _, d := range batch {
		if seen[d.SvixID] {
			continue
		}
		seen[d.SvixID] = true
		object, verb, _ := strings.Cut(d.Event.Type, ".")
		p := place{step: slices.Index(steps, d.Event.Type), Delivery: d}
		if verb != "deleted" {
			p.step = slices.Index(steps, object)
			p.version = scalar[string](b, `
				select i.version from clerk_sync.incoming(
					jsonb_build_array($1::text::jsonb -> 'data'), array[$2::bigint], array[clerk_sync.event_kind($3::text)], '2') as i`,
				string(d.Event.JSON), d.Event.StatedAt.UnixMilli(), d.Event.Type)
		}
		places = append(places, p)
	}
	slices.SortStableFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.step, b.step), strings.Compare(b.version, a.version), a.Event.StatedAt.Compare(b.Event.StatedAt))
	})
	ordered := make([]mirror.Delivery, len(places))
	for i, p := range places {
		ordered[i] = p.Delivery
	}
	return ordered
}

// A batch is nothing but its events one by one: rows, outcomes, what is
// remembered of each, and who is said to have caused what.
func TestApplyBatch_ComesToTheSameAsItsEventsOneByOne(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := randomHistory(2000+seed, 40)
			r := rand.New(rand.NewPCG(seed, 5))
			together, alone := newBench(t), newBench(t)
			for _, b := range []*bench{together, alone} {
				b.exec(`update clerk_sync.settings set keep_applied_payloads = true, store_private_metadata = true`)
			}
			for _, part := range batches(r, h.inOrder()) {
				batch := h.batch(t, part)
				got, err := together.store.ApplyBatch(t.Context(), batch)
				if err != nil {
					t.Fatalf("ApplyBatch(%v): %v", part, err)
				}
				outcomes := map[string]mirror.Result{}
				for i, d := range batch {
					outcomes[d.SvixID] = got[i]
				}
				for _, d := range alone.inBatchOrder(batch) {
					want, err := alone.store.Apply(t.Context(), d)
					if err != nil {
						t.Fatal(err)
					}
					if outcomes[d.SvixID] != want {
						t.Errorf("%s is %+v in the batch %v, and %+v by itself", d.SvixID, outcomes[d.SvixID], part, want)
					}
				}
			}
			for name, of := range map[string]func(context.Context, testing.TB, *pgx.Conn) string{"rows": dump, "inbox": inbox, "causes": causes} {
				if diff := gocmp.Diff(of(t.Context(), t, alone.owner), of(t.Context(), t, together.owner)); diff != "" {
					t.Errorf("%s (-one by one +batch):\n%s", name, diff)
				}
			}
		})
	}
}

// causes is which event the audit log holds responsible for which row. An event
// that writes a placeholder may be one of several in its batch that offered it.
func causes(ctx context.Context, t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	return strings.Join(lines(ctx, t, conn, `
		select distinct l.table_name || ' ' || l.row_id || ': ' || coalesce(l.cause, 'nobody')
		from clerk_sync.audit_log as l
		where not exists (
			select from public.users as u where u.clerk_id = l.row_id and u.is_placeholder
			union all
			select from public.organizations as o where o.clerk_org_id = l.row_id and o.is_placeholder)
		  and l.actor_kind = 'sync' and l.cause in (select e.svix_id from clerk_sync.webhook_events as e where e.object_id = l.row_id)
		order by 1`), "\n")
}

func TestApplyBatch_NamesTheEventBehindEveryRow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	rosa := clerktest.User("user_rosa").Name("Rosa", "")
	b.sendAs("msg_before", clerktest.Membership("orgmem_0", clerktest.Organization("org_old", "Old"), rosa).Event(clerk.OrganizationMembershipCreated, at(0)))
	b.exec(`alter table clerk_sync.audit_log disable trigger all; truncate clerk_sync.audit_log`)
	results, err := b.store.ApplyBatch(t.Context(), []mirror.Delivery{
		delivery(t, "msg_user", ines.Event(clerk.UserCreated, at(0))),
		delivery(t, "msg_member", clerktest.Membership("orgmem_1", acme, tomas).Event(clerk.OrganizationMembershipCreated, at(1))),
		delivery(t, "msg_again", ines.Name("Inés", "").UpdatedAt(at(2)).Event(clerk.UserUpdated, at(2))),
		delivery(t, "msg_gone", rosa.Deleted(at(3))),
		delivery(t, "msg_org", acme.Name("Acme Inc").Event(clerk.OrganizationCreated, at(0))),
		delivery(t, "msg_never", clerktest.Membership("orgmem_2", acme, tomas).Deleted(at(3))),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []mirror.Outcome{mirror.Stale, mirror.Applied, mirror.Applied, mirror.Applied, mirror.Applied, mirror.Applied}
	for i, got := range results {
		if got.Outcome != want[i] {
			t.Errorf("result %d = %+v, want %s", i, got, want[i])
		}
	}
	got := scalar[string](b, `
		select string_agg(action || ' ' || table_name || ' ' || row_id || ' by ' || coalesce(cause, 'nobody'), e'\n' order by id)
		from clerk_sync.audit_log where table_name <> 'users_public'`)
	records := strings.Join([]string{
		// The placeholders of a membership belong to it.
		"insert users user_tomas by msg_never",
		"insert organizations org_acme by msg_never",
		"insert organization_memberships orgmem_2 by msg_never",
		// What is deleted takes its memberships along.
		"update users user_rosa by msg_gone",
		"update organization_memberships orgmem_0 by msg_gone",
		// The newest statement of each object, and of the others nothing.
		"insert users user_ines by msg_again",
		"update organizations org_acme by msg_org",
		"insert organization_memberships orgmem_1 by msg_member",
	}, "\n")
	if diff := gocmp.Diff(records, got); diff != "" {
		t.Errorf("the audit log (-want +got):\n%s", diff)
	}
	if left := scalar[string](b, `select coalesce(current_setting('clerk_sync.causes', true), '')`); left != "" {
		t.Errorf("causes are left in the session: %q", left)
	}
}

// One event that can never be applied must not keep the others of its batch from
// being applied, and has the reason that it has alone.
func TestApplyBatch_RefusesWhatCanNeverBeAppliedAndTakesTheRest(t *testing.T) {
	t.Parallel()
	for _, test := range inapplicable {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			got, err := b.store.ApplyBatch(t.Context(), []mirror.Delivery{
				delivery(t, "msg_0", ines.Event(clerk.UserCreated, at(0))),
				delivery(t, "msg_1", []byte(test.body)),
				delivery(t, "msg_2", tomas.Event(clerk.UserCreated, at(0))),
				delivery(t, "msg_3", clerktest.Membership("orgmem_other", acme, tomas).Event(clerk.OrganizationMembershipCreated, at(1))),
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []mirror.Result{
				{Outcome: mirror.Applied}, {Outcome: mirror.Rejected, Reason: test.reason}, {Outcome: mirror.Applied}, {Outcome: mirror.Applied},
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("ApplyBatch with %s (-want +got):\n%s", test.body, diff)
			}
			if live := scalar[int](b, `select count(*) from public.users where not is_placeholder`); live != 2 {
				t.Errorf("%d users, want 2", live)
			}
		})
	}
}

// A trigger that somebody put on the copy refuses one user of many.
func TestApplyBatch_SparesTheOthersWhenAForeignTriggerRefusesOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`
		create function public.refuse() returns trigger language plpgsql as $$
		begin
			if new.clerk_id = 'user_tomas' then raise exception 'not %', new.first_name; end if;
			return new;
		end $$;
		create trigger refuse before insert or update on public.users for each row execute function public.refuse()`)
	got, err := b.store.ApplyBatch(t.Context(), []mirror.Delivery{
		delivery(t, "msg_1", ines.Event(clerk.UserCreated, at(0))), delivery(t, "msg_2", tomas.Event(clerk.UserCreated, at(0))),
	})
	want := []mirror.Result{{Outcome: mirror.Applied}, {Outcome: mirror.Rejected, Reason: "not_applicable"}}
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ApplyBatch = %v (-want +got):\n%s", err, diff)
	}
	if b.row("users", "user_ines") == nil || b.row("users", "user_tomas") != nil {
		t.Error("want user_ines and not user_tomas")
	}
}

func TestApplyBatch_TellsDuplicatesWithinAndBefore(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := ines.Event(clerk.UserCreated, at(0))
	b.sendAs("msg_known", first)
	newer := ines.Name("Inés", "").UpdatedAt(at(1)).Event(clerk.UserUpdated, at(1))
	got, err := b.store.ApplyBatch(t.Context(), []mirror.Delivery{
		delivery(t, "msg_known", first), delivery(t, "msg_new", newer), delivery(t, "msg_new", newer),
		delivery(t, "msg_stale", ines.Event(clerk.UserUpdated, at(0))), delivery(t, "msg_code", clerktest.Wrap("email.created", at(0), map[string]any{"id": "ema_1"})),
	})
	want := []mirror.Result{
		{Outcome: mirror.Duplicate}, {Outcome: mirror.Applied}, {Outcome: mirror.Duplicate}, {Outcome: mirror.Stale}, {Outcome: mirror.Ignored},
	}
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ApplyBatch = %v (-want +got):\n%s", err, diff)
	}
}

func TestApplyBatch_PinsTheInstanceOfEachEvent(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var batch []mirror.Delivery
	for i, pin := range []string{"", "ins_one", "ins_two"} {
		body := clerktest.User(fmt.Sprintf("user_%d", i)).Event(clerk.UserCreated, at(0), clerktest.Instance("ins_one"))
		d := delivery(t, fmt.Sprintf("msg_%d", i), body)
		d.InstanceID = pin
		batch = append(batch, d)
	}
	got, err := b.store.ApplyBatch(t.Context(), batch)
	want := []mirror.Result{{Outcome: mirror.Applied}, {Outcome: mirror.Applied}, {Outcome: mirror.Rejected, Reason: "wrong_instance"}}
	if diff := gocmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ApplyBatch = %v (-want +got):\n%s", err, diff)
	}
}

// Events of old examples state no time. In a batch they must not take over the
// time of another.
func TestApplyBatch_GivesAnEventWithoutATimeNoneOfAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	bodies := [][]byte{
		ines.UpdatedAt(at(1)).Event(clerk.UserUpdated, at(50)),
		tomas.UpdatedAt(at(2)).Event(clerk.UserUpdated, at(0), clerktest.NoTimestamp()),
	}
	alone := newBench(t)
	var batch []mirror.Delivery
	for i, body := range bodies {
		batch = append(batch, delivery(t, fmt.Sprintf("msg_%d", i), body))
		alone.want(mirror.Applied, body)
	}
	if _, err := b.store.ApplyBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(dump(t.Context(), t, alone.owner), dump(t.Context(), t, b.owner)); diff != "" {
		t.Errorf("rows (-one by one +batch):\n%s", diff)
	}
}

func TestApplyBatch_DecidesNothingWithoutADatabase(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	url := db.Writer()
	store := mirror.New(pool(t, url, 1))
	owner := db.Conn(t, db.Superuser())
	if _, err := owner.Exec(t.Context(), `revoke execute on function clerk_sync.apply_events(text[], jsonb, text[], text[]) from clerksync_writer`); err != nil {
		t.Fatal(err)
	}
	got, err := store.ApplyBatch(t.Context(), []mirror.Delivery{delivery(t, "msg_1", ines.Event(clerk.UserCreated, at(0)))})
	if !errors.Is(err, mirror.ErrUnavailable) || len(got) != 1 || got[0] != (mirror.Result{}) {
		t.Errorf("ApplyBatch = %v, %v, want one zero result and ErrUnavailable", got, err)
	}
	if strings.Contains(err.Error(), "ines@example.com") {
		t.Errorf("the error quotes the event: %v", err)
	}
	if got, err := store.ApplyBatch(t.Context(), nil); got != nil || err != nil {
		t.Errorf("ApplyBatch of nothing = %v, %v", got, err)
	}
}

// Consumers of a queue and, after a change of the mode, single deliveries work
// side by side; messages come several times.
func TestApplyBatch_ConvergesBesideOthersThroughAPooler(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	for seed := range histories.Seeds(2) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			h := randomHistory(3000+seed, 120)
			sequential := newBench(t)
			h.play(t.Context(), t, sequential.store, h.inOrder())

			db := testdb.New(t)
			url := db.Pooled(t, db.Writer())
			r := rand.New(rand.NewPCG(seed, 6))
			parts := batches(r, h.shuffled(r))
			const clients = 6
			var all sync.WaitGroup
			for client := range clients {
				store := mirror.New(pool(t, url, 1))
				all.Go(func() {
					for i := client; i < len(parts); i += clients {
						again(t, func() error {
							if client == 0 {
								for _, d := range h.batch(t, parts[i]) {
									if _, err := store.Apply(t.Context(), d); err != nil {
										return err
									}
								}
								return nil
							}
							_, err := store.ApplyBatch(t.Context(), h.batch(t, parts[i]))
							return err
						})
					}
				})
			}
			all.Wait()
			owner := db.Conn(t, db.Superuser())
			h.check(t, owner)
			if diff := gocmp.Diff(dump(t.Context(), t, sequential.owner), dump(t.Context(), t, owner)); diff != "" {
				t.Errorf("side by side ends elsewhere than one by one (-one by one +side by side):\n%s", diff)
			}
			if recorded := (&bench{T: t, owner: owner}); scalar[int](recorded, `select count(*) from clerk_sync.webhook_events`) != len(h.bodies) {
				t.Errorf("want %d events recorded, one for each svix-id", len(h.bodies))
			}
		})
	}
}

// again does what a queue does with what failed: it comes once more. A batch and
// a single event may end each other.
func again(t *testing.T, try func() error) {
	var err error
	for range 10 {
		if err = try(); err == nil {
			return
		}
		if !errors.Is(err, mirror.ErrUnavailable) {
			break
		}
	}
	t.Error(err)
}

// What may be kept of an event is one rule in two places: in the database, for
// what it stores, and in Go, for what may rest in a queue.
func TestMirrored_IsWhatTheDatabaseKeeps(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	types := []string{
		"email.created", "sms.created", "session.created", "session.pending", "waitlistEntry.created", "organizationInvitation.created",
		"organizationDomain.created", "role.updated", "permission.deleted", "user.banned", "User.created", "user.", "user.created ", "", "x",
	}
	for _, name := range clerktest.Names() {
		types = append(types, clerktest.TypeOf(name))
	}
	for _, eventType := range types {
		kept := scalar[bool](b, `select clerk_sync.keepable_payload(jsonb_build_object('type', $1::text, 'data', '{}'::jsonb), null, null) is not null`, eventType)
		if got := mirror.Mirrored(eventType); got != kept {
			t.Errorf("Mirrored(%q) = %t, and the database keeps its payload: %t", eventType, got, kept)
		}
	}
}

// A second delivery changes nothing, also where the first had no effect and now
// would have one: that is for a replay.
func TestApplyBatch_LeavesASecondDeliveryOfARejectedEventAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`alter table public.users add constraint nobody_yet check (clerk_id <> 'user_ines')`)
	batch := []mirror.Delivery{delivery(t, "msg_1", ines.Event(clerk.UserCreated, at(0)))}
	for _, want := range []mirror.Result{{Outcome: mirror.Rejected, Reason: "not_applicable"}, {Outcome: mirror.Duplicate}} {
		got, err := b.store.ApplyBatch(t.Context(), batch)
		if diff := gocmp.Diff([]mirror.Result{want}, got); diff != "" || err != nil {
			t.Errorf("ApplyBatch = %v (-want +got):\n%s", err, diff)
		}
		b.exec(`alter table public.users drop constraint if exists nobody_yet`)
	}
	if row := b.row("users", "user_ines"); row != nil {
		t.Errorf("the duplicate was applied: %v", row)
	}
}

func TestApplyBatch_WaitsForAnotherBatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	tx, err := b.owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select from clerk_sync.batch_lock for update`); err != nil {
		t.Fatal(err)
	}
	batch := []mirror.Delivery{delivery(t, "msg_1", ines.Event(clerk.UserCreated, at(0)))}
	done := make(chan error, 1)
	go func() {
		_, err := b.store.ApplyBatch(t.Context(), batch)
		done <- err
	}()
	watch := b.db.Conn(t, b.db.Superuser())
	for waiting := false; !waiting; {
		select {
		case err := <-done:
			t.Fatalf("ApplyBatch did not wait: %v", err)
		default:
		}
		if err := watch.QueryRow(t.Context(), `
			select exists (select from pg_stat_activity where $1 = any (pg_blocking_pids(pid)))`, b.owner.PgConn().PID()).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("ApplyBatch = %v once the other had ended", err)
	}
}

// Any login can take an advisory lock, and hold it as long as it likes.
func TestApplyBatch_IsNotStoppedByAnAdvisoryLock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := b.db.Conn(t, b.db.As("clerksync_diagnostics"))
	if _, err := other.Exec(t.Context(), `select pg_advisory_lock(hashtextextended('clerk_sync.apply_events', 0))`); err != nil {
		t.Fatal(err)
	}
	got, err := b.store.ApplyBatch(t.Context(), []mirror.Delivery{delivery(t, "msg_1", ines.Event(clerk.UserCreated, at(0)))})
	if diff := gocmp.Diff([]mirror.Result{{Outcome: mirror.Applied}}, got); diff != "" || err != nil {
		t.Errorf("ApplyBatch = %v (-want +got):\n%s", err, diff)
	}
	for _, role := range []string{"clerksync_writer", "clerksync_diagnostics", "service_role", "authenticated", "anon"} {
		conn := b.db.Conn(t, b.db.As(role))
		// Which the diagnostics have by default, and can undo.
		if _, err := conn.Exec(t.Context(), `set default_transaction_read_only = off`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), `select from clerk_sync.batch_lock for update`); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s locks the row of batches: %v, want 42501", role, err)
		}
	}
}

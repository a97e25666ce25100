package mirror_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

// details are what is told of the rejected events, by their ids.
func (b *bench) details() map[string]string {
	b.Helper()
	events, err := b.store.Events(b.Context(), mirror.EventFilter{Outcome: mirror.Rejected})
	if err != nil {
		b.Fatal(err)
	}
	details := map[string]string{}
	for _, e := range events {
		details[e.SvixID] = e.Detail
	}
	return details
}

// What refuses an event belongs to the team: it is told which of its constraints and
// functions that was, and never what Postgres says, which quotes the event.
func TestApply_NamesWhatRefusedAnEvent(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, setup, want string }{
		{
			"a constraint behind a trigger", `
			create table public.user_profiles (id text primary key references public.users (clerk_id), role text not null,
				constraint valid_role check (role in ('user', 'admin')));
			create function public.sync_profile() returns trigger language plpgsql as $$ begin
				insert into public.user_profiles (id, role) values (new.clerk_id, coalesce(new.metadata ->> 'role', 'user'))
				on conflict (id) do update set role = excluded.role;
				return new;
			end $$;
			create trigger t after insert or update on public.users for each row execute function public.sync_profile()`,
			"SQLSTATE 23514, constraint valid_role of public.user_profiles, in function public.sync_profile()",
		},
		{
			"a constraint of the copy", `alter table public.users add constraint few check (clerk_id <> 'user_ines')`,
			"SQLSTATE 23514, constraint few of public.users",
		},
		{
			"a unique index", `create unique index one_of_each on public.users (last_name)`,
			"SQLSTATE 23505, constraint one_of_each of public.users",
		},
		{"a column", `alter table public.users alter column phone set not null`, "SQLSTATE 23502, column phone of public.users"},
		{
			"an exception", `
			create function public."Refuse it"() returns trigger language plpgsql as $$ begin
				raise exception 'not %', new.email using detail = new.email, hint = new.email;
			end $$;
			create trigger t before insert on public.users for each row execute function public."Refuse it"()`,
			`SQLSTATE P0001, in function public."Refuse it"()`,
		},
		// Names that are values: whatever a trigger calls a table or a function.
		{
			"made-up names", `
			create function public.refuse() returns trigger language plpgsql as $$ begin
				execute format(e'do $x$ begin /*\nPL/pgSQL function secret() line 1 at RAISE\nPL/pgSQL function "%s"() line 1 at RAISE\n*/
					raise exception using errcode = ''check_violation'', constraint = %L, table = %L, schema = %L, column = %L; end $x$',
					new.email, new.email, new.email, new.email, new.email);
				return new;
			end $$;
			create trigger t before insert on public.users for each row execute function public.refuse()`,
			"SQLSTATE 23514, in function public.refuse()",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.want(mirror.Applied, clerktest.User("user_zoe").Name("Zoe", "Moreau").Phone("+33600000000").PublicMetadata(`{"role":"admin"}`).Event(clerk.UserCreated, at(0)))
			if _, err := b.db.Conn(t, b.db.Owner()).Exec(t.Context(), test.setup); err != nil {
				t.Fatal(err)
			}
			refused := ines.PublicMetadata(`{"role":"superintendent"}`).Event(clerk.UserCreated, at(1))
			got := []mirror.Result{b.sendAs("msg_alone", refused)}
			more, err := b.store.ApplyBatch(t.Context(), []mirror.Delivery{delivery(t, "msg_batch", refused)})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range append(got, more...) {
				if (r != mirror.Result{Outcome: mirror.Rejected, Reason: "not_applicable"}) {
					t.Errorf("it is %+v, want rejected: not_applicable", r)
				}
			}
			want := map[string]string{"msg_alone": test.want, "msg_batch": test.want}
			if diff := gocmp.Diff(want, b.details()); diff != "" {
				t.Errorf("details (-want +got):\n%s", diff)
			}
		})
	}
}

// A superseded event is judged like any other.
func TestApplyBatch_RefusesWhatCannotBeReadAlsoWhereItIsSuperseded(t *testing.T) {
	t.Parallel()
	for _, field := range []string{`"banned":"perhaps"`, `"last_sign_in_at":1e30`, `"last_sign_in_at":-1e131000`} {
		b := newBench(t)
		broken := `{"type":"user.updated","timestamp":1781514000000,"data":{"id":"user_ines","updated_at":1781514000000,` + field + `}}`
		got, err := b.store.ApplyBatch(t.Context(), []mirror.Delivery{
			delivery(t, "msg_1", []byte(broken)),
			delivery(t, "msg_2", ines.UpdatedAt(at(5)).Event(clerk.UserUpdated, at(5))),
			delivery(t, "msg_3", ines.UpdatedAt(at(6)).Event(clerk.UserUpdated, at(6))),
		})
		want := []mirror.Result{{Outcome: mirror.Rejected, Reason: "not_applicable"}, {Outcome: mirror.Stale}, {Outcome: mirror.Applied}}
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ApplyBatch with %s = %v (-want +got):\n%s", field, err, diff)
		}
	}
}

// bodies that can never be applied, with private metadata in one place or another.
func bodiesWithPrivateMetadata() map[string]string {
	const secret = `"private_metadata":{"note":"trace-private"}`
	user := `{"id":"user_ines","first_name":"trace-kept",` + secret + `}`
	deep := user
	for range 50 {
		deep = `{"x":[` + deep + `]}`
	}
	return map[string]string{
		"a list as data":      `{"type":"user.created","data":[` + user + `]}`,
		"a field that is one": `{"type":"user.created","data":{"id":"user_ines","updated_at":1,"first_name":{"x":[` + user + `]}}}`,
		"very deep":           `{"type":"user.created","data":[{"id":"user_ines","first_name":"trace-kept"},` + deep + `]}`,
		"text in text":        `{"type":"user.created","data":[{"id":"user_ines","first_name":"trace-kept"},` + fmt.Sprintf("%q", user) + `]}`,
		"spelled in escapes":  `{"type":"user.created","data":[` + strings.ReplaceAll(user, "private_", `\u0070rivate_`) + `]}`,
		"not storable":        `{"type":"user.created","data":{"id":"user_ines","updated_at":1e999999,"first_name":"trace-kept",` + secret + `}}`,
		"no JSON":             `{"type":"user.created","data":` + user,
		"no JSON, escaped":    `{"type":"user.created","data":` + strings.ReplaceAll(user, "private_", `\u0070rivate_`),
		"not UTF-8":           `{"type":"user.created","data":` + user + "\xff}",
	}
}

func TestApply_KeepsNoPrivateMetadataOfWhatItRejects(t *testing.T) {
	t.Parallel()
	for name, body := range bodiesWithPrivateMetadata() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for _, stored := range []bool{false, true} {
				b.exec(`update clerk_sync.settings set store_private_metadata = $1`, stored)
				b.exec(`truncate clerk_sync.webhook_events`)
				if event, err := clerk.ParseEvent([]byte(body)); err == nil {
					if got, err := b.store.Apply(t.Context(), mirror.Delivery{SvixID: "msg_1", Event: event}); err != nil || got.Outcome != mirror.Rejected {
						t.Fatalf("Apply(%s) = %+v, %v", body, got, err)
					}
				} else if _, err := b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_1", Reason: "not_an_event", Body: []byte(body)}); err != nil {
					t.Fatal(err)
				}
				if json.Valid([]byte(body)) && !strings.Contains(body, "1e999999") {
					b.exec(`select clerk_sync.apply_event('msg_2', $1::jsonb)`, body)
				}
				if n := scalar[int](b, everywhere, "%trace-private%"); (n > 0) != stored {
					t.Errorf("store_private_metadata = %t, and %d rows hold some", stored, n)
				}
				if n := scalar[int](b, everywhere, "%trace-kept%"); n == 0 && !strings.HasPrefix(name, "no") && !strings.HasPrefix(name, "a field") {
					t.Errorf("store_private_metadata = %t, and nothing else is kept", stored)
				}
			}
		})
	}
}

// What could not be applied goes with the user that it shows, and after a day where it
// shows none.
func TestApply_EmptiesRejectedBodies(t *testing.T) {
	t.Parallel()
	membership := `{"id":"orgmem_1","organization":{"id":"org_acme","created_by":"user_zoe"},"public_user_data":{"user_id":"user_ines","first_name":"trace"}`
	tests := []struct {
		name, body string
		user, org  bool // with whom it goes
		day        bool // it goes after a day
	}{
		{"a user", `{"type":"user.created","data":[{"id" : "user_ines","first_name":"trace"}]}`, true, false, false},
		{"a user in a broken body", `{"type":"user.created","data":{"id":"user_ines","first_name":"trace"`, true, false, false},
		{"a user in a text", `{"type":"user.created","data":"{\"id\":\"user_ines\",\"first_name\":\"trace\"}"}`, true, false, false},
		{"a membership", `{"type":"organizationMembership.created","data":[` + membership + `}]}`, true, true, false},
		{"a broken membership", `{"type":"organizationMembership.created","data":` + membership, true, true, false},
		{"an organization", `{"type":"organization.created","data":{"id":"org_acme","name":"trace"`, false, true, false},
		{"a membership without its user", `{"type":"organizationMembership.created","data":{"organization":{"id":"org_acme"},"public_user_data":{"first_name":"trace"`, false, false, true},
		{"several users", `{"type":"user.created","data":[{"id":"user_ines","first_name":"trace"},{"id":"user_zoe","first_name":"trace"}]}`, false, false, true},
		{"no id", `{"type":"user.created","data":{"first_name":"trace"}}`, false, false, true},
		{"no JSON", `trace`, false, false, true},
		{"a role", `{"type":"role.created","data":{"name":"trace"}}`, false, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			keep := func() {
				b.exec(`truncate clerk_sync.webhook_events`)
				if got, err := b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_raw", Reason: "not_an_event", Body: []byte(test.body)}); err != nil || got.Outcome != mirror.Rejected {
					t.Fatalf("Reject = %+v, %v", got, err)
				}
				if json.Valid([]byte(test.body)) {
					b.exec(`select clerk_sync.apply_event('msg_parsed', $1::jsonb)`, test.body)
				}
			}
			kept := func() bool { return scalar[int](b, everywhere, "%trace%") > 0 }
			purge := func(age string) {
				b.exec(`update clerk_sync.webhook_events set received_at = now() - $1::interval`, age)
				if _, err := b.store.Purge(t.Context(), 100); err != nil {
					t.Fatal(err)
				}
			}
			if keep(); !kept() {
				t.Fatal("nothing is kept at all")
			}
			if purge("23 hours"); !kept() {
				t.Error("it is gone before a day is over")
			}
			if test.name == "a role" { // its bytes show no id, and so go; its payload has a type
				b.exec(`update clerk_sync.webhook_events set raw_body = null`)
			}
			if purge("25 hours"); kept() == test.day {
				t.Errorf("after a day: kept %t, want %t", kept(), !test.day)
			}
			for _, end := range []struct {
				body []byte
				goes bool
			}{{ines.Deleted(at(1)), test.user}, {acme.Deleted(at(1)), test.org}} {
				b.exec(`delete from public.users; delete from public.organizations`)
				keep()
				b.send(end.body)
				if kept() == end.goes {
					t.Errorf("after %s: kept %t, want %t", end.body, kept(), !end.goes)
				}
				keep() // what comes late
				if kept() == end.goes {
					t.Errorf("late after %s: kept %t, want %t", end.body, kept(), !end.goes)
				}
			}
		})
	}
}

// A membership is known by its own id, and so is its end.
func TestApply_EndsAMembershipByItsIDAlone(t *testing.T) {
	t.Parallel()
	membership := clerktest.Membership("orgmem_1", acme, ines)
	created := membership.Event(clerk.OrganizationMembershipCreated, at(0))
	for name, deleted := range map[string]string{
		"the id":          `{"data":{"id":"orgmem_1","object":"organization_membership","deleted":true},"object":"event","type":"organizationMembership.deleted","timestamp":1781514005000}`,
		"no user":         `{"data":{"id":"orgmem_1","public_user_data":null,"organization":{"id":"org_acme"}},"type":"organizationMembership.deleted","timestamp":1781514005000}`,
		"no organization": `{"data":{"id":"orgmem_1","public_user_data":{"user_id":"user_ines"},"organization":[]},"type":"organizationMembership.deleted","timestamp":1781514005000}`,
	} {
		for _, batched := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, batched %t", name, batched), func(t *testing.T) {
				t.Parallel()
				send := func(b *bench, bodies ...[]byte) (outcomes []mirror.Outcome) {
					var batch []mirror.Delivery
					for _, body := range bodies {
						if !batched {
							outcomes = append(outcomes, b.send(body).Outcome)
							continue
						}
						b.sent++
						batch = append(batch, delivery(t, fmt.Sprintf("msg_%d", b.sent), body))
					}
					results, err := b.store.ApplyBatch(t.Context(), batch)
					if err != nil {
						t.Fatal(err)
					}
					for _, r := range results {
						outcomes = append(outcomes, r.Outcome)
					}
					return outcomes
				}
				want := map[string]any{"deleted_at": text(at(5)), "role": nil, "clerk_org_id": "org_acme", "clerk_user_id": "user_ines"}

				known := newBench(t)
				send(known, created)
				if got := send(known, []byte(deleted)); got[0] != mirror.Applied {
					t.Errorf("of a known membership: %v, want applied", got)
				}
				known.has("organization_memberships", "orgmem_1", want)
				if n := scalar[int](known, `select count(*) from clerk_sync.ended_memberships`); n != 0 {
					t.Errorf("%d ends are noted beside the tombstone", n)
				}

				unknown := newBench(t)
				if got := send(unknown, []byte(deleted)); got[0] != mirror.Applied || unknown.row("organization_memberships", "orgmem_1") != nil {
					t.Errorf("of an unknown membership: %v, and a row %v", got, unknown.row("organization_memberships", "orgmem_1"))
				}
				// Born dead, in whatever words, and with the earlier of two ends.
				if got := send(unknown, created); got[0] != mirror.Stale {
					t.Errorf("what comes late: %v, want stale", got)
				}
				unknown.has("organization_memberships", "orgmem_1", want)
				send(unknown, membership.Deleted(at(7)))
				unknown.has("organization_memberships", "orgmem_1", want)

				full := newBench(t)
				send(full, []byte(deleted))
				send(full, membership.Deleted(at(7)), created)
				full.has("organization_memberships", "orgmem_1", want)
				full.exec(`update public.organization_memberships set deleted_at = now() - interval '1 year'`)
				send(full, []byte(strings.ReplaceAll(deleted, "orgmem_1", "orgmem_2")))
				full.exec(`update clerk_sync.ended_memberships set deleted_at = now() - interval '1 year'`)
				if _, err := full.store.Purge(t.Context(), 100); err != nil {
					t.Fatal(err)
				}
				if n := scalar[int](full, `select (select count(*) from clerk_sync.ended_memberships) + (select count(*) from public.organization_memberships)`); n != 0 {
					t.Errorf("%d ends are left after their retention", n)
				}
			})
		}
	}
}

// Nothing both of them would meet is there before a membership is: its deletion by its
// id alone has to wait for the transaction that is just making it.
func TestApply_EndsAMembershipThatIsJustBeingMade(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"created", "deleted"} {
		t.Run(first+" first", func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			bodies := map[string][]byte{
				"created": clerktest.Membership("orgmem_1", acme, ines).Event(clerk.OrganizationMembershipCreated, at(0)),
				"deleted": clerktest.Deletion(clerk.OrganizationMembershipDeleted, "organization_membership", "orgmem_1", at(5)),
			}
			holder := b.db.Conn(t, b.db.Owner())
			tx, err := holder.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), `select clerk_sync.apply_event('msg_first', $1::jsonb)`, string(bodies[first])); err != nil {
				t.Fatal(err)
			}
			second := map[string]string{"created": "deleted", "deleted": "created"}[first]
			done := make(chan error, 1)
			go func() {
				_, err := b.store.Apply(t.Context(), delivery(t, "msg_second", bodies[second]))
				done <- err
			}()
			for waiting := false; !waiting; {
				select {
				case err := <-done:
					t.Fatalf("the second did not wait: %v", err)
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
			b.has("organization_memberships", "orgmem_1", map[string]any{"deleted_at": text(at(5))})
		})
	}
}

// The text form takes a body as it was received, and has every outcome of the other.
func TestApplyText_TakesABodyAsItWasReceived(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	b := &bench{T: t, db: db, owner: db.Conn(t, db.Superuser())}
	service := db.Conn(t, db.As("service_role"))
	user := func(id, more string) string {
		return `{"type":"user.created","timestamp":1781514000000,"data":{"id":"` + id + `","updated_at":1781514000000` + more + `}}`
	}
	tests := []struct{ id, body, outcome, reason string }{
		{"msg_1", user("user_1", `,"public_metadata":{"big":9007199254740993}`), "applied", ""},
		{"msg_1", user("user_1", ""), "duplicate", ""},
		{"msg_2", strings.Replace(user("user_1", `,"first_name":"Old"`), "1781514000000", "1781513000000", 2), "stale", ""},
		{"msg_3", `{"type":"session.created","data":{"id":"sess_1"}}`, "ignored", ""},
		{"msg_4", `{"type":"user.created","data":{}}`, "rejected", "missing_id"},
		{"msg_5", `[]`, "rejected", "not_an_event"},
		{"msg_6", `{"type":"user.created"`, "rejected", "not_json"},
		{"msg_6", `{"type":"user.created"`, "duplicate", ""},
		{"msg_7", ``, "rejected", "not_json"},
		{"msg_8", user("user_8", `,"public_metadata":{"n":1e999999}`), "rejected", "not_storable"},
		{"msg_9", user("user_9", `,"public_metadata":`+strings.Repeat("[", 1<<16)+strings.Repeat("]", 1<<16)), "rejected", "not_storable"},
		// Clerk's users type these: one odd character costs that character.
		{"msg_10", user("user_10", `,"first_name":"a\u0000b\\u0000\ud83d\ude00\ud83d!\ude00\\\ud83d"`), "applied", ""},
		{"msg_11", `{"type":"user.created","data":{"id":"user_\u0000`, "rejected", "not_json"},
	}
	for _, test := range tests {
		var outcome string
		var reason *string
		if err := service.QueryRow(t.Context(), `select outcome, reason from public.apply_clerk_event_text($1, $2)`, test.id, test.body).Scan(&outcome, &reason); err != nil {
			t.Errorf("%.200s: %v", test.body, err)
			continue
		}
		if reason == nil {
			reason = new("")
		}
		if outcome != test.outcome || *reason != test.reason {
			t.Errorf("%.200s = %s %s, want %s %s", test.body, outcome, *reason, test.outcome, test.reason)
		}
	}
	b.has("users", "user_1", map[string]any{"metadata": map[string]any{"big": json.Number("9007199254740993")}})
	event, err := clerk.ParseEvent([]byte(tests[11].body))
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Data struct {
			FirstName string `json:"first_name"`
		} `json:"data"`
	}
	if err := json.Unmarshal(event.JSON, &parsed); err != nil {
		t.Fatal(err)
	}
	b.has("users", "user_10", map[string]any{"first_name": parsed.Data.FirstName})
	if got := scalar[string](b, `select convert_from(raw_body, 'UTF8') from clerk_sync.webhook_events where svix_id = 'msg_6'`); got != tests[6].body {
		t.Errorf("the body that is no JSON is kept as %q", got)
	}
}

package mirror_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
)

// everywhere is every row of clerksync's own tables and of the copy as text.
func (b *bench) everywhere() string {
	b.Helper()
	var all strings.Builder
	for _, table := range b.ids(`select format('%I.%I', n.nspname, c.relname) from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
		where c.relkind = 'r' and n.nspname in ('clerk_sync', 'public') order by 1`) {
		for _, row := range b.ids(`select convert_from(decode(replace(encode(convert_to(t::text, 'UTF8'), 'escape'), '\', '\\'), 'escape'), 'UTF8') from ` + table + ` as t`) {
			all.WriteString(table + " " + row + "\n")
		}
	}
	return all.String()
}

func (b *bench) redactAll(ids []string, limit int) (all mirror.Redacted) {
	b.Helper()
	for more := true; more; {
		r, err := b.ownersStore().Redact(b.Context(), ids, limit)
		if err != nil {
			b.Fatal(err)
		}
		all.Events, all.AuditRecords, all.HeldBack, more = all.Events+r.Events, all.AuditRecords+r.AuditRecords, all.HeldBack+r.HeldBack, r.More
	}
	return all
}

func TestRedact_LeavesNothingOfAPersonButTheTombstones(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set deletion_grace = '10 days'`)
	other := clerktest.User("user_ines2").Name("Another", "")
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(0)))
	b.want(mirror.Applied, other.Event(clerk.UserCreated, at(0)))
	b.want(mirror.Applied, acme.Event(clerk.OrganizationCreated, at(0)))
	b.want(mirror.Applied, clerktest.Membership("orgmem_1", acme, ines).Event(clerk.OrganizationMembershipCreated, at(1)))
	b.want(mirror.Applied, clerktest.Membership("orgmem_2", acme, other).Event(clerk.OrganizationMembershipCreated, at(1)))
	// Rejected ones, which keep their payloads: of hers, and of something else that names her.
	b.want(mirror.Rejected, []byte(`{"type":"user.updated","data":{"id":"user_ines","first_name":7,"updated_at":1716883200000}}`))
	b.want(mirror.Rejected, []byte(`{"type":"organization.updated","data":{"id":"org_acme","name":7,"created_by":"user_ines","updated_at":1716883200000}}`))
	b.want(mirror.Rejected, []byte(`{"type":"organization.updated","data":{"id":"org_acme","name":7,"created_by":"user_ines2","updated_at":1716883200000}}`))
	if _, err := b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_raw", Reason: "not_json", Body: []byte(`{"id":"user_ines","x":"user_other"`)}); err != nil {
		t.Fatal(err)
	}
	// What she did herself.
	b.exec(`insert into clerk_sync.audit_log (actor_kind, user_id, login, table_schema, table_name, action, row_id)
		values ('user', 'user_ines', 'authenticator', 'public', 'notes', 'insert', '["user_ines","7"]'),
		       ('user', 'user_ines2', 'authenticator', 'public', 'notes', 'insert', '7')`)
	b.want(mirror.Applied, []byte(`{"type":"user.deleted","data":{"id":"user_ines","deleted":true}}`))

	owner := b.ownersStore()
	ids, err := owner.IDsOf(t.Context(), "user_ines")
	if err != nil || !slices.Equal(ids, []string{"orgmem_1", "user_ines"}) {
		t.Fatalf("IDsOf = %v, %v", ids, err)
	}
	events := scalar[int](b, `select count(*) from clerk_sync.webhook_events`)
	audited := scalar[int](b, `select count(*) from clerk_sync.audit_log`)
	done := b.redactAll(ids, 1)
	if done.Events < 6 || done.AuditRecords < 4 || done.HeldBack != 2 {
		t.Errorf("redacted %+v, want at least six events, four records, and the two that were held back", done)
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.webhook_events`); n != events {
		t.Errorf("%d events, want the %d that were there: a second delivery has to be known", n, events)
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.audit_log`); n != audited {
		t.Errorf("%d audit records, want %d", n, audited)
	}
	left, err := owner.Traces(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range left {
		if trace.Rows != trace.Tombstones {
			t.Errorf("left: %+v", trace)
		}
	}
	// By another look than that of Traces.
	for line := range strings.Lines(b.everywhere()) {
		clean := strings.ReplaceAll(line, "user_ines2", "")
		if strings.Contains(clean, "Inès") || strings.Contains(clean, "ines@example.com") {
			t.Errorf("a value is left: %s", line)
		}
		if (strings.Contains(clean, "user_ines") || strings.Contains(clean, "orgmem_1")) && !strings.HasPrefix(line, "public.") {
			t.Errorf("an id is left: %s", line)
		}
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.webhook_events where payload::text like '%user_ines2%'`); n != 1 {
		t.Errorf("%d payloads of another person, want it untouched", n)
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.audit_log where user_id = 'user_ines2'`); n != 1 {
		t.Errorf("%d records of another person, want it untouched", n)
	}
	// An old event does not bring her back, and leaves no payload.
	b.want(mirror.Stale, ines.Event(clerk.UserUpdated, at(5)))
	if again := b.redactAll(ids, 100); again.Events != 1 || again.AuditRecords != 0 {
		t.Errorf("redacted again: %+v, want the one late event", again)
	}
}

func TestTraces_SeesTheIDInEveryKindOfColumn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`insert into clerk_sync.webhook_events (svix_id, type, outcome, reason, raw_body) values ('msg_1', '', 'rejected', 'not_json', convert_to('xx user_ines yy', 'UTF8'))`)
	b.exec(`insert into clerk_sync.held_back (object, object_id, held) values ('user', 'user_other', '{"a": ["user_ines"]}')`)
	b.exec(`insert into clerk_sync.audit_log (actor_kind, login, table_schema, table_name, action, impersonator) values ('user', 'x', 'p', 'n', 'insert', 'user_ines')`)
	got, err := b.ownersStore().Traces(t.Context(), []string{"user_ines"})
	want := []mirror.Trace{{"clerk_sync.audit_log", 1, 0}, {"clerk_sync.held_back", 1, 0}, {"clerk_sync.webhook_events", 1, 0}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("Traces = %+v, %v, want %+v", got, err, want)
	}
	if got, err := b.ownersStore().Traces(t.Context(), []string{"user_ine"}); err != nil || len(got) != 0 {
		t.Errorf("Traces of the beginning of an id = %+v, %v, want nothing", got, err)
	}
}

func TestRedactRange_EmptiesWhatCameInATime(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, id := range []string{"msg_1", "msg_2", "msg_3"} {
		if got := b.sendAs(id, []byte(`{"type":"user.updated","data":{"id":"user_ines","first_name":7,"updated_at":1716883200000}}`)); got.Outcome != mirror.Rejected {
			t.Fatal(got)
		}
	}
	b.exec(`update clerk_sync.webhook_events set received_at = '2026-05-01' where svix_id = 'msg_2'`)
	day := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	left := func() int64 {
		n, err := b.ownersStore().RangeLeft(t.Context(), day, day.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := left(); n != 1 {
		t.Errorf("%d events hold something before, want 1", n)
	}
	if got, err := b.ownersStore().RedactRange(t.Context(), day, day.Add(time.Hour), 10); err != nil || got.Events != 1 || got.More {
		t.Errorf("RedactRange = %+v, %v, want one event", got, err)
	}
	if n := left(); n != 0 {
		t.Errorf("%d events hold something afterwards", n)
	}
	if got := b.ids(`select svix_id from clerk_sync.webhook_events where payload is null and object_id is null and user_id is null and redacted_at is not null`); !slices.Equal(got, []string{"msg_2"}) {
		t.Errorf("emptied are %v, want msg_2 alone", got)
	}
	if got, err := b.ownersStore().RedactRange(t.Context(), day, day.Add(time.Hour), 10); err != nil || got.Events != 0 {
		t.Errorf("RedactRange again = %+v, %v, want nothing to do", got, err)
	}
}

// No login at run time may redact or read what is redacted, and the owner can only redact.
func TestAuditLog_TakesNoUpdateButARedaction(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(0)))
	for _, sql := range []string{
		`update clerk_sync.audit_log set user_id = 'user_other'`,
		`update clerk_sync.audit_log set row_id = 'redacted', action = 'delete'`,
		`update clerk_sync.audit_log set row_id = null`,
		`update clerk_sync.audit_log set at = at - interval '1 day'`,
	} {
		if _, err := b.owner.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s was taken", sql)
		}
	}
	b.exec(`update clerk_sync.audit_log set row_id = 'redacted'`)
	for _, call := range []string{`redact('{user_ines}', 1)`, `redact_range('2020-01-01', now(), 1)`, `range_left(now(), now())`, `traces('{user_ines}')`, `ids_of('user_ines')`, `event_payload('msg_1')`} {
		if _, err := b.db.Conn(t, b.db.Writer()).Exec(t.Context(), `select clerk_sync.`+call); err == nil {
			t.Errorf("the writer may call %s", call)
		}
	}
}

package mirror_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/testkit/histories"
	"clerksync/shared/testkit/testdb"
)

// shaped are events in which any value is replaced by another.
var shaped = [][]byte{
	ines.Phone("+33600000000").Event(clerk.UserCreated, at(0)),
	ines.Deleted(at(1)),
	acme.Event(clerk.OrganizationUpdated, at(0)),
	clerktest.Membership("orgmem_1", acme, ines).Event(clerk.OrganizationMembershipCreated, at(0)),
	clerktest.Membership("orgmem_1", acme, ines).Deleted(at(1)),
	clerktest.Wrap(clerk.RoleUpdated, at(0), map[string]any{
		"id": "role_1", "key": "org:editor", "name": "Editor", "description": "", "is_creator_eligible": true,
		"created_at": 1781514000000, "updated_at": 1781514000000,
		"permissions": []any{map[string]any{"id": "perm_1", "key": "org:a:b", "updated_at": 1781514000000}},
	}),
	clerktest.Wrap(clerk.PermissionCreated, at(0), map[string]any{"id": "perm_1", "key": "org:a:b", "type": "user", "updated_at": 1781514000000}),
	clerktest.Wrap(clerk.SessionCreated, at(0), map[string]any{"id": "sess_1"}),
}

// values are one of every kind, and those at the edge of what their kind can be.
var values = []string{
	`null`, `true`, `""`, `"x"`, `7`, `-1`, `0.5`, `1e30`, `-1e131000`, `1e131000`, `[]`, `{}`, `[[]]`, `[null,7,"x",{}]`,
	`{"id":{"id":[]}}`, `{"id":7}`, `{"id":"user_ines","user_id":"user_ines","banned":"perhaps"}`, `"2024-01-01"`,
}

// places are the paths of all values within a value, its own first.
func places(value any, path ...any) [][]any {
	list := [][]any{path}
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, places(v[name], append(slices.Clone(path), name)...)...)
		}
	case []any:
		for i := range v {
			list = append(list, places(v[i], append(slices.Clone(path), i)...)...)
		}
	}
	return list
}

// replaced is the value with what lies at a path replaced.
func replaced(value any, path []any, by json.RawMessage) any {
	if len(path) == 0 {
		return by
	}
	switch v := value.(type) {
	case map[string]any:
		name := path[0].(string)
		v[name] = replaced(v[name], path[1:], by)
	case []any:
		i := path[0].(int)
		v[i] = replaced(v[i], path[1:], by)
	}
	return value
}

// shape is one of the events with another value in one of its places.
func shape(t testing.TB, event, place uint, value string) []byte {
	t.Helper()
	decode := func() (v any) {
		decoder := json.NewDecoder(strings.NewReader(string(shaped[event%uint(len(shaped))])))
		decoder.UseNumber()
		if err := decoder.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	list := places(decode())
	body, err := json.Marshal(replaced(decode(), list[place%uint(len(list))], json.RawMessage(value)))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// shaper applies bodies to an empty copy, and takes that back.
type shaper struct{ writer, service *pgx.Conn }

func newShaper(t testing.TB) shaper {
	t.Helper()
	db := testdb.New(t)
	return shaper{db.Conn(t, db.Writer()), db.Conn(t, db.As("service_role"))}
}

func (s shaper) ask(ctx context.Context, t testing.TB, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	rows, err := tx.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		t.Fatalf("%s of %.2000q: %v", sql, args, err)
	}
	answers, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s of %.2000q: %v", sql, args, err)
	}
	return answers
}

// check holds that a body ends as an outcome, the same one way and the other, and that
// a batch applies what stands around it.
func (s shaper) check(ctx context.Context, t testing.TB, body string) {
	t.Helper()
	const answer = `select trim(outcome || ' ' || coalesce(reason, '')) from `
	alone := s.ask(ctx, t, s.writer, answer+`clerk_sync.apply_event('msg', $1::text::jsonb)`, body)[0]
	outcome, reason, _ := strings.Cut(alone, " ")
	if !slices.Contains([]string{"applied", "ignored", "rejected", "stale"}, outcome) || (outcome == "rejected") != (reason != "") {
		t.Errorf("apply_event(%s) = %q", body, alone)
	}
	for _, function := range []string{"apply_clerk_event('msg', $1::text::jsonb)", "apply_clerk_event_text('msg', $1::text)"} {
		if got := s.ask(ctx, t, s.service, answer+`public.`+function, body)[0]; got != alone {
			t.Errorf("%s of %s = %q, and apply_event %q", function, body, got, alone)
		}
	}
	// Twice the same: as good as one that is newer, and one that is superseded.
	batch := fmt.Sprintf(`[%s,%s,%s,%s]`, tomas.Event(clerk.UserCreated, at(0)), body, body, clerktest.Organization("org_other", "Other").Event(clerk.OrganizationCreated, at(0)))
	together := s.ask(ctx, t, s.writer, answer+`clerk_sync.apply_events('{m1,m2,m3,m4}', $1::text::jsonb)`, batch)
	if want := []string{"applied", alone, alone, "applied"}; !slices.Equal(together, want) {
		t.Errorf("a batch with %s = %q, want %q", body, together, want)
	}
}

// Any JSON value in any place of an event ends as an outcome.
func TestApply_EndsWithAnOutcomeWhateverTheShape(t *testing.T) {
	t.Parallel()
	for event := range shaped {
		t.Run(fmt.Sprint(event), func(t *testing.T) {
			t.Parallel()
			s := newShaper(t)
			var v any
			if err := json.Unmarshal(shaped[event], &v); err != nil {
				t.Fatal(err)
			}
			for place := range places(v) {
				for n, value := range values {
					// Every place gets three of the values, and every value a sixth of the places; all
					// of them in six histories.
					for turn := range histories.Seeds(1) {
						if (place+n)%6 == int(turn) {
							s.check(t.Context(), t, string(shape(t, uint(event), uint(place), value)))
						}
					}
				}
			}
		})
	}
}

func FuzzApply_Shapes(f *testing.F) {
	for event := range shaped {
		for n, value := range values {
			f.Add(uint(event), uint(n), value)
		}
	}
	s := newShaper(f)
	f.Fuzz(func(t *testing.T, event, place uint, value string) {
		if !json.Valid([]byte(value)) || len(value) > 1<<14 {
			t.Skip("no JSON")
		}
		body := shape(t, event, place, value)
		parsed, err := clerk.ParseEvent(body)
		if err == nil {
			body = parsed.JSON
		}
		var fits bool
		if err := s.writer.QueryRow(t.Context(), `select true where $1::text::jsonb is not null`, pgx.QueryExecModeExec, string(body)).Scan(&fits); err != nil {
			t.Skip("beyond what Postgres can hold")
		}
		s.check(t.Context(), t, string(body))
	})
}

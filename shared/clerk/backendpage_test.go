package clerk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
)

// echo is a Clerk that answers everything with one body.
func echo(body []byte) *http.Client {
	return &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}, nil
	})}
}

// unlimited takes the budget away from what measures something else.
func unlimited(o *clerk.BackendOptions) {
	o.Share, o.Limit = 1, clerk.RateLimit{Requests: 1 << 50, Per: time.Second}
}

func TestBackend_ReadsListsOfEveryShape(t *testing.T) {
	t.Parallel()
	a := clerk.Item{ID: "a"}
	tests := []struct {
		name string
		body string
		want clerk.Page // RequestedAt is left out
	}{
		{"bare array", `[{"id":"a"}]`, clerk.Page{Resources: json.RawMessage(`[{"id":"a"}]`), Items: []clerk.Item{a}, Total: -1}},
		{"empty array", " [ ]\n", clerk.Page{Resources: json.RawMessage(`[ ]`), Total: -1}},
		{"data and total", `{"data":[{"id":"a"}],"total_count":12}`, clerk.Page{Resources: json.RawMessage(`[{"id":"a"}]`), Items: []clerk.Item{a}, Total: 12}},
		{"data alone", `{"object":"list","data":[{"id":"a"}]}`, clerk.Page{Resources: json.RawMessage(`[{"id":"a"}]`), Items: []clerk.Item{a}, Total: -1}},
		{"fewer than there are", `{"total_count":900,"data":[ ],"has_more":true}`, clerk.Page{Resources: json.RawMessage(`[ ]`), Total: 900}},
		{"null data", `{"data":null,"total_count":0}`, clerk.Page{Resources: json.RawMessage(`[]`)}},
		{"a total that is none", `{"data":[],"total_count":"3"}`, clerk.Page{Resources: json.RawMessage(`[]`), Total: -1}},
		{"a negative total", `{"data":[],"total_count":-3}`, clerk.Page{Resources: json.RawMessage(`[]`), Total: -1}},
		{"times in milliseconds, seconds and not at all", `[{"id":"a","created_at":1781514005123,"updated_at":1781514005},{"id":"b","created_at":null,"updated_at":"2026-06-15"}]`, clerk.Page{
			Resources: json.RawMessage(`[{"id":"a","created_at":1781514005123,"updated_at":1781514005},{"id":"b","created_at":null,"updated_at":"2026-06-15"}]`),
			Items:     []clerk.Item{{ID: "a", CreatedAt: 1781514005123, UpdatedAt: 1781514005000}, {ID: "b"}}, Total: -1,
		}},
		// Every digit, every space and every unknown member is kept.
		{"numbers beyond 2^53", "[ {\"n\":12345678901234567890.10,\t\"id\":\"a\", \"new\":[{\"id\":\"no\"}]} ]", clerk.Page{
			Resources: json.RawMessage("[ {\"n\":12345678901234567890.10,\t\"id\":\"a\", \"new\":[{\"id\":\"no\"}]} ]"), Items: []clerk.Item{a}, Total: -1,
		}},
		// As ParseEvent does; the id is that of the row that will be stored.
		{"what jsonb refuses", `{"data":[{"id":"a\u0000","first_name":"J\u0000\ud83d\u00e9"}],"total_count":1}`, clerk.Page{
			Resources: json.RawMessage(`[{"id":"a\ufffd","first_name":"J\ufffd\ufffd\u00e9"}]`), Items: []clerk.Item{{ID: "a\ufffd"}}, Total: 1,
		}},
		{"names that occur twice", `{"data":[{"id":"x"}],"data":[{"id":"b","id":"a"}]}`, clerk.Page{Resources: json.RawMessage(`[{"id":"b","id":"a"}]`), Items: []clerk.Item{a}, Total: -1}},
		{"escaped names", `{"d\u0061ta":[{"\u0069d":"\u0061"}]}`, clerk.Page{Resources: json.RawMessage(`[{"\u0069d":"\u0061"}]`), Items: []clerk.Item{a}, Total: -1}},
	}
	for _, test := range tests {
		backend := newBackend(t, echo([]byte(test.body)))
		for name, read := range map[string]func() (clerk.Page, error){
			"Users":         func() (clerk.Page, error) { return backend.Users(t.Context(), clerk.UserQuery{}) },
			"Organizations": func() (clerk.Page, error) { return backend.Organizations(t.Context(), clerk.ListQuery{}) },
		} {
			got, err := read()
			if err != nil {
				t.Errorf("%s: %s(%s) = error %v", test.name, name, test.body, err)
				continue
			}
			got.RequestedAt = time.Time{}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: %s(%s): -want +got\n%s", test.name, name, test.body, diff)
			}
		}
	}
}

func TestBackend_ReadsWhoseAMembershipIs(t *testing.T) {
	t.Parallel()
	body := `{"data":[
		{"id":"orgmem_1","created_at":5,"organization":{"members":[{"id":"no"}],"id":"org_1"},"public_user_data":{"identifier":"a\"b","user_id":"user_1"}},
		{"id":"orgmem_2","organization":null,"public_user_data":{"id":"no"}}],"total_count":2}`
	backend := newBackend(t, echo([]byte(body)))
	memberships, err := backend.Memberships(t.Context(), clerk.ListQuery{})
	if err != nil {
		t.Fatal(err)
	}
	want := []clerk.Item{{ID: "orgmem_1", CreatedAt: 5000, OrganizationID: "org_1", UserID: "user_1"}, {ID: "orgmem_2"}}
	if diff := cmp.Diff(want, memberships.Items); diff != "" {
		t.Errorf("Memberships(): -want +got\n%s", diff)
	}
	// Other lists have nothing of the kind, whatever their members are called.
	others, err := backend.Organizations(t.Context(), clerk.ListQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]clerk.Item{{ID: "orgmem_1", CreatedAt: 5000}, {ID: "orgmem_2"}}, others.Items); diff != "" {
		t.Errorf("Organizations(): -want +got\n%s", diff)
	}
}

func TestBackend_ReadsOneAsAPageOfOne(t *testing.T) {
	t.Parallel()
	user := clerktest.User("user_1").Name("J\x00", "Doe").Resource()
	body, err := json.Marshal(user)
	if err != nil {
		t.Fatal(err)
	}
	got, err := newBackend(t, echo(append(body, '\n'))).User(t.Context(), "user_1")
	if err != nil {
		t.Fatal(err)
	}
	want := clerk.Page{
		Resources: json.RawMessage("[" + strings.ReplaceAll(string(body), `\u0000`, `\ufffd`) + "]"),
		Items:     []clerk.Item{{ID: "user_1", CreatedAt: user.CreatedAt, UpdatedAt: user.UpdatedAt}},
		Total:     1,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(clerk.Page{}, "RequestedAt")); diff != "" {
		t.Errorf("User(user_1) for %s: -want +got\n%s", body, diff)
	}
	for _, body := range []string{`[]`, `[{"id":"user_1"}]`, `{}`, `null`, `{"id":null}`, `"user_1"`} {
		if page, err := newBackend(t, echo([]byte(body))).User(t.Context(), "user_1"); err == nil {
			t.Errorf("User(user_1) for %s = %v, want an error", body, page)
		}
	}
}

func TestBackend_ReadsCountsAndTheInstance(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int64{
		`{"object":"total_count","total_count":1234567}`: 1234567,
		`{"total_count":0}`:    0,
		`{"total_count":-1}`:   -1,
		`{"total_count":null}`: -1,
		`{"total_count":1.5}`:  -1,
		`{}`:                   -1,
		`7`:                    -1,
	} {
		got, err := newBackend(t, echo([]byte(body))).CountUsers(t.Context(), clerk.UserQuery{})
		if want < 0 {
			if err == nil {
				t.Errorf("CountUsers() for %s = %d, want an error", body, got)
			}
		} else if err != nil || got != want {
			t.Errorf("CountUsers() for %s = %d, error %v; want %d", body, got, err, want)
		}
	}
	for body, want := range map[string]clerk.Instance{
		`{"object":"instance","id":"ins_1","environment_type":"production","allowed_origins":null}`: {ID: "ins_1", EnvironmentType: "production"},
		`{"id":"ins_1"}`: {ID: "ins_1"},
		`{"id":7}`:       {},
		`[]`:             {},
	} {
		got, err := newBackend(t, echo([]byte(body))).Instance(t.Context())
		if got != want || (err == nil) != (want.ID != "") {
			t.Errorf("Instance() for %s = %+v, error %v; want %+v", body, got, err, want)
		}
	}
}

// A page that is kept must not keep the buffer that it was read into, which the
// next one overwrites.
func TestBackend_PagesShareNoMemory(t *testing.T) {
	t.Parallel()
	n := 0
	backend := newBackend(t, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		n++
		return response(http.StatusOK, fmt.Sprintf(`{"data":[{"id":"orgmem_%d","organization":{"id":"org_%d"},"public_user_data":{"user_id":"user_%d"}}]}`, n, n, n)), nil
	})}, unlimited)
	var pages []clerk.Page
	for range 20 {
		page, err := backend.Memberships(t.Context(), clerk.ListQuery{})
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page)
	}
	for i, page := range pages {
		want := clerk.Item{ID: fmt.Sprintf("orgmem_%d", i+1), OrganizationID: fmt.Sprintf("org_%d", i+1), UserID: fmt.Sprintf("user_%d", i+1)}
		if page.Items[0] != want || !strings.Contains(string(page.Resources), `"`+want.ID+`"`) {
			t.Errorf("page %d, when all are read, is %v with %s; want %v", i, page.Items, page.Resources, want)
		}
	}
}

// Whatever comes, the reader either reports an error or a page that adds up and
// that jsonb takes.
func FuzzBackend_ReadsAnyBody(f *testing.F) {
	f.Add([]byte(okUsers))
	f.Add([]byte(`{"data":[{"id":"a\u0000","organization":{"id":"\ud800"},"public_user_data":{"user_id":"x\\\""}},{"id":"b"}],"total_count":2}`))
	f.Add([]byte(`{"data":null,"total_count":9e3}`))
	f.Add([]byte(`[[],{},"",0,null,true,[{"id":"a"}]]`))
	f.Add([]byte("\ufeff[]"))
	f.Add([]byte("<html>"))
	for _, name := range []string{"user.created", "organizationMembership.created"} {
		f.Add(fmt.Appendf(nil, `{"data":[%s,%[1]s],"total_count":2}`, clerktest.Event(f, name)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !utf8.Valid(body) || !json.Valid(body) {
			// Refused before it is read, and asked again, which takes its time: the
			// table of faults has these.
			return
		}
		page, err := newBackend(t, echo(body)).Memberships(t.Context(), clerk.ListQuery{})
		if err != nil {
			if page.Items != nil || page.Resources != nil {
				t.Fatalf("%q: a page together with error %v", body, err)
			}
			return
		}
		var elements []map[string]json.RawMessage
		if err := json.Unmarshal(page.Resources, &elements); err != nil {
			t.Fatalf("%q: resources %q are no list of objects: %v", body, page.Resources, err)
		}
		if len(elements) != len(page.Items) {
			t.Fatalf("%q: %d items for %d resources", body, len(page.Items), len(elements))
		}
		if bad := unstorable(page.Resources); bad != "" {
			t.Fatalf("%q: resources %q hold %s", body, page.Resources, bad)
		}
		// The standard library reads the same, the slow way.
		for i, element := range elements {
			var organization, user map[string]json.RawMessage
			decode(element["organization"], &organization)
			decode(element["public_user_data"], &user)
			var want [3]string
			for j, value := range []json.RawMessage{element["id"], organization["id"], user["user_id"]} {
				decode(value, &want[j])
			}
			if got := [3]string{page.Items[i].ID, page.Items[i].OrganizationID, page.Items[i].UserID}; got != want || got[0] == "" {
				t.Fatalf("%q: item %d is %q, want %q", body, i, got, want)
			}
		}
	})
}

// decode leaves target as it is if value is absent or something else.
func decode[T any](value json.RawMessage, target *T) {
	var decoded T
	if json.Unmarshal(value, &decoded) == nil {
		*target = decoded
	}
}

func BenchmarkBackend_ReadsAPage(b *testing.B) {
	organization := clerktest.Organization("org_2fN9tqPCkGbYpYp0B1Y3TzZ8pLQ", "Acme").PublicMetadata(`{"plan":"pro","seats":25,"regions":["eu","us"]}`)
	var users, memberships []any
	for i := range clerk.MaxLimit {
		user := clerktest.User(fmt.Sprintf("user_2fN9tqPCkGbYpYp0B1Y3Tz%05d", i)).Name("Jane", "Doe").Email(fmt.Sprintf("jane%d@example.com", i)).Phone("+15555550100")
		users = append(users, user.Resource())
		memberships = append(memberships, clerktest.Membership(fmt.Sprintf("orgmem_2fN9tqPCkGbYpYp0B1Y3Tz%05d", i), organization, user).Resource())
	}
	encode := func(v any) []byte {
		body, err := json.Marshal(v)
		if err != nil {
			b.Fatal(err)
		}
		return body
	}
	for _, bench := range []struct {
		name string
		body []byte
		read func(*testing.B, *clerk.Backend) (clerk.Page, error)
	}{
		{"users", encode(users), func(b *testing.B, backend *clerk.Backend) (clerk.Page, error) {
			return backend.Users(b.Context(), clerk.UserQuery{})
		}},
		{"memberships", encode(map[string]any{"data": memberships, "total_count": 200_000}), func(b *testing.B, backend *clerk.Backend) (clerk.Page, error) {
			return backend.Memberships(b.Context(), clerk.ListQuery{})
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			backend := newBackend(b, echo(bench.body), unlimited)
			b.SetBytes(int64(len(bench.body)))
			b.ReportAllocs()
			for b.Loop() {
				page, err := bench.read(b, backend)
				if err != nil || len(page.Items) != clerk.MaxLimit {
					b.Fatalf("%d items, error %v", len(page.Items), err)
				}
			}
		})
	}
}

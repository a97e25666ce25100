package backendapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/secret"
)

const apiKey = "sk_test_double"

// api is a Backend API behind a real server.
type api struct {
	*backendapi.API
	server *httptest.Server
}

func serveAPI(t testing.TB, instance *clerkinstance.Instance, o backendapi.Options) api {
	t.Helper()
	o.SecretKeys = append(o.SecretKeys, apiKey)
	a := backendapi.New(instance, o)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return api{API: a, server: server}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// errors returns the codes of an error's body and the parameters it blames.
func (a answer) errors(t *testing.T) (codes, params []string) {
	t.Helper()
	var body struct {
		Errors []struct {
			Message     string
			LongMessage string `json:"long_message"`
			Code        string
			Meta        struct {
				ParamName string `json:"param_name"`
			}
		}
		TraceID string `json:"clerk_trace_id"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		t.Fatalf("an error is no JSON: %v\n%s", err, a.body)
	}
	if len(body.TraceID) != 32 {
		t.Errorf("clerk_trace_id = %q, want 32 digits", body.TraceID)
	}
	for _, e := range body.Errors {
		if e.Message == "" || e.LongMessage == "" {
			t.Errorf("an error says nothing: %s", a.body)
		}
		codes, params = append(codes, e.Code), append(params, e.Meta.ParamName)
	}
	return codes, params
}

// ask makes one request with the right key, unless change takes it away.
func (a api) ask(t testing.TB, path string, change ...func(*http.Request)) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+apiKey)
	for _, f := range change {
		f(request)
	}
	response, err := a.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, body}
}

func withHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// fetch asks for what must be there.
func fetch[T any](t testing.TB, a api, path string) T {
	t.Helper()
	answered := a.ask(t, path)
	var value T
	if answered.status != http.StatusOK {
		t.Fatalf("GET %s = %d %s, want 200", path, answered.status, answered.body)
	}
	if err := json.Unmarshal(answered.body, &value); err != nil {
		t.Fatalf("GET %s: %v\n%s", path, err, answered.body)
	}
	return value
}

type object struct {
	ID        string
	CreatedAt int64 `json:"created_at"`
	UpdatedAt int64 `json:"updated_at"`
}

type list struct {
	Data  []json.RawMessage
	Total int64 `json:"total_count"`
}

// idsOf returns the ids of a bare array.
func idsOf(t testing.TB, a api, path string) []string {
	t.Helper()
	ids := []string{}
	for _, o := range fetch[[]object](t, a, path) {
		ids = append(ids, o.ID)
	}
	return ids
}

// listed returns the ids of {data, total_count}, and the total.
func listed(t testing.TB, a api, path string) ([]string, int64) {
	t.Helper()
	page := fetch[struct {
		Data  []object
		Total int64 `json:"total_count"`
	}](t, a, path)
	ids := []string{}
	for _, o := range page.Data {
		ids = append(ids, o.ID)
	}
	return ids, page.Total
}

// inOrder sorts ids as Clerk's lists are by default, but ascending.
func inOrder[T any](objects map[string]T, created func(T) clerk.Millis) []string {
	return slices.SortedFunc(maps.Keys(objects), func(a, b string) int {
		if d := int64(created(objects[a]) - created(objects[b])); d != 0 {
			return int(d)
		}
		return strings.Compare(a, b)
	})
}

func createdUser(u resource.User) clerk.Millis                         { return u.CreatedAt }
func createdOrganization(o resource.Organization) clerk.Millis         { return o.CreatedAt }
func createdMembership(m resource.OrganizationMembership) clerk.Millis { return m.CreatedAt }

func reversed(ids []string) []string {
	other := slices.Clone(ids)
	slices.Reverse(other)
	return other
}

// canonical decodes JSON without losing a digit.
func canonical(t testing.TB, raw []byte) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	return value
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ticking is a clock that moves by step at every look.
func ticking(step time.Duration) func() time.Time {
	at := time.Date(2026, time.June, 15, 9, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(step)
		return at
	}
}

// lively is an instance with a past of all kinds: seeded, lived, and an object
// of each kind that has everything that one can have.
func lively(t testing.TB, o clerkinstance.Options) *clerkinstance.Instance {
	t.Helper()
	if o.Now == nil {
		o.Now = ticking(time.Millisecond)
	}
	instance := clerkinstance.New(o)
	if err := instance.Seed(clerkinstance.SeedOptions{Users: 300, Organizations: 20, Memberships: 700}); err != nil {
		t.Fatal(err)
	}
	traffic := clerkinstance.NewTraffic(instance, o.Seed)
	if err := traffic.SignUps(20); err != nil {
		t.Fatal(err)
	}
	for range 600 {
		if err := traffic.Step(); err != nil {
			t.Fatal(err)
		}
	}
	user, err := instance.SignUp(clerkinstance.Person{Emails: []string{"all@example.com"}, Phones: []string{"+15005550199"}})
	if err != nil {
		t.Fatal(err)
	}
	organization, err := instance.CreateOrganization(user.ID, "All & Everything \"Ltd\" <\u2028>", "all")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		instance.UpdateUser(user.ID, func(u *resource.User) {
			raw := []json.RawMessage{json.RawMessage(`{"id":"eac_1"}`), json.RawMessage(`{"id":"eac_2"}`)}
			u.FirstName, u.LastName = new("Zoë \x00\x7f\n\\"), new("invalid \xff, astral 🐋")
			u.Locale, u.PrimaryWeb3WalletID, u.Username = new("pt-BR"), new("idn_w"), new("all")
			u.Web3Wallets, u.Passkeys, u.ExternalAccounts, u.SAMLAccounts, u.EnterpriseAccounts = raw, raw, raw, raw, raw
			u.PasswordLastUpdatedAt, u.MFAEnabledAt, u.MFADisabledAt, u.LegalAcceptedAt = 1, 2, 3, 4
			u.TwoFactorEnabled, u.TOTPEnabled, u.BackupCodeEnabled, u.Deprovisioned, u.HasImage = true, true, true, true, true
			u.LockoutExpiresInSeconds, u.CreateOrganizationsLimit = new(int64(9)), new(int64(0))
			u.PrivateMetadata = nil
			u.EmailAddresses[0].Verification = &resource.Verification{Status: "expired", Strategy: "ticket", ExpireAt: 5}
			u.PhoneNumbers[0].Verification = nil
			u.PhoneNumbers = append(u.PhoneNumbers, u.PhoneNumbers[0])
		}),
		instance.UpdateOrganization(organization.ID, func(o *resource.Organization) {
			o.RoleSetKey, o.LastActiveAt, o.PrivateMetadata = new("role_set:default"), 7, nil
		}),
	)
	if err != nil {
		t.Fatal(err)
	}
	return instance
}

// What the API says must be what the state is, down to the last member, for the
// full sync to be tested by it.
func TestAPI_SaysWhatTheStateIs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		instance := lively(t, clerkinstance.Options{Seed: seed})
		a := serveAPI(t, instance, backendapi.Options{})
		want := instance.Snapshot()

		users := fetch[[]json.RawMessage](t, a, "/v1/users?limit=500&order_by=%2Bcreated_at")
		for i, id := range inOrder(want.Users, createdUser) {
			if diff := cmp.Diff(canonical(t, encode(t, want.Users[id])), canonical(t, users[i])); diff != "" {
				t.Fatalf("seed %d, user %s: -state +API\n%s", seed, id, diff)
			}
		}
		if len(users) != len(want.Users) {
			t.Errorf("seed %d: %d users, want %d", seed, len(users), len(want.Users))
		}

		organizations := fetch[list](t, a, "/v1/organizations?limit=500&order_by=created_at&include_members_count=true")
		for i, id := range inOrder(want.Organizations, createdOrganization) {
			o := want.Organizations[id]
			o.MembersCount = new(int64(0))
			for _, m := range want.Memberships {
				if m.Organization.ID == id {
					*o.MembersCount++
				}
			}
			if diff := cmp.Diff(canonical(t, encode(t, o)), canonical(t, organizations.Data[i])); diff != "" {
				t.Fatalf("seed %d, organization %s: -state +API\n%s", seed, id, diff)
			}
		}

		members := inOrder(want.Memberships, createdMembership)
		var memberships []json.RawMessage
		for offset := 0; offset < len(members); offset += 500 {
			page := fetch[list](t, a, "/v1/organization_memberships?limit=500&order_by=created_at&offset="+strconv.Itoa(offset))
			if page.Total != int64(len(members)) {
				t.Errorf("seed %d: total_count of the memberships is %d, want %d", seed, page.Total, len(members))
			}
			memberships = append(memberships, page.Data...)
		}
		for i, id := range members {
			m := want.Memberships[id]
			// Parents are told as they are now, not as when the membership was stated.
			u := want.Users[m.PublicUserData.UserID]
			m.Organization = want.Organizations[m.Organization.ID]
			m.PublicUserData.FirstName, m.PublicUserData.LastName, m.PublicUserData.Username = u.FirstName, u.LastName, u.Username
			m.PublicUserData.ImageURL, m.PublicUserData.HasImage = u.ImageURL, u.HasImage
			m.PublicUserData.Banned, m.PublicUserData.Deprovisioned = u.Banned, u.Deprovisioned
			m.PublicUserData.Identifier = u.Username
			if email, ok := u.PrimaryEmail(); ok {
				m.PublicUserData.Identifier = &email.EmailAddress
			} else if len(u.PhoneNumbers) > 0 {
				m.PublicUserData.Identifier = &u.PhoneNumbers[0].PhoneNumber
			}
			if diff := cmp.Diff(canonical(t, encode(t, m)), canonical(t, memberships[i])); diff != "" {
				t.Fatalf("seed %d, membership %s: -state +API\n%s", seed, id, diff)
			}
		}

		for path, objects := range map[string]map[string]any{
			"/v1/organization_roles": anyOf(want.Roles), "/v1/organization_permissions": anyOf(want.Permissions),
		} {
			page := fetch[list](t, a, path+"?limit=500&order_by=key")
			if len(page.Data) != len(objects) || page.Total != int64(len(objects)) {
				t.Errorf("seed %d: GET %s lists %d of %d, want %d", seed, path, len(page.Data), page.Total, len(objects))
			}
			for _, raw := range page.Data {
				var o object
				if err := json.Unmarshal(raw, &o); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(canonical(t, encode(t, objects[o.ID])), canonical(t, raw)); diff != "" {
					t.Errorf("seed %d, %s: -state +API\n%s", seed, o.ID, diff)
				}
			}
		}
	}
}

func anyOf[T any](objects map[string]T) map[string]any {
	all := map[string]any{}
	for id, o := range objects {
		all[id] = o
	}
	return all
}

func TestAPI_RefusesWhatClerkRefuses(t *testing.T) {
	t.Parallel()
	instance := lively(t, clerkinstance.Options{})
	some := slices.Sorted(maps.Keys(instance.Snapshot().Users))[0]
	hundred := url.Values{}
	for i := range 101 {
		hundred.Add("user_id", fmt.Sprintf("user_%d", i))
	}
	noKey := func(r *http.Request) { r.Header.Del("Authorization") }
	post := func(r *http.Request) { r.Method = http.MethodPost }
	tests := []struct {
		name    string
		options backendapi.Options
		path    string
		change  func(*http.Request)
		status  int
		code    string
		param   string
	}{
		{name: "no key", path: "/v1/users", change: noKey, status: 401, code: "clerk_key_invalid"},
		{name: "another instance's key", path: "/v1/users", change: withHeader("Authorization", "Bearer sk_test_other"), status: 401, code: "clerk_key_invalid"},
		{name: "no scheme", path: "/v1/users", change: withHeader("Authorization", apiKey), status: 401, code: "authorization_header_format_invalid"},
		{name: "no key for what is not there", path: "/v1/nothing", change: noKey, status: 401, code: "clerk_key_invalid"},

		{name: "unknown path", path: "/v1/nothing", status: 404, code: "resource_not_found"},
		{name: "unknown path, other method", path: "/v1/nothing", change: post, status: 404, code: "resource_not_found"},
		{name: "without the version path", path: "/users", status: 404, code: "resource_not_found"},
		{name: "user", path: "/v1/users/user_x", status: 404, code: "resource_not_found"},
		{name: "user's memberships", path: "/v1/users/user_x/organization_memberships", status: 404, code: "resource_not_found"},
		{name: "organization", path: "/v1/organizations/org_x", status: 404, code: "resource_not_found"},
		{name: "organization's members", path: "/v1/organizations/org_x/memberships", status: 404, code: "resource_not_found"},
		{name: "method", path: "/v1/users", change: post, status: 405, code: "method_not_allowed"},

		{name: "version", path: "/v1/users", change: withHeader("Clerk-API-Version", "2020-01-01"), status: 400, code: "api_version_invalid"},
		{name: "version in the query", path: "/v1/users?__clerk_api_version=tomorrow", status: 400, code: "api_version_invalid"},
		{
			name: "version twice", path: "/v1/users?__clerk_api_version=2026-05-12",
			change: withHeader("Clerk-API-Version", "2026-05-12"), status: 400, code: "api_version_invalid",
		},
		{name: "query", path: "/v1/users?limit=%zz", status: 400, code: "malformed_request_parameters"},

		{name: "limit too large", path: "/v1/users?limit=501", status: 422, code: "form_param_value_too_large", param: "limit"},
		{name: "limit too large for the list of members", path: "/v1/organization_memberships?limit=501", status: 422, code: "form_param_value_too_large", param: "limit"},
		{
			name: "limit of this instance", options: backendapi.Options{MaxLimit: 100},
			path: "/v1/users?limit=101", status: 422, code: "form_param_value_too_large", param: "limit",
		},
		{name: "limit zero", path: "/v1/users?limit=0", status: 422, code: "form_param_value_invalid", param: "limit"},
		{name: "limit no number", path: "/v1/users?limit=ten", status: 422, code: "form_param_type_invalid", param: "limit"},
		{name: "offset negative", path: "/v1/organizations?offset=-1", status: 422, code: "form_param_value_invalid", param: "offset"},
		{name: "column", path: "/v1/users?order_by=-height", status: 422, code: "form_param_value_invalid", param: "order_by"},
		{name: "column of another list", path: "/v1/organizations?order_by=updated_at", status: 422, code: "form_param_value_invalid", param: "order_by"},
		// An unescaped + is a space in a query.
		{name: "plus not escaped", path: "/v1/users?order_by=+created_at", status: 422, code: "form_param_value_invalid", param: "order_by"},
		{name: "moment", path: "/v1/users?created_at_after=2026-01-01", status: 422, code: "form_param_invalid_date", param: "created_at_after"},
		{name: "moment to count until", path: "/v1/users/count?created_at_before=x", status: 422, code: "form_param_invalid_date", param: "created_at_before"},
		{name: "flag", path: "/v1/users?banned=perhaps", status: 422, code: "form_param_type_invalid", param: "banned"},
		{name: "ids", path: "/v1/users?" + hundred.Encode(), status: 422, code: "form_param_array_size_exceeded", param: "user_id"},

		{name: "cursor of nobody", path: "/v1/users?starting_after=user_x", status: 422, code: "form_resource_not_found", param: "starting_after"},
		{name: "cursor in another order", path: "/v1/users?order_by=username&starting_after=" + some, status: 422, code: "form_conditional_param_disallowed", param: "starting_after"},
		{name: "cursor and offset", path: "/v1/users?offset=1&starting_after=" + some, status: 422, code: "form_conditional_param_disallowed", param: "starting_after"},
		{
			name: "cursor not known yet", options: backendapi.Options{NoCursor: true},
			path: "/v1/users?starting_after=" + some, status: 422, code: "form_param_unknown", param: "starting_after",
		},
		// The one published version that has no cursor.
		{
			name: "cursor not in this version", path: "/v1/users?starting_after=" + some,
			change: withHeader("Clerk-API-Version", "2025-03-12"), status: 422, code: "form_param_unknown", param: "starting_after",
		},
	}
	disabled := backendapi.Options{OrganizationsDisabled: true}
	for _, path := range []string{
		"/v1/organizations", "/v1/organizations/org_x", "/v1/organizations/org_x/memberships", "/v1/organization_memberships",
		"/v1/organization_roles", "/v1/organization_permissions", "/v1/users/" + some + "/organization_memberships",
	} {
		tests = append(tests, struct {
			name    string
			options backendapi.Options
			path    string
			change  func(*http.Request)
			status  int
			code    string
			param   string
		}{name: "disabled", options: disabled, path: path, status: 403, code: "organization_not_enabled_in_instance"})
	}
	for _, test := range tests {
		t.Run(test.name+" "+test.path[:min(40, len(test.path))], func(t *testing.T) {
			t.Parallel()
			a := serveAPI(t, instance, test.options)
			if test.change == nil {
				test.change = func(*http.Request) {}
			}
			got := a.ask(t, test.path, test.change)
			codes, params := got.errors(t)
			if got.status != test.status || !slices.Equal(codes, []string{test.code}) || params[0] != test.param {
				t.Errorf("GET %s = %d %s, want %d, code %s, param %q", test.path, got.status, got.body, test.status, test.code, test.param)
			}
			if contentType := got.header.Get("Content-Type"); contentType != "application/json" {
				t.Errorf("Content-Type = %q", contentType)
			}
			if test.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
}

func TestAPI_AcceptsWhatClerkAccepts(t *testing.T) {
	t.Parallel()
	instance := lively(t, clerkinstance.Options{})
	a := serveAPI(t, instance, backendapi.Options{SecretKeys: []string{"sk_test_second"}})
	unlimited := serveAPI(t, instance, backendapi.Options{OrganizationsDisabled: true})
	tests := []struct {
		name   string
		api    api
		path   string
		change func(*http.Request)
	}{
		{"another live key", a, "/v1/users", withHeader("Authorization", "Bearer sk_test_second")},
		{"bearer in small letters", a, "/v1/users", withHeader("Authorization", "bearer "+apiKey)},
		{"no version", a, "/v1/users", nil},
		{"a version", a, "/v1/users", withHeader("Clerk-API-Version", "2026-05-12")},
		{"a version in the query", a, "/v1/users?__clerk_api_version=2024-10-01", nil},
		// Clerk does not say what it does with these.
		{"an unknown parameter", a, "/v1/users?colour=green", nil},
		{"users without organizations", unlimited, "/v1/users", nil},
		{"HEAD", a, "/v1/users", func(r *http.Request) { r.Method = http.MethodHead }},
	}
	for _, test := range tests {
		if test.change == nil {
			test.change = func(*http.Request) {}
		}
		if got := test.api.ask(t, test.path, test.change); got.status != http.StatusOK {
			t.Errorf("%s: GET %s = %d %s, want 200", test.name, test.path, got.status, got.body)
		}
	}
	for key, want := range map[string]string{"sk_live_x": "production", "sk_test_x": "development"} {
		a := backendapi.New(instance, backendapi.Options{SecretKeys: []string{key}})
		request := httptest.NewRequest(http.MethodGet, "/v1/instance", nil)
		request.Header.Set("Authorization", "Bearer "+key)
		response := httptest.NewRecorder()
		a.ServeHTTP(response, request)
		if got := response.Body.String(); !strings.Contains(got, instance.ID()) || !strings.Contains(got, want) {
			t.Errorf("GET /v1/instance with %s = %s, want %s and %s", key, got, instance.ID(), want)
		}
	}
}

// population is a small instance of which everything is known. All were made in
// the same second, three of them in one millisecond.
type population struct {
	instance *clerkinstance.Instance
	// people by name, to their ids.
	people        map[string]string
	organizations map[string]string
}

func populate(t *testing.T) population {
	t.Helper()
	at := time.Date(2026, time.March, 1, 8, 0, 0, 0, time.UTC)
	c := clerkinstance.New(clerkinstance.Options{Seed: 4, Now: func() time.Time { return at }})
	p := population{c, map[string]string{}, map[string]string{}}
	for _, person := range []clerkinstance.Person{
		{FirstName: "Ada", LastName: "Okafor", Emails: []string{"ada@example.com", "countess@old.example"}, ExternalID: "crm-1"},
		{FirstName: "Ben", Username: "benny", Phones: []string{"+15005550100"}},
		{FirstName: "Cat", LastName: "Tanaka", Emails: []string{"CAT@example.com"}, ExternalID: "crm-3"},
		{FirstName: "Dov", Username: "aardvark"},
		{FirstName: "Eva", LastName: "Moreau", Emails: []string{"eva@example.com"}},
	} {
		// Cat, Dov and Eva share a millisecond.
		if person.FirstName != "Dov" && person.FirstName != "Eva" {
			at = at.Add(100 * time.Millisecond)
		}
		u, err := c.SignUp(person)
		if err != nil {
			t.Fatal(err)
		}
		p.people[person.FirstName] = u.ID
	}
	for _, o := range []struct{ name, slug, creator string }{{"Zebra", "zebra", "Ada"}, {"Alpha", "alpha", "Ben"}, {"Mule", "", "Ada"}} {
		at = at.Add(100 * time.Millisecond)
		made, err := c.CreateOrganization(p.people[o.creator], o.name, o.slug)
		if err != nil {
			t.Fatal(err)
		}
		p.organizations[o.name] = made.ID
	}
	for _, name := range []string{"Ben", "Cat", "Eva"} {
		at = at.Add(100 * time.Millisecond)
		if _, err := c.Join(p.organizations["Zebra"], p.people[name], clerkinstance.MemberRole); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.UpdateUser(p.people["Ben"], func(u *resource.User) { u.Banned = true }); err != nil {
		t.Fatal(err)
	}
	return p
}

// names turns ids back into names, in their order.
func (p population) names(t *testing.T, ids []string) string {
	t.Helper()
	names := make([]string, len(ids))
	for i, id := range ids {
		for name, known := range p.people {
			if known == id {
				names[i] = name
			}
		}
		for name, known := range p.organizations {
			if known == id {
				names[i] = name
			}
		}
	}
	return strings.Join(names, " ")
}

func TestAPI_FiltersAndOrdersUsers(t *testing.T) {
	t.Parallel()
	p := populate(t)
	a := serveAPI(t, p.instance, backendapi.Options{})
	users := p.instance.Snapshot().Users
	all := p.names(t, inOrder(users, createdUser))
	created := func(name string) string { return strconv.FormatInt(int64(users[p.people[name]].CreatedAt), 10) }
	// Of the three of one millisecond, whose ids decide.
	names := strings.Fields(all)
	backwards := slices.Clone(names)
	slices.Reverse(backwards)

	tests := []struct{ query, want string }{
		{"", strings.Join(backwards, " ")},
		{"order_by=created_at", all},
		{"order_by=%2Bcreated_at", all},
		{"order_by=-created_at", strings.Join(backwards, " ")},
		// Only the first counts.
		{"order_by=first_name&order_by=-created_at", "Ada Ben Cat Dov Eva"},
		{"order_by=-first_name", "Eva Dov Cat Ben Ada"},
		{"order_by=username", "Dov Ben " + strings.Join(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "Dov" || n == "Ben" }), " ")},
		// What they do not have comes last, and first in the other direction.
		{"order_by=email_address&limit=3", "Cat Ada Eva"},
		{"order_by=-updated_at&limit=1", "Ben"},

		{"user_id=" + p.people["Cat"] + "&user_id=" + p.people["Ada"] + "&user_id=user_x", "Cat Ada"},
		{"order_by=first_name&user_id=%2B" + p.people["Cat"], "Cat"},
		{"order_by=first_name&user_id=-" + p.people["Cat"], "Ada Ben Dov Eva"},
		{"order_by=first_name&external_id=crm-1&external_id=crm-3&external_id=crm-9", "Ada Cat"},
		{"order_by=first_name&external_id=-crm-1", "Ben Cat Dov Eva"},
		// Any of a user's addresses counts, not only the primary one.
		{"email_address=countess@old.example", "Ada"},
		{"phone_number=%2B15005550100", "Ben"},
		{"username=benny", "Ben"},
		{"web3_wallet=0x0", ""},
		{"banned=true", "Ben"},
		{"order_by=first_name&banned=false", "Ada Cat Dov Eva"},
		{"query=cat@", "Cat"},
		{"query=MOREAU", "Eva"},
		{"query=" + p.people["Dov"], "Dov"},
		{"name_query=tana", "Cat"},
		{"username_query=VARK", "Dov"},
		{"email_address_query=OLD.example", "Ada"},
		{"phone_number_query=555010", "Ben"},
		{"order_by=first_name&organization_id=" + p.organizations["Zebra"], "Ada Ben Cat Eva"},
		{"order_by=first_name&organization_id=-" + p.organizations["Zebra"], "Dov"},
		{"organization_id=" + p.organizations["Zebra"] + "&user_id=" + p.people["Cat"] + "&user_id=" + p.people["Dov"], "Cat"},

		// Neither bound is included.
		{"order_by=created_at&created_at_after=" + created("Ada"), strings.Join(names[1:], " ")},
		{"order_by=created_at&created_at_before=" + created("Cat"), "Ada Ben"},
		{"created_at_after=" + created("Ada") + "&created_at_before=" + created("Cat"), "Ben"},
		{"created_at_after=" + created("Cat"), ""},
		{"created_at_after=" + created("Cat") + "&created_at_before=" + created("Ada"), ""},
		{"created_at_after=" + created("Ada") + "&user_id=" + p.people["Ada"] + "&user_id=" + p.people["Ben"], "Ben"},

		{"order_by=first_name&limit=2", "Ada Ben"},
		{"order_by=first_name&limit=2&offset=3", "Dov Eva"},
		{"order_by=first_name&limit=2&offset=4", "Eva"},
		{"order_by=first_name&limit=2&offset=5", ""},
		{"limit=2&offset=1", strings.Join(backwards[1:3], " ")},
	}
	for _, test := range tests {
		if got := p.names(t, idsOf(t, a, "/v1/users?"+test.query)); got != test.want {
			t.Errorf("GET /v1/users?%s = %s, want %s", test.query, got, test.want)
		}
		// The count knows the same filters and ignores the page.
		parameters, err := url.ParseQuery(test.query)
		if err != nil {
			t.Fatal(err)
		}
		parameters.Set("limit", "500")
		parameters.Del("offset")
		want := int64(len(idsOf(t, a, "/v1/users?"+parameters.Encode())))
		got := fetch[struct {
			Object string
			Total  int64 `json:"total_count"`
		}](t, a, "/v1/users/count?"+test.query)
		if got.Total != want || got.Object != "total_count" {
			t.Errorf("GET /v1/users/count?%s = %+v, want total_count %d", test.query, got, want)
		}
	}
}

func TestAPI_FiltersAndOrdersOrganizations(t *testing.T) {
	t.Parallel()
	p := populate(t)
	a := serveAPI(t, p.instance, backendapi.Options{})
	zebra := p.organizations["Zebra"]
	tests := []struct {
		query, want string
		total       int64
	}{
		{"", "Mule Alpha Zebra", 3},
		{"order_by=created_at", "Zebra Alpha Mule", 3},
		{"order_by=name", "Alpha Mule Zebra", 3},
		{"order_by=-members_count&limit=1", "Zebra", 3},
		{"order_by=name&offset=1&limit=1", "Mule", 3},
		{"offset=3", "", 3},
		{"organization_id=" + zebra + "&organization_id=org_x", "Zebra", 1},
		{"order_by=name&organization_id=-" + zebra, "Alpha Mule", 2},
		{"order_by=name&user_id=" + p.people["Ben"], "Alpha Zebra", 2},
		{"user_id=-" + p.people["Ben"], "Mule", 1},
		{"query=ebr", "Zebra", 1},
		{"query=" + zebra, "Zebra", 1},
		// Ids must match in full.
		{"query=" + zebra[:20], "", 0},
	}
	for _, test := range tests {
		ids, total := listed(t, a, "/v1/organizations?"+test.query)
		if got := p.names(t, ids); got != test.want || total != test.total {
			t.Errorf("GET /v1/organizations?%s = %s of %d, want %s of %d", test.query, got, total, test.want, test.total)
		}
	}
	for _, by := range []string{zebra, "zebra"} {
		if got := fetch[object](t, a, "/v1/organizations/"+by); got.ID != zebra {
			t.Errorf("GET /v1/organizations/%s is %s, want %s", by, got.ID, zebra)
		}
		counted := fetch[map[string]any](t, a, "/v1/organizations/"+by+"?include_members_count=true")
		if counted["members_count"] != 4.0 {
			t.Errorf("members_count of %s = %v, want 4", by, counted["members_count"])
		}
	}
	if _, told := fetch[map[string]any](t, a, "/v1/organizations/zebra")["members_count"]; told {
		t.Error("members_count is told although nobody asked")
	}
}

func TestAPI_FiltersAndOrdersMembers(t *testing.T) {
	t.Parallel()
	p := populate(t)
	a := serveAPI(t, p.instance, backendapi.Options{})
	// The first to join was the creator.
	created := map[string]string{}
	for _, m := range p.instance.Snapshot().Memberships {
		if m.Organization.ID == p.organizations["Zebra"] {
			created[p.names(t, []string{m.PublicUserData.UserID})] = strconv.FormatInt(int64(m.CreatedAt), 10)
		}
	}
	const members = "/v1/organizations/zebra/memberships?"
	tests := []struct {
		path, want string
		total      int64
	}{
		{members, "Eva Cat Ben Ada", 4},
		{members + "order_by=created_at", "Ada Ben Cat Eva", 4},
		{members + "order_by=-first_name&limit=2", "Eva Cat", 4},
		{members + "order_by=email_address&limit=3", "Cat Ada Eva", 4},
		{members + "order_by=phone_number&limit=1", "Ben", 4},
		{members + "user_id=" + p.people["Cat"] + "&user_id=" + p.people["Dov"], "Cat", 1},
		{members + "role=org:admin", "Ada", 1},
		{members + "role=org:admin&role=org:member", "Eva Cat Ben Ada", 4},
		{members + "created_at_after=" + created["Ben"], "Eva Cat", 2},
		{members + "created_at_before=" + created["Ben"], "Ada", 1},
		// The list of the whole instance has no filters, and ignores them.
		{"/v1/organization_memberships?order_by=created_at&role=org:member", "Ada Ben Ada Ben Cat Eva", 6},
		{"/v1/organization_memberships?limit=2&offset=1", "Cat Ben", 6},
		{"/v1/users/" + p.people["Ada"] + "/organization_memberships", "Ada Ada", 2},
		{"/v1/users/" + p.people["Ada"] + "/organization_memberships?limit=1&offset=1", "Ada", 2},
		{"/v1/users/" + p.people["Dov"] + "/organization_memberships", "", 0},
	}
	for _, test := range tests {
		page := fetch[struct {
			Data  []resource.OrganizationMembership
			Total int64 `json:"total_count"`
		}](t, a, test.path)
		var ids []string
		for _, m := range page.Data {
			ids = append(ids, m.PublicUserData.UserID)
		}
		if got := p.names(t, ids); got != test.want || page.Total != test.total {
			t.Errorf("GET %s = %s of %d, want %s of %d", test.path, got, page.Total, test.want, test.total)
		}
	}
}

// walk reads all users by cursor, calling between after each page.
func walk(t *testing.T, a api, order string, limit int, between func(page int)) []string {
	t.Helper()
	var all []string
	query := url.Values{"order_by": {order}, "limit": {strconv.Itoa(limit)}}
	for page := 0; ; page++ {
		ids := idsOf(t, a, "/v1/users?"+query.Encode())
		all = append(all, ids...)
		if len(ids) < limit {
			return all
		}
		query.Set("starting_after", ids[len(ids)-1])
		between(page)
	}
}

func TestAPI_WalksUsersByCursor(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.June, 15, 9, 0, 0, 0, time.UTC)
	clocks := map[string]func() time.Time{
		"a millisecond each": ticking(time.Millisecond),
		"all in one":         func() time.Time { return at },
	}
	for name, now := range clocks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			instance := clerkinstance.New(clerkinstance.Options{Seed: 2, Now: now})
			for i := range 100 {
				if _, err := instance.SignUp(clerkinstance.Person{Username: fmt.Sprint("person", i)}); err != nil {
					t.Fatal(err)
				}
			}
			want := inOrder(instance.Snapshot().Users, createdUser)
			a := serveAPI(t, instance, backendapi.Options{})
			nothing := func(int) {}
			for _, limit := range []int{1, 7, 50, 99, 100, 101} {
				if got := walk(t, a, "+created_at", limit, nothing); !slices.Equal(got, want) {
					t.Errorf("walking by %d: %d users, want the %d in order of their creation", limit, len(got), len(want))
				}
				if got := walk(t, a, "-created_at", limit, nothing); !slices.Equal(got, reversed(want)) {
					t.Errorf("walking back by %d: %d users, want the %d in reverse order", limit, len(got), len(want))
				}
			}
		})
	}
}

// A cursor loses nobody whatever happens in between; offsets do, as in Clerk.
func TestAPI_ShiftsOffsetsButNotTheCursor(t *testing.T) {
	t.Parallel()
	instance := clerkinstance.New(clerkinstance.Options{Seed: 2, Now: ticking(time.Millisecond)})
	for i := range 30 {
		if _, err := instance.SignUp(clerkinstance.Person{Username: fmt.Sprint("person", i)}); err != nil {
			t.Fatal(err)
		}
	}
	a := serveAPI(t, instance, backendapi.Options{})
	was := inOrder(instance.Snapshot().Users, createdUser)

	got := walk(t, a, "+created_at", 10, func(page int) {
		if page > 1 {
			return
		}
		if err := instance.DeleteUser(was[page], false); err != nil {
			t.Fatal(err)
		}
		if _, err := instance.SignUp(clerkinstance.Person{Username: fmt.Sprint("late", page)}); err != nil {
			t.Fatal(err)
		}
	})
	is := inOrder(instance.Snapshot().Users, createdUser)
	if want := append(was[:2:2], is...); !slices.Equal(got, want) {
		t.Errorf("by cursor: %d users, want those who were there and the two who came: %d", len(got), len(want))
	}

	first := idsOf(t, a, "/v1/users?order_by=created_at&limit=10")
	if err := instance.DeleteUser(first[0], false); err != nil {
		t.Fatal(err)
	}
	second := idsOf(t, a, "/v1/users?order_by=created_at&limit=10&offset=10")
	if slices.Contains(append(first, second...), is[10]) {
		t.Errorf("by offset: %s was seen, although a deletion moved it over the border of two pages", is[10])
	}
	// Whoever has the deleted user's id as a cursor has to begin elsewhere.
	if got := a.ask(t, "/v1/users?starting_after="+first[0]); got.status != http.StatusUnprocessableEntity {
		t.Errorf("after a deleted user = %d %s, want 422", got.status, got.body)
	}
}

func TestAPI_LimitsRequestsByWindows(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Date(2026, time.June, 15, 9, 0, 0, 0, time.UTC)
	pass := func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
	a := serveAPI(t, clerkinstance.New(clerkinstance.Options{}), backendapi.Options{
		Limit: clerk.RateLimit{Requests: 3, Per: 10 * time.Second},
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		},
	})
	paths := []string{"/v1/users", "/v1/organizations", "/v1/users/user_x"}
	for _, path := range paths {
		// A wrong key is nobody's request.
		a.ask(t, path, withHeader("Authorization", "Bearer sk_test_wrong"))
		if got := a.ask(t, path); got.status == http.StatusTooManyRequests {
			t.Errorf("GET %s = %d within the limit", path, got.status)
		}
	}
	pass(2500 * time.Millisecond)
	got := a.ask(t, "/v1/instance")
	if codes, _ := got.errors(t); got.status != http.StatusTooManyRequests || !slices.Equal(codes, []string{"too_many_requests"}) {
		t.Errorf("the fourth request = %d %s, want 429", got.status, got.body)
	}
	if wait := got.header.Get("Retry-After"); wait != "8" {
		t.Errorf("Retry-After = %q after 2.5 of 10 s, want 8: whole seconds, and late enough", wait)
	}
	pass(7499 * time.Millisecond)
	got = a.ask(t, "/v1/instance")
	if wait := got.header.Get("Retry-After"); got.status != http.StatusTooManyRequests || wait != "1" {
		t.Errorf("at the end of the window = %d, Retry-After %q, want 429 and 1", got.status, wait)
	}
	pass(time.Millisecond)
	if got := a.ask(t, "/v1/instance"); got.status != http.StatusOK {
		t.Errorf("in the next window = %d %s, want 200", got.status, got.body)
	}
	if stats := a.Requests(); stats.Statuses[429] != 2 || stats.Statuses[401] != 3 || stats.Requests != 9 {
		t.Errorf("counted %+v, want 9 requests, 2 of them 429 and 3 of them 401", stats)
	}
}

func TestAPI_DelaysAnswersInParallel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		instance := clerkinstance.New(clerkinstance.Options{})
		a := backendapi.New(instance, backendapi.Options{Latency: 100 * time.Millisecond})
		began := time.Now()
		var all sync.WaitGroup
		ask := func(ctx context.Context) *httptest.ResponseRecorder {
			response := httptest.NewRecorder()
			request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/users", nil)
			request.Header.Set("Authorization", "Bearer any")
			all.Go(func() { a.ServeHTTP(response, request) })
			return response
		}
		impatient, leave := context.WithCancel(t.Context())
		response := ask(t.Context())
		for range 8 {
			ask(t.Context())
		}
		ask(impatient)
		synctest.Wait()
		// What happens now is too late to be told.
		if _, err := instance.SignUp(clerkinstance.Person{Username: "late"}); err != nil {
			t.Fatal(err)
		}
		leave()
		all.Wait()
		if took := time.Since(began); took != 100*time.Millisecond {
			t.Errorf("nine answers took %s together, want 100ms", took)
		}
		if got := response.Body.String(); got != "[]" {
			t.Errorf("the answer is %s, want what was true when it was asked for: []", got)
		}
		want := backendapi.Stats{
			Requests: 10, Routes: map[string]int64{"/users": 10}, Statuses: map[int]int64{200: 9, 0: 1}, Bytes: 18, MostAtOnce: 10,
		}
		if diff := cmp.Diff(want, a.Requests()); diff != "" {
			t.Errorf("counts: -want +got\n%s", diff)
		}
	})
}

func TestAPI_LetsEveryFaultBePlayed(t *testing.T) {
	t.Parallel()
	p := populate(t)
	requests := 0
	a := serveAPI(t, p.instance, backendapi.Options{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		requests++
		switch requests {
		case 1: // a gateway's own page
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, "<html>Bad gateway</html>")
		case 2: // broken off before it began
			panic(http.ErrAbortHandler)
		case 3: // broken off in the middle
			_ = http.NewResponseController(w).EnableFullDuplex()
			next.ServeHTTP(half{w}, r)
		case 4: // another limit than is documented, without a word
			query := r.URL.Query()
			query.Set("limit", "2")
			r.URL.RawQuery = query.Encode()
			next.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	}})
	// A client repeats what a reused connection did not answer.
	a.server.Client().Transport = &http.Transport{DisableKeepAlives: true}
	get := func() (answer, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.server.URL+"/v1/users", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+apiKey)
		response, err := a.server.Client().Transport.RoundTrip(request)
		if err != nil {
			return answer{}, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return answer{response.StatusCode, response.Header, body}, err
	}
	if got, err := get(); err != nil || got.status != http.StatusBadGateway || !strings.HasPrefix(string(got.body), "<html>") {
		t.Errorf("an error page = %d %s, %v", got.status, got.body, err)
	}
	if _, err := get(); err == nil {
		t.Error("an answer that never began = no error")
	}
	if got, err := get(); err == nil || got.status != http.StatusOK {
		t.Errorf("a truncated answer = %d, %v, want 200 and an error from the body", got.status, err)
	}
	if got := len(idsOf(t, a, "/v1/users?limit=5")); got != 2 {
		t.Errorf("with the limit rewritten to 2 = %d users", got)
	}
	if got := len(idsOf(t, a, "/v1/users?limit=5")); got != 5 {
		t.Errorf("when all is well again = %d users, want 5", got)
	}
	if stats := a.Requests(); stats.Requests != 5 || stats.Statuses[502] != 1 || stats.Statuses[0] != 1 || stats.Statuses[200] != 3 {
		t.Errorf("counted %+v, want what the client saw", stats)
	}
}

// half writes half of what it is given.
type half struct{ http.ResponseWriter }

func (h half) Write(p []byte) (int, error) {
	n, err := h.ResponseWriter.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	return len(p), nil
}

func TestAPI_CountsByRoute(t *testing.T) {
	t.Parallel()
	p := populate(t)
	a := serveAPI(t, p.instance, backendapi.Options{})
	want := map[string]int64{}
	for path, route := range map[string]string{
		"/v1/instance":                 "/instance",
		"/v1/users":                    "/users",
		"/v1/users/count":              "/users/count",
		"/v1/users/" + p.people["Ada"]: "/users/{user_id}",
		"/v1/users/" + p.people["Ada"] + "/organization_memberships": "/users/{user_id}/organization_memberships",
		"/v1/organizations":                   "/organizations",
		"/v1/organizations/zebra":             "/organizations/{organization_id}",
		"/v1/organizations/zebra/memberships": "/organizations/{organization_id}/memberships",
		"/v1/organization_memberships":        "/organization_memberships",
		"/v1/organization_roles":              "/organization_roles",
		"/v1/organization_permissions":        "/organization_permissions",
		"/v1/jwks":                            "/jwks",
		"/v1/clients":                         "",
	} {
		a.ask(t, path)
		want[route]++
	}
	if diff := cmp.Diff(want, a.Requests().Routes); diff != "" {
		t.Errorf("routes: -want +got\n%s", diff)
	}
}

// Readers and writers at the same time: no page may be half of two states.
func TestAPI_ReadsWhileTheInstanceLives(t *testing.T) {
	t.Parallel()
	instance := lively(t, clerkinstance.Options{Seed: 6, Now: time.Now})
	a := serveAPI(t, instance, backendapi.Options{})
	before := instance.Snapshot().Users
	stop := make(chan struct{})
	lived := make(chan error, 1)
	go func() {
		traffic := clerkinstance.NewTraffic(instance, 6)
		var err error
		for steps := 0; err == nil; steps++ {
			select {
			case <-stop:
				if steps > 50 {
					lived <- nil
					return
				}
			default:
			}
			err = traffic.Step()
		}
		lived <- err
	}()
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for offset := 0; ; offset += 100 {
				page := fetch[list](t, a, "/v1/organization_memberships?limit=100&order_by=created_at&offset="+strconv.Itoa(offset))
				if len(page.Data) < 100 {
					return
				}
			}
		})
	}
	readers.Wait()
	// By creation time, since the user that a cursor stands on may be deleted.
	var seen []string
	created := int64(1)
	for {
		page := fetch[[]object](t, a, fmt.Sprintf("/v1/users?limit=100&order_by=created_at&created_at_after=%d", created-1))
		for _, o := range page {
			seen = append(seen, o.ID)
			created = o.CreatedAt
		}
		if len(page) < 100 {
			break
		}
	}
	close(stop)
	if err := <-lived; err != nil {
		t.Fatal(err)
	}
	after := instance.Snapshot().Users
	for id, u := range before {
		if _, stays := after[id]; stays && !slices.Contains(seen, id) && u.CreatedAt < clerk.Millis(created) {
			t.Errorf("user %s was there before and after, and in no page", id)
		}
	}
}

// The reader of this repository and this double must agree on what Clerk is.
func TestAPI_IsReadByTheBackend(t *testing.T) {
	t.Parallel()
	instance := lively(t, clerkinstance.Options{Seed: 9})
	backend := func(key string, o backendapi.Options) *clerk.Backend {
		a := serveAPI(t, instance, o)
		b, err := clerk.NewBackend(clerk.BackendOptions{
			SecretKey: secret.New(key), URL: a.server.URL + "/v1", Share: 1, Limit: clerk.RateLimit{Requests: 100_000, Per: time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ctx := t.Context()
	b := backend(apiKey, backendapi.Options{})
	want := instance.Snapshot()
	ids := func(page clerk.Page, err error) []string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		list := make([]string, len(page.Items))
		for i, item := range page.Items {
			list[i] = item.ID
		}
		return list
	}
	if got, err := b.Instance(ctx); err != nil || got.ID != instance.ID() || got.EnvironmentType != "development" {
		t.Errorf("Instance = %+v, %v, want %s, development", got, err, instance.ID())
	}
	users := inOrder(want.Users, createdUser)
	first := ids(b.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", Limit: 200}))
	second := ids(b.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", StartingAfter: first[len(first)-1]}))
	if diff := cmp.Diff(users, append(first, second...)); diff != "" {
		t.Errorf("users by cursor: -want +got\n%s", diff)
	}
	if n, err := b.CountUsers(ctx, clerk.UserQuery{CreatedAfter: want.Users[users[9]].CreatedAt}); err != nil || n != int64(len(users)-10) {
		t.Errorf("CountUsers after the tenth = %d, %v, want %d", n, err, len(users)-10)
	}
	if got := ids(b.Users(ctx, clerk.UserQuery{IDs: users[:50], OrderBy: "created_at"})); !slices.Equal(got, users[:50]) {
		t.Errorf("Users by id = %d, want 50", len(got))
	}
	if got := ids(b.User(ctx, users[0])); !slices.Equal(got, users[:1]) {
		t.Errorf("User(%s) = %s", users[0], got)
	}
	organizations := inOrder(want.Organizations, createdOrganization)
	if got := ids(b.Organizations(ctx, clerk.ListQuery{OrderBy: "+created_at"})); !slices.Equal(got, organizations) {
		t.Errorf("Organizations = %d, want %d", len(got), len(organizations))
	}
	if got := ids(b.Organization(ctx, organizations[0])); !slices.Equal(got, organizations[:1]) {
		t.Errorf("Organization(%s) = %s", organizations[0], got)
	}
	memberships := inOrder(want.Memberships, createdMembership)
	page, err := b.Memberships(ctx, clerk.ListQuery{OrderBy: "+created_at", Offset: 100})
	if got := ids(page, err); !slices.Equal(got, memberships[100:100+len(got)]) || page.Total != int64(len(memberships)) {
		t.Errorf("Memberships from 100 = %d of %d, want up to 500 of %d", len(got), page.Total, len(memberships))
	}
	for _, item := range page.Items {
		m := want.Memberships[item.ID]
		if item.OrganizationID != m.Organization.ID || item.UserID != m.PublicUserData.UserID {
			t.Errorf("membership %s: read %+v, want organization %s, user %s", item.ID, item, m.Organization.ID, m.PublicUserData.UserID)
		}
	}
	m := want.Memberships[memberships[0]]
	if got := ids(b.OrganizationMemberships(ctx, m.Organization.ID, clerk.ListQuery{IDs: []string{m.PublicUserData.UserID}})); !slices.Equal(got, []string{m.ID}) {
		t.Errorf("OrganizationMemberships of one user = %s, want %s", got, m.ID)
	}
	if got := ids(b.UserMemberships(ctx, m.PublicUserData.UserID, clerk.ListQuery{})); !slices.Contains(got, m.ID) {
		t.Errorf("UserMemberships = %s, want %s among them", got, m.ID)
	}
	if got := ids(b.List(ctx, clerk.KindRole, clerk.ListQuery{})); len(got) != len(want.Roles) {
		t.Errorf("Roles = %d, want %d", len(got), len(want.Roles))
	}
	if got := ids(b.List(ctx, clerk.KindPermission, clerk.ListQuery{Limit: 3, OrderBy: "key"})); len(got) != 3 {
		t.Errorf("Permissions, three of them = %d", len(got))
	}

	for name, failed := range map[string]struct {
		err  error
		want error
	}{
		"a wrong key":            {errorOf(backend("sk_test_wrong", backendapi.Options{}).Instance(ctx)), clerk.ErrKeyRefused},
		"nobody":                 {errorOf(b.User(ctx, "user_x")), clerk.ErrNotFound},
		"nowhere":                {errorOf(b.Organization(ctx, "org_x")), clerk.ErrNotFound},
		"a cursor of nobody":     {errorOf(b.Users(ctx, clerk.UserQuery{StartingAfter: "user_x"})), clerk.ErrUnprocessable},
		"no cursor":              {errorOf(backend(apiKey, backendapi.Options{NoCursor: true}).Users(ctx, clerk.UserQuery{StartingAfter: users[0]})), clerk.ErrUnprocessable},
		"a page that is shorter": {errorOf(backend(apiKey, backendapi.Options{MaxLimit: 100}).Users(ctx, clerk.UserQuery{})), clerk.ErrUnprocessable},
		"no organizations":       {errorOf(backend(apiKey, backendapi.Options{OrganizationsDisabled: true}).Organizations(ctx, clerk.ListQuery{})), clerk.ErrNotEnabled},
	} {
		if !errors.Is(failed.err, failed.want) {
			t.Errorf("%s = %v, want %v", name, failed.err, failed.want)
		}
	}
}

func errorOf[T any](_ T, err error) error { return err }

// BenchmarkAPI is what a page of 500 costs the double, which shares the machine
// with what is measured by it.
func BenchmarkAPI(b *testing.B) {
	instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
	if err := instance.Seed(clerkinstance.SeedOptions{Users: 100_000, Organizations: 5_000, Memberships: 200_000}); err != nil {
		b.Fatal(err)
	}
	a := serveAPI(b, instance, backendapi.Options{})
	middle := idsOf(b, a, "/v1/users?order_by=created_at&limit=1&offset=50000")[0]
	for _, test := range []struct{ name, path string }{
		{"users by cursor", "/v1/users?order_by=%2Bcreated_at&limit=500&starting_after=" + middle},
		{"users by offset", "/v1/users?order_by=%2Bcreated_at&limit=500&offset=50000"},
		{"memberships", "/v1/organization_memberships?order_by=%2Bcreated_at&limit=500&offset=100000"},
		{"organizations", "/v1/organizations?order_by=%2Bcreated_at&limit=500&offset=2500"},
		{"count", "/v1/users/count?created_at_after=1700000000000"},
	} {
		b.Run(strings.ReplaceAll(test.name, " ", "_"), func(b *testing.B) {
			bytes := 0
			for b.Loop() {
				bytes += len(a.ask(b, test.path).body)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			b.ReportMetric(float64(bytes)/float64(b.N), "B/answer")
		})
	}
}

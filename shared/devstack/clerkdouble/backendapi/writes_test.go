package backendapi_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
)

func withMethod(method string) func(*http.Request) {
	return func(r *http.Request) { r.Method = method }
}

func TestAPI_ListsTheSessionsOfAUser(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	a := serveAPI(t, c.Instance, backendapi.Options{Tokens: c.Mint})
	c.late.Store(500)
	opened := posted[sessionAnswer](t, a, "/v1/sessions", `{"user_id":"`+c.ines.ID+`"}`)
	ids := func(path string) []string {
		var ids []string
		for _, s := range fetch[[]sessionAnswer](t, a, path) {
			if s.Object != "session" || s.UserID != c.ines.ID || s.Status != "active" {
				t.Errorf("GET %s: %+v, want an active session of the user", path, s)
			}
			ids = append(ids, s.ID)
		}
		return ids
	}
	of := "/v1/sessions?user_id=" + c.ines.ID
	all := ids(of)
	if len(all) != 2 || all[0] != opened.ID {
		t.Errorf("GET %s = %v, want two, the newest (%s) first", of, all, opened.ID)
	}
	for path, want := range map[string][]string{
		of + "&limit=1":  all[:1],
		of + "&offset=1": all[1:],
		"/v1/sessions?client_id=" + opened.ClientID:        all[:1],
		of + "&client_id=" + opened.ClientID:               all[:1],
		of + "&status=active":                              all,
		of + "&status=revoked":                             nil,
		"/v1/sessions?user_id=user_unknown":                nil,
		"/v1/sessions?user_id=" + c.ines.ID + "&unknown=1": all,
	} {
		if got := ids(path); !slices.Equal(got, want) {
			t.Errorf("GET %s = %v, want %v", path, got, want)
		}
	}
	if got := fetch[list](t, a, of+"&paginated=true"); got.Total != 2 || len(got.Data) != 2 {
		t.Errorf("GET %s&paginated=true = %+v, want two in data", of, got)
	}
	revoked := posted[sessionAnswer](t, a, "/v1/sessions/"+opened.ID+"/revoke", "")
	if revoked.Status != "revoked" || revoked.ID != opened.ID {
		t.Errorf("POST …/revoke = %+v", revoked)
	}
	if got := ids(of); !slices.Equal(got, all[1:]) {
		t.Errorf("after the revocation GET %s = %v, want %v", of, got, all[1:])
	}
}

func TestAPI_MakesTokensWithoutARoleWhereTheIntegrationIsOff(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	without := true
	a := serveAPI(t, c.Instance, backendapi.Options{Tokens: c.Mint, WithoutRole: func() bool { return without }})
	s := posted[sessionAnswer](t, a, "/v1/sessions", `{"user_id":"`+c.ines.ID+`"}`)
	for _, without = range []bool{true, false} {
		claims := c.verify(t, posted[tokenAnswer](t, a, "/v1/sessions/"+s.ID+"/tokens", "").JWT)
		if _, there := claims["role"]; there == without {
			t.Errorf("without %t the claims are %v", without, claims)
		}
	}
}

func TestAPI_LinksIntoTheSvixApp(t *testing.T) {
	t.Parallel()
	a := serveAPI(t, clerkinstance.New(clerkinstance.Options{Seed: 1}), backendapi.Options{})
	type answer struct {
		URL string `json:"svix_url"`
	}
	app := func(path string) string {
		link := posted[answer](t, a, path, "").URL
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(link, "https://app.svix.com/login#key="))
		if err != nil {
			t.Fatalf("POST %s = %s: %v", path, link, err)
		}
		var said struct{ AppID, Token string }
		if err := json.Unmarshal(key, &said); err != nil || said.Token == "" {
			t.Fatalf("the key of %s is %s: %v", link, key, err)
		}
		return said.AppID
	}
	made := app("/v1/webhooks/svix")
	if again := app("/v1/webhooks/svix_url"); !strings.HasPrefix(made, "app_") || again != made {
		t.Errorf("the links are for the apps %q and %q, want one", made, again)
	}
}

func TestAPI_CreatesAndDeletesOrganizations(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	a := serveAPI(t, c.Instance, backendapi.Options{})
	type made struct {
		ID, Name  string
		Slug      *string
		CreatedBy *string `json:"created_by"`
	}
	alone := posted[made](t, a, "/v1/organizations", `{"name":"Alone"}`)
	ours := posted[made](t, a, "/v1/organizations", `{"name":"Ours","slug":"ours-2","created_by":"`+c.ines.ID+`"}`)
	if alone.Slug != nil || alone.CreatedBy != nil || ours.Slug == nil || *ours.Slug != "ours-2" || ours.CreatedBy == nil || *ours.CreatedBy != c.ines.ID {
		t.Errorf("made %+v and %+v", alone, ours)
	}
	for id, members := range map[string]int64{alone.ID: 0, ours.ID: 1} {
		if got := fetch[list](t, a, "/v1/organizations/"+id+"/memberships"); got.Total != members {
			t.Errorf("%s has %d members, want %d", id, got.Total, members)
		}
	}
	// By its slug it can be read and not deleted.
	if got := a.ask(t, "/v1/organizations/ours-2", withMethod(http.MethodDelete)); got.status != http.StatusNotFound {
		t.Errorf("DELETE by the slug = %d %s, want 404", got.status, got.body)
	}
	got := a.ask(t, "/v1/organizations/"+ours.ID, withMethod(http.MethodDelete))
	if want := `{"id":"` + ours.ID + `","object":"organization","deleted":true,"slug":"ours-2"}`; got.status != http.StatusOK || string(got.body) != want {
		t.Errorf("DELETE = %d %s, want %s", got.status, got.body, want)
	}
	if got := a.ask(t, "/v1/organizations/"+ours.ID, withMethod(http.MethodDelete)); got.status != http.StatusNotFound {
		t.Errorf("the second DELETE = %d %s, want 404", got.status, got.body)
	}
}

func TestAPI_RefusesWrites(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	if _, made := c.CreateSvixApp(); !made {
		t.Fatal("the instance has a Svix app")
	}
	none := serveAPI(t, clerkinstance.New(clerkinstance.Options{Seed: 2}), backendapi.Options{})
	if codes, _ := none.post(t, "/v1/webhooks/svix_url", "").errors(t); !slices.Equal(codes, []string{"svix_app_missing"}) {
		t.Errorf("POST /webhooks/svix_url without a Svix app = %v", codes)
	}
	tests := []struct {
		name    string
		options backendapi.Options
		method  string
		path    string
		body    string
		status  int
		code    string
		param   string
	}{
		{name: "second Svix app", path: "/v1/webhooks/svix", status: 400, code: "svix_app_exists"},
		{name: "sessions of everybody", method: http.MethodGet, path: "/v1/sessions", status: 422, code: "form_param_missing", param: "user_id"},
		{name: "pending sessions", method: http.MethodGet, path: "/v1/sessions?user_id=x&status=pending", status: 422, code: "form_param_value_invalid", param: "status"},
		{name: "many sessions", method: http.MethodGet, path: "/v1/sessions?user_id=x&limit=501", status: 422, code: "form_param_value_too_large", param: "limit"},
		{name: "unknown session", path: "/v1/sessions/sess_x/revoke", status: 404, code: "resource_not_found"},
		{name: "no name", path: "/v1/organizations", body: `{"name":" "}`, status: 422, code: "form_param_missing", param: "name"},
		{name: "long name", path: "/v1/organizations", body: `{"name":"` + strings.Repeat("é", 257) + `"}`, status: 422, code: "form_param_max_length_exceeded", param: "name"},
		{name: "HTML", path: "/v1/organizations", body: `{"name":"<b>"}`, status: 422, code: "form_param_value_invalid", param: "name"},
		{name: "URL", path: "/v1/organizations", body: `{"name":"https://example.com"}`, status: 422, code: "form_param_value_invalid", param: "name"},
		{name: "slug", path: "/v1/organizations", body: `{"name":"A","slug":"A b"}`, status: 422, code: "form_param_format_invalid", param: "slug"},
		{name: "taken slug", path: "/v1/organizations", body: `{"name":"A","slug":"acme"}`, status: 422, code: "form_identifier_exists", param: "slug"},
		{name: "unknown creator", path: "/v1/organizations", body: `{"name":"A","created_by":"user_x"}`, status: 422, code: "form_param_value_invalid", param: "created_by"},
		{name: "unknown organization", method: http.MethodDelete, path: "/v1/organizations/org_x", status: 404, code: "resource_not_found"},
		{
			name: "organizations disabled", options: backendapi.Options{OrganizationsDisabled: true}, path: "/v1/organizations", body: `{"name":"A"}`,
			status: 403, code: "organization_not_enabled_in_instance",
		},
		{
			name: "nothing to delete in", options: backendapi.Options{OrganizationsDisabled: true}, method: http.MethodDelete, path: "/v1/organizations/" + c.organization.ID,
			status: 403, code: "organization_not_enabled_in_instance",
		},
	}
	before := len(c.Snapshot().Organizations)
	for _, test := range tests {
		if test.method == "" {
			test.method = http.MethodPost
		}
		got := serveAPI(t, c.Instance, test.options).post(t, test.path, test.body, withMethod(test.method))
		codes, params := got.errors(t)
		if got.status != test.status || !slices.Equal(codes, []string{test.code}) || params[0] != test.param {
			t.Errorf("%s: %s %s = %d %s, want %d, code %s, param %q", test.name, test.method, test.path, got.status, got.body, test.status, test.code, test.param)
		}
	}
	if after := len(c.Snapshot().Organizations); after != before {
		t.Errorf("%d organizations, want %d as before", after, before)
	}
	if got := serveAPI(t, c.Instance, backendapi.Options{}).ask(t, "/v1/organizations", withMethod(http.MethodPut)); got.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT /organizations allows %q", got.header.Get("Allow"))
	}
}

package managementdouble_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/managementdouble"
	"clerksync/shared/testkit/testdb"
)

// What the published OpenAPI says of each operation (v1, 2026-06): its status, its required members and, after a question
// mark, those that may be missing. Members of a list's elements stand behind "[]", those of an object inside behind its name.
var operations = []struct {
	method, path, body string
	status             int
	permission         string
	members            string
}{
	{"GET", "", "", 200, "project_admin_read", "id ref organization_id organization_slug name region created_at status database database.host database.version database.postgres_engine database.release_channel"},
	{"POST", "/config/auth/third-party-auth", `{"custom_jwks":{"keys":[]}}`, 201, "auth_config_write", "id type inserted_at updated_at ?oidc_issuer_url ?jwks_url ?custom_jwks ?resolved_jwks ?resolved_at"},
	{"GET", "/config/auth/third-party-auth", "", 200, "auth_config_read", "[] id type inserted_at updated_at ?oidc_issuer_url ?jwks_url ?custom_jwks ?resolved_jwks ?resolved_at"},
	{"GET", "/api-keys", "", 200, "api_gateway_keys_read", "[] name ?api_key ?id ?type ?prefix ?description ?hash ?secret_jwt_template ?inserted_at ?updated_at"},
	{"GET", "/config/database/pooler", "", 200, "database_pooling_config_read", "[] identifier database_type is_using_scram_auth db_user db_host db_port db_name connection_string connectionString default_pool_size max_client_conn pool_mode"},
	{"POST", "/database/query", `{"query":"select 1 as one"}`, 201, "database_write", "[] one"},
	{"POST", "/database/query", `{"query":"select 1 as one","read_only":true}`, 201, "database_read", "[] one"},
	{"POST", "/database/query/read-only", `{"query":"select 1 as one"}`, 201, "database_read", "[] one"},
	{"POST", "/cli/login-role", `{"read_only":true}`, 201, "database_write", "role password ttl_seconds"},
	{"DELETE", "/cli/login-role", "", 200, "database_write", "message"},
	{"PATCH", "/database/password", `{"password":"long enough"}`, 200, "database_config_write", "message"},
	{"GET", "/advisors/security", "", 200, "advisors_read", "lints"},
	{"GET", "/advisors/performance", "", 200, "advisors_read", "lints"},
	{"GET", "/postgrest", "", 200, "data_api_config_read", "db_schema max_rows db_extra_search_path db_pool ?jwt_secret"},
	{"GET", "/health?services=db", "", 200, "project_admin_read", "[] name healthy status ?info ?error"},
}

func TestAPI_AnswersInThePublishedShapes(t *testing.T) {
	t.Parallel()
	var all []string
	for _, x := range operations {
		all = append(all, x.permission)
	}
	permissions := map[string][]string{}
	for _, x := range operations {
		permissions["with "+x.permission] = []string{x.permission}
		permissions["without "+x.permission] = slices.DeleteFunc(slices.Clone(all), func(p string) bool { return p == x.permission })
	}
	api := managementdouble.New(managementdouble.Options{Permissions: permissions})
	// The password is set, too.
	server, owner := testdb.NewPasswordServer(t, nil)
	api.Add(managementdouble.Project{
		Ref: project, Database: owner, Platform: server.URL(testdb.ServerDatabase, postgres.Superuser, testdb.SuperuserPassword),
	})
	for _, x := range operations {
		path := "/v1/projects/" + project + x.path
		status, _, content := call(t, api, x.method, path, "with "+x.permission, x.body)
		if status != x.status {
			t.Errorf("%s %s = %d %v, want %d", x.method, x.path, status, content, x.status)
			continue
		}
		names := strings.Fields(x.members)
		if names[0] == "[]" {
			names = names[1:]
			list, ok := content.([]any)
			if !ok || len(list) == 0 {
				t.Errorf("%s %s = %v, want a list", x.method, x.path, content)
				continue
			}
			content = list[0]
		}
		if problem := differs(content, names, ""); problem != "" {
			t.Errorf("%s %s = %v: %s", x.method, x.path, content, problem)
		}
		if x.path == "/database/query" {
			continue // either of two permissions
		}
		if status, _, _ := call(t, api, x.method, path, "without "+x.permission, x.body); status != http.StatusForbidden {
			t.Errorf("%s %s without %s = %d, want 403", x.method, x.path, x.permission, status)
		}
	}
}

// differs says which member is missing or not published.
func differs(content any, names []string, below string) string {
	object, ok := content.(map[string]any)
	if !ok {
		return "it is no object"
	}
	for name, value := range object {
		full := below + name
		if !slices.Contains(names, full) && !slices.Contains(names, "?"+full) {
			return full + " is not published"
		}
		if inner, ok := value.(map[string]any); ok && slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, full+".") }) {
			if problem := differs(inner, names, full+"."); problem != "" {
				return problem
			}
		}
	}
	for _, name := range names {
		rest, isBelow := strings.CutPrefix(name, below)
		if !isBelow || strings.HasPrefix(name, "?") || strings.Contains(rest, ".") {
			continue
		}
		if _, there := object[rest]; !there {
			return name + " is missing"
		}
	}
	return ""
}

func TestAPI_AsksMoreThanReadingOfAQueryThatWrites(t *testing.T) {
	t.Parallel()
	api := managementdouble.New(managementdouble.Options{Permissions: map[string][]string{"sbp_read": {"database_read"}}})
	api.Add(managementdouble.Project{Ref: project, Database: testdb.New(t, testdb.WithoutMigrations()).Owner()})
	for body, want := range map[string]int{
		`{"query":"create table t ()"}`:                           403,
		`{"query":"create table t ()","read_only":true}`:          500,
		`{"query":"select 1","read_only":true}`:                   201,
		`{"query":""}`:                                            403,
		`{"query":"select 1; select 2","read_only":true}`:         201,
		`{"query":"select $1","parameters":[1],"read_only":true}`: 201,
	} {
		if status, _, content := call(t, api, http.MethodPost, "/v1/projects/"+project+"/database/query", "sbp_read", body); status != want {
			t.Errorf("%s = %d %v, want %d", body, status, content, want)
		}
	}
}

package managementdouble

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Project is a project of an account. Ref is required.
type Project struct {
	Ref          string
	Name         string
	Organization string
	// Status is ACTIVE_HEALTHY where it is "".
	Status string
	// Database is the connection string of the Postgres that SQL runs on, as the
	// project's owner; "": there is none.
	Database string
	// Platform is the same of who makes logins and sets the owner's password, a
	// superuser; "": nobody can.
	Platform string
	// Poolers are shown as they are; nil means the two of the shared pooler.
	Poolers []Pooler
	// Exposed are the schemas that the Data API serves; "" means Supabase's own.
	Exposed string
	// Security and Performance are what the advisors say.
	Security, Performance []Lint
}

// Pooler is a pooler as the API shows it.
type Pooler struct {
	Identifier       string `json:"identifier"`
	DatabaseType     string `json:"database_type"`
	SCRAM            bool   `json:"is_using_scram_auth"`
	User             string `json:"db_user"`
	Host             string `json:"db_host"`
	Port             int    `json:"db_port"`
	Name             string `json:"db_name"`
	ConnectionString string `json:"connection_string"`
	// OldConnectionString is the same by its earlier name.
	OldConnectionString string `json:"connectionString"`
	DefaultPoolSize     *int   `json:"default_pool_size"`
	MaxClientConn       *int   `json:"max_client_conn"`
	PoolMode            string `json:"pool_mode"`
}

// Lint is a finding of an advisor.
type Lint struct {
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Level       string            `json:"level"`
	Facing      string            `json:"facing"`
	Categories  []string          `json:"categories"`
	Description string            `json:"description"`
	Detail      string            `json:"detail"`
	Remediation string            `json:"remediation"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	CacheKey    string            `json:"cache_key"`
}

// The states of a project whose services answer.
const (
	active    = "ACTIVE_HEALTHY"
	unhealthy = "ACTIVE_UNHEALTHY"
)

// Add adds a project to the account.
func (a *API) Add(p Project) {
	p = p.whole()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.added = append(a.added, &p)
}

// whole fills in what a test leaves out.
func (p Project) whole() Project {
	p.Status = cmp.Or(p.Status, active)
	p.Organization = cmp.Or(p.Organization, "acme")
	p.Name = cmp.Or(p.Name, p.Ref)
	p.Exposed = cmp.Or(p.Exposed, "public,graphql_public")
	if p.Poolers == nil {
		for _, mode := range []struct {
			name string
			port int
		}{{"transaction", 6543}, {"session", 5432}} {
			pooler := Pooler{
				Identifier: p.Ref, DatabaseType: "PRIMARY", SCRAM: true, User: "postgres." + p.Ref,
				Host: "aws-0-eu-central-1.pooler.supabase.com", Port: mode.port, Name: "postgres", PoolMode: mode.name,
			}
			pooler.ConnectionString = fmt.Sprintf("postgresql://%s:[YOUR-PASSWORD]@%s:%d/postgres", pooler.User, pooler.Host, pooler.Port)
			pooler.OldConnectionString = pooler.ConnectionString
			p.Poolers = append(p.Poolers, pooler)
		}
	}
	return p
}

// SetStatus puts a project into another state.
func (a *API) SetStatus(ref, status string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.added {
		if p.Ref == ref {
			p.Status = status
		}
	}
}

// reach says why a token does not get to a project.
func (a *API) reach(token, ref string) *failure {
	p, there := a.project(ref)
	if !there {
		return &failure{http.StatusNotFound, "Project not found"}
	}
	if organization, bound := a.options.Organizations[token]; bound && p.Organization != organization {
		return &failure{http.StatusForbidden, "Your account does not have the necessary privileges to access this endpoint."}
	}
	return nil
}

// project returns a copy of a project that was added, or one as options have it.
func (a *API) project(ref string) (Project, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.IndexFunc(a.added, func(p *Project) bool { return p.Ref == ref }); i >= 0 {
		return *a.added[i], true
	}
	there := slices.Contains(a.options.Projects, ref) || a.options.Projects == nil && len(a.added) == 0
	return Project{Ref: ref, Status: a.options.Statuses[ref], Exposed: a.options.Schemas, Security: a.options.Lints}.whole(), there
}

func (a *API) projectRoutes() {
	a.route("GET /v1/projects", "projects_read", http.StatusOK, a.listProjects)
	const one = "/v1/projects/{ref}"
	for _, x := range []struct {
		pattern, permission string
		success             int
		// running: the project has to run.
		running bool
		do      func(r *http.Request, p Project) (any, *failure)
	}{
		{"GET " + one, "project_admin_read", http.StatusOK, false, func(_ *http.Request, p Project) (any, *failure) { return shownProject(p), nil }},
		{"GET " + one + "/api-keys", "api_gateway_keys_read", http.StatusOK, false, keys},
		{"GET " + one + "/config/database/pooler", "database_pooling_config_read", http.StatusOK, false, func(_ *http.Request, p Project) (any, *failure) { return p.Poolers, nil }},
		{"POST " + one + "/database/query", "database_write|database_read", http.StatusCreated, true, a.query},
		{"POST " + one + "/database/query/read-only", "database_read", http.StatusCreated, true, a.queryReadOnly},
		{"POST " + one + "/cli/login-role", "database_write", http.StatusCreated, true, createLogin},
		{"DELETE " + one + "/cli/login-role", "database_write", http.StatusOK, true, deleteLogins},
		{"PATCH " + one + "/database/password", "database_config_write", http.StatusOK, true, setPassword},
		{"GET " + one + "/advisors/security", "advisors_read", http.StatusOK, true, func(_ *http.Request, p Project) (any, *failure) { return lints(p.Security), nil }},
		{"GET " + one + "/advisors/performance", "advisors_read", http.StatusOK, true, func(_ *http.Request, p Project) (any, *failure) { return lints(p.Performance), nil }},
		{"GET " + one + "/postgrest", "data_api_config_read", http.StatusOK, false, dataAPI},
		{"GET " + one + "/health", "project_admin_read", http.StatusOK, false, health},
	} {
		a.route(x.pattern, x.permission, x.success, func(r *http.Request) (any, *failure) {
			p, there := a.project(r.PathValue("ref"))
			switch {
			case !there:
				return nil, &failure{http.StatusNotFound, "Project not found"}
			case x.running && p.Status != active && p.Status != unhealthy:
				return nil, &failure{http.StatusBadRequest, "Project is not running: " + p.Status}
			}
			return x.do(r, p)
		})
	}
}

// dataAPI answers PostgrestConfigWithJWTSecretResponse. The real one asks a project that
// is paused, and fails.
func dataAPI(_ *http.Request, p Project) (any, *failure) {
	if p.Status != active && p.Status != unhealthy {
		return nil, &failure{http.StatusInternalServerError, "Failed to retrieve project's postgrest config"}
	}
	return map[string]any{
		"db_schema": p.Exposed, "max_rows": 1000, "db_extra_search_path": "public, extensions", "db_pool": nil,
		"jwt_secret": "not-a-real-secret-of-forty-characters-xx",
	}, nil
}

func (a *API) listProjects(r *http.Request) (any, *failure) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	organization, bound := a.options.Organizations[token]
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []any{}
	for _, p := range a.added {
		if !bound || p.Organization == organization {
			list = append(list, shownProject(*p))
		}
	}
	return list, nil
}

func shownProject(p Project) any {
	return map[string]any{
		"id": p.Ref, "ref": p.Ref, "organization_id": p.Organization, "organization_slug": p.Organization, "name": p.Name,
		"region": "eu-central-1", "created_at": "2026-01-02T03:04:05.678Z", "status": p.Status,
		"database": map[string]any{"host": "db." + p.Ref + ".supabase.co", "version": "17.6.1.011", "postgres_engine": "17", "release_channel": "ga"},
	}
}

func keys(r *http.Request, p Project) (any, *failure) {
	var revealed any
	if reveal, _ := strconv.ParseBool(r.URL.Query().Get("reveal")); reveal {
		revealed = "sb_secret_" + p.Ref
	}
	return []any{
		map[string]any{"api_key": "sb_publishable_" + p.Ref, "id": newUUID(), "type": "publishable", "prefix": "sb_publishable_" + p.Ref[:5], "name": "default", "description": nil, "hash": nil},
		map[string]any{"api_key": revealed, "id": newUUID(), "type": "secret", "prefix": "sb_secret_" + p.Ref[:5], "name": "default", "description": nil, "hash": nil},
	}, nil
}

func lints(list []Lint) any {
	return map[string]any{"lints": append([]Lint{}, list...)}
}

var services = []string{"auth", "db", "db_postgres_user", "pooler", "realtime", "rest", "storage", "pg_bouncer"}

func health(r *http.Request, p Project) (any, *failure) {
	wanted := r.URL.Query()["services"]
	if len(wanted) == 0 {
		return nil, &failure{http.StatusBadRequest, "services must be given"}
	}
	list := []any{}
	for _, name := range wanted {
		if !slices.Contains(services, name) {
			return nil, &failure{http.StatusBadRequest, "services: no such service"}
		}
		status := map[string]string{active: active, "COMING_UP": "COMING_UP"}[p.Status]
		list = append(list, map[string]any{"name": name, "healthy": p.Status == active, "status": cmp.Or(status, "UNHEALTHY")})
	}
	return list, nil
}

// statement is the body of a query.
type statement struct {
	Query      string `json:"query"`
	Parameters []any  `json:"parameters"`
	ReadOnly   bool   `json:"read_only"`
}

func (a *API) query(r *http.Request, p Project) (any, *failure) {
	var s statement
	if fail := readBody(r, &s); fail != nil {
		return nil, fail
	}
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if permissions, fine := a.options.Permissions[token]; !s.ReadOnly && fine && !slices.Contains(permissions, "database_write") {
		return nil, &failure{http.StatusForbidden, "The account may not use this endpoint."}
	}
	return run(r.Context(), p, s)
}

func (a *API) queryReadOnly(r *http.Request, p Project) (any, *failure) {
	var s statement
	if fail := readBody(r, &s); fail != nil {
		return nil, fail
	}
	s.ReadOnly = true
	return run(r.Context(), p, s)
}

func readBody(r *http.Request, into any) *failure {
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(into); err != nil {
		return &failure{http.StatusBadRequest, "the body is not the JSON that is wanted"}
	}
	return nil
}

// run runs a statement and returns the rows of its last result.
func run(ctx context.Context, p Project, s statement) (any, *failure) {
	if s.Query == "" {
		return nil, &failure{http.StatusBadRequest, "query must not be empty"}
	}
	rows := []map[string]any{}
	fail := connected(ctx, p, func(conn *pgx.Conn) error {
		if s.ReadOnly {
			if _, err := conn.Exec(ctx, "set default_transaction_read_only = on"); err != nil {
				return err
			}
		}
		results, err := execute(ctx, conn.PgConn(), s)
		if err != nil || len(results) == 0 {
			return err
		}
		last := results[len(results)-1]
		for _, values := range last.Rows {
			row := map[string]any{}
			for i, field := range last.FieldDescriptions {
				row[field.Name] = decoded(conn, field.DataTypeOID, values[i])
			}
			rows = append(rows, row)
		}
		return nil
	})
	return rows, fail
}

func execute(ctx context.Context, conn *pgconn.PgConn, s statement) ([]*pgconn.Result, error) {
	if len(s.Parameters) == 0 {
		return conn.Exec(ctx, s.Query).ReadAll()
	}
	values := make([][]byte, len(s.Parameters))
	for i, parameter := range s.Parameters {
		switch parameter := parameter.(type) {
		case nil:
		case string:
			values[i] = []byte(parameter)
		default:
			values[i], _ = json.Marshal(parameter) // it was read from JSON
		}
	}
	result := conn.ExecParams(ctx, s.Query, values, nil, nil, nil).Read()
	return []*pgconn.Result{result}, result.Err
}

// decoded is a value as JSON has it: numbers, booleans and JSON as they are, the rest
// as Postgres writes it.
func decoded(conn *pgx.Conn, oid uint32, text []byte) any {
	if text == nil {
		return nil
	}
	if kind, ok := conn.TypeMap().TypeForOID(oid); ok {
		switch kind.Name {
		case "int2", "int4", "float4", "float8", "json", "jsonb":
			if json.Valid(text) {
				return json.RawMessage(text)
			}
		case "bool":
			return string(text) == "t"
		}
	}
	return string(text)
}

// connected runs f on the project's database.
func connected(ctx context.Context, p Project, f func(*pgx.Conn) error) *failure {
	if p.Database == "" {
		return &failure{http.StatusInternalServerError, "Failed to run sql query: there is no database"}
	}
	conn, err := pgx.Connect(ctx, p.Database)
	if err == nil {
		defer conn.Close(context.WithoutCancel(ctx))
		err = f(conn)
	}
	if refused, ok := err.(*pgconn.PgError); ok { //nolint:errorlint // as pgconn returns it
		return &failure{http.StatusInternalServerError, fmt.Sprintf("Failed to run sql query: %s:  %s: %s", refused.Severity, refused.Code, refused.Message)}
	}
	if err != nil {
		return &failure{http.StatusInternalServerError, "Failed to run sql query: Connection terminated"}
	}
	return nil
}

// loginTTL is how long a login of the CLI may log in.
const loginTTL = 5 * time.Minute

// loginName is the project's own here, since test databases share a cluster.
func loginName(p Project, readOnly bool) string {
	if readOnly {
		return "cli_login_read_" + p.Ref
	}
	return "cli_login_" + p.Ref
}

func createLogin(r *http.Request, p Project) (any, *failure) {
	var wanted struct {
		ReadOnly *bool `json:"read_only"`
	}
	if fail := readBody(r, &wanted); fail != nil {
		return nil, fail
	}
	if wanted.ReadOnly == nil {
		return nil, &failure{http.StatusBadRequest, "read_only must be given"}
	}
	name, password := loginName(p, *wanted.ReadOnly), newPassword()
	owner, err := byPlatform(&p)
	if err != nil {
		return nil, &failure{http.StatusInternalServerError, "Failed to create login role"}
	}
	fail := connected(r.Context(), p, func(conn *pgx.Conn) error {
		role := pgx.Identifier{name}.Sanitize()
		_, err := conn.Exec(r.Context(), fmt.Sprintf(`do $$ begin
				if not exists (select from pg_roles where rolname = '%s') then
					create role %s login;
				end if;
				grant %s to %s;
			end $$`, name, role, pgx.Identifier{owner}.Sanitize(), role))
		if err != nil {
			return err
		}
		_, err = conn.Exec(r.Context(), fmt.Sprintf("alter role %s login password '%s' valid until '%s'",
			role, password, time.Now().Add(loginTTL).UTC().Format(time.RFC3339)))
		return err
	})
	return map[string]any{"role": name, "password": password, "ttl_seconds": int64(loginTTL / time.Second)}, fail
}

// byPlatform has the platform do what follows, and returns the name of the owner.
func byPlatform(p *Project) (owner string, err error) {
	config, err := pgx.ParseConfig(p.Database)
	if err != nil || p.Platform == "" {
		return "", errors.Join(err, errors.New("there is no platform"))
	}
	p.Database = p.Platform
	return config.User, nil
}

func deleteLogins(r *http.Request, p Project) (any, *failure) {
	if _, err := byPlatform(&p); err != nil {
		return nil, &failure{http.StatusInternalServerError, "Failed to delete login roles"}
	}
	fail := connected(r.Context(), p, func(conn *pgx.Conn) error {
		for _, readOnly := range []bool{false, true} {
			if _, err := conn.Exec(r.Context(), "drop role if exists "+pgx.Identifier{loginName(p, readOnly)}.Sanitize()); err != nil {
				return err
			}
		}
		return nil
	})
	return map[string]any{"message": "ok"}, fail
}

func setPassword(r *http.Request, p Project) (any, *failure) {
	var wanted struct {
		Password string `json:"password"`
	}
	if fail := readBody(r, &wanted); fail != nil {
		return nil, fail
	}
	const shortest = 4
	if len(wanted.Password) < shortest {
		return nil, &failure{http.StatusBadRequest, "password must have 4 characters or more"}
	}
	owner, err := byPlatform(&p)
	if err != nil {
		return nil, &failure{http.StatusInternalServerError, "Failed to update database password"}
	}
	fail := connected(r.Context(), p, func(conn *pgx.Conn) error {
		var command string
		if err := conn.QueryRow(r.Context(), "select format('alter role %I password %L', $1::text, $2::text)", owner, wanted.Password).Scan(&command); err != nil {
			return err
		}
		_, err := conn.Exec(r.Context(), command)
		return err
	})
	return map[string]any{"message": "ok"}, fail
}

func newPassword() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Halve answers with the first half of what next answers, and then breaks off: an
// [Options.Intercept], or a part of one.
func Halve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	whole := httptest.NewRecorder()
	next.ServeHTTP(whole, r)
	maps.Copy(w.Header(), whole.Header())
	body := whole.Body.Bytes()
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(whole.Code)
	_, _ = w.Write(body[:len(body)/2]) // a client that hung up does not need it
}

package management

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ProjectStatus is the state a project is in.
type ProjectStatus string

// The states that are told apart here. There are more, such as UPGRADING and RESIZING.
const (
	StatusActive    ProjectStatus = "ACTIVE_HEALTHY"
	StatusUnhealthy ProjectStatus = "ACTIVE_UNHEALTHY"
	StatusPaused    ProjectStatus = "INACTIVE"
	StatusPausing   ProjectStatus = "PAUSING"
	StatusRestoring ProjectStatus = "RESTORING"
	StatusComingUp  ProjectStatus = "COMING_UP"
	StatusGoingDown ProjectStatus = "GOING_DOWN"
	StatusRemoved   ProjectStatus = "REMOVED"
)

// Project is a project as the API shows it.
type Project struct {
	Ref          string
	Name         string
	Organization string
	Region       string
	Status       ProjectStatus
	// DatabaseHost is where the database is without a pooler, db.<ref>.supabase.co.
	DatabaseHost string
	// DatabaseVersion is Postgres's, such as 17.6.1.011.
	DatabaseVersion string
	CreatedAt       time.Time
}

// UnmarshalJSON reads any object.
func (p *Project) UnmarshalJSON(text []byte) error {
	o, err := readObject(text)
	if err != nil {
		return err
	}
	database := member[object](o, "database")
	*p = Project{
		Ref: o.text("ref"), Name: o.text("name"), Organization: o.text("organization_slug"), Region: o.text("region"),
		Status: ProjectStatus(o.text("status")), DatabaseHost: database.text("host"), DatabaseVersion: database.text("version"),
		CreatedAt: o.time("created_at"),
	}
	if p.Ref == "" { // The member's earlier name.
		p.Ref = o.text("id")
	}
	return nil
}

// Projects lists the projects that the token may see.
func (c *Client) Projects(ctx context.Context) ([]Project, error) {
	var list []Project
	err := c.do(ctx, call{
		doing: "listing the projects", permission: "projects_read", scope: "projects:read",
		method: http.MethodGet, path: "/v1/projects", repeats: true, wanted: "a list of projects", most: maxRows,
	}, &list)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Project reads one project.
func (c *Client) Project(ctx context.Context, ref string) (Project, error) {
	var project Project
	err := c.get(ctx, ref, call{doing: "reading the project", permission: "project_admin_read", scope: "projects:read", wanted: "a project"}, &project)
	return project, err
}

// get reads what is below a project.
func (c *Client) get(ctx context.Context, ref string, x call, into any) error {
	if err := CheckRef(ref); err != nil {
		return err
	}
	x.method, x.path, x.repeats = http.MethodGet, "/v1/projects/"+url.PathEscape(ref)+x.path, true
	return c.do(ctx, x, into)
}

// APIKey is a key of the project's API, without the key itself.
type APIKey struct {
	ID   string
	Name string
	// Type is legacy, publishable or secret.
	Type string
	// Prefix is how the key begins.
	Prefix string
}

// UnmarshalJSON reads any object.
func (k *APIKey) UnmarshalJSON(text []byte) error {
	o, err := readObject(text)
	if err != nil {
		return err
	}
	*k = APIKey{ID: o.text("id"), Name: o.text("name"), Type: o.text("type"), Prefix: o.text("prefix")}
	return nil
}

// APIKeys lists the project's keys. None is revealed.
func (c *Client) APIKeys(ctx context.Context, ref string) ([]APIKey, error) {
	var list []APIKey
	err := c.get(ctx, ref, call{
		doing: "listing the API keys", permission: "api_gateway_keys_read", scope: "secrets:read", path: "/api-keys", wanted: "a list of keys",
	}, &list)
	return list, err
}

// Pooler is a connection pooler of the project's database.
type Pooler struct {
	// Type is PRIMARY or READ_REPLICA.
	Type string
	// Mode is transaction or session.
	Mode string
	User string
	Host string
	Port int
	Name string
}

// UnmarshalJSON reads any object.
func (p *Pooler) UnmarshalJSON(text []byte) error {
	o, err := readObject(text)
	if err != nil {
		return err
	}
	*p = Pooler{
		Type: o.text("database_type"), Mode: o.text("pool_mode"), User: o.text("db_user"), Host: o.text("db_host"),
		Port: member[int](o, "db_port"), Name: o.text("db_name"),
	}
	return nil
}

// Poolers lists the poolers of the project's databases.
func (c *Client) Poolers(ctx context.Context, ref string) ([]Pooler, error) {
	var list []Pooler
	err := c.get(ctx, ref, call{
		doing: "reading the pooler's address", permission: "database_pooling_config_read", scope: "database:read",
		path: "/config/database/pooler", wanted: "a list of poolers",
	}, &list)
	return list, err
}

// DataAPI is how PostgREST serves the project.
type DataAPI struct {
	// Schemas are those that it serves; none where it is switched off.
	Schemas []string
	MaxRows int
}

// UnmarshalJSON reads any object.
func (d *DataAPI) UnmarshalJSON(text []byte) error {
	o, err := readObject(text)
	if err != nil {
		return err
	}
	*d = DataAPI{MaxRows: member[int](o, "max_rows")}
	for schema := range strings.SplitSeq(o.text("db_schema"), ",") {
		if schema = strings.TrimSpace(schema); schema != "" {
			d.Schemas = append(d.Schemas, schema)
		}
	}
	return nil
}

// DataAPI reads how PostgREST serves the project.
func (c *Client) DataAPI(ctx context.Context, ref string) (DataAPI, error) {
	var d DataAPI
	err := c.get(ctx, ref, call{
		doing: "reading the Data API's settings", permission: "data_api_config_read", scope: "rest:read", path: "/postgrest", wanted: "settings of the Data API",
	}, &d)
	return d, err
}

// Service is the health of one of the project's services.
type Service struct {
	Name    string
	Healthy bool
	// Status is COMING_UP, ACTIVE_HEALTHY or UNHEALTHY.
	Status string
}

// UnmarshalJSON reads any object.
func (s *Service) UnmarshalJSON(text []byte) error {
	o, err := readObject(text)
	if err != nil {
		return err
	}
	*s = Service{Name: o.text("name"), Healthy: member[bool](o, "healthy"), Status: o.text("status")}
	return nil
}

// Health asks for the health of services, such as auth, db, pooler and rest.
func (c *Client) Health(ctx context.Context, ref string, services ...string) ([]Service, error) {
	query := url.Values{"services": services}
	var list []Service
	err := c.get(ctx, ref, call{
		doing: "reading the services' health", permission: "project_admin_read", scope: "projects:read",
		path: "/health?" + query.Encode(), wanted: "a list of services",
	}, &list)
	return list, err
}

// Advice is one finding of Supabase's own linter.
type Advice struct {
	Name  string
	Title string
	// Level is ERROR, WARN or INFO.
	Level       string
	Detail      string
	Remediation string
	// Schema and Object are what it is about, "" where it says neither.
	Schema, Object string
	// Key tells findings apart.
	Key string
}

// UnmarshalJSON reads any object.
func (a *Advice) UnmarshalJSON(text []byte) error {
	o, err := readObject(text)
	if err != nil {
		return err
	}
	about := member[object](o, "metadata")
	*a = Advice{
		Name: o.text("name"), Title: o.text("title"), Level: o.text("level"), Detail: o.text("detail"), Remediation: o.text("remediation"),
		Schema: about.text("schema"), Object: about.text("name"), Key: o.text("cache_key"),
	}
	return nil
}

// SecurityAdvice is what Supabase's advisor says about security.
func (c *Client) SecurityAdvice(ctx context.Context, ref string) ([]Advice, error) {
	return c.advice(ctx, ref, "security")
}

// PerformanceAdvice is what Supabase's advisor says about performance.
func (c *Client) PerformanceAdvice(ctx context.Context, ref string) ([]Advice, error) {
	return c.advice(ctx, ref, "performance")
}

func (c *Client) advice(ctx context.Context, ref, subject string) ([]Advice, error) {
	var answer struct {
		Lints []Advice `json:"lints"`
	}
	err := c.get(ctx, ref, call{
		doing: "asking Supabase's advisor about " + subject, permission: "advisors_read", scope: "database:read",
		path: "/advisors/" + subject, wanted: "a list of advice", most: maxRows, limit: queryLimit,
	}, &answer)
	return answer.Lints, err
}

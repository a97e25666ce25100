package management

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"clerksync/shared/secret"
)

// Query is a statement for the project's database. Its values go as Parameters, $1 and on.
type Query struct {
	SQL        string
	Parameters []any
}

// Run runs a statement as the project's owner and decodes its rows, a list of objects, into what rows points to; nil: they
// are not looked at. A statement that Postgres refuses is an [*Error] with its SQLState.
func (c *Client) Run(ctx context.Context, ref string, q Query, rows any) error {
	return c.query(ctx, ref, q, rows, call{
		doing: "running SQL", permission: "database_write", scope: "database:write", path: "/database/query",
	})
}

// Read is [Client.Run] for statements that change nothing; Postgres refuses any that would.
func (c *Client) Read(ctx context.Context, ref string, q Query, rows any) error {
	return c.query(ctx, ref, q, rows, call{
		doing: "reading by SQL", permission: "database_read", scope: "database:read", path: "/database/query/read-only", repeats: true,
	})
}

func (c *Client) query(ctx context.Context, ref string, q Query, rows any, x call) error {
	type body struct {
		Query      string `json:"query"`
		Parameters []any  `json:"parameters,omitempty"`
	}
	x.body, x.most, x.limit, x.wanted = body{q.SQL, q.Parameters}, maxRows, queryLimit, "a list of rows"
	return c.send(ctx, ref, http.MethodPost, x, rows)
}

// send is for what is below a project and is not read.
func (c *Client) send(ctx context.Context, ref, method string, x call, into any) error {
	if err := CheckRef(ref); err != nil {
		return err
	}
	x.method, x.path = method, "/v1/projects/"+url.PathEscape(ref)+x.path
	return c.do(ctx, x, into)
}

// LoginRole is a short-lived login to the project's database.
type LoginRole struct {
	Role     string
	Password secret.Value
	// TTL is how long it may log in.
	TTL time.Duration
}

// UnmarshalJSON reads any object.
func (l *LoginRole) UnmarshalJSON(text []byte) error {
	o, err := readObject(text)
	if err != nil {
		return err
	}
	*l = LoginRole{
		Role: o.text("role"), Password: secret.New(o.text("password")),
		TTL: time.Duration(min(max(member[int64](o, "ttl_seconds"), 0), 1<<20)) * time.Second,
	}
	return nil
}

// CreateLoginRole makes a login that needs no person's password. It may set role postgres, or only read.
func (c *Client) CreateLoginRole(ctx context.Context, ref string, readOnly bool) (LoginRole, error) {
	var role LoginRole
	err := c.send(ctx, ref, http.MethodPost, call{
		doing: "making a short-lived login", permission: "database_write", scope: "database:write", path: "/cli/login-role",
		body: map[string]bool{"read_only": readOnly}, wanted: "a login",
	}, &role)
	return role, err
}

// DeleteLoginRoles ends every login of this kind, those of the Supabase CLI too.
func (c *Client) DeleteLoginRoles(ctx context.Context, ref string) error {
	return c.send(ctx, ref, http.MethodDelete, call{
		doing: "ending the short-lived logins", permission: "database_write", scope: "database:write", path: "/cli/login-role", repeats: true,
	}, nil)
}

// SetDatabasePassword gives the role postgres another password. Everything that connects with the earlier one is refused
// from then on.
func (c *Client) SetDatabasePassword(ctx context.Context, ref string, password secret.Value) error {
	return c.send(ctx, ref, http.MethodPatch, call{
		doing: "setting the database password", permission: "database_config_write", scope: "database:write", path: "/database/password",
		body: map[string]string{"password": password.Reveal()}, repeats: true,
	}, nil)
}

package management_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/secret"
	"clerksync/shared/supabase/management"
	"clerksync/shared/testkit/managementdouble"
	"clerksync/shared/testkit/testdb"
)

// inMemory hands requests to a handler, so that they work in a bubble.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, r)
	return w.Result(), nil
}

// clientOf returns a client of a handler.
func clientOf(t *testing.T, handler http.Handler) *management.Client {
	t.Helper()
	c, err := management.New(management.Options{
		Token: secret.New(managementToken), URL: "https://api.example.com", HTTPClient: &http.Client{Transport: inMemory{handler}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func doubleOf(t *testing.T, o managementdouble.Options, p managementdouble.Project) (*management.Client, *managementdouble.API) {
	t.Helper()
	api := managementdouble.New(o)
	p.Ref = managedProject
	api.Add(p)
	return clientOf(t, api), api
}

func TestClient_ReadsWhatTheDoublePublishes(t *testing.T) {
	t.Parallel()
	c, _ := doubleOf(t, managementdouble.Options{}, managementdouble.Project{
		Name: "Shop", Status: "ACTIVE_UNHEALTHY", Exposed: "public, shop",
	})
	ctx := t.Context()
	want := management.Project{
		Ref: managedProject, Name: "Shop", Organization: "acme", Region: "eu-central-1", Status: management.StatusUnhealthy,
		DatabaseHost: "db." + managedProject + ".supabase.co", DatabaseVersion: "17.6.1.011",
		CreatedAt: time.Date(2026, time.January, 2, 3, 4, 5, 678000000, time.UTC),
	}
	if got, err := c.Project(ctx, managedProject); err != nil || got != want {
		t.Errorf("Project = %+v, %v, want %+v", got, err, want)
	}
	if got, err := c.Projects(ctx); err != nil || !slices.Equal(got, []management.Project{want}) {
		t.Errorf("Projects = %+v, %v", got, err)
	}
	poolers, err := c.Poolers(ctx, managedProject)
	wantPooler := management.Pooler{
		Type: "PRIMARY", Mode: "transaction", User: "postgres." + managedProject, Host: "aws-0-eu-central-1.pooler.supabase.com", Port: 6543, Name: "postgres",
	}
	if err != nil || len(poolers) != 2 || poolers[0] != wantPooler {
		t.Errorf("Poolers = %+v, %v, want %+v first", poolers, err, wantPooler)
	}
	if got, err := c.DataAPI(ctx, managedProject); err != nil || !slices.Equal(got.Schemas, []string{"public", "shop"}) || got.MaxRows != 1000 {
		t.Errorf("DataAPI = %+v, %v", got, err)
	}
	if got, err := c.Health(ctx, managedProject, "db", "rest"); err != nil || !slices.Equal(got, []management.Service{{Name: "db", Status: "UNHEALTHY"}, {Name: "rest", Status: "UNHEALTHY"}}) {
		t.Errorf("Health = %+v, %v", got, err)
	}
	keys, err := c.APIKeys(ctx, managedProject)
	if err != nil || len(keys) != 2 || keys[1].Type != "secret" || keys[1].Prefix != "sb_secret_abcde" {
		t.Errorf("APIKeys = %+v, %v", keys, err)
	}
}

func TestClient_ReadsAdvice(t *testing.T) {
	t.Parallel()
	c, _ := doubleOf(t, managementdouble.Options{}, managementdouble.Project{
		Security: []managementdouble.Lint{{
			Name: "rls_disabled_in_public", Title: "RLS Disabled in Public", Level: "ERROR", Facing: "EXTERNAL", Categories: []string{"SECURITY"},
			Detail: "Table `public.notes`", Remediation: "https://supabase.com/docs", Metadata: map[string]string{"schema": "public", "name": "notes"}, CacheKey: "rls_disabled_in_public_public_notes",
		}},
	})
	got, err := c.SecurityAdvice(t.Context(), managedProject)
	want := []management.Advice{{
		Name: "rls_disabled_in_public", Title: "RLS Disabled in Public", Level: "ERROR", Detail: "Table `public.notes`",
		Remediation: "https://supabase.com/docs", Schema: "public", Object: "notes", Key: "rls_disabled_in_public_public_notes",
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("SecurityAdvice, %v (-want +got):\n%s", err, diff)
	}
	if got, err := c.PerformanceAdvice(t.Context(), managedProject); err != nil || len(got) != 0 {
		t.Errorf("PerformanceAdvice = %+v, %v, want none", got, err)
	}
}

func TestClient_RegistersAndRemovesProviders(t *testing.T) {
	t.Parallel()
	url := issuer(t, `{"keys":[{"kid":"ins_1"}]}`)
	c, api := doubleOf(t, managementdouble.Options{}, managementdouble.Project{})
	ctx := t.Context()
	made, err := c.Register(ctx, managedProject, management.Registration{OIDCIssuerURL: url})
	if err != nil || made.OIDCIssuerURL != url || string(made.ResolvedJWKS) != `{"keys":[{"kid":"ins_1"}]}` {
		t.Fatalf("Register = %+v, %v", made, err)
	}
	if got, err := c.Provider(ctx, managedProject, made.ID); err != nil || got.ID != made.ID {
		t.Errorf("Provider = %+v, %v", got, err)
	}
	if got, err := c.ThirdPartyAuth(ctx, managedProject); err != nil || len(got) != 1 || got[0].ID != made.ID {
		t.Errorf("ThirdPartyAuth = %+v, %v", got, err)
	}
	if err := c.Unregister(ctx, managedProject, made.ID); err != nil || len(api.Providers(managedProject)) != 0 {
		t.Errorf("Unregister = %v, %d left", err, len(api.Providers(managedProject)))
	}
	err = c.Unregister(ctx, managedProject, made.ID)
	if !errors.Is(err, management.ErrNotFound) || !strings.Contains(err.Error(), "no such third-party provider") {
		t.Errorf("Unregister again = %v, want that there is no such provider", err)
	}
}

func TestClient_SeesKeysThatAreResolvedLater(t *testing.T) {
	t.Parallel()
	url := issuer(t, `{"keys":[]}`)
	c, api := doubleOf(t, managementdouble.Options{}, managementdouble.Project{})
	api.ResolveLater(2) // the answer to the registration is the first
	made, err := c.Register(t.Context(), managedProject, management.Registration{OIDCIssuerURL: url})
	if err != nil || made.ResolvedJWKS != nil {
		t.Fatalf("Register = %+v, %v, want no keys", made, err)
	}
	for read, want := range []bool{false, true} {
		got, err := c.Provider(t.Context(), managedProject, made.ID)
		if err != nil || (got.ResolvedJWKS != nil) != want {
			t.Errorf("read %d: keys %s, %v, want some: %v", read, got.ResolvedJWKS, err, want)
		}
	}
}

func TestClient_RunsSQL(t *testing.T) {
	t.Parallel()
	c, _ := doubleOf(t, managementdouble.Options{}, managementdouble.Project{Database: testdb.New(t, testdb.WithoutMigrations()).Owner()})
	ctx := t.Context()
	if err := c.Run(ctx, managedProject, management.Query{SQL: "create table notes (id int, body jsonb); insert into notes values (7, '{\"a\":1}')"}, nil); err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		ID   int            `json:"id"`
		Body map[string]int `json:"body"`
	}
	if err := c.Read(ctx, managedProject, management.Query{SQL: "select id, body from notes where id = $1", Parameters: []any{7}}, &rows); err != nil || len(rows) != 1 || rows[0].Body["a"] != 1 {
		t.Errorf("Read = %+v, %v", rows, err)
	}
	for sql, state := range map[string]string{"select hidden from nowhere": "42P01", "drop table notes": "25006"} {
		err := c.Read(ctx, managedProject, management.Query{SQL: sql}, nil)
		failure, ok := errors.AsType[*management.Error](err)
		if !ok || failure.SQLState() != state || !errors.Is(err, management.ErrRefused) || strings.Contains(err.Error(), "nowhere") {
			t.Errorf("Read(%q) = %v, want %s and no part of the statement", sql, err, state)
		}
	}
}

func TestClient_MakesAShortLivedLoginThatWorks(t *testing.T) {
	t.Parallel()
	server, owner := testdb.NewPasswordServer(t, nil)
	c, _ := doubleOf(t, managementdouble.Options{}, managementdouble.Project{
		Database: owner, Platform: server.URL(testdb.ServerDatabase, postgres.Superuser, testdb.SuperuserPassword),
	})
	ctx := t.Context()
	login, err := c.CreateLoginRole(ctx, managedProject, false)
	if err != nil || login.TTL != 5*time.Minute || strings.Contains(fmt.Sprintf("%+v", login), login.Password.Reveal()) {
		t.Fatalf("CreateLoginRole = %+v, %v", login, err)
	}
	config, err := pgx.ParseConfig(owner)
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password = login.Role, login.Password.Reveal()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	// What it makes is the owner's.
	if _, err := conn.Exec(ctx, "set role "+postgres.Owner); err != nil {
		t.Error(err)
	}
	_ = conn.Close(ctx)
	if err := c.DeleteLoginRoles(ctx, managedProject); err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.ConnectConfig(ctx, config); err == nil {
		_ = conn.Close(ctx)
		t.Error("the login works after it was deleted")
	}
}

func TestClient_NamesCallPermissionAndNextStep(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	calls := []struct {
		permission string
		do         func(c *management.Client) error
	}{
		{"projects_read", func(c *management.Client) error { _, err := c.Projects(ctx); return err }},
		{"project_admin_read", func(c *management.Client) error { _, err := c.Project(ctx, managedProject); return err }},
		{"project_admin_read", func(c *management.Client) error { _, err := c.Health(ctx, managedProject, "db"); return err }},
		{"auth_config_read", func(c *management.Client) error { _, err := c.ThirdPartyAuth(ctx, managedProject); return err }},
		{"auth_config_write", func(c *management.Client) error {
			_, err := c.Register(ctx, managedProject, management.Registration{OIDCIssuerURL: "https://clerk.example.com"})
			return err
		}},
		{"api_gateway_keys_read", func(c *management.Client) error { _, err := c.APIKeys(ctx, managedProject); return err }},
		{"database_pooling_config_read", func(c *management.Client) error { _, err := c.Poolers(ctx, managedProject); return err }},
		{"database_write", func(c *management.Client) error {
			return c.Run(ctx, managedProject, management.Query{SQL: "select 1"}, nil)
		}},
		{"database_read", func(c *management.Client) error {
			return c.Read(ctx, managedProject, management.Query{SQL: "select 1"}, nil)
		}},
		{"database_write", func(c *management.Client) error { _, err := c.CreateLoginRole(ctx, managedProject, true); return err }},
		{"database_config_write", func(c *management.Client) error {
			return c.SetDatabasePassword(ctx, managedProject, secret.New("hidden-password"))
		}},
		{"advisors_read", func(c *management.Client) error { _, err := c.SecurityAdvice(ctx, managedProject); return err }},
		{"data_api_config_read", func(c *management.Client) error { _, err := c.DataAPI(ctx, managedProject); return err }},
	}
	for _, x := range calls {
		// A token with every other permission.
		var others []string
		for _, y := range calls {
			if y.permission != x.permission && x.permission != "database_write" {
				others = append(others, y.permission)
			}
		}
		c, _ := doubleOf(t, managementdouble.Options{Permissions: map[string][]string{managementToken: others}}, managementdouble.Project{})
		err := x.do(c)
		if !errors.Is(err, management.ErrForbidden) || !strings.Contains(err.Error(), "it needs the permission "+x.permission+" ") ||
			strings.Contains(err.Error(), "sbp_") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want it to name the permission and no secret", x.permission, err)
		}
	}
}

func TestClient_TellsRefusalsApart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		options managementdouble.Options
		project managementdouble.Project
		ref     string
		want    error
	}{
		{"expired token", managementdouble.Options{Tokens: map[string]managementdouble.Access{}}, managementdouble.Project{}, managedProject, management.ErrToken},
		{"token of another organization", managementdouble.Options{Organizations: map[string]string{managementToken: "other"}}, managementdouble.Project{}, managedProject, management.ErrForbidden},
		{"absent project", managementdouble.Options{}, managementdouble.Project{}, "zyxwvutsrqponmlkjihg", management.ErrNotFound},
		{"paused project", managementdouble.Options{}, managementdouble.Project{Status: "INACTIVE"}, managedProject, management.ErrRefused},
	} {
		c, _ := doubleOf(t, tt.options, tt.project)
		if err := c.Read(t.Context(), tt.ref, management.Query{SQL: "select 1"}, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	c, _ := doubleOf(t, managementdouble.Options{}, managementdouble.Project{})
	if _, err := c.Project(t.Context(), "../organizations"); err == nil || !strings.Contains(err.Error(), "20 lower-case letters") {
		t.Errorf("Project of what is no reference = %v", err)
	}
}

func TestClient_WaitsForANewMinuteWhenToldSoAndWhenNot(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"", "40"} {
		synctest.Test(t, func(t *testing.T) {
			var requests atomic.Int32
			start := time.Now()
			c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				if time.Since(start) < 35*time.Second {
					if after != "" {
						w.Header().Set("Retry-After", after)
					}
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				w.WriteHeader(http.StatusCreated)
				fmt.Fprint(w, `{"id":"1"}`)
			}))
			// A refusal has done nothing, so that also what must not happen twice is sent again.
			made, err := c.Register(t.Context(), managedProject, management.Registration{OIDCIssuerURL: "https://clerk.example.com"})
			if err != nil || made.ID != "1" || requests.Load() > 6 {
				t.Errorf("Retry-After %q: %+v, %v after %d requests, want an answer after a few", after, made, err, requests.Load())
			}
		})
	}
}

func TestClient_EndsWithItsPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
		start := time.Now()
		_, err := c.Projects(t.Context())
		if !errors.Is(err, management.ErrLimited) || time.Since(start) > 2*time.Minute {
			t.Errorf("Projects = %v after %s, want ErrLimited within two minutes", err, time.Since(start))
		}
	})
}

func TestClient_SendsNothingTwiceThatMayHaveWorked(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	double := managementdouble.New(managementdouble.Options{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		managementdouble.Halve(w, r, double)
	}))
	t.Cleanup(server.Close)
	c, err := management.New(management.Options{Token: secret.New(managementToken), URL: server.URL, Attempts: 3})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Register(t.Context(), managedProject, management.Registration{OIDCIssuerURL: issuer(t, `{"keys":[]}`)})
	if !errors.Is(err, management.ErrUnavailable) || !strings.Contains(err.Error(), "may have worked") || requests.Load() != 1 {
		t.Errorf("Register = %v after %d requests, want one and a warning", err, requests.Load())
	}
	if len(double.Providers(managedProject)) != 1 {
		t.Errorf("%d providers, want the one whose answer was lost", len(double.Providers(managedProject)))
	}
	if _, err := c.ThirdPartyAuth(t.Context(), managedProject); !errors.Is(err, management.ErrUnavailable) || requests.Load() != 4 {
		t.Errorf("ThirdPartyAuth = %v after %d requests more, want three attempts", err, requests.Load()-1)
	}
}

func TestClient_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone home"))
	if _, err := c.Projects(ctx); err == nil {
		t.Error("a call of a context that has ended works")
	}
}

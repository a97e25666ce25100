package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	svix "github.com/svix/svix-webhooks/go" //nolint:depguard // the handler that tutorials teach verifies with the library itself
)

// naiveTables are what tutorials tell you to create.
const naiveTables = `
create schema naive;
create table naive.users (
  id text primary key, email text, username text, first_name text, last_name text, image_url text,
  public_metadata jsonb, created_at bigint, updated_at bigint);
create table naive.organizations (id text primary key, name text, slug text, image_url text, created_at bigint, updated_at bigint);
create table naive.organization_memberships (
  id text primary key,
  organization_id text not null references naive.organizations (id),
  user_id text not null references naive.users (id),
  role text, created_at bigint, updated_at bigint);
create index on naive.organization_memberships (user_id);
create index on naive.organization_memberships (organization_id)`

const naiveRows = `
insert into naive.users
select clerk_id, email, username, first_name, last_name, avatar_url, metadata,
       extract(epoch from created_at) * 1000, extract(epoch from updated_at) * 1000
from public.users;
insert into naive.organizations
select clerk_org_id, name, slug, logo_url, extract(epoch from created_at) * 1000, extract(epoch from updated_at) * 1000
from public.organizations;
insert into naive.organization_memberships
select clerk_membership_id, clerk_org_id, clerk_user_id, role,
       extract(epoch from created_at) * 1000, extract(epoch from updated_at) * 1000
from public.organization_memberships`

// naive is the handler that tutorials teach: verify, look the row up, then
// insert or update it, one statement after the other. It does less than ours:
// it records no deliveries and so repeats duplicates, lets whatever comes last
// win, brings deleted rows back, keeps fewer columns, logs and measures nothing.
// The benchmarks report both as they are.
type naive struct {
	webhook *svix.Webhook
	pool    *pgxpool.Pool
}

// newNaive makes a handler with a pool of its own, as each running instance of
// a function has. Apart from the mode, which a transaction pooler dictates, the
// pool is as pgx makes it.
func newNaive(b *testing.B, connString string) *naive {
	b.Helper()
	config, err := pgxpool.ParseConfig(connString)
	if err != nil {
		b.Fatal(err)
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool, err := pgxpool.NewWithConfig(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	webhook, err := svix.NewWebhook(signingSecret)
	if err != nil {
		b.Fatal(err)
	}
	return &naive{webhook, pool}
}

type naiveUser struct {
	ID                    string  `json:"id"`
	Username              *string `json:"username"`
	FirstName             *string `json:"first_name"`
	LastName              *string `json:"last_name"`
	ImageURL              string  `json:"image_url"`
	PrimaryEmailAddressID string  `json:"primary_email_address_id"`
	EmailAddresses        []struct {
		ID           string `json:"id"`
		EmailAddress string `json:"email_address"`
	} `json:"email_addresses"`
	PublicMetadata json.RawMessage `json:"public_metadata"`
	CreatedAt      int64           `json:"created_at"`
	UpdatedAt      int64           `json:"updated_at"`
}

type naiveMembership struct {
	ID             string `json:"id"`
	Role           string `json:"role"`
	Organization   struct{ ID string }
	PublicUserData struct {
		UserID string `json:"user_id"`
	} `json:"public_user_data"`
	CreatedAt int64 `json:"created_at"`
	UpdatedAt int64 `json:"updated_at"`
}

func (n *naive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	if err := n.webhook.Verify(body, r.Header); err != nil {
		http.Error(w, "bad signature", http.StatusUnauthorized)
		return
	}
	var event struct {
		Type string
		Data json.RawMessage
	}
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	switch event.Type {
	case "user.created", "user.updated":
		err = n.syncUser(r.Context(), event.Data)
	case "organizationMembership.created", "organizationMembership.updated":
		err = n.syncMembership(r.Context(), event.Data)
	default:
		err = errors.New("unknown type")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (n *naive) syncUser(ctx context.Context, data []byte) error {
	var u naiveUser
	if err := json.Unmarshal(data, &u); err != nil {
		return err
	}
	var email *string
	for _, address := range u.EmailAddresses {
		if address.ID == u.PrimaryEmailAddressID {
			email = &address.EmailAddress
		}
	}
	known, err := n.knows(ctx, `select id from naive.users where id = $1`, u.ID)
	if err != nil {
		return err
	}
	sql := `insert into naive.users (id, email, username, first_name, last_name, image_url, public_metadata, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		on conflict (id) do update set email = $2, username = $3, first_name = $4, last_name = $5, image_url = $6,
			public_metadata = $7, updated_at = $9`
	if known {
		sql = `update naive.users set email = $2, username = $3, first_name = $4, last_name = $5, image_url = $6,
			public_metadata = $7, created_at = $8, updated_at = $9 where id = $1`
	}
	_, err = n.pool.Exec(ctx, sql,
		u.ID, email, u.Username, u.FirstName, u.LastName, u.ImageURL, u.PublicMetadata, u.CreatedAt, u.UpdatedAt)
	return err
}

func (n *naive) syncMembership(ctx context.Context, data []byte) error {
	var m naiveMembership
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	if known, err := n.knows(ctx, `select id from naive.users where id = $1`, m.PublicUserData.UserID); err != nil || !known {
		return errors.Join(err, errors.New("looking up the user"))
	}
	if known, err := n.knows(ctx, `select id from naive.organizations where id = $1`, m.Organization.ID); err != nil || !known {
		return errors.Join(err, errors.New("looking up the organization"))
	}
	_, err := n.pool.Exec(ctx, `
		insert into naive.organization_memberships (id, organization_id, user_id, role, created_at, updated_at)
		values ($1, $2, $3, $4, $5, $6)
		on conflict (id) do update set role = $4, updated_at = $6`,
		m.ID, m.Organization.ID, m.PublicUserData.UserID, m.Role, m.CreatedAt, m.UpdatedAt)
	return err
}

func (n *naive) knows(ctx context.Context, sql, id string) (bool, error) {
	var found string
	err := n.pool.QueryRow(ctx, sql, id).Scan(&found)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

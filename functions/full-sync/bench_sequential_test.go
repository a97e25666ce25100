package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
)

// sequentialTables are what tutorials tell you to create, without the foreign
// keys that would ask for the whole instance.
const sequentialTables = `
create schema naive;
create table naive.users (
  id text primary key, email text, username text, first_name text, last_name text, image_url text,
  public_metadata jsonb, created_at bigint, updated_at bigint);
create table naive.organizations (id text primary key, name text, slug text, image_url text, created_at bigint, updated_at bigint);
create table naive.organization_memberships (
  id text primary key, organization_id text not null, user_id text not null, role text, created_at bigint, updated_at bigint);
create index on naive.organization_memberships (user_id);
create index on naive.organization_memberships (organization_id)`

// sequential is the backfill that tutorials teach: one page after the other by
// offset, and of each page one row after the other. It knows no rate limit, no
// order among what it reads and what webhooks write meanwhile, and nothing of
// what is gone. Its pages are as long as Clerk allows, which few tutorials say.
type sequential struct {
	client *http.Client
	url    string
	conn   *pgx.Conn
}

type sequentialUser struct {
	ID                    string  `json:"id"`
	Username              *string `json:"username"`
	FirstName             *string `json:"first_name"`
	LastName              *string `json:"last_name"`
	ImageURL              string  `json:"image_url"`
	PrimaryEmailAddressID *string `json:"primary_email_address_id"`
	EmailAddresses        []struct {
		ID           string `json:"id"`
		EmailAddress string `json:"email_address"`
	} `json:"email_addresses"`
	PublicMetadata json.RawMessage `json:"public_metadata"`
	CreatedAt      int64           `json:"created_at"`
	UpdatedAt      int64           `json:"updated_at"`
}

type sequentialOrganization struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Slug      *string `json:"slug"`
	ImageURL  string  `json:"image_url"`
	CreatedAt int64   `json:"created_at"`
	UpdatedAt int64   `json:"updated_at"`
}

type sequentialMembership struct {
	ID             string `json:"id"`
	Role           string `json:"role"`
	Organization   struct{ ID string }
	PublicUserData struct {
		UserID string `json:"user_id"`
	} `json:"public_user_data"`
	CreatedAt int64 `json:"created_at"`
	UpdatedAt int64 `json:"updated_at"`
}

// sequentially copies the first pages of each list of the instance at url, and
// returns how long all of it would take at the pace of the median page: the disk
// stalls now and then.
func (s *stack) sequentially(b *testing.B, url string, all size) time.Duration {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), s.url("postgres"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	execute(b, s.connect(b, benchDatabase), sequentialTables)
	q := &sequential{client: &http.Client{}, url: url, conn: conn}
	var total time.Duration
	for _, kind := range []struct {
		objects int
		copy    func(ctx context.Context, offset int) error
	}{
		{all.users, q.users}, {all.organizations, q.organizations}, {all.memberships, q.memberships},
	} {
		var pages []time.Duration
		for offset := 0; offset < min(10*clerk.MaxLimit, kind.objects); offset += clerk.MaxLimit {
			begun := time.Now()
			if err := kind.copy(b.Context(), offset); err != nil {
				b.Fatal(err)
			}
			pages = append(pages, time.Since(begun))
		}
		slices.Sort(pages)
		total += pages[len(pages)/2] * time.Duration(kind.objects) / clerk.MaxLimit
	}
	return total
}

func (q *sequential) users(ctx context.Context, offset int) error {
	var users []sequentialUser
	if err := q.read(ctx, "/users", offset, &users); err != nil {
		return err
	}
	for _, u := range users {
		var email *string
		for _, address := range u.EmailAddresses {
			if u.PrimaryEmailAddressID != nil && address.ID == *u.PrimaryEmailAddressID {
				email = &address.EmailAddress
			}
		}
		if err := q.write(ctx, `
			insert into naive.users (id, email, username, first_name, last_name, image_url, public_metadata, created_at, updated_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			on conflict (id) do update set email = $2, username = $3, first_name = $4, last_name = $5, image_url = $6,
				public_metadata = $7, updated_at = $9`,
			u.ID, email, u.Username, u.FirstName, u.LastName, u.ImageURL, u.PublicMetadata, u.CreatedAt, u.UpdatedAt); err != nil {
			return err
		}
	}
	return nil
}

func (q *sequential) organizations(ctx context.Context, offset int) error {
	var page struct{ Data []sequentialOrganization }
	if err := q.read(ctx, "/organizations", offset, &page); err != nil {
		return err
	}
	for _, o := range page.Data {
		if err := q.write(ctx, `
			insert into naive.organizations (id, name, slug, image_url, created_at, updated_at)
			values ($1, $2, $3, $4, $5, $6)
			on conflict (id) do update set name = $2, slug = $3, image_url = $4, updated_at = $6`,
			o.ID, o.Name, o.Slug, o.ImageURL, o.CreatedAt, o.UpdatedAt); err != nil {
			return err
		}
	}
	return nil
}

func (q *sequential) memberships(ctx context.Context, offset int) error {
	var page struct{ Data []sequentialMembership }
	if err := q.read(ctx, "/organization_memberships", offset, &page); err != nil {
		return err
	}
	for _, m := range page.Data {
		if err := q.write(ctx, `
			insert into naive.organization_memberships (id, organization_id, user_id, role, created_at, updated_at)
			values ($1, $2, $3, $4, $5, $6)
			on conflict (id) do update set role = $4, updated_at = $6`,
			m.ID, m.Organization.ID, m.PublicUserData.UserID, m.Role, m.CreatedAt, m.UpdatedAt); err != nil {
			return err
		}
	}
	return nil
}

func (q *sequential) read(ctx context.Context, path string, offset int, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s%s?limit=%d&offset=%d", q.url, path, clerk.MaxLimit, offset), http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+secretKey)
	response, err := q.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func (q *sequential) write(ctx context.Context, sql string, args ...any) error {
	// The mode that a transaction pooler dictates.
	_, err := q.conn.Exec(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	return err
}

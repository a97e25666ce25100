package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrNothingHeld says that nothing is held back of an object.
var ErrNothingHeld = errors.New("nothing is held back of it")

// HeldDeletion is a deleted object of which clerk_sync.settings.deletion_grace still
// keeps what it held.
type HeldDeletion struct {
	// Object is "user", "organization" or "organization_membership".
	Object string `json:"object"`
	ID     string `json:"id"`
	// UserID and OrganizationID say whose it is; empty where there is no such parent.
	UserID         string `json:"user_id,omitempty"`
	OrganizationID string `json:"organization_id,omitempty"`
	// HeldAt is when the copy deleted it.
	HeldAt time.Time `json:"held_at"`
	// HeldUntil is from when on [Store.Purge] empties it.
	HeldUntil time.Time `json:"held_until"`
}

// HeldRow is what a deleted object held.
type HeldRow struct {
	Object    string    `json:"object"`
	ID        string    `json:"id"`
	HeldAt    time.Time `json:"held_at"`
	HeldUntil time.Time `json:"held_until"`
	// Row is the row of the copy as it last was.
	Row json.RawMessage `json:"row"`
	// PrivateMetadata is null where none was kept.
	PrivateMetadata json.RawMessage `json:"private_metadata"`
}

// Dropped counts what [Store.DropDeletion] has emptied of one kind of object.
type Dropped struct {
	Object string `json:"object"`
	Count  int64  `json:"count"`
}

// Deletions lists what is held back, the latest first, at most limit of it. of limits it
// to one user, organization or membership, with their memberships; empty means all. Like
// [Store.Deletion] and [Store.DropDeletion] it needs the owner's connection.
func (s *Store) Deletions(ctx context.Context, of string, limit int) ([]HeldDeletion, error) {
	return collect[HeldDeletion](ctx, s, "listing deletions", `
		select object, object_id, coalesce(user_id, ''), coalesce(organization_id, ''), held_at, held_until
		from clerk_sync.deletions(nullif($1, ''), $2)`, of, limit)
}

// Deletion is what an object held: one row, unless objects of several kinds have the
// same id. [ErrNothingHeld] if nothing is.
func (s *Store) Deletion(ctx context.Context, id string) ([]HeldRow, error) {
	rows, err := collect[HeldRow](ctx, s, "reading a deletion", `
		select object, $1::text, held_at, held_until, held, private_metadata from clerk_sync.deletion($1)`, id)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%s: %w", id, ErrNothingHeld)
	}
	return rows, err
}

// DropDeletion empties now what is held back of an object, and of the memberships of a
// user or an organization. [ErrNothingHeld] if nothing is.
func (s *Store) DropDeletion(ctx context.Context, id string) ([]Dropped, error) {
	dropped, err := collect[Dropped](ctx, s, "dropping a deletion", `select object, dropped from clerk_sync.drop_deletion($1)`, id)
	if err == nil && len(dropped) == 0 {
		err = fmt.Errorf("%s: %w", id, ErrNothingHeld)
	}
	return dropped, err
}

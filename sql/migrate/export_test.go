package migrate

import (
	"context"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Release lets tests play a later release.
type Release struct{ release }

func Load(schemaFiles, rulesFiles fs.FS, revision int) Release {
	return Release{load(schemaFiles, rulesFiles, revision)}
}

func (r Release) Plan(ctx context.Context, config *pgx.ConnConfig) ([]Step, error) {
	return r.plan(ctx, config, Options{})
}

func (r Release) Up(ctx context.Context, config *pgx.ConnConfig) ([]Step, error) {
	return r.up(ctx, config, Options{})
}

func (r Release) Verify(ctx context.Context, config *pgx.ConnConfig) error {
	return r.verify(ctx, config, Options{})
}

func (r Release) Export(dir string, now time.Time) ([]string, error) {
	return r.export(dir, Options{}, now)
}

// Steps lists every step in the order in which an empty database gets them.
func Steps() []Step { return slices.Clone(this.steps) }

// RolesChanged is rolesChanged.
var RolesChanged = rolesChanged

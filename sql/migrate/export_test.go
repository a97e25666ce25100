package migrate

import (
	"context"
	"io/fs"
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

// RolesChanged is rolesChanged.
var RolesChanged = rolesChanged

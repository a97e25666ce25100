package testdb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clerksync/sql/migrate"
)

// migrateAs applies every migration as the role that connString names.
func migrateAs(ctx context.Context, connString string, options migrate.Options) error {
	config, err := pgx.ParseConfig(connString)
	if err != nil {
		return fmt.Errorf("reading the connection string: %w", err)
	}
	_, err = migrate.Up(ctx, config, options)
	return err
}

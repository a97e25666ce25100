package testdb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clerksync/sql/migrations"
)

// migrationHash is the same for the same migrations into the same schema.
func migrationHash(schema string) string {
	return migrations.Hash(migrations.Options{Schema: schema})
}

// migrate applies every migration as the role that connString names.
func migrate(ctx context.Context, connString, schema string) error {
	config, err := pgx.ParseConfig(connString)
	if err != nil {
		return fmt.Errorf("reading the connection string: %w", err)
	}
	_, err = migrations.Up(ctx, config, migrations.Options{Schema: schema})
	return err
}

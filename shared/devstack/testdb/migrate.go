package testdb

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clerksync/sql/migrate"
)

// migrationHash is the same for the same migrations into the same schema.
func migrationHash(schema string) string {
	return migrate.Hash(migrate.Options{Schema: schema})
}

// migrate applies every migration as the role that connString names.
func migrateAs(ctx context.Context, connString, schema string) error {
	config, err := pgx.ParseConfig(connString)
	if err != nil {
		return fmt.Errorf("reading the connection string: %w", err)
	}
	_, err = migrate.Up(ctx, config, migrate.Options{Schema: schema})
	return err
}

// Package catalog reads from a database what row level security depends on: a
// table's columns, keys, indexes, policies and grants, and which schemas the
// Data API exposes.
//
//	name, err := catalog.ParseName(`public.notes`)
//	db, err := catalog.ReadDatabase(ctx, tx, "")
//	table, err := catalog.ReadTable(ctx, tx, name)
//
// It only reads, each call in one statement, so it works through a transaction
// pooler; several calls agree with each other inside one transaction. What the
// connected role may not see is not in the answer: read as the owner of the
// tables.
package catalog

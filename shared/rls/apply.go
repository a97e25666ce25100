package rls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls/internal/request"
)

// ErrChanged is returned by [Apply] when the table is no longer what the shown
// plan was made for.
var ErrChanged = errors.New("the table changed meanwhile")

// The limits of one application.
const (
	// lockLimit bounds waiting for readers and writers of the table: everybody
	// who comes later waits behind us.
	lockLimit = 5 * time.Second
	// statementLimit bounds each statement; building an index takes longest.
	statementLimit = 10 * time.Minute
)

// Beginner begins transactions: a connection or a pool.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Preview plans in a transaction of its own, which it takes back.
func Preview(ctx context.Context, db Beginner, spec Spec, exposed []string) (plan Plan, err error) {
	err = within(ctx, db, func(tx pgx.Tx) error {
		plan, err = Build(ctx, tx, spec, exposed)
		return err
	})
	return plan, err
}

// Apply makes what the plan of [Preview] says, all of it or nothing: in one
// transaction it locks the table, plans again, and commits if the plan is still
// the shown one and nothing would be left to do. A shown plan that is blocked or
// empty changes nothing.
func Apply(ctx context.Context, db Beginner, spec Spec, exposed []string, shown Plan) error {
	if shown.Blocked() {
		return fmt.Errorf("applying to %s: a finding has to be mended first", spec.Table)
	}
	if len(shown.Statements) == 0 {
		return nil
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("applying to %s, nothing was changed: %w", spec.Table, err)
	}
	defer func() { _ = request.Rollback(ctx, tx) }()
	if err := apply(ctx, tx, spec, exposed, shown); err != nil {
		return fmt.Errorf("applying to %s, nothing was changed: %w", spec.Table, err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("applying to %s: whether it was committed is not known, look at the plan again: %w", spec.Table, err)
	}
	return nil
}

func apply(ctx context.Context, tx pgx.Tx, spec Spec, exposed []string, shown Plan) error {
	limits := fmt.Sprintf("set local lock_timeout = %d; set local statement_timeout = %d", lockLimit.Milliseconds(), statementLimit.Milliseconds())
	if _, err := tx.Exec(ctx, limits); err != nil {
		return err
	}
	// The statements would take this lock one by one; taken first, it keeps the plan
	// that is made under it true until the last of them.
	if spec.Table != storageObjects { // the owner of a project may make policies there, not lock
		if _, err := tx.Exec(ctx, "lock table "+spec.Table.SQL()+" in access exclusive mode"); err != nil {
			return fmt.Errorf("locking the table, for which %s are allowed: %w", lockLimit, err)
		}
	}
	plan, err := Build(ctx, tx, spec, exposed)
	if err != nil {
		return err
	}
	if !slices.Equal(plan.Statements, shown.Statements) {
		return fmt.Errorf("%w: look at the plan again", ErrChanged)
	}
	for _, s := range plan.Statements {
		if _, err := tx.Exec(ctx, s.SQL); err != nil {
			return fmt.Errorf("%s: %w", s.SQL, err)
		}
	}
	after, err := Build(ctx, tx, spec, exposed)
	if err != nil {
		return err
	}
	if after.Blocked() {
		i := slices.IndexFunc(after.Findings, func(f finding.Finding) bool { return f.Status == finding.Fail })
		return fmt.Errorf("afterwards it would not hold: %s: %s", after.Findings[i].Title, after.Findings[i].Detail)
	}
	if len(after.Statements) > 0 {
		return fmt.Errorf("the database did not keep it: %s", after.Statements[0].SQL)
	}
	return nil
}

// within runs f in a transaction that is always taken back.
func within(ctx context.Context, db Beginner, f func(pgx.Tx) error) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = request.Rollback(ctx, tx) }()
	return f(tx)
}

package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// checkRoles finds login roles of ours that can do more than they should. Roles belong
// to the whole cluster and have names that anybody may have used before.
func checkRoles(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		select r.rolname::text, w.problem, w.remedy
		from pg_roles as r
		cross join lateral (
			select 'has ' || string_agg(a.word, ', ') as problem, format('alter role %I %s', r.rolname, string_agg('no' || a.word, ' ')) as remedy
			from (values ('superuser', r.rolsuper), ('bypassrls', r.rolbypassrls), ('createrole', r.rolcreaterole),
			             ('createdb', r.rolcreatedb), ('replication', r.rolreplication)) as a (word, held)
			where a.held
			having count(*) > 0
			union all
			select format('is a member of %I', g.rolname), format('revoke %I from %I', g.rolname, r.rolname)
			from pg_auth_members as m
			join pg_roles as g on g.oid = m.roleid
			where m.member = r.oid
			  and not (r.rolname = 'clerksync_diagnostics' and g.rolname in ('anon', 'authenticated'))
			  and g.rolname || '_b' <> r.rolname
		) as w
		where r.rolname in ('clerksync_writer', 'clerksync_writer_b', 'clerksync_diagnostics', 'clerksync_diagnostics_b')
		order by 1, 2`)
	if err != nil {
		return fmt.Errorf("looking at the login roles: %w", err)
	}
	var role, problem, remedy string
	var problems []error
	_, err = pgx.ForEachRow(rows, []any{&role, &problem, &remedy}, func() error {
		problems = append(problems, fmt.Errorf("%w: %s %s; mend it with: %s;", ErrRole, role, problem, remedy))
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking at the login roles: %w", err)
	}
	return errors.Join(problems...)
}

package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// checkRoles finds login roles of ours that can do more than they should. Roles belong
// to the whole cluster and have names that anybody may have used before. Once everything
// is applied their defaults count, too: a login may change its own.
func checkRoles(ctx context.Context, tx pgx.Tx, applied bool) error {
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
			union all
			select 'does not read only by default', format('alter role %I set default_transaction_read_only = on', r.rolname)
			where $1 and r.rolname ~ '^clerksync_diagnostics' and not exists (
			  select from pg_db_role_setting as s
			  where s.setrole = r.oid and s.setdatabase = 0 and 'default_transaction_read_only=on' = any (s.setconfig))
			union all
			select 'has no connection limit', format('alter role %I connection limit 20', r.rolname)
			where $1 and r.rolname ~ '^clerksync_diagnostics' and r.rolconnlimit < 0
		) as w
		where r.rolname in ('clerksync_writer', 'clerksync_writer_b', 'clerksync_diagnostics', 'clerksync_diagnostics_b')
		order by 1, 2`, applied)
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

// checkAdmin finds login roles of ours that another role made, while their pair is not
// complete: since PostgreSQL 16 whoever completes it needs the ADMIN option on them.
func checkAdmin(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		select r.rolname::text, quote_ident(current_user)
		from (values ('clerksync_writer'), ('clerksync_diagnostics')) as f (first)
		join pg_roles as r on r.rolname in (f.first, f.first || '_b')
		where current_setting('server_version_num')::integer >= 160000
		  and not (select me.rolsuper from pg_roles as me where me.rolname = current_user)
		  and not pg_has_role(r.oid, 'member with admin option')
		  and not exists (
		    select from pg_auth_members as m
		    join pg_roles as a on a.oid = m.roleid join pg_roles as b on b.oid = m.member
		    where a.rolname = f.first and b.rolname = f.first || '_b')
		order by 1`)
	if err != nil {
		return fmt.Errorf("looking at the login roles: %w", err)
	}
	var role, user string
	var problems []error
	_, err = pgx.ForEachRow(rows, []any{&role, &user}, func() error {
		problems = append(problems, fmt.Errorf("%w: %s is of another role's making; mend it with: grant %[2]s to %s with admin option;", ErrRole, role, user))
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking at the login roles: %w", err)
	}
	return errors.Join(problems...)
}

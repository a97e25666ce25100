package migrate

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Remains is what a database has of clerksync.
type Remains struct {
	// Migrated says that it has the copy.
	Migrated bool
	// Schemas are those of the copy; empty where it is not migrated.
	Schemas Options
	// Users counts the rows of the copy's users, tombstones included.
	Users int64
	// Roles are the login roles that there are, and Logins those of them that have a password, as far as is recorded.
	Roles, Logins []string
	// Uses are what of the team's stands on the copy or on its functions, in PostgreSQL's words. Functions whose bodies are
	// text are not among them: PostgreSQL does not know what they use.
	Uses []string
}

var loginRoles = []string{WriterRole + secondSuffix, WriterRole, DiagnosticsRole + secondSuffix, DiagnosticsRole}

// Survey looks at what a database has of clerksync, as the role that migrated, and keeps nothing.
func Survey(ctx context.Context, config *pgx.ConnConfig) (Remains, error) {
	return this.survey(ctx, config)
}

func (r release) survey(ctx context.Context, config *pgx.ConnConfig) (Remains, error) {
	var found Remains
	err := transaction(ctx, config, func(tx pgx.Tx) error {
		var err error
		if found.Roles, err = presentRoles(ctx, tx); err != nil {
			return err
		}
		for _, first := range []string{WriterRole, DiagnosticsRole} {
			if !slices.Contains(found.Roles, first) || !slices.Contains(found.Roles, first+secondSuffix) {
				continue
			}
			l, err := readLogins(ctx, tx, first)
			if err != nil {
				return err
			}
			for _, one := range []login{l.current, l.other} {
				if one.has {
					found.Logins = append(found.Logins, one.role)
				}
			}
		}
		slices.Sort(found.Logins)
		d, err := r.inspect(ctx, tx, Options{})
		if err != nil || d.fresh {
			return err
		}
		found.Migrated, found.Schemas = true, Options{Schema: d.names.exposed, Helpers: d.names.helpers}
		if found.Uses, err = d.uses(ctx, tx); err != nil {
			return err
		}
		// Of a database that was migrated in part the table may be missing.
		users := pgx.Identifier{d.names.exposed, "users"}.Sanitize()
		var there bool
		if err := tx.QueryRow(ctx, `select to_regclass($1) is not null`, users).Scan(&there); err != nil || !there {
			return err
		}
		return tx.QueryRow(ctx, `select count(*) from `+users).Scan(&found.Users)
	})
	if err != nil {
		return Remains{}, fmt.Errorf("looking for what clerksync has made in the database: %w", err)
	}
	return found, nil
}

func presentRoles(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `select rolname::text from pg_roles where rolname = any ($1) order by 1`, loginRoles)
	if err != nil {
		return nil, fmt.Errorf("looking at the login roles: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// TakeLogins takes their passwords from all login roles and ends their connections, where the database lets the owner. The
// roles stay: the copy's grants are theirs.
func TakeLogins(ctx context.Context, config *pgx.ConnConfig) error {
	err := once(ctx, config, func(tx pgx.Tx) error {
		roles, err := presentRoles(ctx, tx)
		if err != nil {
			return err
		}
		var now string
		if err := tx.QueryRow(ctx, `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`).Scan(&now); err != nil {
			return fmt.Errorf("asking the database for its time: %w", err)
		}
		for _, role := range roles {
			if err := alter(ctx, tx, role, "password null", recordNone+now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("taking the passwords from the login roles: %w", err)
	}
	err = transaction(ctx, config, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity where usename = any ($1)`, loginRoles)
		return err
	})
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" {
		return nil // they end by themselves, and none is made anew
	}
	if err != nil {
		return fmt.Errorf("ending the connections of the login roles: %w", err)
	}
	return nil
}

// Drop drops the copy with everything in it, its functions and its schemas, and nothing else: where anything of the team's
// uses them it is [ErrUsed], and all stays. The schema of the copy itself stays, and that of the helpers where something else
// is in it. A database that has nothing of this is left as it is.
func Drop(ctx context.Context, config *pgx.ConnConfig) error { return this.drop(ctx, config) }

func (r release) drop(ctx context.Context, config *pgx.ConnConfig) error {
	err := within(ctx, config, func(tx pgx.Tx) error {
		d, err := r.inspect(ctx, tx, Options{})
		if err != nil || d.fresh {
			return err
		}
		using, err := d.uses(ctx, tx)
		if err != nil {
			return err
		}
		if len(using) > 0 {
			return fmt.Errorf("%w: %s", ErrUsed, strings.Join(using, "; "))
		}
		statements, err := d.drops(ctx, tx)
		if err != nil {
			return err
		}
		// None of them cascades: what was made since the look above stops them.
		for _, statement := range statements {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return used(err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("dropping the copy (nothing was dropped): %w", err)
	}
	return nil
}

// used recognises that something depends on what would be dropped.
func used(err error) error {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || refused.Code != "2BP01" {
		return err
	}
	return fmt.Errorf("%w: %s", ErrUsed, strings.ReplaceAll(refused.Detail, "\n", "; "))
}

// DropRoles drops the login roles. Where they have rights on something else, in another database too, it is [ErrUsed], and
// all of them stay.
func DropRoles(ctx context.Context, config *pgx.ConnConfig) error {
	err := within(ctx, config, func(tx pgx.Tx) error {
		roles, err := presentRoles(ctx, tx)
		if err != nil {
			return err
		}
		for _, role := range roles {
			if _, err := tx.Exec(ctx, "drop role "+pgx.Identifier{role}.Sanitize()); err != nil {
				return used(err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("dropping the login roles (none was dropped): %w", err)
	}
	return nil
}

// The things of the schema files that are dropped by name.
var (
	madeAnywhere = regexp.MustCompile(`(?m)^create (?:table|view|type) ({{exposed}}|{{helpers}}|clerk_sync)[.](\w+)`)
	madePolicy   = regexp.MustCompile(`(?m)^create policy (\w+) `)
)

// own are what schema files have made: relations by their schema, and the names of policies.
func (d database) own() (schemas, relations, policies []string) {
	for _, name := range []string{"migrations", "rules"} {
		schemas, relations = append(schemas, "clerk_sync"), append(relations, name)
	}
	for _, step := range d.steps {
		for _, made := range madeAnywhere.FindAllStringSubmatch(step.text, -1) {
			schema := map[string]string{"{{exposed}}": d.names.exposed, "{{helpers}}": d.names.helpers, "clerk_sync": "clerk_sync"}[made[1]]
			schemas, relations = append(schemas, schema), append(relations, made[2])
		}
		for _, made := range madePolicy.FindAllStringSubmatch(step.text, -1) {
			policies = append(policies, made[1])
		}
	}
	return schemas, relations, policies
}

// ownSQL begins a query with what is clerksync's: relations $1 and $2, functions as they are recorded.
const ownSQL = `
	with relations as (
	  select c.oid, c.relkind, n.nspname, c.relname
	  from pg_class as c
	  join pg_namespace as n on n.oid = c.relnamespace
	  join unnest($1::text[], $2::text[]) as o (schema, name) on o.schema = n.nspname and o.name = c.relname
	), functions as (
	  select to_regprocedure(f)::oid as oid
	  from clerk_sync.rules as r cross join unnest(r.functions) as f
	  where to_regprocedure(f) is not null
	), types as (
	  select t.oid from pg_type as t where t.typrelid in (select oid from relations)
	), own as (
	  select 'pg_class'::regclass as class, oid from relations
	  union all select 'pg_proc'::regclass, oid from functions
	  union all select 'pg_type'::regclass, oid from types
	  union all select 'pg_type'::regclass, t.oid from pg_type as t where t.typelem in (select oid from types)
	)`

// uses lists what is not clerksync's and would go with it, or stop it from going.
func (d database) uses(ctx context.Context, tx pgx.Tx) ([]string, error) {
	schemas, relations, policies := d.own()
	rows, err := tx.Query(ctx, ownSQL+`, users as (
	  select d.classid, d.objid, case d.classid
	    when 'pg_policy'::regclass then (select p.polrelid from pg_policy as p where p.oid = d.objid)
	    when 'pg_trigger'::regclass then (select t.tgrelid from pg_trigger as t where t.oid = d.objid)
	    when 'pg_constraint'::regclass then (select c.conrelid from pg_constraint as c where c.oid = d.objid)
	    when 'pg_rewrite'::regclass then (select w.ev_class from pg_rewrite as w where w.oid = d.objid)
	    when 'pg_attrdef'::regclass then (select a.adrelid from pg_attrdef as a where a.oid = d.objid)
	    when 'pg_class'::regclass then coalesce((select i.indrelid from pg_index as i where i.indexrelid = d.objid), d.objid)
	  end as relation
	  from pg_depend as d
	  join own as o on o.class = d.refclassid and o.oid = d.refobjid
	  where d.deptype = 'n'
	), hanging as (
	  select u.classid, u.objid from users as u
	  where (u.relation is null or u.relation not in (select oid from relations))
	    and not exists (select from own as o where o.class = u.classid and o.oid = u.objid)
	  union
	  -- What stands on a table goes with it, whatever it depends on.
	  select 'pg_policy'::regclass, p.oid from pg_policy as p
	  where p.polrelid in (select oid from relations) and p.polname <> all ($3::text[])
	    and coalesce(obj_description(p.oid, 'pg_policy'), '') not like 'clerksync%'
	  union
	  select 'pg_trigger'::regclass, t.oid from pg_trigger as t
	  where t.tgrelid in (select oid from relations) and not t.tgisinternal and t.tgfoid not in (select oid from functions)
	  union
	  select 'pg_class'::regclass, c.oid from pg_class as c
	  where c.relnamespace = 'clerk_sync'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
	    and c.oid not in (select oid from relations)
	  union
	  select 'pg_proc'::regclass, p.oid from pg_proc as p
	  where p.pronamespace = 'clerk_sync'::regnamespace and p.oid not in (select oid from functions)
	)
	select distinct pg_describe_object(h.classid, h.objid, 0) from hanging as h order by 1`, schemas, relations, policies)
	if err != nil {
		return nil, fmt.Errorf("looking for what uses the copy: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("looking for what uses the copy: %w", err)
	}
	return list, nil
}

// drops are the statements that drop what is clerksync's, in an order in which none needs to cascade: what stands on tables
// refers to functions and views, views to functions, and functions to the types of tables.
func (d database) drops(ctx context.Context, tx pgx.Tx) ([]string, error) {
	schemas, relations, _ := d.own()
	rows, err := tx.Query(ctx, ownSQL+`
	select statement from (
	  select 1 as place, format('drop policy %I on %I.%I', p.polname, r.nspname, r.relname) as statement
	  from pg_policy as p join relations as r on r.oid = p.polrelid
	  union all
	  select 1, format('drop trigger %I on %I.%I', t.tgname, r.nspname, r.relname)
	  from pg_trigger as t join relations as r on r.oid = t.tgrelid where not t.tgisinternal
	  union all
	  select 2, 'drop view ' || string_agg(format('%I.%I', nspname, relname), ', ') from relations where relkind = 'v' having count(*) > 0
	  union all
	  select 3, 'drop function ' || string_agg(oid::regprocedure::text, ', ') from functions having count(*) > 0
	  union all
	  select 4, 'drop table ' || string_agg(format('%I.%I', nspname, relname), ', ') from relations where relkind in ('r', 'p') having count(*) > 0
	  union all
	  select 5, format('drop type %I.%I', nspname, relname) from relations where relkind = 'c'
	  union all
	  select 6, 'drop schema clerk_sync'
	  union all
	  select 6, format('drop schema %I', n.nspname) from pg_namespace as n
	  where n.nspname = $3 and n.nspname <> $4
	    and not exists (select from pg_class as c where c.relnamespace = n.oid and c.oid not in (select oid from relations)
	                      and not exists (select from pg_index as i where i.indexrelid = c.oid and i.indrelid in (select oid from relations)))
	    and not exists (select from pg_proc as p where p.pronamespace = n.oid and p.oid not in (select oid from functions))
	    and not exists (select from pg_type as t where t.typnamespace = n.oid and t.typrelid = 0 and t.typelem not in (select oid from types))
	) as s order by place`, schemas, relations, d.names.helpers, d.names.exposed)
	if err != nil {
		return nil, fmt.Errorf("listing what is to be dropped: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing what is to be dropped: %w", err)
	}
	return list, nil
}

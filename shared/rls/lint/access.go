package lint

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
	"clerksync/shared/rls/internal/sqltext"
	"clerksync/sql/platform"
)

// policyRoles finds policies for everybody, and for roles that need none.
func (l *linter) policyRoles() {
	everybody := map[*relation][]policy{}
	for r, p := range l.policies {
		if len(p.Bypassing) > 0 && len(p.Bypassing) == len(p.Roles) {
			l.add(r.Schema, finding.Finding{
				ID: "policy_for_bypassing_role", Status: finding.Warn, Object: p.on(r),
				Title:  "A policy is for a role that no policy holds for",
				Detail: fmt.Sprintf("%s sees and writes every row, policies or not.", list(p.Roles)),
				Remedy: dropPolicy(p, r),
			})
		}
		reachable := slices.ContainsFunc(p.commands(), func(c string) bool { return r.reaches(platform.Anon, c) })
		if slices.Contains(p.Roles, "public") && p.Permissive && reachable {
			everybody[r] = append(everybody[r], *p)
		}
	}
	for r, policies := range everybody {
		var alters []string
		for _, p := range policies {
			alters = append(alters, fmt.Sprintf("alter policy %s on %s to authenticated;", catalog.QuoteIdentifier(p.Name), r))
		}
		l.add(r.Schema, finding.Finding{
			ID: "policy_to_public", Status: finding.Warn, Object: r.String(),
			Title:  "Policies hold for callers without a token",
			Detail: fmt.Sprintf("%s: without a role of its own a policy is for anon too, which may use the table.", policyNames(policies)),
			Remedy: strings.Join(alters, " ") + " Name anon where callers without a token are meant.",
		})
	}
}

// policyGrants finds policies for what nobody may do, and privileges that no
// policy lets through.
func (l *linter) policyGrants() {
	for r, p := range l.policies {
		if !p.Permissive || !p.api() || !r.table() {
			continue
		}
		// Postgres asks for the privilege first, and for the policy then.
		roles := p.Roles
		if slices.Contains(roles, "public") {
			roles = apiRoles
		}
		granted := slices.ContainsFunc(roles, func(role string) bool {
			return slices.ContainsFunc(p.commands(), func(c string) bool { return !slices.Contains(apiRoles, role) || r.reaches(role, c) })
		})
		if granted || !mine(r.Schema) {
			continue
		}
		if slices.Contains(p.Roles, "public") {
			roles = []string{platform.Authenticated}
		}
		l.add(r.Schema, finding.Finding{
			ID: "policy_without_grant", Status: finding.Warn, Object: p.on(r),
			Title:  "A policy is for what nobody may do",
			Detail: fmt.Sprintf("%s may not %s at all: SQLSTATE 42501. Projects made since 30 May 2026 grant nothing by themselves, and all others from 30 October 2026 on for new tables.", list(roles), p.verb()),
			Remedy: fmt.Sprintf("grant %s on %s to %s;", strings.Join(p.commands(), ", "), r, list(roles)),
		})
	}
	for r := range l.own {
		if !r.table() || !r.RowSecurity || len(r.Policies) == 0 || !l.IsExposed(r.Schema) {
			continue
		}
		var idle, statements []string
		for _, role := range apiRoles {
			unused := only(commands, func(c string) bool { return r.may(role, c) && !r.lets(c, role) })
			if len(unused) > 0 {
				idle = append(idle, role+" may "+list(unused))
				statements = append(statements, revoke(list(unused), r.String(), slices.DeleteFunc(r.holders(unused...), func(h string) bool { return h != role && h != "public" })))
			}
		}
		if len(idle) > 0 {
			l.add(r.Schema, finding.Finding{
				ID: "grant_without_policy", Status: finding.Pass, Object: r.String(),
				Title:  "Privileges are granted that no policy lets anybody use",
				Detail: strings.Join(idle, "; ") + ", and without a policy it touches no row. Closed, but for row level security alone.",
				Remedy: strings.Join(statements, " "),
			})
		}
	}
}

func (p *policy) verb() string {
	if p.Command == catalog.All {
		return "do anything with the table"
	}
	return string(p.Command)
}

// lets reports whether some permissive policy is for a command and role.
func (r *relation) lets(command, role string) bool {
	return slices.ContainsFunc(r.Policies, func(p policy) bool { return p.Permissive && p.holds(command, role) })
}

// restrictions finds tables whose policies only take away.
func (l *linter) restrictions() {
	for r := range l.own {
		if !r.table() || !r.RowSecurity || len(r.Policies) == 0 || slices.ContainsFunc(r.Policies, func(p policy) bool { return p.Permissive }) {
			continue
		}
		l.add(r.Schema, finding.Finding{
			ID: "policies_only_restrictive", Status: finding.Warn, Object: r.String(),
			Title:  "Policies restrict what no policy grants",
			Detail: "All policies of the table are restrictive, and a row needs a permissive one to pass as well: nobody gets any.",
			Remedy: l.configure(r),
		})
	}
}

// writesWithoutSelect finds writes that need to see rows, for roles that see none.
func (l *linter) writesWithoutSelect() {
	for r := range l.own {
		if !r.table() || !r.RowSecurity {
			continue
		}
		for _, role := range apiRoles {
			if r.reaches(role, "select") && r.lets("select", role) {
				continue
			}
			blind := only([]string{"update", "delete"}, func(c string) bool { return r.reaches(role, c) && r.lets(c, role) })
			if len(blind) > 0 {
				l.add(r.Schema, finding.Finding{
					ID: "write_without_select", Status: finding.Warn, Object: r.String(),
					Title:  "Rows are to be written that cannot be found",
					Detail: fmt.Sprintf("%s may %s, but has no policy or no privilege to select: a statement with a condition touches no row, or is refused.", role, strings.Join(blind, " and ")),
					Remedy: fmt.Sprintf("grant select on %s to %s;\nAnd a policy for select with the condition of the others: %s", r, role, l.configure(r)),
				})
			} else if r.reaches(role, "insert") && r.lets("insert", role) {
				l.add(r.Schema, finding.Finding{
					ID: "insert_without_select", Status: finding.Pass, Object: r.String(),
					Title:  "Rows can be inserted, but not returned",
					Detail: fmt.Sprintf("%s may insert and not select: supabase-js's .insert(…).select() fails with SQLSTATE 42501, .insert(…) alone works.", role),
				})
			}
		}
	}
}

// privileges finds rights that no policy holds for, one finding a schema.
func (l *linter) privileges() {
	type open struct {
		tables     []string
		privileges []string
		roles      []string
	}
	schemas := map[string]*open{}
	for r := range l.own {
		if !r.table() {
			continue
		}
		for _, role := range apiRoles {
			for _, privilege := range []string{"truncate", "references", "trigger"} {
				if !r.may(role, privilege) || !l.MayUse(role, r.Schema) {
					continue
				}
				o := schemas[r.Schema]
				if o == nil {
					o = &open{}
					schemas[r.Schema] = o
				}
				for _, add := range []struct {
					to   *[]string
					what string
				}{{&o.tables, r.String()}, {&o.privileges, privilege}, {&o.roles, role}} {
					if !slices.Contains(*add.to, add.what) {
						*add.to = append(*add.to, add.what)
					}
				}
				if slices.Contains(r.PublicPrivileges, privilege) && !slices.Contains(o.roles, "public") {
					o.roles = append(o.roles, "public")
				}
			}
		}
	}
	for schema, o := range schemas {
		shown := o.tables[:min(len(o.tables), 5)]
		more := ""
		if n := len(o.tables) - len(shown); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		quotedSchema := catalog.QuoteIdentifier(schema)
		l.add(schema, finding.Finding{
			ID: "privileges_around_policies", Status: finding.Warn, Object: "schema " + quotedSchema,
			Title:  "Roles of the Data API hold privileges that no policy limits",
			Detail: fmt.Sprintf("%s may %s on %s%s. The Data API has no call for them; a function that runs what it is given has.", list(o.roles), list(o.privileges), list(shown), more),
			Remedy: fmt.Sprintf("revoke %s on all tables in schema %s from %s; alter default privileges in schema %[2]s revoke %[1]s on tables from %[3]s;",
				list(o.privileges), quotedSchema, list(o.roles)),
		})
	}
}

// sequences finds serial columns that an inserting role cannot count up.
func (l *linter) sequences() {
	for r := range l.own {
		if !r.table() || !l.IsExposed(r.Schema) {
			continue
		}
		for _, c := range r.Columns {
			if c.Sequence == nil {
				continue
			}
			stuck := only(l.roles, func(role string) bool {
				inserts := r.reaches(role, "insert") && (!r.RowSecurity || role == "service_role" || r.lets("insert", role))
				return inserts && !slices.Contains(c.Sequence.Usable, role)
			})
			if len(stuck) == 0 {
				continue
			}
			name := catalog.Name{Schema: c.Sequence.Schema, Table: c.Sequence.Name}
			l.add(r.Schema, finding.Finding{
				ID: "sequence_without_usage", Status: finding.Fail, Object: r.nameOf(c.Name),
				Title:  "Rows cannot be inserted: the sequence is not granted",
				Detail: fmt.Sprintf("%s may insert into the table, but not take the next value of %s: SQLSTATE 42501.", list(stuck), name),
				Remedy: fmt.Sprintf("grant usage, select on sequence %s to %s;", name, list(stuck)),
			})
		}
	}
}

// inheritance finds partitions and inheriting tables by which a parent's
// policies are gone around.
func (l *linter) inheritance() {
	for r := range l.own {
		if r.RowSecurity || !l.IsExposed(r.Schema) || len(r.Parents) == 0 {
			continue
		}
		guarded := l.guardedParent(r, map[int64]bool{})
		if guarded == nil {
			continue
		}
		open := r.reachedBy(commands...)
		if len(open) == 0 {
			continue
		}
		remedy := revoke("all", r.String(), r.holders(commands...))
		if r.table() {
			remedy += " " + enable(r)
		}
		l.add(r.Schema, finding.Finding{
			ID: "partition_around_policies", Status: finding.Fail, Object: r.String(),
			Title:  "A partition is open beside the table that it belongs to",
			Detail: fmt.Sprintf("%s may use it by its own name, where the policies of %s do not hold.", list(open), guarded),
			Remedy: remedy + fmt.Sprintf(" By way of %s its rows stay reachable.", guarded),
		})
	}
}

func (l *linter) guardedParent(r *relation, seen map[int64]bool) *relation {
	for _, oid := range r.Parents {
		p := l.relation[oid]
		if p == nil || seen[oid] {
			continue
		}
		seen[oid] = true
		if p.RowSecurity {
			return p
		}
		if g := l.guardedParent(p, seen); g != nil {
			return g
		}
	}
	return nil
}

// internal are schemas that the Data API must never serve, beside that of the helpers.
var internal = []string{"auth", "clerk_sync", "pgsodium", "storage", "vault"}

// exposure is about the list of schemas that the Data API serves.
func (l *linter) exposure() {
	for _, schema := range l.Exposed {
		object := "schema " + catalog.QuoteIdentifier(schema)
		settings := "take it off the exposed schemas in the project's Data API settings"
		switch {
		case slices.Contains(internal, schema) || l.Helpers.Is(schema):
			l.add(schema, finding.Finding{
				ID: "internal_schema_exposed", Status: finding.Fail, Object: object,
				Title:  "The Data API serves a schema that is not meant for it",
				Detail: "Its functions and tables are written for callers that are trusted, or for policies.",
				Remedy: strings.ToUpper(settings[:1]) + settings[1:] + " at once.",
			})
		case !slices.Contains(l.exists, schema):
			l.add(schema, finding.Finding{
				ID: "exposed_schema_missing", Status: finding.Warn, Object: object,
				Title:  "The Data API is to serve a schema that there is not",
				Detail: "Requests that name it get an error; one that is written in another case is another schema.",
				Remedy: fmt.Sprintf("create schema %s;\nOr %s.", catalog.QuoteIdentifier(schema), settings),
			})
		case mine(schema) && !slices.ContainsFunc(apiRoles, func(role string) bool { return l.MayUse(role, schema) }):
			l.add(schema, finding.Finding{
				ID: "schema_without_usage", Status: finding.Fail, Object: object,
				Title:  "Nobody may enter a schema that the Data API serves",
				Detail: "Neither anon nor authenticated has USAGE on it: every request to it ends with SQLSTATE 42501.",
				Remedy: fmt.Sprintf("grant usage on schema %s to authenticated;", catalog.QuoteIdentifier(schema)),
			})
		}
	}
}

// storageOwner finds policies on Supabase's storage that ask for an owner which
// a Clerk user's objects do not have.
func (l *linter) storageOwner() {
	for r, p := range l.policies {
		if r.Schema != "storage" || r.column("owner_id") == nil {
			continue
		}
		for _, e := range p.clauses() {
			i := slices.IndexFunc(e.Tokens, func(t sqltext.Token) bool { return t.IsIdentifier() && t.Text == "owner" })
			if i < 0 {
				continue
			}
			if _, ok := e.column(i, r); !ok {
				continue
			}
			l.add(r.Schema, finding.Finding{
				ID: "storage_owner", Status: finding.Fail, Object: p.on(r),
				Title:  "A storage policy asks for an owner that Clerk users never are",
				Detail: "owner is a uuid, deprecated and empty for what a Clerk user stored; owner_id holds the id from the token.",
				Remedy: alterPolicy(p, r, l.withOwnerID(p.using, r), l.withOwnerID(p.check, r)),
			})
			break
		}
	}
}

// withOwnerID is an expression that compares the owner's id from the token.
func (l *linter) withOwnerID(e expression, r *relation) string {
	var edits []edit
	for i, t := range e.Tokens {
		if name, ok := e.column(i, r); ok && name == "owner" {
			edits = append(edits, edit{t.Start, t.End, "owner_id"})
		}
	}
	return l.withClerkID(parse(e.with(edits), l.Helpers))
}

//go:embed buckets.sql
var bucketsSQL string

var oneBucket = regexp.MustCompile(`(?is)^\s*\(*\s*bucket_id\s*=\s*'((?:[^']|'')*)'(?:\s*::\s*[[:alnum:]_.]+)?\s*\)*\s*$`)

// buckets is Supabase's lint 0025.
func (l *linter) buckets(ctx context.Context, tx pgx.Tx) error {
	table := l.byName[catalog.Name{Schema: "storage", Table: "buckets"}]
	objects := l.byName[catalog.Name{Schema: "storage", Table: "objects"}]
	if table == nil || objects == nil || table.column("public") == nil {
		return nil
	}
	var broad []policy
	for _, p := range objects.Policies {
		if p.Permissive && p.isFor("select") && p.api() && (p.Using == "" || isTrue(p.Using) || oneBucket.MatchString(p.Using)) {
			broad = append(broad, p)
		}
	}
	if len(broad) == 0 {
		return nil
	}
	buckets, err := publicBuckets(ctx, tx)
	if request.Code(err) == "42501" {
		l.add("storage", finding.Finding{
			ID: "public_bucket_allows_listing", Status: finding.Skip, Object: "storage.buckets",
			Title:  "Which buckets are public is not for this role to read",
			Detail: "The connected role may not read storage.buckets, or not all of it.",
			Remedy: "Connect as the role postgres.",
		})
		return nil
	}
	if err != nil {
		return err
	}
	for _, id := range buckets {
		var lists []policy
		var drops []string
		for _, p := range broad {
			match := oneBucket.FindStringSubmatch(p.Using)
			if match == nil || strings.ReplaceAll(match[1], "''", "'") == id {
				lists, drops = append(lists, p), append(drops, dropPolicy(&p, objects))
			}
		}
		if len(lists) > 0 {
			l.add("storage", finding.Finding{
				ID: "public_bucket_allows_listing", Status: finding.Warn, Object: "bucket " + id,
				Title:  "Everybody may list the objects of a public bucket",
				Detail: fmt.Sprintf("By %s clients may list all of it; objects of a public bucket are served by their URL without any policy.", policyNames(lists)),
				Remedy: strings.Join(drops, " "),
			})
		}
	}
	return nil
}

// publicBuckets runs in a savepoint: a refusal must not end the transaction. It
// is a refusal, too, where row security would hide buckets.
func publicBuckets(ctx context.Context, tx pgx.Tx) (ids []string, err error) {
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local row_security = off"); err != nil {
			return err
		}
		ids, err = catalog.Collect(ctx, request.Session{Tx: tx}, pgx.RowTo[string], bucketsSQL)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "set local row_security = on")
		return err
	})
	return ids, err
}

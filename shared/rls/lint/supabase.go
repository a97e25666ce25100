package lint

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/sqltext"
	"clerksync/sql/platform"
)

// The checks of this file answer as Supabase's own linter does: splinter's lints
// of the Supabase CLI 3.1.0 (2026), under the same names and about the same
// objects. Where they see more, or judge otherwise, a comment says so; the test
// of the agreement lists it.

// foreignKeys is lint 0001.
func (l *linter) foreignKeys() {
	for r := range l.own {
		for _, k := range r.ForeignKeys {
			covered := slices.ContainsFunc(r.Indexes, func(x index) bool {
				return x.Valid && len(x.Columns) >= len(k.Columns) && slices.Equal(x.Columns[:len(k.Columns)], k.Columns)
			})
			if covered {
				continue
			}
			columns := r.columnNames(k.Columns)
			l.add(r.Schema, finding.Finding{
				ID: "unindexed_foreign_keys", Status: finding.Warn, Object: constraintOn(k.Name, r),
				Title:  "A foreign key has no index",
				Detail: fmt.Sprintf("Deleting a row of %s reads all of %s, for there is no index that begins with (%s).", parent(k), r, columns),
				Remedy: fmt.Sprintf("create index concurrently on %s (%s);", r, columns),
			})
		}
	}
}

func constraintOn(name string, r *relation) string {
	return "constraint " + catalog.QuoteIdentifier(name) + " on " + r.String()
}

func parent(k foreignKey) string { return catalog.Name{Schema: k.Schema, Table: k.Table}.String() }

// authUsersExposed is lint 0002. It follows views to the views that they read,
// which Supabase's linter does not.
func (l *linter) authUsersExposed() {
	users := l.byName[catalog.Name{Schema: "auth", Table: "users"}]
	if users == nil {
		return
	}
	for _, r := range l.relations {
		if r.Kind != "v" && r.Kind != "m" || !l.IsExposed(r.Schema) || len(r.readers()) == 0 {
			continue
		}
		path := l.pathTo(r, users.OID, map[int64]bool{})
		// A view that reads as its caller shows what policies on auth.users let through.
		if path == nil || len(path) == 1 && r.Kind == "v" && r.Invoker && users.RowSecurity {
			continue
		}
		if len(path) > 1 && l.allInvoker(path) && users.RowSecurity {
			continue
		}
		detail := fmt.Sprintf("%s may select from it, and it reads auth.users", list(r.readers()))
		if len(path) > 1 {
			detail += " by way of " + catalog.List(path[1:], (*relation).String)
		}
		l.add(r.Schema, finding.Finding{
			ID: "auth_users_exposed", Status: finding.Fail, Object: r.String(),
			Title:  "A view shows Supabase Auth's users to the Data API",
			Detail: detail + ".",
			Remedy: revoke("select", r.String(), r.holders("select")) + fmt.Sprintf(" Clerk's users are in %s, which policies guard: read that instead.", l.users()),
		})
	}
}

// pathTo is the chain of views from one to a relation that the last of them
// reads, nil where there is none.
func (l *linter) pathTo(from *relation, to int64, seen map[int64]bool) []*relation {
	if seen[from.OID] {
		return nil
	}
	seen[from.OID] = true
	if slices.Contains(from.Reads, to) {
		return []*relation{from}
	}
	for _, oid := range from.Reads {
		if next := l.relation[oid]; next != nil {
			if path := l.pathTo(next, to, seen); path != nil {
				return append([]*relation{from}, path...)
			}
		}
	}
	return nil
}

func (l *linter) allInvoker(path []*relation) bool {
	return !slices.ContainsFunc(path, func(r *relation) bool { return r.Kind != "v" || !r.Invoker })
}

// perRequest are the functions that lint 0003 knows, by what it looks for.
var perRequest = []string{"auth.uid()", "auth.jwt()", "auth.role()", "auth.email()"}

// initPlans is lint 0003. Supabase's linter compares texts, so it also reports
// "(select auth.jwt() ->> 'sub')", which is evaluated once; that one is a Pass
// here, with the form that both are content with.
func (l *linter) initPlans() {
	for r, p := range l.policies {
		if !r.RowSecurity || r.Schema == "storage" || !slices.ContainsFunc(p.clauses(), flaggedAsPerRow) {
			continue
		}
		var rows []string
		for _, e := range p.clauses() {
			for _, c := range e.perRequestCalls() {
				if !e.once(c.start, r) && !slices.Contains(rows, c.String()) {
					rows = append(rows, c.String())
				}
			}
		}
		f := finding.Finding{
			ID: "auth_rls_initplan", Status: finding.Warn, Object: p.on(r),
			Title:  "A policy reads the claims again for every row",
			Detail: list(rows) + " is called for every row that the statement looks at.",
			Remedy: alterPolicy(p, r, p.using.wrapped(), p.check.wrapped()),
		}
		if slices.ContainsFunc(p.clauses(), func(e expression) bool { return e.callsTo("auth.uid()") }) {
			// Faster it would fail as well.
			f.Remedy = l.clerkPolicy(p, r)
		}
		if len(rows) == 0 {
			f.Status = finding.Pass
			f.Title = "Supabase's linter takes a policy for slow that is not"
			f.Detail = "The claims are read in a sub-select, once for a statement; Supabase's linter only knows the form in which the call follows \"select\" at once."
		}
		l.add(r.Schema, f)
	}
}

func flaggedAsPerRow(e expression) bool {
	folded := sqltext.Fold(e.Source)
	for _, call := range perRequest {
		if strings.Contains(e.Source, call) && !strings.Contains(folded, "select "+call) {
			return true
		}
	}
	return settingCall(e.Source, "current_setting(") && !settingCall(folded, "select current_setting(")
}

func settingCall(text, call string) bool {
	_, rest, found := strings.Cut(text, call)
	return found && strings.Contains(rest, ")")
}

// perRequestCalls are the calls whose result is the same for a whole request.
func (e expression) perRequestCalls() []call {
	return slices.DeleteFunc(e.calls(), func(c call) bool {
		return !slices.Contains(perRequest, c.String()) && (c.name != "current_setting" || c.schema != "" && c.schema != "pg_catalog")
	})
}

// wrapped is the expression with every such call in a sub-select of its own.
func (e expression) wrapped() string {
	var edits []edit
	for _, c := range e.perRequestCalls() {
		if !e.At(c.start - 1).Is("select") {
			edits = append(edits, e.inSubselect(c))
		}
	}
	return e.with(edits)
}

// multiplePermissive is lint 0006, one finding a table. It looks at partitioned
// tables too, which Supabase's linter does not.
func (l *linter) multiplePermissive() {
	for r := range l.own {
		if !r.table() {
			continue
		}
		roles := map[string]bool{}
		for _, p := range r.Policies {
			for _, role := range p.Roles {
				switch {
				case !p.Permissive || slices.Contains(p.Bypassing, role) || strings.HasPrefix(role, "pg_"),
					strings.HasPrefix(role, "supabase") && strings.HasSuffix(role, "admin"):
				case role == "public":
					roles[platform.Anon], roles[platform.Authenticated] = true, true
				default:
					roles[role] = true
				}
			}
		}
		var seen []string
		var remedy string
		for _, role := range slices.Sorted(maps.Keys(roles)) {
			for _, command := range commands {
				var group []*policy
				var names []string
				for i := range r.Policies {
					if p := &r.Policies[i]; p.Permissive && p.holds(command, role) {
						group, names = append(group, p), append(names, catalog.QuoteIdentifier(p.Name))
					}
				}
				if len(group) < 2 {
					continue
				}
				seen = append(seen, fmt.Sprintf("%s for %s: %s", command, role, strings.Join(names, " and ")))
				if remedy == "" {
					remedy = merged(group, r)
				}
			}
		}
		if len(seen) == 0 {
			continue
		}
		if remedy == "" {
			remedy = "Make one policy for each command and role, its conditions joined with \"or\"; in place of \"for all\" write one for each command. " +
				"Where all rows have an owner or an organization: " + l.configure(r)
		}
		l.add(r.Schema, finding.Finding{
			ID: "multiple_permissive_policies", Status: finding.Warn, Object: r.String(),
			Title:  "Several policies are evaluated where one would do",
			Detail: strings.Join(seen, "; ") + ".",
			Remedy: remedy,
		})
	}
}

// merged makes one policy of several that are for the same command and roles.
func merged(group []*policy, r *relation) string {
	first := group[0]
	var using, check, drops []string
	for i, p := range group {
		if p.Command != first.Command || !slices.Equal(p.Roles, first.Roles) || (p.Check == "") != (first.Check == "") {
			return ""
		}
		using, check = append(using, p.Using), append(check, p.Check)
		if i > 0 {
			drops = append(drops, dropPolicy(p, r))
		}
	}
	either := func(clauses []string) string {
		if clauses[0] == "" {
			return ""
		}
		for i, c := range clauses {
			clauses[i] = "(" + bare(c) + ")"
		}
		return strings.Join(clauses, " or ")
	}
	return alterPolicy(first, r, either(using), either(check)) + " " + strings.Join(drops, " ")
}

// rowSecurity is lints 0007, 0008, 0013 and 0023; all of them look at
// partitioned tables too, which Supabase's linter does not.
func (l *linter) rowSecurity() {
	for _, r := range l.relations {
		if !mine(r.Schema) || !r.table() {
			continue
		}
		if !r.Extension {
			l.policiesAndSwitch(r)
		}
		if r.RowSecurity || !l.IsExposed(r.Schema) {
			continue
		}
		readers := r.readers()
		if len(readers) == 0 {
			l.reachable(r)
			continue
		}
		remedy := enable(r) + " Then say who may do what: " + l.configure(r)
		if r.Extension {
			remedy = "The table belongs to an extension: " + revoke("all", r.String(), r.holders(commands...))
		}
		l.add(r.Schema, finding.Finding{
			ID: "rls_disabled_in_public", Status: finding.Fail, Object: r.String(),
			Title:  "A table of the Data API has no row level security",
			Detail: list(readers) + " may read every row of it.",
			Remedy: remedy,
		})
		var columns []string
		for _, c := range r.Columns {
			if slices.Contains(sensitive, strings.ReplaceAll(strings.ToLower(c.Name), "-", "_")) {
				columns = append(columns, catalog.QuoteIdentifier(c.Name))
			}
		}
		if len(columns) > 0 {
			slices.Sort(columns)
			l.add(r.Schema, finding.Finding{
				ID: "sensitive_columns_exposed", Status: finding.Fail, Object: r.String(),
				Title:  "A table with secrets in it has no row level security",
				Detail: fmt.Sprintf("%s may read %s of every row.", list(readers), list(columns)),
				Remedy: revoke("all", r.String(), r.holders(commands...)) + " " + enable(r),
			})
		}
	}
}

func (l *linter) policiesAndSwitch(r *relation) {
	switch {
	case len(r.Policies) > 0 && !r.RowSecurity:
		l.add(r.Schema, finding.Finding{
			ID: "policy_exists_rls_disabled", Status: finding.Fail, Object: r.String(),
			Title:  "Policies hold for nobody: row level security is off",
			Detail: "The table has the policies " + policyNames(r.Policies) + ", which do nothing.",
			Remedy: enable(r),
		})
	case len(r.Policies) == 0 && r.RowSecurity:
		f := finding.Finding{
			ID: "rls_enabled_no_policy", Status: finding.Pass, Object: r.String(),
			Title:  "A table is closed to the Data API",
			Detail: "Row level security is on, there is no policy, and no role of the Data API holds a privilege: closed on purpose.",
		}
		if open := r.reachedBy(commands...); len(open) > 0 && l.IsExposed(r.Schema) {
			f.Status, f.Title = finding.Warn, "Nobody gets a row of a table that is open to the Data API"
			f.Detail = fmt.Sprintf("%s may use the table, and there is no policy that lets a row through.", list(open))
			f.Remedy = l.configure(r) + "; or, to close the table: " + revoke("all", r.String(), r.holders(commands...))
		}
		l.add(r.Schema, f)
	}
}

// reachable is what lint 0013 does not see: it only knows the privilege to
// select from the whole table.
func (l *linter) reachable(r *relation) {
	var open []string
	for _, role := range apiRoles {
		if may := only(commands, func(c string) bool { return r.reaches(role, c) }); len(may) > 0 {
			open = append(open, role+" may "+list(may))
		}
	}
	if len(open) == 0 || r.Extension {
		return
	}
	l.add(r.Schema, finding.Finding{
		ID: "rls_disabled_reachable", Status: finding.Fail, Object: r.String(),
		Title:  "A table of the Data API has no row level security",
		Detail: strings.Join(open, "; ") + " in every row of it. Supabase's linter only looks for the right to read whole tables.",
		Remedy: enable(r) + " Then say who may do what: " + l.configure(r),
	})
}

// sensitive are the names of columns that lint 0023 takes for secrets.
var sensitive = strings.Fields(`
2fa_code 2fa_secret access_token account_number activation_key api_key apikey auth_code auth_key backup_code bank_account bearer_token bic
card_number certificate credit_card cvc cvn cvv device_uuid driver_license drivers_license facial_recognition gpg_key health_insurance
health_record iban imei insurance_number jwt license_key license_number mac_address macaddr medical_insurance medical_record national_id
oauth_token otp passphrase passport_id passport_number passwd password patient_id pgp_key private_key pwd recovery_code refresh_token
routing_number secret secret_key session_id session_key session_secret session_token social_security social_security_number ssh_key ssn
swift_code tax_id token treatment two_factor verification_code`)

// duplicateIndexes is lint 0009.
func (l *linter) duplicateIndexes() {
	for r := range l.own {
		shapes := map[string][]index{}
		for _, x := range r.Indexes {
			shapes[x.Shape] = append(shapes[x.Shape], x)
		}
		for _, same := range shapes {
			if len(same) < 2 || r.Kind != "r" && r.Kind != "m" {
				continue
			}
			// What a constraint needs stays.
			slices.SortStableFunc(same, func(a, b index) int {
				switch {
				case a.Constraint == b.Constraint:
					return strings.Compare(a.Name, b.Name)
				case a.Constraint:
					return -1
				default:
					return 1
				}
			})
			var names, drops []string
			for i, x := range same {
				names = append(names, catalog.QuoteIdentifier(x.Name))
				switch {
				case i == 0:
				case x.Constraint:
					drops = append(drops, fmt.Sprintf("alter table %s drop constraint %s;", r, catalog.QuoteIdentifier(x.Name)))
				default:
					drops = append(drops, fmt.Sprintf("drop index concurrently %s;", catalog.Name{Schema: r.Schema, Table: x.Name}))
				}
			}
			slices.Sort(names)
			l.add(r.Schema, finding.Finding{
				ID: "duplicate_index", Status: finding.Warn, Object: r.String(),
				Title:  "Indexes are the same",
				Detail: strings.Join(names, " and ") + " hold the same, and every write pays for each of them.",
				Remedy: strings.Join(drops, " "),
			})
		}
	}
}

// views is lints 0010, 0016 and 0017.
func (l *linter) views() {
	for r := range l.own {
		readers := r.readers()
		if !l.IsExposed(r.Schema) || len(readers) == 0 {
			continue
		}
		switch r.Kind {
		case "v":
			if r.Invoker {
				l.readsAround(r)
				continue
			}
			l.add(r.Schema, finding.Finding{
				ID: "security_definer_view", Status: finding.Fail, Object: r.String(),
				Title:  "A view reads with its owner's rights",
				Detail: fmt.Sprintf("%s may select from it, and no policy of the tables that it reads holds for them there.", list(readers)),
				Remedy: fmt.Sprintf("alter view %s set (security_invoker = true);", r),
			})
		case "m":
			l.add(r.Schema, finding.Finding{
				ID: "materialized_view_in_api", Status: finding.Warn, Object: r.String(),
				Title:  "A materialized view is open to the Data API",
				Detail: fmt.Sprintf("%s may read every row of it: a materialized view can have no policies.", list(readers)),
				Remedy: revoke("select", r.String(), r.holders("select")) + " Serve its rows through a view that is limited to the caller's, or a function.",
			})
		case "f":
			l.add(r.Schema, finding.Finding{
				ID: "foreign_table_in_api", Status: finding.Warn, Object: r.String(),
				Title:  "A foreign table is open to the Data API",
				Detail: fmt.Sprintf("%s may read every row of it: a foreign table can have no policies.", list(readers)),
				Remedy: revoke("all", r.String(), r.holders(commands...)) + " Or move it to a schema that the Data API does not serve.",
			})
		}
	}
}

// readsAround is what lint 0010 does not see: a view that reads as its caller,
// from one in a schema that is not exposed and reads as its owner.
func (l *linter) readsAround(r *relation) {
	for _, oid := range r.Reads {
		inner := l.relation[oid]
		if inner == nil || inner.Kind != "v" || inner.Invoker || l.IsExposed(inner.Schema) || !mine(inner.Schema) || inner.Extension || len(inner.readers()) == 0 {
			continue
		}
		guarded := slices.ContainsFunc(inner.Reads, func(oid int64) bool { return l.relation[oid] != nil && l.relation[oid].RowSecurity })
		if !guarded || !inner.OwnerBypasses {
			continue
		}
		l.add(r.Schema, finding.Finding{
			ID: "view_over_definer_view", Status: finding.Fail, Object: r.String(),
			Title:  "A view reads around policies by way of another",
			Detail: fmt.Sprintf("It reads as its caller, but %s below it reads with its owner's rights, for whom no policy holds.", inner),
			Remedy: fmt.Sprintf("alter view %s set (security_invoker = true);", inner),
		})
	}
}

// functionsOf is lints 0011, 0028 and 0029.
func (l *linter) functionsOf() {
	for f := range l.ownFunctions {
		if !f.Path {
			found := finding.Finding{
				ID: "function_search_path_mutable", Status: finding.Warn, Object: f.String(),
				Title:  "A function looks names up where its caller says",
				Detail: "It has no search path of its own, so whoever may create objects in a schema of the caller's path can put them in place of those that it means.",
				Remedy: fmt.Sprintf("alter %s %s set search_path = pg_catalog, pg_temp;\nThen write every name in its body with its schema.", f.ddl(), f),
			}
			if f.Kind == "a" {
				found.Status, found.Title = finding.Pass, "Supabase's linter names an aggregate that can have no search path"
				found.Detail, found.Remedy = "An aggregate has no settings; its functions have.", ""
			}
			l.add(f.Schema, found)
		}
		if !f.Definer || !l.IsExposed(f.Schema) {
			continue
		}
		for _, role := range f.Executable {
			found := finding.Finding{
				ID: role + "_security_definer_function_executable", Status: finding.Warn, Object: f.String(),
				Title:  "The Data API runs a function with its owner's rights",
				Detail: fmt.Sprintf("%s may call it at /rest/v1/rpc/%s, and no policy holds in it.", role, f.Name),
				Remedy: fmt.Sprintf("revoke execute on %s %s from public, %s;\nOr make it security invoker, or move it to a schema that the Data API does not serve.", f.ddl(), f, role),
			}
			if f.Trigger {
				found.Status, found.Title = finding.Pass, "Supabase's linter names a trigger's function that nobody can call"
				found.Detail = "The Data API does not serve functions that return trigger."
				found.Remedy = fmt.Sprintf("revoke execute on function %s from public, %s;", f, role)
			}
			l.add(f.Schema, found)
		}
	}
}

// userMetadata is lint 0015.
func (l *linter) userMetadata() {
	for r, p := range l.policies {
		if !mine(r.Schema) {
			continue
		}
		if !slices.ContainsFunc(p.clauses(), readsUserMetadata) {
			continue
		}
		l.add(r.Schema, finding.Finding{
			ID: "rls_references_user_metadata", Status: finding.Fail, Object: p.on(r),
			Title:  "A policy trusts what users can write themselves",
			Detail: "It reads user_metadata, which Supabase Auth lets every user change; Clerk's tokens have no such claim.",
			Remedy: l.Helpers.Fill("Put what decides into Clerk's public metadata and a claim of the session token, and compare that: ((select {{helpers}}.claim('{metadata,role}')) = 'admin')."),
		})
	}
}

func readsUserMetadata(e expression) bool {
	if _, rest, found := strings.Cut(e.Source, "auth.jwt()"); found && strings.Contains(rest, "user_metadata") {
		return true
	}
	_, rest, found := strings.Cut(e.Source, "current_setting(")
	if !found {
		return false
	}
	_, rest, found = strings.Cut(rest, "request.jwt.claims")
	if !found {
		return false
	}
	_, rest, found = strings.Cut(rest, ")")
	return found && strings.Contains(rest, "user_metadata")
}

// alwaysTrue is lint 0024. It looks at partitioned tables too, which Supabase's
// linter does not.
func (l *linter) alwaysTrue() {
	for r, p := range l.policies {
		if !mine(r.Schema) || !r.table() || !r.RowSecurity || !p.Permissive || !p.api() {
			continue
		}
		var open []string
		if p.Command != "select" && p.Command != "insert" && (p.Using == "" || isTrue(p.Using)) {
			open = append(open, "using")
		}
		if isTrue(p.Check) || p.Check == "" && (p.Command == "insert" || (p.Command == "update" || p.Command == "all") && isTrue(p.Using)) {
			open = append(open, "with check")
		}
		if len(open) == 0 {
			continue
		}
		l.add(r.Schema, finding.Finding{
			ID: "rls_policy_always_true", Status: finding.Warn, Object: p.on(r),
			Title:  "A policy lets everybody write every row",
			Detail: fmt.Sprintf("For %s its %s is always true, for %s.", p.Command, strings.Join(open, " and its "), list(p.Roles)),
			Remedy: dropPolicy(p, r) + " Then: " + l.configure(r),
		})
	}
}

func isTrue(clause string) bool {
	switch strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(strings.ToLower(clause)) {
	case "true", "(true)", "1=1", "(1=1)":
		return true
	default:
		return false
	}
}

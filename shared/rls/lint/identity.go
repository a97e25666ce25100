package lint

import (
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/sqltext"
)

// place is SQL of the user's and where it stands.
type place struct {
	schema string
	object string
	// what is "policy", "default", "trigger" (its condition), "view" or "function".
	what string
	expression
	relation *relation // of all but a function
	policy   *policy   // of a policy
	function *function
}

// places is all the SQL that the user wrote: each policy, default and trigger, each
// view, and each function in SQL or PL/pgSQL.
func (l *linter) places(yield func(place) bool) {
	for r, p := range l.policies {
		for _, e := range p.clauses() {
			if !yield(place{r.Schema, p.on(r), "policy", e, r, p, nil}) {
				return
			}
		}
	}
	for r := range l.own {
		for _, c := range r.Columns {
			if c.Default != "" && !yield(place{r.Schema, r.nameOf(c.Name), "default", parse(c.Default, l.Helpers), r, nil, nil}) {
				return
			}
		}
		for _, t := range r.Triggers {
			object := "trigger " + catalog.QuoteIdentifier(t.Name) + " on " + r.String()
			if !yield(place{r.Schema, object, "trigger", parse(t.Definition, l.Helpers), r, nil, nil}) {
				return
			}
		}
		if r.Definition != "" && !yield(place{r.Schema, r.String(), "view", parse(r.Definition, l.Helpers), r, nil, nil}) {
			return
		}
	}
	for f := range l.ownFunctions {
		if f.Body != "" && !yield(place{f.Schema, f.String(), "function", f.body, nil, nil, f}) {
			return
		}
	}
}

// userID is how SQL reads the caller's Clerk id in this database.
func (l *linter) userID() string {
	if slices.ContainsFunc(l.exists, l.Helpers.Is) {
		return l.Helpers.String() + ".user_id()"
	}
	return "(select auth.jwt()) ->> 'sub'"
}

// supabaseIdentity finds what asks Supabase Auth who calls, or refers to its users.
func (l *linter) supabaseIdentity() {
	for at := range l.places {
		for _, c := range at.calls() {
			switch c.String() {
			case "auth.uid()":
				l.authUID(at)
			case "auth.email()":
				l.add(at.schema, finding.Finding{
					ID: "auth_email", Status: finding.Warn, Object: at.object,
					Title:  "The caller's e-mail address is not in a Clerk token",
					Detail: "auth.email() is null unless somebody added a claim \"email\" to Clerk's session token.",
					Remedy: fmt.Sprintf("Compare the user's id, %s, or read the address from %s.", l.userID(), l.users()),
				})
			case "auth.role()":
				f := finding.Finding{
					ID: "auth_role", Status: finding.Warn, Object: at.object,
					Title:  "The caller's role is better left to the policy's roles",
					Detail: "auth.role() is deprecated; whose requests a policy is for, its TO clause says, without a test for each row.",
				}
				switch {
				case at.policy != nil && slices.ContainsFunc(at.Tokens, func(t sqltext.Token) bool { return t.Kind == sqltext.Literal && t.Text == "service_role" }):
					f.Detail = "service_role sees and writes every row, policies or not: a test for it is not needed."
					f.Remedy = fmt.Sprintf("Leave the test out of the policy, or, where there is no other: %s", dropPolicy(at.policy, at.relation))
				case at.policy != nil:
					f.Remedy = fmt.Sprintf("alter policy %s on %s to authenticated;\nAnd leave the test of auth.role() out.", catalog.QuoteIdentifier(at.policy.Name), at.relation)
				default:
					f.Remedy = "Read current_user, or auth.jwt() ->> 'role'."
				}
				if at.what == "policy" || at.what == "view" {
					l.add(at.schema, f)
				}
			}
		}
	}
	for r := range l.own {
		for _, k := range r.ForeignKeys {
			l.authKey(r, k)
		}
	}
	l.authTriggers()
}

func (l *linter) authUID(at place) {
	f := finding.Finding{
		ID: "auth_uid", Status: finding.Fail, Object: at.object,
		Title:  "auth.uid() fails for a Clerk user",
		Detail: "It casts the caller's id to uuid, and a Clerk id (user_…) is none: SQLSTATE 22P02 as soon as a row is looked at.",
	}
	switch at.what {
	case "policy":
		f.Remedy = l.clerkPolicy(at.policy, at.relation)
	case "default":
		name := strings.TrimSuffix(strings.TrimPrefix(at.object, "column "), " of "+at.relation.String())
		f.Detail = "The default casts the caller's id to uuid, and a Clerk id (user_…) is none: an insert that leaves the column out fails with SQLSTATE 22P02."
		f.Remedy = fmt.Sprintf("alter table %s alter column %s drop default, alter column %[2]s type text using %[2]s::text, alter column %[2]s set default %[3]s;", at.relation, name, defaultText(l.userID()))
	case "trigger":
		f.Detail = "Its condition casts the caller's id to uuid, and a Clerk id (user_…) is none: every write that it looks at fails with SQLSTATE 22P02."
		f.Remedy = "Create the trigger again with " + l.userID() + " in place of auth.uid(), and a text column to compare it with."
	case "view":
		f.Remedy = "Create the view again with " + l.userID() + " in place of auth.uid(), and a text column to compare it with."
	case "function":
		f.Detail = "It casts the caller's id to uuid, and a Clerk id (user_…) is none: SQLSTATE 22P02 whenever the function gets there."
		f.Remedy = "Create the function again with " + l.userID() + " in place of auth.uid(), and text for what it is compared with."
		if !l.reached(at.function) {
			f.Status = finding.Warn
		}
	}
	l.add(at.schema, f)
}

// clerkPolicy makes a policy that uses auth.uid() ask Clerk's token; where it
// compares uuid columns, they have to change first, and the policy with them.
func (l *linter) clerkPolicy(p *policy, r *relation) string {
	var columns []string
	for _, e := range p.clauses() {
		columns = append(columns, e.uuids(r)...)
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	if len(columns) == 0 {
		return alterPolicy(p, r, l.withClerkID(p.using), l.withClerkID(p.check))
	}
	var b strings.Builder
	b.WriteString(dropPolicy(p, r))
	for _, c := range columns {
		fmt.Fprintf(&b, " alter table %s alter column %s type text using %[2]s::text;", r, catalog.QuoteIdentifier(c))
	}
	return b.String() + " Then: " + l.configure(r)
}

// defaultText is an expression as a default: no sub-select can stand there.
func defaultText(e string) string {
	if strings.HasPrefix(e, "(") {
		return "(auth.jwt() ->> 'sub')"
	}
	return e
}

// reached reports whether a request can come to a function: by itself, through a
// trigger, or through a policy.
func (l *linter) reached(f *function) bool {
	if f.Trigger || len(f.Executable) > 0 {
		return true
	}
	return slices.ContainsFunc(l.relations, func(r *relation) bool {
		return slices.ContainsFunc(r.Policies, func(p policy) bool { return slices.Contains(p.Functions, f.OID) })
	})
}

// uuids are the uuid columns of the policy's table that an expression names.
func (e expression) uuids(r *relation) []string {
	var names []string
	for i := range e.Tokens {
		if name, ok := e.column(i, r); ok && r.column(name).Type == "uuid" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// withClerkID is an expression that asks Clerk's token in place of auth.uid().
func (l *linter) withClerkID(e expression) string {
	var edits []edit
	for _, c := range e.calls() {
		if !c.isAuth("uid") {
			continue
		}
		id := l.userID()
		if !e.At(c.start - 1).Is("select") {
			id = "(select " + id + ")"
		}
		edits = append(edits, edit{e.Tokens[c.start].Start, e.Tokens[c.end].End, id})
	}
	return e.with(edits)
}

// authKey is lint 0021, and a foreign key to auth.users, where no Clerk user is.
func (l *linter) authKey(r *relation, k foreignKey) {
	if k.Schema != "auth" {
		return
	}
	drop := fmt.Sprintf("alter table %s drop constraint %s;", r, catalog.QuoteIdentifier(k.Name))
	if k.Unique {
		l.add(r.Schema, finding.Finding{
			ID: "fkey_to_auth_unique", Status: finding.Fail, Object: constraintOn(k.Name, r),
			Title:  "A foreign key needs a unique key of Supabase Auth",
			Detail: fmt.Sprintf("It refers to a key of %s that is not the primary one, and an update of Supabase Auth may drop that.", parent(k)),
			Remedy: drop,
		})
	}
	if k.Table != "users" || k.Inherited {
		return
	}
	columns := r.columnNames(k.Columns)
	l.add(r.Schema, finding.Finding{
		ID: "fkey_to_auth_users", Status: finding.Fail, Object: constraintOn(k.Name, r),
		Title:  "A foreign key asks for a user of Supabase Auth",
		Detail: fmt.Sprintf("No Clerk user is in auth.users, so no row of theirs can be stored with (%s): SQLSTATE 23503, or 22P02 for the id itself.", columns),
		Remedy: drop + fmt.Sprintf(" alter table %s alter column %s type text; alter table %[1]s add foreign key (%[2]s) references %[3]s (clerk_id) on delete cascade not valid;", r, columns, l.users()),
	})
}

// authTriggers finds triggers that wait for users in Supabase Auth.
func (l *linter) authTriggers() {
	r := l.byName[catalog.Name{Schema: "auth", Table: "users"}]
	if r == nil {
		return
	}
	for _, t := range r.Triggers {
		f := l.function[t.Function]
		if f == nil || !mine(f.Schema) || !t.Enabled {
			continue
		}
		l.add(f.Schema, finding.Finding{
			ID: "trigger_on_auth_users", Status: finding.Warn, Object: "trigger " + catalog.QuoteIdentifier(t.Name) + " on auth.users",
			Title:  "A trigger waits for users that Clerk keeps elsewhere",
			Detail: fmt.Sprintf("%s runs when Supabase Auth writes a user; it never does for a Clerk user.", f),
			Remedy: fmt.Sprintf("create trigger %[2]s after insert on %[1]s for each row execute function %[3]s();\nIts body has to read the columns of %[1]s.",
				l.users(), catalog.QuoteIdentifier(t.Name), catalog.Name{Schema: f.Schema, Table: f.Name}),
		})
	}
}

// userIDTypes finds Clerk ids where a uuid is expected.
func (l *linter) userIDTypes() {
	told := map[*relation]bool{}
	for at := range l.places {
		for _, c := range at.claims() {
			if c.first() != "sub" || len(c.path) > 1 {
				continue
			}
			if at.cast(c.end, "uuid") && at.Text(c.start, c.start+2) != "auth.uid" && !at.checksUUID() {
				l.add(at.schema, finding.Finding{
					ID: "user_id_as_uuid", Status: finding.Fail, Object: at.object,
					Title:  "A Clerk id is cast to uuid",
					Detail: "A Clerk id (user_…) is no uuid: SQLSTATE 22P02 as soon as the expression is evaluated.",
					Remedy: "Leave the cast out and make the column that it is compared with text; then: " + l.suggestion(at),
				})
			}
		}
		if at.what == "policy" && !at.callsTo("auth.uid()") {
			for _, name := range at.comparedAsText(at.relation) {
				told[at.relation] = true
				l.add(at.schema, finding.Finding{
					ID: "user_id_uuid_column", Status: finding.Fail, Object: at.object,
					Title:  "A uuid can never equal a Clerk id",
					Detail: fmt.Sprintf("The column %s is uuid and is compared with the caller's id (user_…) as text: no row ever matches.", catalog.QuoteIdentifier(name)),
					Remedy: dropPolicy(at.policy, at.relation) + fmt.Sprintf(" alter table %s alter column %s type text;\nThen: %s", at.relation, catalog.QuoteIdentifier(name), l.configure(at.relation)),
				})
			}
		}
	}
	for r := range l.own {
		if told[r] || !r.table() || !l.IsExposed(r.Schema) {
			continue
		}
		if name := l.uuidOwner(r); name != "" {
			l.add(r.Schema, finding.Finding{
				ID: "user_id_uuid_column", Status: finding.Warn, Object: r.nameOf(name),
				Title:  "A column for the owner of a row cannot hold a Clerk id",
				Detail: fmt.Sprintf("%s is uuid and refers to no table that would translate it; a Clerk id (user_…) is text.", catalog.QuoteIdentifier(name)),
				Remedy: fmt.Sprintf("alter table %s alter column %s type text;\nThen: %s", r, catalog.QuoteIdentifier(name), l.configure(r)),
			})
		}
	}
}

// suggestion is what to do about the expression of a place.
func (l *linter) suggestion(at place) string {
	if at.policy != nil {
		return l.configure(at.relation)
	}
	return "use " + l.userID()
}

func (e expression) callsTo(text string) bool {
	return slices.ContainsFunc(e.calls(), func(c call) bool { return c.String() == text })
}

// checksUUID: the expression looks at the form of an id before it casts one.
func (e expression) checksUUID() bool {
	return slices.ContainsFunc(e.Tokens, func(t sqltext.Token) bool { return t.Kind == sqltext.Literal && strings.Contains(t.Text, "[0-9a-f") })
}

// comparedAsText are the uuid columns that are cast to text in one comparison
// with the caller's id.
func (e expression) comparedAsText(r *relation) []string {
	var names []string
	for _, leaf := range e.leaves() {
		if !slices.ContainsFunc(e.claims(), func(c claim) bool { return c.first() == "sub" && c.start >= leaf.from && c.end <= leaf.to }) {
			continue
		}
		for i := leaf.from; i <= leaf.to; i++ {
			if name, ok := e.column(i, r); ok && r.column(name).Type == "uuid" && e.cast(i, "text") && len(e.selects(i)) == 0 {
				names = append(names, name)
			}
		}
	}
	return names
}

// leaves are the conditions that ands, ors and nots join.
func (e expression) leaves() []node {
	root, ok := e.whole()
	if !ok {
		return nil
	}
	var leaves []node
	var walk func(node)
	walk = func(n node) {
		if n.op == "" {
			leaves = append(leaves, n)
		}
		for _, c := range n.children {
			walk(c)
		}
	}
	walk(root)
	return leaves
}

// uuidOwner is the column that says whose a row is, where it is a uuid and
// nothing translates it: no foreign key to a table of the user's own, no
// function in a policy.
func (l *linter) uuidOwner(r *relation) string {
	i := slices.IndexFunc(r.Columns, func(c column) bool {
		return slices.Contains(ownerNames, c.Name) && c.Type == "uuid" && !strings.Contains(c.Default, "auth.uid()")
	})
	if i < 0 {
		return ""
	}
	c := r.Columns[i]
	for _, k := range r.ForeignKeys {
		if slices.Contains(k.Columns, c.Number) {
			return "" // Its own finding where it is to auth.users.
		}
	}
	for _, x := range r.Indexes {
		if x.Primary && slices.Contains(x.Columns, c.Number) {
			return ""
		}
	}
	for _, p := range r.Policies {
		for _, e := range p.clauses() {
			for _, call := range e.calls() {
				if call.schema != "" && !l.Helpers.Is(call.schema) && mine(call.schema) || call.isAuth("uid") {
					return "" // The policy's own finding where it is auth.uid().
				}
			}
		}
	}
	return c.Name
}

// ownerNames are names of columns that hold a user's id and nothing else.
var ownerNames = []string{
	"author_id", "clerk_id", "clerk_user_id", "created_by", "created_by_id", "creator_id", "owner", "owner_id", "owner_user_id", "user_id",
}

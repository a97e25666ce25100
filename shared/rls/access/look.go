package access

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// look is one look, as far as it has come.
type look struct {
	*session
	caller   caller
	facts    facts
	database catalog.Database

	tables  []catalog.Name // empty at first where the database is asked for them
	found   []relation     // of the tables, those that are there
	leftOut int64          // beyond MaxTables
	unasked bool           // nobody named the tables

	claims, role, uid, mirror finding.Finding // without an id: not come to
	uidFails                  bool            // auth.uid() raises for this caller
	uidCasts                  bool            // because the caller's id is no uuid
	results                   map[catalog.Name]result
}

// facts is the answer of facts.sql.
type facts struct {
	Login        string   `json:"login"`
	Bypasses     bool     `json:"bypasses"`
	RoleBypasses bool     `json:"role_bypasses"`
	Is           []string `json:"is"`
	// Helpers are by name; those of Supabase have their schema, auth.
	Helpers    map[string]bool `json:"helpers"`
	CopyState  *bool           `json:"copy_state"`
	PreRequest string          `json:"pre_request"`
}

// relation is a table and what the caller's role may do with it.
type relation struct {
	catalog.Table
	rights
}

// rights is the answer of rights.sql.
type rights struct {
	Usage         bool     `json:"usage"`
	Select        bool     `json:"select"`
	Readable      []string `json:"readable"`
	Owns          bool     `json:"owns"`
	OwnerBypasses bool     `json:"owner_bypasses"`
	Empty         bool     `json:"empty"`
	Estimate      int64    `json:"estimate"`
	Reads         []string `json:"reads"`
}

// result is what came of one table.
type result struct {
	finding finding.Finding
	table   *Table // nil where there is nothing to tell but the finding
}

var (
	//go:embed facts.sql
	factsSQL string
	//go:embed relations.sql
	relationsSQL string
	//go:embed rights.sql
	rightsSQL string
)

// run looks at everything, in an order in which each step has what it needs. Its
// error says why it went no further.
func (l *look) run(ctx context.Context) error {
	if err := l.prepare(ctx); err != nil {
		return err
	}
	who, allowed, err := l.identify(ctx)
	if err != nil {
		return err
	}
	if err := l.lookUp(ctx, who); err != nil {
		return err
	}
	if err := l.list(ctx); err != nil {
		return err
	}
	if err := l.read(ctx); err != nil {
		return err
	}
	l.nameUIDUsers()
	if !allowed {
		return l.notAllowed()
	}
	for _, r := range l.found {
		res, err := l.table(ctx, r)
		if err != nil {
			return err
		}
		l.results[r.Name] = res
	}
	return nil
}

func (l *look) prepare(ctx context.Context) error {
	l.results = map[catalog.Name]result{}
	refused, err := l.own(ctx, func() (err error) {
		l.database, err = catalog.ReadDatabase(ctx, l, nil)
		return err
	})
	if refused != nil {
		return fmt.Errorf("reading the database's settings: %s", plainText(refused))
	}
	if err != nil {
		return err
	}
	return l.json(ctx, "reading what the database says about itself", &l.facts, factsSQL, l.caller.role, string(l.database.Helpers))
}

// json reads one JSON document as the connected role.
func (l *look) json(ctx context.Context, doing string, to any, sql string, args ...any) error {
	var text string
	refused, err := l.own(ctx, func() error { return l.QueryRow(ctx, sql, args...).Scan(&text) })
	if refused != nil {
		return fmt.Errorf("%s: %s", doing, plainText(refused))
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), to); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// list finds out which tables to look at where none was named.
func (l *look) list(ctx context.Context) error {
	if len(l.tables) > 0 {
		l.leftOut = int64(max(0, len(l.tables)-MaxTables))
		l.tables = l.tables[:min(len(l.tables), MaxTables)]
		return nil
	}
	exposed, err := json.Marshal(l.database.Exposed)
	if err != nil {
		return fmt.Errorf("listing tables: %w", err)
	}
	var all struct {
		Count int64          `json:"count"`
		Names []catalog.Name `json:"names"`
	}
	if err := l.json(ctx, "listing tables", &all, relationsSQL, l.caller.role, string(exposed), strconv.Itoa(MaxTables)); err != nil {
		return err
	}
	l.tables, l.leftOut, l.unasked = all.Names, all.Count-int64(len(all.Names)), true
	return nil
}

// read reads what the catalogue says about the tables.
func (l *look) read(ctx context.Context) error {
	var oids []string
	for _, name := range l.tables {
		var t catalog.Table
		var missing error
		refused, err := l.own(ctx, func() (err error) {
			if !utf8.ValidString(name.Schema+name.Table) || strings.ContainsRune(name.Schema+name.Table, 0) {
				missing = catalog.ErrNotFound
				return nil
			}
			t, err = catalog.ReadTable(ctx, l, name)
			if errors.Is(err, catalog.ErrNotFound) {
				missing, err = err, nil
			}
			return err
		})
		switch {
		case err != nil:
			return err
		case missing != nil:
			l.results[name] = notFound(name, missing)
		case refused != nil:
			l.results[name] = l.unreadable(refused)
		default:
			l.found = append(l.found, relation{Table: t})
			oids = append(oids, strconv.FormatUint(uint64(t.OID), 10))
		}
	}
	if len(oids) == 0 {
		return nil
	}
	var all map[string]rights
	if err := l.json(ctx, "reading grants", &all, rightsSQL, l.caller.role, "{"+strings.Join(oids, ",")+"}"); err != nil {
		return err
	}
	for i := range l.found {
		l.found[i].rights = all[oids[i]]
	}
	return nil
}

func notFound(name catalog.Name, err error) result {
	_, guess, _ := strings.Cut(err.Error(), "; ")
	f := finding.Finding{
		Status: finding.Fail, Title: "There is no such table", Detail: fmt.Sprintf("The database has no table or view %s.", name),
		Remedy: "Check schema and spelling: names without quotes are in lower case, and without a schema in public.",
	}
	if guess != "" {
		f.Detail += " " + strings.ToUpper(guess[:1]) + guess[1:]
	}
	return result{f, &Table{Name: name.String(), Estimate: -1, Decision: ByNotFound, Detail: f.Detail}}
}

// unreadable is a table about which the catalogue itself gives no answer, as it
// does while somebody rebuilds the table.
func (l *look) unreadable(refused *pgconn.PgError) result {
	return result{finding: finding.Finding{
		Status: finding.Skip, Title: "The table could not be looked at", Detail: l.said(refused) + ".", Remedy: l.advice(refused.Code, ""),
	}}
}

// view puts together what was seen; stopped, if not nil, is why the rest was not.
func (l *look) view(stopped error) View {
	because := "There was no answer."
	if stopped != nil {
		because = sentence(stopped.Error())
	}
	v := View{Helpers: l.database.Helpers}
	add := func(id, object string, f finding.Finding) {
		if f.Status == "" {
			f = finding.Finding{Status: finding.Skip, Title: "Could not be looked at", Detail: because}
		}
		f.ID, f.Object = id, object
		v.Findings = append(v.Findings, f)
	}
	add("database.claims", "", l.claims)
	add("database.role", "", l.role)
	add("database.uid", "", l.uid)
	add("mirror.user", "", l.mirror)
	for _, name := range l.tables[:min(len(l.tables), MaxTables)] {
		res := l.results[name]
		add("rls."+name.String(), name.String(), res.finding)
		if res.table != nil {
			v.Tables = append(v.Tables, *res.table)
		}
	}
	switch {
	case l.leftOut > 0:
		add("rls.tables", "", finding.Finding{
			Status: finding.Skip, Title: fmt.Sprintf("%d more %s left out", l.leftOut, plural(l.leftOut, "table was", "tables were")),
			Detail: fmt.Sprintf("At most %d tables are looked at; these are the first by name.", MaxTables),
			Remedy: "Name the tables to look at.",
		})
	case len(l.tables) == 0 && stopped == nil:
		add("rls.tables", "", finding.Finding{
			Status: finding.Skip, Title: "There is no table to look at",
			Detail: fmt.Sprintf("Nothing in the schemas that the Data API serves (%s) is granted to %s or has row level security.", strings.Join(l.database.Exposed, ", "), l.caller.role),
		})
	}
	return v
}

// sentence makes one of an error's text.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	// Names stay as they are.
	if word, _, _ := strings.Cut(text, " "); !strings.ContainsAny(word, "._()") {
		first, size := utf8.DecodeRuneInString(text)
		text = strings.ToUpper(string(first)) + text[size:]
	}
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// uses are the places in a table where a select or a write of the caller's calls
// auth.uid().
func (l *look) uses(r relation) []string {
	var places []string
	for _, p := range r.Policies {
		if r.RowSecurity && p.Applies(p.Command, l.facts.Is...) && (parse(p.Using, r.Table).callsUID() || parse(p.Check, r.Table).callsUID()) {
			places = append(places, fmt.Sprintf("policy %s (%s)", catalog.QuoteIdentifier(p.Name), p.Command))
		}
	}
	for _, c := range r.Columns {
		if parse(c.Default, r.Table).callsUID() {
			places = append(places, "default of column "+catalog.QuoteIdentifier(c.Name))
		}
	}
	return places
}

// nameUIDUsers adds to the finding about auth.uid() which tables have to do with it.
func (l *look) nameUIDUsers() {
	if !l.uidFails {
		return
	}
	var users []string
	for _, r := range l.found {
		if len(l.uses(r)) > 0 {
			users = append(users, r.Name.String())
		}
	}
	if len(users) == 0 {
		if l.uidCasts { // as for every user of Clerk's: nothing has to be mended
			l.uid.Status, l.uid.Remedy = finding.Pass, ""
		}
		l.uid.Detail += " No policy or default of the tables looked at calls it."
		return
	}
	l.uid.Detail += " It is called by policies or defaults of " + strings.Join(users, ", ") + "."
}

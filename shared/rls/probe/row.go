package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// probeRow is a row that the prober made or that a persona has in the copy.
type probeRow struct {
	// own: it belongs to the owner and the owner's organization.
	own       bool
	published bool
	// whole is the row as the text of its type, columns are its columns' texts.
	whole   string
	columns map[string]string
	// where finds it.
	where string
	// key is what a query for it answers.
	key string
}

// errNoRow is matched when a table refuses every row that the prober offers.
var errNoRow = errors.New("no row could be made")

const (
	maxDepth   = 6
	maxRepairs = 12
)

// values are the columns of a new row, by name, as texts or null. Where the
// subject names nobody, the columns are null if they can be.
func (p *prober) values(ctx context.Context, t *plan, who subject, published bool, n int, over map[string]string, path []catalog.Name) (map[string]string, error) {
	row := map[string]string{}
	belongs := func(column, id, fallback string) {
		if column == "" {
			return
		}
		if c, _ := t.Column(column); id == "" && !c.NotNull {
			row[column] = null
			return
		}
		if id == "" {
			id = fallback
		}
		if t.foreign[column] {
			id = p.cast.asUUID(id)
		}
		row[column] = id
	}
	belongs(t.columns.Owner, who.user, p.cast.owner)
	belongs(t.columns.Organization, who.organization, p.cast.orgA)
	if t.columns.Published != "" {
		row[t.columns.Published] = t.off
		if published {
			row[t.columns.Published] = t.on
		}
	}
	maps.Copy(row, t.fixed)
	maps.Copy(row, over)
	if err := p.follow(ctx, t, who, row, path); err != nil {
		return nil, err
	}
	for _, c := range t.Columns {
		_, set := row[c.Name]
		if set || c.Generated || c.Identity && t.alwaysGenerated(c.Name) {
			continue
		}
		given := c.Default != "" || c.Identity || c.Serial != nil
		needed := c.NotNull && !given || t.fill[c.Name] || t.everything && !c.Identity && c.Serial == nil
		if present, ok := t.model[c.Name]; ok && !t.inKey(c.Name) && !given {
			row[c.Name] = present
			continue
		}
		if !needed {
			continue
		}
		if pinned := t.pinned[c.Name]; len(pinned) > 0 {
			row[c.Name] = pinned[n%len(pinned)]
			continue
		}
		_, outer := t.typeOf(c.Name)
		value, ok := p.maker.value(t.shape, outer, n, t.inKey(c.Name))
		if !ok {
			if c.NotNull && !given {
				return nil, fmt.Errorf("%w: column %s has the type %s, of which no values are known", errNoRow, catalog.QuoteIdentifier(c.Name), c.Type)
			}
			continue
		}
		row[c.Name] = value
	}
	// An explicit value wins over an identity that is always generated: none is given.
	for name := range row {
		if c, ok := t.Column(name); !ok || c.Generated || t.alwaysGenerated(name) {
			delete(row, name)
		}
	}
	return row, nil
}

// follow fills the columns of foreign keys, with parents that belong to the same
// subject.
func (p *prober) follow(ctx context.Context, t *plan, who subject, row map[string]string, path []catalog.Name) error {
	for _, fk := range t.Constraints {
		if fk.Kind != catalog.ForeignKey || fk.References == nil || len(fk.Columns) != len(fk.Referenced) {
			continue
		}
		forced := map[string]string{}
		needed, open := false, false
		for i, column := range fk.Columns {
			c, _ := t.Column(column)
			value, set := row[column]
			if !set {
				open = true
				needed = needed || c.NotNull && c.Default == "" || t.fill[column]
				continue
			}
			forced[fk.Referenced[i]] = value
		}
		if slices.Contains(slices.Collect(maps.Values(forced)), null) {
			continue // not enforced
		}
		if t.model != nil && open && len(forced) == 0 {
			continue // the model's parents are there
		}
		// What is set already still needs a parent that is there.
		if open && !needed && !(t.links && len(path) == 1) {
			continue
		}
		parent, err := p.parent(ctx, *fk.References, fk.Referenced, who, forced, path)
		if err != nil {
			if needed || !open {
				return fmt.Errorf("the parent for %s: %w", fk.Name, err)
			}
			continue
		}
		for i, column := range fk.Columns {
			if _, set := row[column]; !set {
				row[column] = parent[fk.Referenced[i]]
			}
		}
	}
	return nil
}

// parent answers the referenced columns of a row that a foreign key can point
// to: one of the copy's, one made before, a new one, or one that was there.
func (p *prober) parent(ctx context.Context, name catalog.Name, referenced []string, who subject, forced map[string]string, path []catalog.Name) (map[string]string, error) {
	if row, ok := p.inCopy(name, who); ok {
		answer := map[string]string{}
		for _, column := range referenced {
			value, known := row[column]
			if set, ok := forced[column]; ok {
				value, known = set, true
			}
			if !known {
				return nil, fmt.Errorf("%w: %s.%s is no key of the copy", errNoRow, name, catalog.QuoteIdentifier(column))
			}
			answer[column] = value
		}
		return answer, nil
	}
	key := fmt.Sprintf("%s %v %v %v", name.SQL(), referenced, who, forced)
	if made, ok := p.parents[key]; ok {
		return made, nil
	}
	if slices.Contains(path, name) || len(path) > maxDepth {
		return nil, fmt.Errorf("%w: the foreign keys %s lead in a circle, or further than %d tables", errNoRow, catalog.Join(append(path, name), " → ", catalog.Name.String), maxDepth)
	}
	t, err := p.plan(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(forced) > 0 {
		present, ok, err := p.present(ctx, t, referenced, forced)
		if err != nil {
			return nil, err
		}
		if ok {
			p.borrowed = p.borrowed || len(forced) < len(referenced)
			p.parents[key] = present
			return present, nil
		}
	}
	p.count++
	row, err := p.insert(ctx, t, who, false, p.count, forced, append(slices.Clone(path), name))
	if err != nil {
		if !errors.Is(err, errNoRow) || len(forced) > 0 {
			return nil, err
		}
		present, ok, again := p.present(ctx, t, referenced, nil)
		if again != nil {
			return nil, again
		}
		if !ok {
			return nil, err
		}
		p.borrowed = true
		p.parents[key] = present
		return present, nil
	}
	answer := map[string]string{}
	for _, column := range referenced {
		answer[column] = row.columns[column]
	}
	p.parents[key] = answer
	return answer, nil
}

// present reads columns of any row that has the forced values.
func (p *prober) present(ctx context.Context, t *plan, columns []string, forced map[string]string) (map[string]string, bool, error) {
	sql := "select " + texts("r", columns) + " from " + t.SQL() + " as r"
	if len(forced) > 0 {
		sql += " where " + equal(forced)
	}
	results, refused, err := p.attempt(ctx, sql+" limit 1")
	if err != nil {
		return nil, false, err
	}
	if refused != nil || len(results[0].Rows) == 0 {
		return nil, false, nil
	}
	return byName(columns, results[0].Rows[0]), true, nil
}

// insert makes a row as the connected role, with the claims of the one it belongs
// to, and mends what the table objects to for as long as it knows how. The error
// matches errNoRow where it does not.
func (p *prober) insert(ctx context.Context, t *plan, who subject, published bool, n int, over map[string]string, path []catalog.Name) (probeRow, error) {
	var last error
	variants := []func(){
		func() {},
		func() { t.links = false },
		func() { t.everything = true },
		nil, // after a present row
	}
	for _, variant := range variants {
		if variant == nil {
			model, ok, err := p.present(ctx, t, columnNames(t.Table), nil)
			if err != nil {
				return probeRow{}, err
			}
			if !ok {
				break
			}
			p.borrowed = true
			t.model, t.everything, t.fixed = model, false, map[string]string{}
		} else {
			variant()
		}
		for range maxRepairs {
			values, err := p.values(ctx, t, who, published, n, over, path)
			if err != nil {
				if !errors.Is(err, errNoRow) {
					return probeRow{}, err
				}
				last = err
				break
			}
			results, refused, err := p.attempt(ctx, p.asSubject(who), insertSQL(t, values, t.returning()))
			if err != nil {
				return probeRow{}, fmt.Errorf("making a row of %s: %w", t.Name, err)
			}
			if refused == nil {
				if len(results[1].Rows) == 0 {
					last = fmt.Errorf("%w: a trigger or rule of %s drops new rows", errNoRow, t.Name)
					break
				}
				return t.made(results[1].Rows[0]), nil
			}
			last = fmt.Errorf("%w: %w", errNoRow, p.clean(refused.Err))
			if timedOut(refused.Err.Code) {
				return probeRow{}, last // another row would have to wait, too
			}
			mended, err := p.mend(ctx, t, refused.Err, values, over)
			if err != nil {
				return probeRow{}, err
			}
			if !mended {
				break
			}
			if refused.Err.Code == "23505" {
				n += 101
			}
		}
	}
	return probeRow{}, last
}

// asSubject sets the claims that defaults and triggers read.
func (p *prober) asSubject(who subject) string {
	for _, persona := range p.personas {
		if persona.self == who && persona.Role == platform.Authenticated {
			return persona.pretend()
		}
	}
	claims := Persona{Role: platform.Authenticated, claims: sessionClaims(who.user)}
	if who.organization != "" {
		claims.claims["o"] = map[string]any{"id": who.organization, "rol": "member"}
	}
	return claims.pretend()
}

// mend changes the plan after a refusal, and reports whether it is worth another try.
func (p *prober) mend(ctx context.Context, t *plan, refused *pgconn.PgError, values, over map[string]string) (bool, error) {
	switch refused.Code {
	case "23502": // not null: a domain, a trigger or a default that is null
		c, ok := t.Column(refused.ColumnName)
		if !ok || t.fill[c.Name] || c.Generated {
			return false, nil
		}
		t.fill[c.Name] = true
		return true, nil
	case "23505": // unique: the next number has other values
		return true, nil
	case "23514": // a check, or no partition for the row
		if refused.ConstraintName == "" || refused.Routine == "ExecFindPartition" {
			return t.nextPartition(over), nil
		}
		return p.solve(ctx, t, refused, values)
	}
	return false, nil
}

// returning are the row as a whole, its place and its columns.
func (t *plan) returning() string {
	list := "(clerksync_row.*)::text, clerksync_row.tableoid::text, clerksync_row.ctid::text"
	if columns := columnNames(t.Table); len(columns) > 0 {
		list += ", " + texts("clerksync_row", columns)
	}
	return list
}

// made reads what returning answered.
func (t *plan) made(fields [][]byte) probeRow {
	names := columnNames(t.Table)
	row := probeRow{whole: string(fields[0]), columns: byName(names, fields[3:])}
	if len(t.key) == 0 {
		row.where = "tableoid = " + literal(string(fields[1])) + " and ctid = " + literal(string(fields[2]))
		row.key = string(fields[1]) + string(fields[2])
		return row
	}
	values, key := map[string]string{}, make([]string, len(t.key))
	for i, column := range t.key {
		values[column], key[i] = row.columns[column], row.columns[column]
	}
	row.where, row.key = equal(values), strings.Join(key, "\x01")
	return row
}

// keyExpression is what finds a row's key again.
func (t *plan) keyExpression() string {
	if len(t.key) == 0 {
		return "tableoid::text || ctid::text"
	}
	parts := make([]string, len(t.key))
	for i, column := range t.key {
		parts[i] = quote(column) + "::text"
	}
	return strings.Join(parts, ` || e'\x01' || `)
}

// insertSQL is an insert of one row; returning may be empty.
func insertSQL(t *plan, values map[string]string, returning string) string {
	sql := "insert into " + t.SQL() + " as clerksync_row"
	if len(values) == 0 {
		sql += " default values"
	} else {
		columns := slices.Sorted(maps.Keys(values))
		sql += " (" + quoteAll(columns) + ") values (" + catalog.List(columns, func(c string) string { return literal(values[c]) }) + ")"
	}
	if returning != "" {
		sql += " returning " + returning
	}
	return sql
}

// equal is the condition that columns have values.
func equal(values map[string]string) string {
	var conditions []string
	for _, column := range slices.Sorted(maps.Keys(values)) {
		conditions = append(conditions, quote(column)+" = "+literal(values[column]))
	}
	return strings.Join(conditions, " and ")
}

func quoteAll(columns []string) string { return catalog.List(columns, quote) }

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }

// literal is a text as a constant that takes the type of its place.
func literal(value string) string {
	if value == null {
		return "null"
	}
	return catalog.QuoteLiteral(value)
}

func texts(alias string, columns []string) string {
	return catalog.List(columns, func(c string) string { return quote(alias) + "." + quote(c) + "::text" })
}

func columnNames(t catalog.Table) []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

func byName(columns []string, fields [][]byte) map[string]string {
	row := make(map[string]string, len(columns))
	for i, column := range columns {
		if fields[i] == nil {
			row[column] = null
		} else {
			row[column] = string(fields[i])
		}
	}
	return row
}

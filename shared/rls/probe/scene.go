package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// scene is a table with the prober's rows in it, and what personas try to add.
type scene struct {
	*plan
	rows []probeRow
	// fresh are the columns of new rows, by whom they belong to.
	fresh map[subject]map[string]string
	// selves are the rows that personas have themselves, by user; in the copy only.
	selves map[string]probeRow

	// strangersParents are the columns of foreign keys to rows of a stranger's, where
	// the parents belong to somebody.
	strangersParents map[string]string

	// timeouts are how many attempts of a role ran into a limit.
	timeouts map[string]int

	truths map[string][]truth
	// broken are the answers of policies that fail for every row.
	broken map[string]answer
	asIfs  map[string]string
}

// own and other are the rows that are updated and deleted.
func (s *scene) own() probeRow   { return s.target(true) }
func (s *scene) other() probeRow { return s.target(false) }

func (s *scene) target(own bool) probeRow {
	i := slices.IndexFunc(s.rows, func(r probeRow) bool { return r.own == own && !r.published })
	return s.rows[max(i, 0)]
}

// whose are the subjects of the prober's rows.
type whose struct {
	who       subject
	own       bool
	published bool
}

func (p *prober) groups(t *plan) []whose {
	ownA, strangerB := subject{p.cast.owner, p.cast.orgA}, subject{p.cast.stranger, p.cast.orgB}
	list := []whose{{who: ownA, own: true}, {who: strangerB}}
	if t.columns.Published != "" && !t.single() {
		list = append(list, whose{who: ownA, own: true, published: true}, whose{who: strangerB, published: true})
	}
	return list
}

// set puts the prober's rows into a table. Where that cannot be done the report
// gets a finding and the scene is nil.
func (p *prober) set(ctx context.Context, t *plan, report *TableReport) (*scene, error) {
	s := &scene{plan: t, fresh: map[subject]map[string]string{}, selves: map[string]probeRow{}, truths: map[string][]truth{}, asIfs: map[string]string{}, timeouts: map[string]int{}, broken: map[string]answer{}}
	var err error
	if _, ok := p.inCopy(t.Name, subject{}); ok {
		err = p.findInCopy(ctx, s)
	} else {
		err = p.makeRows(ctx, s)
	}
	if err == nil {
		err = p.makeFresh(ctx, s)
	}
	if errors.Is(err, errNoRow) {
		detail := err.Error()
		if p.borrowed {
			detail = "No row was accepted, nor one like those that are there."
		}
		report.finding(finding.Finding{
			ID: "rls.probe.data", Status: finding.Skip, Title: "The prober could not make rows for this table", Detail: detail,
			Remedy: "Put one row of any kind into the table: the prober takes it as a model. If columns were picked wrongly, name the owner's and the organization's column.",
		})
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, row := range s.rows {
		if row.own {
			report.Own++
		} else {
			report.Other++
		}
	}
	return s, nil
}

func (p *prober) makeRows(ctx context.Context, s *scene) error {
	for i, g := range p.groups(s.plan) {
		row, err := p.insert(ctx, s.plan, g.who, g.published, i, nil, []catalog.Name{s.Name})
		if err != nil {
			return err
		}
		row.own, row.published = g.own, g.published && s.columns.Published != ""
		s.rows = append(s.rows, row)
	}
	return nil
}

// findInCopy takes the personas' own rows.
func (p *prober) findInCopy(ctx context.Context, s *scene) error {
	find := func(who subject) (probeRow, bool, error) {
		keys, _ := p.inCopy(s.Name, who)
		results, refused, err := p.attempt(ctx, "select "+s.returning()+" from "+s.SQL()+" as clerksync_row where "+equal(keys))
		if err != nil {
			return probeRow{}, false, err
		}
		if refused != nil {
			return probeRow{}, false, fmt.Errorf("%w: %w", errNoRow, p.clean(refused.Err))
		}
		if len(results[0].Rows) == 0 {
			return probeRow{}, false, nil
		}
		return s.made(results[0].Rows[0]), true, nil
	}
	for _, g := range []whose{{who: subject{p.cast.owner, p.cast.orgA}, own: true}, {who: subject{p.cast.stranger, p.cast.orgB}}} {
		row, ok, err := find(g.who)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: the personas' rows are not in the copy", errNoRow)
		}
		row.own = g.own
		s.rows = append(s.rows, row)
	}
	for _, persona := range p.personas {
		if persona.self.user == "" || persona.self.user == p.cast.owner || s.Name.Table == "organizations" {
			continue
		}
		row, ok, err := find(persona.self)
		if err != nil {
			return err
		}
		if ok {
			s.selves[persona.self.user] = row
		}
	}
	return nil
}

// forged is a row that a persona adds in a stranger's name; foreign one that it
// adds to an organization that it is not in.
func (p *prober) forged(self subject) subject { return subject{p.cast.stranger, self.organization} }

func (p *prober) foreign(self subject) subject {
	if self.organization == p.cast.orgB {
		return subject{self.user, p.cast.orgA}
	}
	return subject{self.user, p.cast.orgB}
}

// makeFresh makes the values of every new row that personas try to add, and the
// parents of those rows.
func (p *prober) makeFresh(ctx context.Context, s *scene) error {
	if err := p.rehearse(ctx, s); err != nil {
		return err
	}
	n := 10
	for _, persona := range p.personas {
		for _, who := range []subject{persona.self, p.forged(persona.self), p.foreign(persona.self)} {
			if _, ok := s.fresh[who]; ok {
				continue
			}
			n++
			values, err := p.values(ctx, s.plan, who, false, n, nil, []catalog.Name{s.Name})
			if err != nil {
				return err
			}
			// A persona writes its own id, whatever the column can hold.
			if column := s.columns.Owner; s.foreign[column] && who.user != "" && who.user != p.cast.stranger {
				values[column] = who.user
			}
			s.fresh[who] = values
		}
	}
	p.findParents(s)
	return nil
}

// rehearse adds a row like those that personas will add and takes it back, so that
// what a check objects to in later rows, and did not in the first, is mended before.
func (p *prober) rehearse(ctx context.Context, s *scene) error {
	err := p.must(ctx, "rehearsing", "release savepoint clerksync_step", "savepoint clerksync_rehearsal", "savepoint clerksync_step")
	if err != nil {
		return err
	}
	// Parents that are made meanwhile are gone afterwards.
	parents := maps.Clone(p.parents)
	who := subject{p.cast.other, p.cast.orgA}
	for range maxRepairs {
		values, err := p.values(ctx, s.plan, who, false, rehearsed, nil, []catalog.Name{s.Name})
		if errors.Is(err, errNoRow) {
			break
		}
		if err != nil {
			return err
		}
		_, refused, err := p.attempt(ctx, p.asSubject(who), insertSQL(s.plan, values, "1"))
		if err != nil {
			return fmt.Errorf("rehearsing a row of %s: %w", s.Name, err)
		}
		if refused == nil || refused.Err.Code != "23514" {
			break // anything else is of this row alone
		}
		mended, err := p.mend(ctx, s.plan, refused.Err, values, nil)
		if err != nil {
			return err
		}
		if !mended {
			break
		}
	}
	p.parents = parents
	return p.must(ctx, "ending a rehearsal", "rollback to savepoint clerksync_rehearsal", "release savepoint clerksync_rehearsal", "savepoint clerksync_step")
}

// rehearsed is the number of a row as high as those of personas get.
const rehearsed = 60

// findParents notes the parents of a stranger's row.
func (p *prober) findParents(s *scene) {
	other := s.other()
	s.strangersParents = map[string]string{}
	for _, fk := range s.Constraints {
		if fk.Kind != catalog.ForeignKey || fk.References == nil {
			continue
		}
		parent, known := p.plans[*fk.References]
		if !known || parent == s.plan || parent.columns.Owner == "" && parent.columns.Organization == "" {
			continue
		}
		for _, column := range fk.Columns {
			if column != s.columns.Owner && other.columns[column] != null {
				s.strangersParents[column] = other.columns[column]
			}
		}
	}
}

// clear deletes what would collide with a new row for being of the same user or
// organization; but not the row found by keep.
func (s *scene) clear(values map[string]string, keep string) []string {
	var statements []string
	for _, k := range s.Keys {
		about := func(c string) bool { return c == s.columns.Owner || c == s.columns.Organization }
		if !k.whole() || slices.ContainsFunc(k.Columns, func(c string) bool { return !about(c) }) {
			continue
		}
		var conditions []string
		for _, column := range k.Columns {
			conditions = append(conditions, quote(column)+"::text = "+literal(values[column])+"::text")
		}
		sql := "delete from " + s.SQL() + " where " + strings.Join(conditions, " and ")
		if keep != "" {
			sql += " and not (" + keep + ")"
		}
		statements = append(statements, sql)
	}
	return statements
}

// harmless is a column that can be updated without changing whom a row belongs
// to, one that the role may update if there is any.
func (s *scene) harmless(rights roleRights) string {
	best, weight := "", -1
	for _, c := range s.Columns {
		if c.Generated || c.Identity {
			continue
		}
		w := 1
		if rights.may("update", c.Name) {
			w += 10
		}
		linked := slices.ContainsFunc(s.Constraints, func(k catalog.Constraint) bool {
			return k.Kind == catalog.ForeignKey && slices.Contains(k.Columns, c.Name)
		})
		if !linked && !s.inKey(c.Name) && !slices.Contains(s.PartitionColumns, c.Name) {
			w += 4
		}
		if c.Name != s.columns.Owner && c.Name != s.columns.Organization && c.Name != s.columns.Published {
			w += 2
		}
		if w > weight {
			best, weight = c.Name, w
		}
	}
	return best
}

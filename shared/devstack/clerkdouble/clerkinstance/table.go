package clerkinstance

import (
	"cmp"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"

	"clerksync/shared/clerk"
)

// row is one object of a table.
type row[T any] struct {
	id               string
	created, updated clerk.Millis
	// value is never written through. It is nil for an object that was seeded
	// and not touched since: that one is made again from number when needed.
	value  *T
	number int
	// at is the place in the table's list.
	at int
}

// before is the order of every list: of two objects made in one millisecond the
// ids decide.
func before[T any](a, b *row[T]) int {
	return cmp.Or(cmp.Compare(a.created, b.created), strings.Compare(a.id, b.id))
}

// table holds objects by id, by creation, and in groups that a key makes.
type table[T any] struct {
	// kind is what errors call an object.
	kind string
	head func(*T) head
	// remake makes the value of a row that has none.
	remake func(*row[T]) T
	groups []group[T]

	byID map[string]*row[T]
	// list is in an order that depends on nothing but what was done to the
	// table, so that a seeded choice always falls on the same row.
	list   []*row[T]
	sorted []*row[T]
}

// head is where an object has what every object has.
type head struct {
	id               *string
	created, updated *clerk.Millis
}

// group is an index: the rows that share a key, in the table's order.
type group[T any] struct {
	key  func(*T) string
	rows map[string][]*row[T]
}

func newTable[T any](kind string, head func(*T) head, keys ...func(*T) string) table[T] {
	t := table[T]{kind: kind, head: head, byID: map[string]*row[T]{}}
	for _, key := range keys {
		t.groups = append(t.groups, group[T]{key: key, rows: map[string][]*row[T]{}})
	}
	return t
}

func (t *table[T]) put(value T) {
	h := t.head(&value)
	id := *h.id
	r, known := t.byID[id]
	if !known {
		r = &row[T]{id: id, at: len(t.list)}
		t.byID[id] = r
		t.list = append(t.list, r)
	}
	last := *r
	r.value = &value
	r.created, r.updated = *h.created, *h.updated
	moved := known && r.created != last.created
	if moved {
		t.sorted = removeRow(t.sorted, &last)
	}
	if moved || !known {
		t.sorted = insertRow(t.sorted, r)
	}
	for _, g := range t.groups {
		key := g.key(r.value)
		if known {
			if !moved && key == g.key(last.value) {
				continue
			}
			g.remove(&last)
		}
		g.rows[key] = insertRow(g.rows[key], r)
	}
}

// load puts many new rows at once.
func (t *table[T]) load(rows []row[T]) {
	t.list = slices.Grow(t.list, len(rows))
	t.sorted = slices.Grow(t.sorted, len(rows))
	touched := make([]map[string]bool, len(t.groups))
	for i := range rows {
		r := &rows[i]
		r.at = len(t.list)
		t.byID[r.id] = r
		t.list = append(t.list, r)
		t.sorted = append(t.sorted, r)
		for j, g := range t.groups {
			key := g.key(r.value)
			g.rows[key] = append(g.rows[key], r)
			if touched[j] == nil {
				touched[j] = map[string]bool{}
			}
			touched[j][key] = true
		}
	}
	slices.SortFunc(t.sorted, before)
	for j, keys := range touched {
		for key := range keys {
			slices.SortFunc(t.groups[j].rows[key], before)
		}
	}
}

func (g group[T]) remove(r *row[T]) {
	key := g.key(r.value)
	if rest := removeRow(g.rows[key], r); len(rest) > 0 {
		g.rows[key] = rest
	} else {
		delete(g.rows, key)
	}
}

func insertRow[T any](rows []*row[T], r *row[T]) []*row[T] {
	if len(rows) == 0 || before(rows[len(rows)-1], r) < 0 {
		return append(rows, r)
	}
	i, _ := slices.BinarySearchFunc(rows, r, before)
	return slices.Insert(rows, i, r)
}

func removeRow[T any](rows []*row[T], r *row[T]) []*row[T] {
	if i, found := slices.BinarySearchFunc(rows, r, before); found {
		return slices.Delete(rows, i, i+1)
	}
	return rows
}

// valueOf is the row's object.
func (t *table[T]) valueOf(r *row[T]) T {
	if r.value == nil {
		return t.remake(r)
	}
	return *r.value
}

func (t *table[T]) get(id string) (value T, ok bool) {
	r, ok := t.byID[id]
	if !ok {
		return value, false
	}
	return t.valueOf(r), true
}

func (t *table[T]) find(id string) (T, error) {
	value, ok := t.get(id)
	if !ok {
		return value, notFound(t.kind, id)
	}
	return value, nil
}

// remove puts the last row into the place of the removed one.
func (t *table[T]) remove(id string) {
	r, ok := t.byID[id]
	if !ok {
		return
	}
	t.sorted = removeRow(t.sorted, r)
	for _, g := range t.groups {
		g.remove(r)
	}
	last := len(t.list) - 1
	moved := t.list[last]
	t.list[r.at], moved.at = moved, r.at
	t.list[last] = nil
	t.list = t.list[:last]
	delete(t.byID, id)
}

// pick answers any row, false if there is none.
func (t *table[T]) pick(rng *rand.Rand) (value T, ok bool) {
	if len(t.list) == 0 {
		return value, false
	}
	return t.valueOf(t.list[rng.IntN(len(t.list))]), true
}

// all yields the rows in the table's order. Rows may be put while it runs, none
// removed.
func (t *table[T]) all() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, r := range t.list {
			if !yield(r.id, t.valueOf(r)) {
				return
			}
		}
	}
}

// where lists the rows that a condition holds for.
func (t *table[T]) where(holds func(T) bool) []T {
	var found []T
	for _, value := range t.all() {
		if holds(value) {
			found = append(found, value)
		}
	}
	return found
}

// in lists the objects of a group, the oldest first.
func (t *table[T]) in(g int, key string) []T {
	rows := t.groups[g].rows[key]
	found := make([]T, len(rows))
	for i, r := range rows {
		found[i] = t.valueOf(r)
	}
	return found
}

// whole lists everything.
func (t *table[T]) whole() List[T] { return List[T]{t, t.sorted} }

// group lists what shares a key.
func (t *table[T]) group(g int, key string) List[T] { return List[T]{t, t.groups[g].rows[key]} }

// copy answers the objects by id.
func (t *table[T]) copy() map[string]T {
	objects := make(map[string]T, len(t.list))
	for _, r := range t.list {
		objects[r.id] = t.valueOf(r)
	}
	return objects
}

package clerkinstance

import (
	"cmp"
	"iter"
	"slices"
	"sort"
	"strings"

	"clerksync/shared/clerk"
)

// List is objects of one kind, the oldest first; of two that were made in one
// millisecond the ids decide. It is good as long as the [View] that it is from.
type List[T any] struct {
	table *table[T]
	rows  []*row[T]
}

// Row is one object of a list.
type Row[T any] struct {
	table *table[T]
	row   *row[T]
	// made is where a seeded object is made.
	made *T
}

// ID is the object's.
func (r Row[T]) ID() string { return r.row.id }

// CreatedAt and UpdatedAt are the object's own, at no cost.
func (r Row[T]) CreatedAt() clerk.Millis { return r.row.created }

// UpdatedAt is like CreatedAt.
func (r Row[T]) UpdatedAt() clerk.Millis { return r.row.updated }

// Value is the object, which must not be written through. It is good until the
// list's next one is asked for: what was seeded and not touched since is made anew
// by every call, in one place for the whole list.
func (r Row[T]) Value() *T {
	if r.row.value != nil {
		return r.row.value
	}
	*r.made = r.table.remake(r.row)
	return r.made
}

// Len is how many there are.
func (l List[T]) Len() int { return len(l.rows) }

// All yields them in order.
func (l List[T]) All() iter.Seq[Row[T]] {
	return func(yield func(Row[T]) bool) {
		made := new(T)
		for _, r := range l.rows {
			if !yield(Row[T]{l.table, r, made}) {
				return
			}
		}
	}
}

// Find returns the object of that kind with an id, in this list or not.
func (l List[T]) Find(id string) (Row[T], bool) {
	r, ok := l.table.byID[id]
	return Row[T]{l.table, r, new(T)}, ok
}

// Of lists the objects of that kind with these ids, in this list or not; ids that
// there are none for are left out.
func (l List[T]) Of(ids map[string]bool) List[T] {
	rows := make([]*row[T], 0, len(ids))
	for id := range ids {
		if r, ok := l.table.byID[id]; ok {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, before)
	return List[T]{l.table, rows}
}

// Made leaves those that were made after and before two moments, neither
// included; nil is no bound. The list must be in its first order.
func (l List[T]) Made(after, until *clerk.Millis) List[T] {
	from, to := 0, len(l.rows)
	if after != nil {
		from = sort.Search(len(l.rows), func(i int) bool { return l.rows[i].created > *after })
	}
	if until != nil {
		to = sort.Search(len(l.rows), func(i int) bool { return l.rows[i].created >= *until })
	}
	return List[T]{l.table, l.rows[from:max(from, to)]}
}

// Where leaves those that pass every test.
func (l List[T]) Where(tests ...func(Row[T]) bool) List[T] {
	if len(tests) == 0 {
		return l
	}
	var kept []*row[T]
	for r := range l.All() {
		if !slices.ContainsFunc(tests, func(passes func(Row[T]) bool) bool { return !passes(r) }) {
			kept = append(kept, r.row)
		}
	}
	return List[T]{l.table, kept}
}

// Key is what a list can be ordered by; what has none comes last.
type Key struct {
	is     bool
	number int64
	text   string
}

// TextKey is a text, nil for none.
func TextKey(s *string) Key {
	if s == nil {
		return Key{}
	}
	return Key{is: true, text: *s}
}

// NumberKey is a number.
func NumberKey(n int64) Key { return Key{is: true, number: n} }

// TimeKey is a moment, 0 for none.
func TimeKey(at clerk.Millis) Key { return Key{is: at != 0, number: int64(at)} }

func (k Key) compare(other Key) int {
	switch {
	case k.is != other.is:
		if k.is {
			return -1
		}
		return 1
	case k.number != other.number:
		return cmp.Compare(k.number, other.number)
	}
	return strings.Compare(k.text, other.text)
}

// By orders them by a key, and by age where that is equal.
func (l List[T]) By(key func(Row[T]) Key) List[T] {
	type keyed struct {
		key Key
		row *row[T]
	}
	all := make([]keyed, 0, len(l.rows))
	for r := range l.All() {
		all = append(all, keyed{key(r), r.row})
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return a.key.compare(b.key) })
	rows := make([]*row[T], len(all))
	for i, k := range all {
		rows[i] = k.row
	}
	return List[T]{l.table, rows}
}

// Behind leaves those that come behind an object, which need not be among them,
// in this order or the opposite one. The list must be in its first order.
func (l List[T]) Behind(r Row[T], descending bool) List[T] {
	if descending {
		end := sort.Search(len(l.rows), func(i int) bool { return before(l.rows[i], r.row) >= 0 })
		return List[T]{l.table, l.rows[:end]}
	}
	begin := sort.Search(len(l.rows), func(i int) bool { return before(l.rows[i], r.row) > 0 })
	return List[T]{l.table, l.rows[begin:]}
}

// Page is a part of the list, or of its reverse.
func (l List[T]) Page(offset, limit int, descending bool) List[T] {
	begin := min(offset, len(l.rows))
	end := begin + min(limit, len(l.rows)-begin)
	if !descending {
		return List[T]{l.table, l.rows[begin:end]}
	}
	rows := slices.Clone(l.rows[len(l.rows)-end : len(l.rows)-begin])
	slices.Reverse(rows)
	return List[T]{l.table, rows}
}

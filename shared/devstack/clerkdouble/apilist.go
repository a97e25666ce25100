package clerkdouble

import (
	"cmp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// sortKey is what a list is ordered by; what has none comes last.
type sortKey struct {
	is     bool
	number int64
	text   string
}

func (k sortKey) compare(other sortKey) int {
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

func textKey(s *string) sortKey {
	if s == nil {
		return sortKey{}
	}
	return sortKey{is: true, text: *s}
}

func numberKey(n int64) sortKey { return sortKey{is: n != 0, number: n} }

// ordered sorts rows, which come in the table's order, by a key.
func ordered[T any](rows []*row[T], key func(*row[T]) sortKey) []*row[T] {
	type keyed struct {
		key sortKey
		row *row[T]
	}
	all := make([]keyed, len(rows))
	for i, r := range rows {
		all[i] = keyed{key(r), r}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return a.key.compare(b.key) })
	sorted := make([]*row[T], len(rows))
	for i, k := range all {
		sorted[i] = k.row
	}
	return sorted
}

// filtered keeps the rows that pass every test.
func filtered[T any](rows []*row[T], tests []func(*row[T]) bool) []*row[T] {
	if len(tests) == 0 {
		return rows
	}
	var kept []*row[T]
	for _, r := range rows {
		if !slices.ContainsFunc(tests, func(passes func(*row[T]) bool) bool { return !passes(r) }) {
			kept = append(kept, r)
		}
	}
	return kept
}

// cut takes a page out of rows in ascending order. after is where the cursor
// stands, nil for nowhere.
func cut[T any](rows []*row[T], p page, after *row[T]) []*row[T] {
	begin := p.offset
	if after != nil {
		if p.descending {
			begin = len(rows) - sort.Search(len(rows), func(i int) bool { return before(rows[i], after) >= 0 })
		} else {
			begin = sort.Search(len(rows), func(i int) bool { return before(rows[i], after) > 0 })
		}
	}
	begin = min(begin, len(rows))
	end := begin + min(p.limit, len(rows)-begin)
	if !p.descending {
		return rows[begin:end]
	}
	part := slices.Clone(rows[len(rows)-end : len(rows)-begin])
	slices.Reverse(part)
	return part
}

// appendList writes {data, total_count}.
func appendList[T any](b []byte, rows []*row[T], total int, write func(b []byte, r *row[T]) []byte) []byte {
	b = append(b, `{"data":[`...)
	for i, r := range rows {
		b = write(comma(b, i), r)
	}
	b = strconv.AppendInt(append(b, `],"total_count":`...), int64(total), 10)
	return append(b, '}')
}

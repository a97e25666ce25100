package clerkdouble

import (
	"iter"
	"maps"
	"math/rand/v2"
)

// table holds objects by id in an order that depends on nothing but what was
// done to it, so that a seeded choice always falls on the same one. The zero
// value is empty.
type table[T any] struct {
	rows map[string]T
	ids  []string
	at   map[string]int
}

func (t *table[T]) put(id string, row T) {
	if t.rows == nil {
		t.rows, t.at = map[string]T{}, map[string]int{}
	}
	if _, known := t.rows[id]; !known {
		t.at[id] = len(t.ids)
		t.ids = append(t.ids, id)
	}
	t.rows[id] = row
}

func (t *table[T]) get(id string) (T, bool) {
	row, ok := t.rows[id]
	return row, ok
}

// remove puts the last row into the place of the removed one.
func (t *table[T]) remove(id string) {
	i, ok := t.at[id]
	if !ok {
		return
	}
	last := len(t.ids) - 1
	moved := t.ids[last]
	t.ids[i], t.at[moved] = moved, i
	t.ids = t.ids[:last]
	delete(t.at, id)
	delete(t.rows, id)
}

// pick answers any row, false if there is none.
func (t *table[T]) pick(rng *rand.Rand) (row T, ok bool) {
	if len(t.ids) == 0 {
		return row, false
	}
	return t.rows[t.ids[rng.IntN(len(t.ids))]], true
}

// all yields the rows in the table's order. Rows may be put while it runs, none
// removed.
func (t *table[T]) all() iter.Seq2[string, T] {
	return func(yield func(string, T) bool) {
		for _, id := range t.ids {
			if !yield(id, t.rows[id]) {
				return
			}
		}
	}
}

// where lists the rows that a condition holds for.
func (t *table[T]) where(holds func(T) bool) []T {
	var found []T
	for _, row := range t.all() {
		if holds(row) {
			found = append(found, row)
		}
	}
	return found
}

// copy answers the rows by id.
func (t *table[T]) copy() map[string]T {
	if t.rows == nil {
		return map[string]T{}
	}
	return maps.Clone(t.rows)
}

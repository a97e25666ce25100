package syncusers

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

// findings are the differences that a dry run finds: all of them as JSON, as
// soon as they come, since they can be as many as the copy has rows; for people
// some of each kind, at the end. It is safe for concurrent use.
type findings struct {
	json bool
	// write writes whole lines.
	write func(lines string)

	mu sync.Mutex
	// pending is the latest element of the document's array, which lacks its comma; before
	// the first one it is empty.
	pending string
	begun   bool
	err     error
	kinds   map[mirror.Object]*foundKind
	// namesOnly is whether values were kept back.
	namesOnly bool
}

type foundKind struct {
	count int
	shown []mirror.Difference
}

func newFindings(asJSON bool, write func(lines string)) *findings {
	return &findings{json: asJSON, write: write, kinds: map[mirror.Object]*foundKind{}}
}

func (f *findings) add(d mirror.Difference) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.namesOnly = f.namesOnly || slices.ContainsFunc(d.Fields, nameOnly)
	if f.json {
		f.element(d)
		return
	}
	kind := f.kinds[d.Object]
	if kind == nil {
		kind = &foundKind{}
		f.kinds[d.Object] = kind
	}
	kind.count++
	if len(kind.shown) < maxOfKind {
		kind.shown = append(kind.shown, d)
	}
}

// element writes a difference as an element of the document's array, in a line
// of its own. It is called with the lock held.
func (f *findings) element(d mirror.Difference) {
	text, err := console.JSONText(d)
	if err != nil {
		f.err = cmp.Or(f.err, fmt.Errorf("writing the difference of %s: %w", d.ID, err))
		return
	}
	f.open()
	if f.pending != "" {
		f.write(f.pending + ",")
	}
	f.pending = text
}

// open begins the document.
func (f *findings) open() {
	if !f.begun {
		f.begun = true
		f.write(`{"differences":[`)
	}
}

// finish ends the document, with the report as its last member.
func (f *findings) finish(report fullsync.Report) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := console.JSONText(report)
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	f.open()
	if f.pending != "" {
		f.write(f.pending)
	}
	f.write(`],"report":` + text + "}")
	return f.err
}

// rows lists what was found, for people.
func (f *findings) rows(row func(...any)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kinds) == 0 {
		return
	}
	for _, o := range clerk.Objects() {
		object, kind := o.Kind, f.kinds[o.Kind]
		if kind == nil {
			continue
		}
		slices.SortFunc(kind.shown, func(a, b mirror.Difference) int { return cmp.Compare(a.ID, b.ID) })
		for _, d := range kind.shown {
			row(append([]any{d.Result, d.ID}, fields(d)...)...)
		}
		if more := kind.count - len(kind.shown); more > 0 {
			row("", fmt.Sprintf("… and %d more of the kind %s; --json lists all", more, object))
		}
	}
	row()
}

// fields is a cell with what differs in an object. Of one that is wholly new or
// gone the id says enough.
func fields(d mirror.Difference) []any {
	if d.Result != "updated" {
		return nil
	}
	parts := make([]string, len(d.Fields))
	for i, field := range d.Fields {
		if parts[i] = field.Name; nameOnly(field) {
			continue
		}
		parts[i] = fmt.Sprintf("%s: %s → %s", field.Name, jsonText(field.Here), jsonText(field.Clerk))
	}
	return []any{strings.Join(parts, ", ")}
}

// nameOnly is whether a field's values were not shown to the login.
func nameOnly(f mirror.FieldDifference) bool { return f.Here == nil && f.Clerk == nil }

// maxValue is how much of a value is shown to people.
const maxValue = 60

func jsonText(value json.RawMessage) string {
	var compact bytes.Buffer
	if len(value) == 0 || json.Compact(&compact, value) != nil {
		return "null"
	}
	text := []rune(console.Printable(compact.String()))
	if len(text) > maxValue {
		return string(text[:maxValue-1]) + "…"
	}
	return string(text)
}

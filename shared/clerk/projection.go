package clerk

import (
	"encoding/json"
)

// Projection names the members of a resource that matter to somebody, and of
// each the members that matter within it. A nil Projection is everything. Of an
// array it is about each element. A member that is null is left out as well: it
// says no more than one that is missing.
//
//	clerk.Projection{"id": nil, "email_addresses": {"id": nil, "email_address": nil}}
type Projection map[string]Projection

// Project returns the page with only these members of its resources. Everything
// that is left keeps Clerk's own bytes.
func (p Page) Project(keep Projection) Page {
	resources := make([]byte, 0, len(p.Resources))
	p.Resources = keep.append(resources, p.Resources)
	return p
}

// Select returns the page with only those of its items for which keep is true.
// It asks once for each item, in order.
func (p Page) Select(keep func(Item) bool) Page {
	kept := make([]bool, len(p.Items))
	items := make([]Item, 0, len(p.Items))
	for i, item := range p.Items {
		if kept[i] = keep(item); kept[i] {
			items = append(items, item)
		}
	}
	if len(items) == len(p.Items) {
		return p
	}
	resources := make([]byte, 1, len(p.Resources)+1)
	resources[0] = '['
	next := 0
	elements(p.Resources, func(element json.RawMessage) {
		if kept[next] {
			if len(resources) > 1 {
				resources = append(resources, ',')
			}
			resources = append(resources, element...)
		}
		next++
	})
	p.Items, p.Resources = items, append(resources, ']')
	return p
}

// append appends what is kept of value, which must be valid JSON.
func (p Projection) append(out []byte, value json.RawMessage) []byte {
	if p == nil {
		return append(out, value...)
	}
	start := len(out)
	separator := byte('[')
	if elements(value, func(element json.RawMessage) {
		out = p.append(append(out, separator), element)
		separator = ','
	}) {
		return closed(out, start, "[]")
	}
	separator = '{'
	if members(value, func(name []byte, member json.RawMessage) {
		within, kept := p[string(name)]
		if !kept || string(member) == "null" {
			return
		}
		// A name that is kept has nothing to escape.
		out = append(append(append(out, separator, '"'), name...), '"', ':')
		out = within.append(out, member)
		separator = ','
	}) {
		return closed(out, start, "{}")
	}
	return append(out, value...) // null, or not what it should be
}

// closed ends an array or an object that began at start, also an empty one.
func closed(out []byte, start int, empty string) []byte {
	if len(out) == start {
		return append(out, empty...)
	}
	return append(out, empty[1])
}

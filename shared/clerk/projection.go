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
func (p Page) Select(keep func(Item) bool) Page {
	all := p.Items
	p.Items = make([]Item, 0, len(all))
	resources := make([]byte, 1, len(p.Resources)+1)
	resources[0] = '['
	next := 0
	elements(p.Resources, func(element json.RawMessage) {
		item := all[next]
		next++
		if !keep(item) {
			return
		}
		if len(p.Items) > 0 {
			resources = append(resources, ',')
		}
		resources = append(resources, element...)
		p.Items = append(p.Items, item)
	})
	p.Resources = append(resources, ']')
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

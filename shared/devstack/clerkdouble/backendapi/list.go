package backendapi

import (
	"slices"
	"strconv"
	"strings"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// appendPage writes a page of a list as an array.
func appendPage[T, V any](b []byte, found clerkinstance.List[T], p page, value func(clerkinstance.Row[T]) *V) []byte {
	b = append(b, '[')
	begin := len(b)
	for r := range found.Page(p.offset, p.limit, p.descending).All() {
		if len(b) > begin {
			b = append(b, ',')
		}
		b = resource.Append(b, value(r))
	}
	return append(b, ']')
}

// appendList writes {data, total_count}.
func appendList[T, V any](b []byte, found clerkinstance.List[T], p page, value func(clerkinstance.Row[T]) *V) []byte {
	b = appendPage(append(b, `{"data":`...), found, p, value)
	b = strconv.AppendInt(append(b, `,"total_count":`...), int64(found.Len()), 10)
	return append(b, '}')
}

// mentioned reports whether a text is within one of others, in any case.
func mentioned(wanted string, in ...string) bool {
	wanted = strings.ToLower(wanted)
	return slices.ContainsFunc(in, func(s string) bool { return strings.Contains(strings.ToLower(s), wanted) })
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

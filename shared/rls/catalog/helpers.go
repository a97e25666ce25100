package catalog

import (
	"cmp"
	"strings"
)

// DefaultHelpers is the schema of the helpers where no other was chosen.
const DefaultHelpers Helpers = "clerk"

// Helpers is the schema of clerksync's functions for policies, as
// [ReadDatabase] found it. The zero value is [DefaultHelpers].
type Helpers string

// Is reports whether a schema is that of the helpers.
func (h Helpers) Is(schema string) bool { return schema == string(cmp.Or(h, DefaultHelpers)) }

// String is the schema as SQL writes it.
func (h Helpers) String() string { return QuoteIdentifier(string(cmp.Or(h, DefaultHelpers))) }

// Fill puts it where a text of this program has {{helpers}}.
func (h Helpers) Fill(text string) string { return strings.ReplaceAll(text, "{{helpers}}", h.String()) }

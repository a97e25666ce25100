package connect

import "clerksync/shared/rls/catalog"

// Table is a table as SQL names it.
type Table struct{ catalog.Name }

// UnmarshalText is called while the command line is parsed.
func (n *Table) UnmarshalText(text []byte) error {
	var err error
	n.Name, err = catalog.ParseName(string(text))
	return err
}

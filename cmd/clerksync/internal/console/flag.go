package console

import (
	"errors"
	"fmt"
)

// Name is a text that is not empty: as from a shell's variable that is not set,
// it would mean something else than was meant.
type Name string

// UnmarshalText is called while the command line is parsed.
func (n *Name) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("it is empty")
	}
	*n = Name(text)
	return nil
}

func Texts(names []Name) []string {
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	return list
}

// Once is a text that is given one time: of several the last would count, and
// nobody would notice.
type Once string

// UnmarshalText is called while the command line is parsed.
func (o *Once) UnmarshalText(text []byte) error {
	switch {
	case len(text) == 0:
		// As from a shell's variable that is not set: it must not mean everything.
		return errors.New("it is empty")
	case *o != "":
		return fmt.Errorf("one at a time: %s was given before %s", *o, text)
	}
	*o = Once(text)
	return nil
}

package console

import (
	"errors"
	"fmt"
)

// Once is a text that is given one time, and is not empty.
type Once string

// UnmarshalText is called while the command line is parsed.
func (o *Once) UnmarshalText(text []byte) error {
	switch {
	case len(text) == 0:
		// As from a shell's variable that is not set: it would mean something else than was meant.
		return errors.New("it is empty")
	case *o != "":
		// Of several the last would count, and nobody would notice.
		return fmt.Errorf("one at a time: %s was given before %s", *o, text)
	}
	*o = Once(text)
	return nil
}

// Texts are the texts of a flag that may be repeated.
func Texts(given []Once) []string {
	var list []string
	for _, o := range given {
		list = append(list, string(o))
	}
	return list
}

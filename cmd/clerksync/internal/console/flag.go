package console

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// errEmpty is of a value as from a shell's variable that is not set: it would mean
// something else than was meant.
var errEmpty = errors.New("it is empty")

// Once is a text that is given one time, and is not empty.
type Once string

// UnmarshalText is called while the command line is parsed.
func (o *Once) UnmarshalText(text []byte) error {
	switch {
	case len(text) == 0:
		return errEmpty
	case *o != "":
		// Of several the last would count, and nobody would notice.
		return fmt.Errorf("one at a time: %s was given before %s", *o, text)
	}
	*o = Once(text)
	return nil
}

// Texts are what was given.
func Texts(given []Once) []string {
	texts := make([]string, len(given))
	for i, o := range given {
		texts[i] = string(o)
	}
	return texts
}

// Names are texts of which none is empty, with commas between them or given one by one.
type Names []string

// UnmarshalText is called while the command line is parsed.
func (n *Names) UnmarshalText(text []byte) error {
	whole := ""
	for part := range strings.SplitSeq(string(text), ",") {
		// A comma of the name itself.
		if before, ok := strings.CutSuffix(part, `\`); ok {
			whole += before + ","
			continue
		}
		if whole += part; whole == "" {
			return errEmpty
		}
		*n, whole = append(*n, whole), ""
	}
	return nil
}

// Path is the name of a file or a folder, given one time, as an absolute one.
type Path string

// UnmarshalText is called while the command line is parsed.
func (p *Path) UnmarshalText(text []byte) error {
	// Behind "=" a shell leaves it as it is.
	name := string(text)
	if below, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			name = filepath.Join(home, below)
		}
	}
	if err := (*Once)(p).UnmarshalText([]byte(name)); err != nil {
		return err
	}
	absolute, err := filepath.Abs(name)
	*p = Path(absolute)
	return err
}

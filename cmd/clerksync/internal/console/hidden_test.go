package console

import (
	"errors"
	"strings"
	"testing"
)

func TestHidden_TakesKeysAsALineWould(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sent  []string // as the terminal hands it over
		text  string
		ended bool
		err   error
	}{
		"typed":                             {[]string{"a", "b", "\r"}, "ab", true, nil},
		"not ended":                         {[]string{"ab"}, "ab", false, nil},
		"Enter alone":                       {[]string{"\r"}, "", true, nil},
		"end of input":                      {[]string{"ab\x04"}, "ab", true, nil},
		"a line break in the middle":        {[]string{"ab\rcd\r"}, "ab\ncd", true, nil},
		"backspace":                         {[]string{"ab\x7f\x08\x7fc\r"}, "c", true, nil},
		"backspace takes a whole character": {[]string{"aé\x7f\r"}, "a", true, nil},
		"start again":                       {[]string{"ab\x15cd\r"}, "cd", true, nil},
		"keys that mean nothing":            {[]string{"a\x01\x1b[A\x1b[1;5C\x1bOP\x1bxb\x00\r"}, "ab", true, nil},
		"a key in pieces":                   {[]string{"a\x1b", "[", "1;5", "Cb\r"}, "ab", true, nil},
		"a sequence that does not end":      {[]string{"a\x1b[" + strings.Repeat("1", 40) + "b\r"}, "a1111111111b", true, nil},
		"a paste":                           {[]string{"\x1b[200~ab\x1b[201~", "\r"}, "ab", true, nil},
		"a paste of several lines":          {[]string{"\x1b[200~ab\r\ncd\nef\r\x1b[201~"}, "ab\n\ncd\nef\n", false, nil},
		"a paste with the mark in pieces":   {[]string{"\x1b[20", "0~ab\rcd\x1b", "[201~\r"}, "ab\ncd", true, nil},
		"a paste with keys in it":           {[]string{"\x1b[200~a\x03\x04\x7fb\x1b[201~\r"}, "ab", true, nil},
		"interrupted":                       {[]string{"ab\x03"}, "", false, ErrInterrupted},
	} {
		h := hidden{most: 1 << 10}
		var ended bool
		var err error
		for _, sent := range test.sent {
			if ended, err = h.press([]byte(sent)); err != nil {
				break
			}
		}
		if !errors.Is(err, test.err) || err == nil && (string(h.text) != test.text || ended != test.ended) {
			t.Errorf("%s: %q = %q, ended %t, %v; want %q, %t, %v", name, test.sent, h.text, ended, err, test.text, test.ended, test.err)
		}
	}
	h := hidden{most: 4}
	if _, err := h.press([]byte("abcde")); err == nil {
		t.Errorf("5 bytes where 4 are too much: %q", h.text)
	}
}

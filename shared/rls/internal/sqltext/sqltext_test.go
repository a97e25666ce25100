package sqltext_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/rls/internal/sqltext"
)

func TestParse_SeesWordsOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, want string }{
		{`a.B (1)`, `a|.|b|(|1|)`},
		{`"A""b" -- "c"` + "\n d", `A"b|d`},
		{`/* a /* b */ c */ d`, `d`},
		{`'it''s' e'\'x' E'a\\'`, `it's|'x|a\`},
		{`$$ auth.uid() $$ $a$ $$ $a$ $1`, ` auth.uid() | $$ |$1`},
		{`x::text[] ->> 'a'`, `x|::|text|[|]|->>|a`},
		{`a<>-1--c`, `a|<>-|1`},
		{`a := b;`, `a|:=|b|;`},
		{`Größe ÄB`, `größe|Äb`}, // ASCII letters are folded, and no others
		// What is cut off ends with the source.
		{`'open`, `open`},
		{`"open`, `open`},
		{`/* open`, ``},
		{`$a$ open`, ` open`},
	} {
		var got []string
		for _, token := range sqltext.Parse(c.source).Tokens {
			got = append(got, token.Text)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "|")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.source, diff)
		}
	}
}

// A string that reads like a keyword, or a name in quotes, is none.
func TestIs_TakesNoTextForSyntax(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source, text string
		is, name     bool
	}{
		{`SELECT`, "select", true, true},
		{`"select"`, "select", false, true},
		{`'select'`, "select", false, false},
		{`$$select$$`, "select", false, false},
		{`::`, "::", true, false},
		{`(`, "(", true, false},
		{`1.5`, "1.5", true, false},
	} {
		tokens := sqltext.Parse(c.source).Tokens
		if len(tokens) != 1 || tokens[0].Is(c.text) != c.is || tokens[0].IsIdentifier() != c.name {
			t.Errorf("%s = %+v, want one token, Is(%q) %t, IsIdentifier %t", c.source, tokens, c.text, c.is, c.name)
		}
	}
	if (sqltext.Token{}).IsIdentifier() || (sqltext.Token{}).Is("(") {
		t.Error("the zero token is something")
	}
}

func TestParse_PairsParentheses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		source      string
		pair, outer []int
	}{
		{`a (b (c)) d`, []int{-1, 6, -1, 5, -1, 3, 1, -1}, []int{-1, -1, 1, 1, 3, 1, -1, -1}},
		{`')' ")"`, []int{-1, -1}, []int{-1, -1}},
		// What has no partner is in, or around, what follows.
		{`) a`, []int{-1, -1}, []int{-1, -1}},
		{`( a`, []int{-1, -1}, []int{-1, 0}},
		{`( (a)`, []int{-1, 3, -1, 1}, []int{-1, 0, 1, 0}},
		{``, []int{}, []int{}},
	} {
		sql := sqltext.Parse(c.source)
		if diff := cmp.Diff([][]int{c.pair, c.outer}, [][]int{sql.Pair, sql.Outer}); diff != "" {
			t.Errorf("pairs and outer parentheses of %s (-want +got):\n%s", c.source, diff)
		}
	}
}

// Whatever the text, tokens are parts of it in their order, and a parenthesis is
// the pair of its pair.
func FuzzParse(f *testing.F) {
	for _, source := range []string{`"a""b".c()::"d"."e"(1)[]`, `E'\\'' (`, `$a$ $$ $a`, `/* /* */`, `a<>-1--c`, `)) ((`} {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		end := 0
		sql := sqltext.Parse(source)
		for i, token := range sql.Tokens {
			if token.Start < end || token.End <= token.Start || token.End > len(source) {
				t.Fatalf("%q: token %d is at %d to %d, the one before ends at %d", source, i, token.Start, token.End, end)
			}
			end = token.End
			if pair := sql.Pair[i]; pair >= 0 && sql.Pair[pair] != i || sql.Outer[i] >= i {
				t.Fatalf("%q: token %d has the pair %d and is in %d", source, i, pair, sql.Outer[i])
			}
		}
	})
}

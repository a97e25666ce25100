package probe

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// maker makes values: for each number another one, where the type has so many.
type maker struct {
	// salt keeps keys apart from those of rows that are there already.
	salt int64
	// long is the salt in letters and digits.
	long string
}

// null stands for SQL's null among the texts of values.
const null = "\x00null"

var typeLength = regexp.MustCompile(`\((\d+)(?:,(-?\d+))?\)`)

// value is the text of a value of a type, which may be cast to it. key asks for
// values that no present row has. The second result is false where nothing is
// known about the type.
func (m maker) value(x shape, t sqlType, n int, key bool) (string, bool) {
	for ; t.Kind == "d"; t = x.below(t) {
		if accepted := x.domains[t.OID]; len(accepted) > 0 {
			return accepted[n%len(accepted)], true
		}
	}
	number := int64(n + 1)
	if key {
		number += m.salt
	}
	switch {
	case t.Array:
		element, ok := m.value(x, x.below(t), n, key)
		if !ok {
			return "{}", true
		}
		return catalog.ArrayText(element), true
	case t.Kind == "e":
		if len(t.Labels) == 0 {
			return "", false
		}
		return t.Labels[n%len(t.Labels)], true
	case t.Kind == "r", t.Kind == "m":
		return m.span(x, t, n)
	case t.Kind == "c":
		return "(" + strings.Repeat(",", max(t.Attributes-1, 0)) + ")", true
	}
	length := 0
	if match := typeLength.FindStringSubmatch(t.SQL); match != nil {
		length, _ = strconv.Atoi(match[1])
	}
	switch t.Name {
	case "text", "varchar", "bpchar", "citext", "name":
		return fit("probe"+m.long+strconv.Itoa(n), length), true
	case "char":
		return string(rune('a' + n%26)), true
	case "bool":
		return strconv.FormatBool(n%2 == 1), true
	case "int2":
		return strconv.FormatInt(1+number%32000, 10), true
	case "int4", "oid", "xid", "cid":
		return strconv.FormatInt(1+number%2_000_000_000, 10), true
	case "int8", "xid8":
		return strconv.FormatInt(number, 10), true
	case "float4", "float8", "money":
		return strconv.FormatInt(1+number%100_000, 10), true
	case "numeric":
		return m.numeric(t, number), true
	case "uuid":
		return fmt.Sprintf("%08x-%04x-4000-8000-%012x", m.salt&0xffffffff, n&0xffff, m.salt&0xffffffffffff), true
	case "json", "jsonb":
		return `{}`, true
	case "bytea":
		return fmt.Sprintf(`\x%016x`, number), true
	case "xml":
		return "<probe/>", true
	case "bit":
		return bits(n, max(length, 1)), true
	case "varbit":
		return bits(n, max(min(length, 16), 1)), true
	case "date":
		return day(n), true
	case "timestamp", "timestamptz":
		return day(n) + " 12:00:00+00", true
	case "time", "timetz":
		return fmt.Sprintf("%02d:%02d:00+00", n/60%24, n%60), true
	case "interval":
		return strconv.Itoa(n+1) + " hours", true
	case "inet":
		return fmt.Sprintf("10.%d.%d.1", n/250%250, n%250), true
	case "cidr":
		return fmt.Sprintf("10.%d.%d.0/24", n/250%250, n%250), true
	case "macaddr":
		return fmt.Sprintf("02:00:00:00:%02x:%02x", n/256%256, n%256), true
	case "macaddr8":
		return fmt.Sprintf("02:00:00:00:00:00:%02x:%02x", n/256%256, n%256), true
	case "point":
		return fmt.Sprintf("(%d,%d)", n, n), true
	case "line":
		return fmt.Sprintf("{1,1,%d}", n), true
	case "lseg", "box", "path", "polygon":
		return fmt.Sprintf("((%d,%d),(%d,%d))", n, n, n+1, n+1), true
	case "circle":
		return fmt.Sprintf("<(%d,%d),1>", n, n), true
	case "tsvector", "tsquery", "ltree":
		return "probe" + strconv.Itoa(n), true
	case "hstore":
		return "probe=>" + strconv.Itoa(n), true
	case "pg_lsn":
		return fmt.Sprintf("0/%X", n+1), true
	case "regclass":
		return "pg_catalog.pg_class", true
	case "regtype":
		return "text", true
	case "regrole":
		return platform.Authenticated, true
	case "vector", "halfvec":
		return "[" + strings.TrimSuffix(strings.Repeat("1,", max(length, 1)), ",") + "]", true
	case "geometry", "geography":
		return fmt.Sprintf("POINT(%d %d)", n%90, n%90), true
	default:
		return "", false
	}
}

// numeric respects numeric(precision, scale).
func (m maker) numeric(t sqlType, number int64) string {
	match := typeLength.FindStringSubmatch(t.SQL)
	if match == nil {
		return strconv.FormatInt(number, 10)
	}
	precision, _ := strconv.Atoi(match[1])
	scale, _ := strconv.Atoi(match[2])
	limit := int64(1)
	for range min(max(precision-scale, 0), 15) {
		limit *= 10
	}
	return strconv.FormatInt(number%limit, 10)
}

// span is a range or multirange that overlaps none of another number.
func (m maker) span(x shape, t sqlType, n int) (string, bool) {
	var text string
	switch x.unwrap(x.below(t)).Name {
	case "int4", "int8", "numeric":
		text = fmt.Sprintf("[%d,%d)", n, n+1)
	case "date":
		text = fmt.Sprintf("[%s,%s)", day(n), day(n+1))
	case "timestamp", "timestamptz":
		text = fmt.Sprintf(`["%s 00:00:00+00","%s 00:00:00+00")`, day(n), day(n+1))
	default:
		text = "empty"
	}
	if t.Kind == "m" {
		if text == "empty" {
			return "{}", true
		}
		text = "{" + text + "}"
	}
	return text, true
}

// day is one of the days from 2001 on.
func day(n int) string {
	n %= 9000
	return fmt.Sprintf("%04d-%02d-%02d", 2001+n/336, 1+n/28%12, 1+n%28)
}

// bits is a number in base two, of exactly so many digits.
func bits(n, length int) string {
	text := strconv.FormatInt(int64(n), 2)
	if len(text) >= length {
		return text[len(text)-length:]
	}
	return strings.Repeat("0", length-len(text)) + text
}

// fit cuts a text from its front, since its end tells values apart.
func fit(text string, length int) string {
	if length > 0 && len(text) > length {
		return text[len(text)-length:]
	}
	return text
}

var (
	quotedText = regexp.MustCompile(`'((?:[^']|'')*)'`)
	bareNumber = regexp.MustCompile(`-?\d+(?:\.\d+)?`)
	matching   = regexp.MustCompile(`~\*? '((?:[^']|'')*)'`)
)

// stock are values that columns with rules about their text tend to take.
var stock = []string{
	"probe", "Probe", "PROBE", "probe-1", "probe_1", "probe@example.com", "https://example.com/probe", "example.com",
	"+15555550100", "12345", "1", "a", "A", "en", "US", "USD", "en-US", "#00ff00", "2001-01-01", "00000000-0000-4000-8000-000000000000",
	"UTC", "1.0.0", "application/json",
}

// candidates are values that a rule about a column could be content with: what
// the rule itself mentions, values of the lengths and beside the bounds that it
// names, and texts that match its patterns. They may be wrong for the type; the
// database has the last word.
func candidates(rule string, text bool) []string {
	var list []string
	add := func(values ...string) {
		for _, v := range values {
			if !slices.Contains(list, v) {
				list = append(list, v)
			}
		}
	}
	if text {
		for _, m := range matching.FindAllStringSubmatch(rule, -1) {
			for n := range 4 {
				if sample, ok := matchingText(strings.ReplaceAll(m[1], "''", "'"), n); ok {
					add(sample)
				}
			}
		}
	}
	for _, m := range quotedText.FindAllStringSubmatch(rule, -1) {
		add(strings.ReplaceAll(m[1], "''", "'"))
	}
	bare := quotedText.ReplaceAllString(rule, " ")
	numbers := bareNumber.FindAllString(bare, 20)
	for _, m := range quotedText.FindAllStringSubmatch(rule, -1) {
		if bareNumber.FindString(m[1]) == m[1] {
			numbers = append(numbers, m[1]) // '0'::numeric
		}
	}
	if !text {
		for _, number := range numbers {
			value, err := strconv.ParseFloat(number, 64)
			if err != nil {
				continue
			}
			for _, v := range []float64{value, value + 1, value - 1, value / 2} {
				add(strconv.FormatFloat(v, 'f', -1, 64))
			}
		}
		add("1", "0", "2", "10", "100")
		return list[:min(len(list), maxCandidates)]
	}
	add(stock...)
	for _, number := range numbers {
		length, err := strconv.Atoi(number)
		if err != nil || length < 1 || length > 4000 {
			continue
		}
		for _, l := range []int{length, length + 1, length - 1} {
			add(strings.Repeat("p", l), strings.Repeat("7", l))
		}
	}
	return list[:min(len(list), maxCandidates)]
}

const maxCandidates = 80

// matchingText writes a text that a pattern matches, and for another number
// another text where the pattern leaves a choice. Postgres's patterns are near
// enough to Go's for the simple ones.
func matchingText(pattern string, n int) (string, bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	if !write(&b, re.Simplify(), n) {
		return "", false
	}
	return b.String(), b.Len() <= 4000
}

// write appends a text for one expression.
func write(b *strings.Builder, re *syntax.Regexp, n int) bool {
	if b.Len() > 4000 {
		return false
	}
	repeat := func(times int) bool {
		for range times {
			if !write(b, re.Sub[0], n) {
				return false
			}
		}
		return true
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		if len(re.Rune) == 0 {
			return false
		}
		b.WriteRune(pick(re.Rune, n))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteRune(rune('a' + n%26))
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			if !write(b, sub, n) {
				return false
			}
		}
	case syntax.OpAlternate:
		return write(b, re.Sub[n%len(re.Sub)], n)
	case syntax.OpStar:
		return repeat(n % 3)
	case syntax.OpPlus:
		return repeat(1 + n%3)
	case syntax.OpQuest:
		return repeat(n % 2)
	case syntax.OpRepeat:
		return repeat(re.Min)
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText:
	default:
		return false
	}
	return true
}

// pick takes a rune of a class, a letter or digit where it has some.
func pick(ranges []rune, n int) rune {
	for _, wanted := range []string{"abcdefghijklmnopqrstuvwxyz", "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} {
		var fitting []rune
		for _, r := range wanted {
			for i := 0; i < len(ranges); i += 2 {
				if ranges[i] <= r && r <= ranges[i+1] {
					fitting = append(fitting, r)
				}
			}
		}
		if len(fitting) > 0 {
			return fitting[n%len(fitting)]
		}
	}
	return ranges[0]
}

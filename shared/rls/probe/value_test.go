package probe

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestValue_IsAnotherForEveryNumber(t *testing.T) {
	t.Parallel()
	m := maker{salt: 1234567890123, long: "abcdefghij"}
	for _, name := range []string{
		"text", "varchar", "int2", "int4", "int8", "numeric", "float8", "uuid", "bytea", "date", "timestamptz", "time", "interval",
		"inet", "cidr", "macaddr", "macaddr8", "point", "circle", "pg_lsn", "tsvector",
	} {
		seen := map[string]bool{}
		for n := range 60 {
			value, ok := m.value(shape{}, sqlType{Name: name, SQL: name, Kind: "b"}, n, true)
			if !ok || seen[value] {
				t.Errorf("value %d of %s = %q, %t, want a new one", n, name, value, ok)
			}
			seen[value] = true
		}
	}
}

func TestValue_FitsItsType(t *testing.T) {
	t.Parallel()
	m := maker{salt: 999_999_999_999, long: "abcdefghij"}
	tests := []struct{ name, sql, pattern string }{
		{"varchar", "character varying(3)", `^.{3}$`},
		{"bpchar", "character(2)", `^.{2}$`},
		{"numeric", "numeric(4,2)", `^\d{1,2}$`},
		{"numeric", "numeric(2,2)", `^0$`}, // nothing but fractions
		{"int2", "smallint", `^\d{1,5}$`},
		{"int4", "integer", `^\d{1,10}$`},
		{"bit", "bit(4)", `^[01]{4}$`},
		{"varbit", "bit varying(3)", `^[01]{1,3}$`},
		{"uuid", "uuid", `^[0-9a-f]{8}-[0-9a-f]{4}-4000-8000-[0-9a-f]{12}$`},
		{"vector", "vector(3)", `^\[1,1,1\]$`},
		{"json", "json", `^\{\}$`},
	}
	for _, test := range tests {
		for n := range 40 {
			value, ok := m.value(shape{}, sqlType{Name: test.name, SQL: test.sql, Kind: "b"}, n, true)
			if !ok || !regexp.MustCompile(test.pattern).MatchString(value) {
				t.Errorf("value %d of %s = %q, %t, want %s", n, test.sql, value, ok, test.pattern)
			}
		}
	}
	if value, ok := m.value(shape{}, sqlType{Name: "planet", Kind: "b"}, 0, false); ok {
		t.Errorf("value of an unknown type = %q", value)
	}
	if value, ok := m.value(shape{}, sqlType{Name: "mood", Kind: "e", Labels: []string{"glad", "sad"}}, 3, false); !ok || value != "sad" {
		t.Errorf("value 3 of an enum = %q, %t", value, ok)
	}
}

func TestCandidates_FindWhatARuleAccepts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule string
		text bool
		want string
	}{
		{`(status = ANY (ARRAY['open'::text, 'it''s'::text]))`, true, "it's"},
		{`((amount > (0)::numeric) AND (amount < (1)::numeric))`, false, "0.5"},
		{`(amount >= '100'::numeric)`, false, "100"},
		{`((year >= 1990) AND (year <= 1999))`, false, "1990"},
		{`(char_length(title) > 20)`, true, strings.Repeat("p", 21)},
		{`(n < '-5'::integer)`, false, "-6"},
		{`(url ~~ 'https://%'::text)`, true, "https://example.com/probe"},
	}
	for _, test := range tests {
		if got := candidates(test.rule, test.text); !slices.Contains(got, test.want) {
			t.Errorf("candidates(%s) = %q, want %q among them", test.rule, got, test.want)
		}
	}
}

func TestMatchingText_Matches(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{
		`^[a-z]+$`, `^[A-Z]{3}-\d{4}$`, `^(draft|live)$`, `^user_[A-Za-z0-9]{27}$`, `^#[0-9a-f]{6}$`, `^\+[1-9]\d{6,14}$`, `^.+@.+\..+$`, `^$`, `a?b*c+`,
		`^[^@\s]+@[^@\s]+$`, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`,
	} {
		for n := range 5 {
			text, ok := matchingText(pattern, n)
			if !ok || !regexp.MustCompile(pattern).MatchString(text) {
				t.Errorf("matchingText(%s, %d) = %q, %t", pattern, n, text, ok)
			}
		}
	}
	for _, pattern := range []string{`(`, `(?=x)`, `[`, `^[a-z]{1000}{1000}$`} {
		if text, ok := matchingText(pattern, 0); ok {
			t.Errorf("matchingText(%s) = %q, want none", pattern, text)
		}
	}
}

func TestBind_ReadsPartitionBounds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		bound string
		ok    bool
		want  map[string]string
	}{
		{`FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')`, true, map[string]string{"a": "2024-01-01"}},
		{`FOR VALUES FROM (10) TO (20)`, true, map[string]string{"a": "10"}},
		{`FOR VALUES IN ('it''s, so', 'b')`, true, map[string]string{"a": "it's, so"}},
		{`FOR VALUES IN (NULL)`, true, map[string]string{"a": null}},
		{`FOR VALUES WITH (modulus 4, remainder 1)`, true, map[string]string{}},
		{`DEFAULT`, true, map[string]string{}},
		{`FOR VALUES FROM (MINVALUE) TO (20)`, false, map[string]string{}},
		{`FOR VALUES FROM (1, 'x') TO (2, 'y')`, false, map[string]string{}}, // of two columns
	}
	for _, test := range tests {
		fixed := map[string]string{}
		ok := bind(fixed, []string{"a"}, test.bound)
		if ok != test.ok || ok && (len(fixed) != len(test.want) || fixed["a"] != test.want["a"]) {
			t.Errorf("bind(%s) = %v, %t, want %v, %t", test.bound, fixed, ok, test.want, test.ok)
		}
	}
}

func TestOrganizationClaims_GrantWhatClerkWould(t *testing.T) {
	t.Parallel()
	claims := organizationClaims("org_1", roleAdmin, []string{"org:invoices:manage", "org:invoices:read", "org:teams:read"})
	o, _ := claims["o"].(map[string]any)
	if claims["fea"] != "o:invoices,o:teams" || o["per"] != "manage,read" || o["fpm"] != "3,2" || o["rol"] != "admin" {
		t.Errorf("claims of an admin: %v", claims)
	}
	claims = organizationClaims("org_1", roleMember, []string{"org:invoices:manage"})
	o, _ = claims["o"].(map[string]any)
	if _, has := o["per"]; has || o["rol"] != "member" {
		t.Errorf("claims of a member: %v", claims)
	}
}

package rls_test

import (
	"errors"
	"strings"
	"testing"

	"clerksync/shared/rls"
)

func TestParseRule_ReadsAndWritesTheSameRule(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"owner", "owner"},
		{" owner  or\tpublished ", "owner or published"},
		{"member(admin)", "member(org:admin)"}, // Clerk's own key has the prefix
		{"member( org:admin , org:editor )", "member(org:admin, org:editor)"},
		{"active-org", "active-org"},
		{"owner or member and published", "owner or member and published"},
		{"(owner or member) and published", "(owner or member) and published"},
		{"((owner))", "owner"},
		{"owner or owner", "owner"},
		{"owner or (member or owner)", "owner or member"},
		{"permission(org:invoices:manage)", "permission(org:invoices:manage)"},
		{"app-role(admin,staff)", "app-role(admin, staff)"},
		{"nobody", "nobody"},
		{"owner or nobody", "owner or nobody"},
	}
	for _, test := range tests {
		got, err := rls.ParseRule(test.in)
		if err != nil || got.String() != test.want {
			t.Errorf("ParseRule(%q) = %s, %v, want %s", test.in, got, err, test.want)
		}
		if again, err := rls.ParseRule(got.String()); err != nil || again.String() != got.String() {
			t.Errorf("ParseRule(%q) = %s, %v, want itself", got, again, err)
		}
	}
}

func TestParseRule_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"", "ends too soon"},
		{"owner or", "ends too soon"},
		{"owners", `no rule "owners"`},
		{"owner member", `"member" is left over`},
		{"(owner", `")" is missing`},
		{"owner)", `")" is left over`},
		{"owner(me)", "takes nothing"},
		{"member()", "not a list of names"},
		{"member(admin", `")" is missing`},
		{"member(,)", "not a list of names"},
		{"app-role", "needs roles"},
		{"permission(manage)", "org:<feature>:<permission>"},
		{"permission(org::manage)", "org:<feature>:<permission>"},
		{"active-permission(org:sys_memberships:manage)", "never carry system permissions"},
		// Nothing that could leave a quoted string.
		{"member(org:admin');drop table users;--)", "cannot be part of a name"},
		{"app-role(a\\)", "cannot be part of a name"},
		{"OR", `no rule "OR"`},
		{strings.Repeat("(", 3000), "more than 2000"},
	}
	for _, test := range tests {
		_, err := rls.ParseRule(test.in)
		if !errors.Is(err, rls.ErrRule) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("ParseRule(%.40q): %v, want %q", test.in, err, test.want)
		}
	}
}

// Whatever is read can be written and read again, and means the same.
func FuzzParseRule(f *testing.F) {
	for _, seed := range []string{"owner", "member(org:admin) and (owner or app-role(staff))", "published or", "((", "nobody or everyone", "permission(org:a:b)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := rls.ParseRule(text)
		if err != nil {
			if !errors.Is(err, rls.ErrRule) {
				t.Errorf("ParseRule(%q): %v is no ErrRule", text, err)
			}
			return
		}
		again, err := rls.ParseRule(rule.String())
		if err != nil || again.String() != rule.String() || again.IsNobody() != rule.IsNobody() {
			t.Errorf("ParseRule(%q) = %s, read again %s, %v", text, rule, again, err)
		}
		for _, bad := range []string{"'", `"`, ";", "--", "\\", "\n", "$"} {
			if strings.Contains(rule.String(), bad) {
				t.Errorf("ParseRule(%q) = %s holds %q", text, rule, bad)
			}
		}
	})
}

func TestRule_IsNobodyWhenNobodyCanPass(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"nobody": true, "nobody or nobody": true, "owner and nobody": true, "(owner or published) and nobody": true,
		"owner or nobody": false, "everyone": false, "everyone and owner": false, "nobody or everyone": false,
	}
	for text, want := range tests {
		if got := rule(text).IsNobody(); got != want {
			t.Errorf("%q is nobody: %t, want %t", text, got, want)
		}
	}
	if !(rls.Rule{}).IsNobody() {
		t.Error("the zero rule lets somebody pass")
	}
}

func TestParseRestriction(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"active-session", "second-factor", "second-factor(10)", "second-factor(10):write", "no-impersonation:write"} {
		if got, err := rls.ParseRestriction(text); err != nil || got.String() != text {
			t.Errorf("ParseRestriction(%q) = %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "mfa", "second-factor(0)", "second-factor(-1)", "second-factor(1e3)", "second-factor(5", "second-factor(999999)", "active-session(5)", "second-factor:read", "second-factor(5):write:write"} {
		if got, err := rls.ParseRestriction(text); err == nil {
			t.Errorf("ParseRestriction(%q) = %s, want an error", text, got)
		}
	}
}

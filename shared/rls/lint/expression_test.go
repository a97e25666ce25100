package lint

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/rls/catalog"
)

func TestClaims_FollowPaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, want string }{
		{`(a = ((( SELECT auth.jwt() AS jwt) -> 'o'::text) ->> 'id'::text))`, "o.id"},
		{`auth.jwt()->'o'->>'id'`, "o.id"},
		{`auth.jwt() #>> '{o,id}'`, "o.id"},
		{`(auth.jwt() -> 'fva' ->> 1)::int`, "fva.1"},
		{`(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')`, "sub"},
		{`(current_setting('request.jwt.claims'::text, true))::json ->> 'sub'`, "sub"},
		{`current_setting('request.jwt.claim.sub', true)`, "sub"},
		{`clerk.claim('{metadata,role}'::text[])`, "metadata.role"},
		{`clerk.claim(ARRAY['metadata'::text, 'role'::text])`, "metadata.role"},
		{`coalesce(auth.jwt() ->> 'a', auth.jwt() ->> 'b')`, "a b"},
		{`auth.jwt() ->> name`, ""},
		// Of other functions and settings nothing is known.
		{`app.jwt() ->> 'sub' || current_setting('app.x')`, ""},
	} {
		var got []string
		for _, claim := range parse(c.source, "").claims() {
			if len(claim.path) > 0 {
				got = append(got, strings.Join(claim.path, "."))
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.source, diff)
		}
	}
}

// Whatever a function's body holds, it is read to its end, and every token is a
// part of it.
func FuzzParse(f *testing.F) {
	for _, source := range []string{
		`(a = ((( SELECT auth.jwt() AS jwt) -> 'o'::text) ->> 'id'::text))`, `not (() and or) in (select`, `$$ $a$ 'x`, `a.b.c(((`, `)) and ((`,
		`current_setting('request.jwt.claims'`, `x::character varying(3)[]::`, `coalesce(auth.uid()) is distinct from`, `case when a and b then c end or d`,
	} {
		f.Add(source)
	}
	r := &relation{Schema: "public", Name: "a", Columns: []column{{Number: 1, Name: "b", Type: "uuid"}}}
	f.Fuzz(func(t *testing.T, source string) {
		e := parse(source, "")
		end := 0
		for i, token := range e.Tokens {
			if token.Start < end || token.End <= token.Start || token.End > len(source) {
				t.Fatalf("%q: token %d is at %d to %d, the one before ends at %d", source, i, token.Start, token.End, end)
			}
			end = token.End
		}
		l := &linter{model: &model{}}
		p := &policy{Policy: catalog.Policy{Name: "p", Command: catalog.All, Using: source}, using: e}
		root, _ := e.whole()
		_ = e.passedByNull(root)
		_ = e.comparedAsText(r)
		_ = e.correlates(r)
		_ = e.reads()
		_ = e.readsUnsafe()
		if len(e.Tokens) > 0 {
			_ = e.accessOf(root, r)
		}
		_ = alterPolicy(p, r, e.wrapped(), l.withClerkID(e)) + e.withArrays(r) + l.withOwnerID(e, r) + l.wrappedOwn(p, e, r)
		at := place{"public", "p", "policy", e, r, p, nil}
		l.rolePrefix(at)
		for _, c := range e.claims() {
			_ = e.cast(c.end, "uuid")
			_ = e.setting(c)
		}
	})
}

func TestWrapped_LeavesACallInsideOfAnotherToIt(t *testing.T) {
	t.Parallel()
	got := parse(`(role = current_setting(('app.'::text || auth.role())))`, "").wrapped()
	if want := `(role = (select current_setting(('app.'::text || auth.role()))))`; got != want {
		t.Errorf("wrapped = %s, want %s", got, want)
	}
}

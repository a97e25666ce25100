package access

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/rls/catalog"
)

var docs = catalog.Table{
	Name:    catalog.Name{Schema: "public", Table: "docs"},
	Columns: []catalog.Column{{Name: "id"}, {Name: "owner_id"}, {Name: "org_id"}, {Name: "user"}, {Name: "docs"}, {Name: "Odd Name"}},
}

func TestParts_AreWhatDependsOnTheCallerAlone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		expression string
		want       []string // "!" in front: decides by itself
	}{
		{`true`, nil},
		{`(id = 1)`, nil},
		{`(owner_id = ( SELECT clerk.user_id() AS user_id))`, []string{"!( SELECT clerk.user_id() AS user_id)"}},
		{`(owner_id = clerk.user_id())`, []string{"!clerk.user_id()"}},
		{`((auth.jwt() ->> 'sub'::text) = owner_id)`, []string{"!(auth.jwt() ->> 'sub'::text)"}},
		// The cast is what fails.
		{`(((auth.jwt() ->> 'sub'::text))::uuid = id)`, []string{"!((auth.jwt() ->> 'sub'::text))::uuid"}},
		{`(id = (( SELECT auth.jwt() AS jwt))::character varying(20)[])`, []string{"!(( SELECT auth.jwt() AS jwt))::character varying(20)[]"}},
		{`(id = (current_setting('app.x'::text))::timestamp(3) with time zone)`, []string{"!(current_setting('app.x'::text))::timestamp(3) with time zone"}},
		{`(org_id = ANY (ARRAY( SELECT clerk.my_org_ids() AS my_org_ids)))`, []string{"!ARRAY( SELECT clerk.my_org_ids() AS my_org_ids)"}},
		{`(org_id <> ALL (ARRAY( SELECT clerk.my_org_ids() AS my_org_ids)))`, []string{"ARRAY( SELECT clerk.my_org_ids() AS my_org_ids)"}},
		{`(org_id IN ( SELECT clerk.my_org_ids() AS my_org_ids))`, []string{"!( SELECT clerk.my_org_ids() AS my_org_ids)"}},
		{`(NOT (org_id IN ( SELECT clerk.my_org_ids() AS my_org_ids)))`, []string{"( SELECT clerk.my_org_ids() AS my_org_ids)"}},
		{`((org_id = clerk.org_id()) OR (owner_id = clerk.user_id()))`, []string{"clerk.org_id()", "clerk.user_id()"}},
		{`(((clerk.org_role() = 'org:admin'::text) OR private.is_staff()) AND (org_id = clerk.org_id()))`, []string{"!((clerk.org_role() = 'org:admin'::text) OR private.is_staff())", "!clerk.org_id()"}},
		{`COALESCE((auth.jwt() ->> 'org_id'::text), org_id)`, []string{"(auth.jwt() ->> 'org_id'::text)"}},
		{`(org_id = COALESCE((auth.jwt() ->> 'a'::text), (auth.jwt() ->> 'b'::text)))`, []string{"!COALESCE((auth.jwt() ->> 'a'::text), (auth.jwt() ->> 'b'::text))"}},
		// Without any column all of it is one part.
		{`( SELECT clerk.session_is_active() AS session_is_active)`, []string{"!( SELECT clerk.session_is_active() AS session_is_active)"}},
		{`(( SELECT clerk.org_role() AS org_role) = 'org:owner'::text)`, []string{"!(( SELECT clerk.org_role() AS org_role) = 'org:owner'::text)"}},
		{`(EXISTS ( SELECT 1 FROM private.staff s WHERE (s.who = clerk.user_id())))`, []string{"!(EXISTS ( SELECT 1 FROM private.staff s WHERE (s.who = clerk.user_id())))"}},
		// What reads the row is no part; what stands inside of it is.
		{`(EXISTS ( SELECT 1 FROM public.shares s WHERE ((s.doc = docs.id) AND (s.who = ( SELECT clerk.user_id() AS user_id)))))`, []string{"( SELECT clerk.user_id() AS user_id)"}},
		{`(id = 1 AND EXISTS ( SELECT 1 FROM public.shares s WHERE (s.owner_id = clerk.user_id())))`, []string{"!EXISTS ( SELECT 1 FROM public.shares s WHERE (s.owner_id = clerk.user_id()))"}},
		{`private.may(docs.*)`, nil},
		{`private.may("Odd Name")`, nil},
		{`private.may('Odd Name'::text, owner_id)`, nil},
		{`("user" = clerk.user_id())`, []string{"!clerk.user_id()"}},
		{`((now() > '2026-01-01'::date) AND (id = 1))`, nil},
		{`(owner_id = 'auth.uid() ( SELECT'::text)`, nil},
		// Not what the database writes: it must end, no more.
		{`(((`, nil},
		{`)) ( SELECT`, []string{"!)) ( SELECT"}},
		{`'open`, nil},
		{``, nil},
	}
	for _, test := range tests {
		var got []string
		for _, p := range parse(test.expression, docs).parts() {
			mark := ""
			if p.decisive {
				mark = "!"
			}
			got = append(got, mark+p.text)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("parts of %s (-want +got):\n%s", test.expression, diff)
		}
	}
}

func TestClaimsOnly_IsStrictAboutWhatIsTheCallers(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]bool{
		`( SELECT clerk.user_id() AS user_id)`:                           true,
		`(auth.jwt() ->> 'sub'::text)`:                                   true,
		`((auth.jwt() -> 'o'::text) ->> 'id'::text)`:                     true,
		`COALESCE((auth.jwt() ->> 'a'::text), 'x'::character varying)`:   true,
		`(current_setting('request.jwt.claims'::text, true))::jsonb`:     true,
		`current_setting('app.secret'::text)`:                            false,
		`current_setting(('app.'::text || 'secret'::text))`:              false,
		`( SELECT private.key() AS key)`:                                 false,
		`( SELECT keys.key FROM private.keys)`:                           false,
		`ARRAY( SELECT clerk.my_org_ids() AS my_org_ids)`:                false,
		`query_to_xml('select 1'::text, true, true, ''::text)`:           false,
		`( SELECT "auth"."uid"() AS uid)`:                                true,
		`( SELECT "Auth"."uid"() AS uid)`:                                false,
		`(EXISTS ( TABLE private.keys))`:                                 false,
		`((auth.jwt() ->> 'x'::text))::public.secret_domain`:             true,
		`(( SELECT auth.jwt() AS jwt) ->> 'sub'::character varying(20))`: true,
	} {
		if got := parse(expression, docs).claimsOnly(""); got != want {
			t.Errorf("claimsOnly(%s) = %t, want %t", expression, got, want)
		}
	}
}

func TestCallsUID_SeesCallsAndNothingElse(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]bool{
		`(auth.uid() = owner_id)`:                true,
		`( SELECT auth.uid() AS uid)`:            true,
		`"auth"."uid"()`:                         true,
		`(owner_id <> 'auth.uid()'::text)`:       false,
		`(auth.uid = owner_id)`:                  false,
		`other_auth.uid()`:                       false,
		`auth.uid_of(owner_id)`:                  false,
		`("Auth".uid() = owner_id)`:              false,
		`(E'it\'s auth.uid()'::text = owner_id)`: false,
	} {
		if got := parse(expression, docs).callsUID(); got != want {
			t.Errorf("callsUID of %s = %t, want %t", expression, got, want)
		}
	}
}

func TestElements_ReadsPlainArraysOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{`{}`: nil, `{a}`: {"a"}, `{a,b}`: {"a", "b"}} {
		if got, ok := elements(text); !ok || cmp.Diff(want, got) != "" {
			t.Errorf("elements(%s) = %q, %t, want %q", text, got, ok, want)
		}
	}
	for _, text := range []string{``, `a`, `{"a,b"}`, `{{a},{b}}`, `{a`, `{a\,b}`, `{a…`} {
		if got, ok := elements(text); ok {
			t.Errorf("elements(%s) = %q, want it refused", text, got)
		}
	}
}

// Whatever an expression is, the parts are slices of it and nothing panics.
func FuzzParts(f *testing.F) {
	for _, seed := range []string{
		`(owner_id = ( SELECT clerk.user_id() AS user_id))`, `((a)::timestamp(3) with time zone)`, `ARRAY( SELECT x)::text[]`, `x::`, `"a""b".c()::"d"."e"(1)[]`, `E'\'' (`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		e := parse(source, docs)
		e.claimsOnly("")
		e.callsUID()
		for _, p := range e.parts() {
			if !strings.Contains(source, p.text) || p.text == "" {
				t.Errorf("part %q of %q", p.text, source)
			}
		}
	})
}

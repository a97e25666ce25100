package clerk_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

func TestIssuerKind_TellsDevelopmentFromProduction(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string]clerk.InstanceKind{
		"https://happy-otter-42.clerk.accounts.dev": clerk.TestInstance,
		"https://clerk.example.com":                 clerk.LiveInstance,
		"https://clerk.example.com/":                clerk.LiveInstance,
		"https://example.com/__clerk":               "", // a proxy of one's own
		"http://clerk.example.com":                  "",
		"https://clerk.accounts.dev":                clerk.LiveInstance, // nobody's Frontend API, but not a development one
		"https://evilclerk.accounts.dev":            "",
		"https://x.clerk.accounts.dev.evil.example": "",
		"clerk.example.com":                         "",
		"":                                          "",
	} {
		if got := clerk.IssuerKind(issuer); got != want {
			t.Errorf("IssuerKind(%q) = %q, want %q", issuer, got, want)
		}
	}
}

func TestDecodePermissions_ReadsMasks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, fea, per, fpm string
		agreed, disputed    []string
		problem             string
	}{
		{"Clerk's own example", "o:dashboard,o:teams", "manage,read", "3,2", []string{"org:dashboard:manage", "org:dashboard:read", "org:teams:read"}, nil, ""},
		{"nothing", "", "", "", nil, nil, ""},
		{"no masks", "o:dashboard", "read", "", nil, nil, ""},
		{"features of both", "ou:dashboard,uo:teams", "read", "1,1", []string{"org:dashboard:read", "org:teams:read"}, nil, ""},
		// Behind the organization's, where both count alike.
		{"a user's feature last", "o:dashboard,u:export", "read", "1,0", []string{"org:dashboard:read"}, nil, ""},
		{"a user's feature first", "u:export,o:dashboard", "read", "0,1", nil, []string{"org:dashboard:read"}, "counts the numbers"},
		{"a user's feature first, without a number", "u:export,o:dashboard", "read", "1", nil, []string{"org:dashboard:read"}, "counts the numbers"},
		{"the last number is missing", "o:dashboard,o:teams", "read", "1", []string{"org:dashboard:read"}, nil, ""},
		{"more numbers than features", "o:dashboard", "read", "1,1", []string{"org:dashboard:read"}, nil, "more numbers"},
		{"bits without a name", "o:dashboard", "read", "3", nil, []string{"org:dashboard:read"}, "does not name"},
		{"beyond 64 bits", "o:big", strings.Repeat("p,", 99) + "last", "633825300114114700748351602688", []string{"org:big:last"}, nil, ""},
		{"no decimal number", "o:dashboard", "read", "0x1", nil, nil, "no decimal"},
		{"negative", "o:dashboard", "read", "-1", nil, nil, "no decimal"},
		{"longer than is read", "o:dashboard", "read", strings.Repeat("9", 301), nil, nil, "no decimal"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := clerk.DecodePermissions(test.fea, test.per, test.fpm)
			want := clerk.Permissions{Agreed: test.agreed, Disputed: test.disputed}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(clerk.Permissions{}, "Problems"), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("DecodePermissions(%q, %q, %q) (-want +got):\n%s", test.fea, test.per, test.fpm, diff)
			}
			if said := strings.Join(got.Problems, "; "); !strings.Contains(said, test.problem) || test.problem == "" && said != "" {
				t.Errorf("DecodePermissions(%q, %q, %q): problems %q, want %q", test.fea, test.per, test.fpm, said, test.problem)
			}
		})
	}
}

// A few kilobytes of claims can stand for hundreds of megabytes.
func TestDecodePermissions_IsBounded(t *testing.T) {
	t.Parallel()
	names := strings.TrimSuffix(strings.Repeat("p,", 990), ",")
	all := strings.Repeat("9", 298)
	for name, claims := range map[string][3]string{
		"a long name, often":      {"o:" + strings.Repeat("f", 30_000), names, all},
		"many features":           {strings.Repeat("o:f,", 200), names, strings.Repeat(all+",", 200)},
		"many features and names": {strings.Repeat("o:f,", 8000), strings.Repeat("p,", 8000), strings.Repeat("1,", 8000)},
	} {
		got := clerk.DecodePermissions(claims[0], claims[1], claims[2])
		size := 0
		for _, p := range append(got.Agreed, got.Disputed...) {
			size += len(p)
		}
		if size > 64<<10 || len(got.Agreed)+len(got.Disputed) > 2000 || !slices.ContainsFunc(got.Problems, func(p string) bool { return strings.Contains(p, "more permissions") }) {
			t.Errorf("%s: %d permissions, %d bytes, problems %q", name, len(got.Agreed)+len(got.Disputed), size, got.Problems)
		}
	}
}

// What a diagnosis says is granted is what policies grant.
func TestDecodePermissions_AgreesWithTheDatabase(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	rng := rand.New(rand.NewPCG(7, 11))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	list := func(n int, item func(i int) string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = item(i)
		}
		return strings.Join(items, ",")
	}
	for range 300 {
		fea := list(rng.IntN(5), func(i int) string {
			return pick("o", "o", "u", "uo", "ou", "") + pick(":", ":", ":", "") + fmt.Sprint("f", i)
		})
		per := list(rng.IntN(4), func(i int) string { return pick(fmt.Sprint("p", i), fmt.Sprint("p", i), "") })
		fpm := list(rng.IntN(5), func(int) string {
			return pick("0", "1", "2", "3", "5", "7", "8", "x", "", "-1", "18446744073709551617")
		})
		claims := fmt.Sprintf(`{"v":2,"sub":"user_a","fea":%q,"o":{"id":"org_a","per":%q,"fpm":%q}}`, fea, per, fpm)
		if _, err := conn.Exec(t.Context(), `select set_config('request.jwt.claims', $1, false)`, claims); err != nil {
			t.Fatal(err)
		}
		rows, err := conn.Query(t.Context(), `select clerk.org_permissions()`)
		if err != nil {
			t.Fatal(err)
		}
		want, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		got := clerk.DecodePermissions(fea, per, fpm).Agreed
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s (-database +Go):\n%s", claims, diff)
		}
	}
}

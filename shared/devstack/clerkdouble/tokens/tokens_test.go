package tokens_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/secret"
)

// made is when the tokens of tests are made.
var made = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// parts are a token's header and claims.
type parts struct{ header, claims map[string]any }

// verify reads a token whose signature a key set proves.
func verify(t *testing.T, jwks []byte, token string) parts {
	t.Helper()
	set, err := keyset.Parse(jwks)
	if err != nil {
		t.Fatalf("the key set %s: %v", jwks, err)
	}
	claims := jwt.MapClaims{}
	parsed, err := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{"RS256"})).ParseWithClaims(token, claims,
		func(token *jwt.Token) (any, error) {
			kid, _ := token.Header["kid"].(string)
			key, ok := set.Find(kid)
			if !ok {
				return nil, fmt.Errorf("no key %q in %s", kid, jwks)
			}
			return key.Public, nil
		})
	if err != nil {
		t.Fatalf("verifying %s: %v", token, err)
	}
	return parts{parsed.Header, claims}
}

// shown is a value as its JSON says it.
func shown(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		t.Fatal(err)
	}
	return decoded
}

// company is an instance with an organization whose treasurer is Ines.
type company struct {
	*clerkinstance.Instance
	*tokens.Mint
	// late is how long after made it is, in milliseconds.
	late           *atomic.Int64
	ines           resource.User
	organization   resource.Organization
	treasurer      resource.Role
	nobody, friend resource.User
}

func newCompany(t *testing.T) company {
	t.Helper()
	c := company{late: new(atomic.Int64)}
	c.Instance = clerkinstance.New(clerkinstance.Options{Seed: 5, Now: func() time.Time { return made.Add(time.Duration(c.late.Load()) * time.Millisecond) }})
	c.Mint = tokens.New(c.Instance, "")
	var permissions []resource.Permission
	for _, key := range []string{"org:invoices:approve", "org:dashboard:read", "org:dashboard:manage", "org:teams:read"} {
		p, err := c.CreatePermission(key, key)
		noError(t, err)
		permissions = append(permissions, p)
	}
	var err error
	// Of dashboard both, of teams one, of invoices none; and one of Clerk's own.
	var system resource.Permission
	for _, p := range c.Snapshot().Permissions {
		if p.Key == "org:sys_billing:read" {
			system = p
		}
	}
	c.treasurer, err = c.CreateRole("org:treasurer", "Treasurer", append(permissions[1:], system)...)
	noError(t, err)
	c.ines, err = c.SignUp(clerkinstance.Person{Emails: []string{"ines@example.com"}, ExternalID: "7"})
	noError(t, err)
	c.friend, err = c.SignUp(clerkinstance.Person{Username: "friend"})
	noError(t, err)
	c.nobody, err = c.SignUp(clerkinstance.Person{Username: "nobody"})
	noError(t, err)
	c.organization, err = c.CreateOrganization(c.friend.ID, "Acme", "acme")
	noError(t, err)
	_, err = c.Join(c.organization.ID, c.ines.ID, "org:treasurer")
	noError(t, err)
	return c
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token makes one that must be.
func (c company) token(t *testing.T, o tokens.Options) parts {
	t.Helper()
	token, err := c.SessionToken(o)
	if err != nil {
		t.Fatalf("SessionToken(%+v) = %v", o, err)
	}
	return verify(t, c.JWKS(), token)
}

func TestSessionToken_SaysWhatClerkSays(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	iat := float64(made.Unix())
	tests := []struct {
		name    string
		options tokens.Options
		want    map[string]any
		without []string
	}{
		{
			name: "version 2", options: tokens.Options{UserID: c.ines.ID},
			want: map[string]any{
				"iss": c.Issuer(), "sub": c.ines.ID, "iat": iat, "nbf": iat - 10, "exp": iat + 60, "v": 2, "sts": "active",
				"fva": []int{0, -1}, "role": "authenticated", "pla": "u:free",
			},
			without: []string{"azp", "act", "o", "fea", "org_id"},
		},
		{
			name: "version 2 with an organization", options: tokens.Options{UserID: c.ines.ID, OrganizationID: c.organization.ID},
			want: map[string]any{
				"pla": "o:free", "fea": "o:dashboard,o:invoices,o:teams",
				// manage is bit 0, read bit 1: both of dashboard, none of invoices, read of teams.
				"o": map[string]any{"id": c.organization.ID, "slg": "acme", "rol": "treasurer", "per": "manage,read", "fpm": "3,0,2"},
			},
			without: []string{"org_id", "org_role", "org_slug", "org_permissions"},
		},
		{
			name: "a role without permissions of its own", options: tokens.Options{UserID: c.friend.ID, OrganizationID: c.organization.ID},
			// An admin has all of Clerk's own, which tokens do not carry.
			want: map[string]any{"o": map[string]any{"id": c.organization.ID, "slg": "acme", "rol": "admin"}},
		},
		{
			name: "features of the user's own plan", options: tokens.Options{UserID: c.ines.ID, OrganizationID: c.organization.ID, UserFeatures: []string{"gold"}, Plan: "o:pro"},
			want: map[string]any{"fea": "o:dashboard,o:invoices,o:teams,u:gold", "pla": "o:pro"},
		},
		{
			name: "version 1", options: tokens.Options{UserID: c.ines.ID, Version: 1},
			want: map[string]any{
				"iss": c.Issuer(), "sub": c.ines.ID, "iat": iat, "nbf": iat - 10, "exp": iat + 60, "fva": []int{0, -1}, "role": "authenticated",
			},
			without: []string{"v", "jti", "pla", "fea", "sts", "o", "org_id", "org_role", "org_permissions"},
		},
		{
			name: "version 1 with an organization", options: tokens.Options{UserID: c.ines.ID, Version: 1, OrganizationID: c.organization.ID},
			want: map[string]any{
				"org_id": c.organization.ID, "org_slug": "acme", "org_role": "org:treasurer",
				"org_permissions": []string{"org:dashboard:manage", "org:dashboard:read", "org:teams:read"},
			},
			without: []string{"v", "o", "fea"},
		},
		{
			name: "what is asked for", options: tokens.Options{
				UserID: c.ines.ID, AuthorizedParty: "https://app.example.com", Status: "pending",
				FactorAges: []int{3, 1}, Actor: map[string]any{"sub": "user_support"}, At: made.Add(time.Hour), Lifetime: 10 * time.Minute,
				Claims: map[string]any{"plan": "gold", "role": "editor"},
			},
			want: map[string]any{
				"azp": "https://app.example.com", "sts": "pending", "fva": []int{3, 1},
				"act": map[string]any{"sub": "user_support"}, "iat": iat + 3600, "exp": iat + 4200, "plan": "gold", "role": "editor",
			},
		},
		{
			name: "an hour later", options: tokens.Options{UserID: c.ines.ID, At: made.Add(time.Hour), Version: 1, Status: "pending"},
			want: map[string]any{"fva": []int{60, -1}, "sts": "pending"},
		},
		{
			name: "without Supabase", options: tokens.Options{UserID: c.ines.ID, WithoutRole: true}, without: []string{"role"},
		},
		{
			name: "without Supabase, with a role of its own", options: tokens.Options{UserID: c.ines.ID, WithoutRole: true, Claims: map[string]any{"role": "anon"}},
			want: map[string]any{"role": "anon"},
		},
		// Default claims cannot be overridden, nor made up where there are none.
		{
			name: "claims that are Clerk's", options: tokens.Options{UserID: c.ines.ID, Claims: map[string]any{
				"sub": "user_other", "iss": "https://evil.example", "exp": 9e9, "v": 1, "o": map[string]any{"id": "org_other"},
				"azp": "https://evil.example", "act": map[string]any{}, "org_id": "org_other", "sid": "sess_other", "aud": "authenticated",
			}},
			want:    map[string]any{"sub": c.ines.ID, "iss": c.Issuer(), "exp": iat + 60, "v": 2, "aud": "authenticated"},
			without: []string{"o", "azp", "act", "org_id"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := c.token(t, test.options)
			want := map[string]any{"alg": "RS256", "typ": "JWT", "kid": c.ID(), "cat": "cl_B7d4PD111AAA"}
			if diff := cmp.Diff(want, got.header); diff != "" {
				t.Errorf("header of SessionToken(%+v): -want +got\n%s", test.options, diff)
			}
			for name, want := range test.want {
				if diff := cmp.Diff(shown(t, want), got.claims[name]); diff != "" {
					t.Errorf("%s of SessionToken(%+v): -want +got\n%s", name, test.options, diff)
				}
			}
			for _, name := range test.without {
				if value, there := got.claims[name]; there {
					t.Errorf("SessionToken(%+v) has %s: %v", test.options, name, value)
				}
			}
			if sid, _ := got.claims["sid"].(string); !strings.HasPrefix(sid, "sess_") || sid == "sess_other" {
				t.Errorf("SessionToken(%+v): sid = %q", test.options, sid)
			}
		})
	}
}

func TestSessionToken_RefusesWhatThereIsNot(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	gone, err := c.SignUp(clerkinstance.Person{Username: "gone"})
	noError(t, err)
	session := c.token(t, tokens.Options{UserID: gone.ID}).claims["sid"].(string)
	noError(t, c.DeleteUser(gone.ID, false))
	tests := []struct {
		name    string
		options tokens.Options
		want    error
	}{
		{"nobody", tokens.Options{}, nil},
		{"unknown user", tokens.Options{UserID: "user_x"}, clerkinstance.ErrNotFound},
		{"deleted user", tokens.Options{UserID: gone.ID}, clerkinstance.ErrNotFound},
		{"deleted user's session", tokens.Options{SessionID: session}, clerkinstance.ErrNotFound},
		{"another's session", tokens.Options{UserID: c.ines.ID, SessionID: session}, clerkinstance.ErrNotFound},
		{"unknown organization", tokens.Options{UserID: c.ines.ID, OrganizationID: "org_x"}, clerkinstance.ErrNotFound},
		{"organization of others", tokens.Options{UserID: c.nobody.ID, OrganizationID: c.organization.ID}, clerkinstance.ErrNotFound},
		{"unknown version", tokens.Options{UserID: c.ines.ID, Version: 3}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			token, err := c.SessionToken(test.options)
			if err == nil || token != "" || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("SessionToken(%+v) = %q, %v, want %v", test.options, token, err, test.want)
			}
		})
	}
}

// Whatever a role grants, the masks say it, and nothing else.
func TestSessionToken_EncodesEveryRole(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	c := newCompany(t)
	var all []resource.Permission
	// More names than bits in a word.
	for feature := range 4 {
		for name := range 70 {
			p, err := c.CreatePermission(fmt.Sprintf("org:feature%d:name%d", feature, name), "made up")
			noError(t, err)
			all = append(all, p)
		}
	}
	for range 30 {
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		some := slices.Clone(all[:rng.IntN(len(all))])
		noError(t, c.UpdateRole(c.treasurer.ID, func(r *resource.Role) { r.Permissions = some }))
		want := []string{}
		for _, p := range some {
			want = append(want, p.Key)
		}
		slices.Sort(want)
		claims := c.token(t, tokens.Options{UserID: c.ines.ID, OrganizationID: c.organization.ID}).claims
		if got := decode(t, claims); !slices.Equal(got, want) {
			t.Fatalf("a role of %d permissions is encoded as %v", len(want), claims)
		}
	}
}

// decode reads permissions as Clerk documents them.
func decode(t *testing.T, claims map[string]any) []string {
	t.Helper()
	organization, _ := claims["o"].(map[string]any)
	names, _ := organization["per"].(string)
	masks, _ := organization["fpm"].(string)
	features, _ := claims["fea"].(string)
	permissions := []string{}
	if masks == "" {
		return permissions
	}
	for i, mask := range strings.Split(masks, ",") {
		bits, valid := new(big.Int).SetString(mask, 10)
		if !valid {
			t.Fatalf("fpm = %q is no list of numbers", masks)
		}
		feature := strings.TrimPrefix(strings.Split(features, ",")[i], "o:")
		for bit, name := range strings.Split(names, ",") {
			if bits.Bit(bit) == 1 {
				permissions = append(permissions, "org:"+feature+":"+name)
			}
		}
	}
	slices.Sort(permissions)
	return permissions
}

func TestSessionToken_LeavesTheHistoryAlone(t *testing.T) {
	t.Parallel()
	ids := func(n int) []string {
		c := clerkinstance.New(clerkinstance.Options{Seed: 9})
		mint := tokens.New(c, "")
		ada, err := c.SignUp(clerkinstance.Person{Username: "ada"})
		noError(t, err)
		for range n {
			_, err := mint.SessionToken(tokens.Options{UserID: ada.ID})
			noError(t, err)
		}
		next, err := c.SignUp(clerkinstance.Person{Username: "next"})
		noError(t, err)
		return []string{c.ID(), ada.ID, next.ID}
	}
	if none, some := ids(0), ids(3); !slices.Equal(none, some) {
		t.Errorf("ids without tokens %v, with tokens %v, want the same", none, some)
	}
}

func TestSessionToken_OpensASessionWhereThereIsNone(t *testing.T) {
	t.Parallel()
	var events []string
	c := clerkinstance.New(clerkinstance.Options{Emit: func(e clerkinstance.Event) { events = append(events, e.Type) }})
	noError(t, c.Seed(clerkinstance.SeedOptions{Users: 1}))
	var seeded string
	for id := range c.Snapshot().Users {
		seeded = id
	}
	mint := tokens.New(c, "")
	var sessions []any
	for range 2 {
		token, err := mint.SessionToken(tokens.Options{UserID: seeded})
		noError(t, err)
		sessions = append(sessions, verify(t, mint.JWKS(), token).claims["sid"])
	}
	if sessions[0] != sessions[1] {
		t.Errorf("two tokens of one user are of the sessions %v, want one", sessions)
	}
	if n := len(slices.DeleteFunc(events, func(e string) bool { return e != clerk.SessionCreated })); n != 1 {
		t.Errorf("%d sessions were announced, want 1", n)
	}
}

func TestRotateKey_ChangesTheKeySet(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	kids := func() (kids []string) {
		set, err := keyset.Parse(c.JWKS())
		noError(t, err)
		for _, key := range set.Keys {
			kids = append(kids, key.ID)
		}
		return kids
	}
	old, err := c.SessionToken(tokens.Options{UserID: c.ines.ID})
	noError(t, err)
	before := c.JWKS()

	c.RotateKey(tokens.Rotation{KeyID: "second", Keep: true})
	if got := kids(); !slices.Equal(got, []string{c.ID(), "second"}) {
		t.Errorf("after a rotation that keeps the old key: %v", got)
	}
	verify(t, c.JWKS(), old)
	if got := c.token(t, tokens.Options{UserID: c.ines.ID}); got.header["kid"] != "second" {
		t.Errorf("a new token is signed by %v, want the second key", got.header["kid"])
	}

	c.RotateKey(tokens.Rotation{})
	if got := kids(); !slices.Equal(got, []string{c.ID()}) || string(c.JWKS()) == string(before) {
		t.Errorf("after a rotation that keeps none: %v, changed: %v", got, string(c.JWKS()) != string(before))
	}
	set, err := keyset.FromPEM([]byte(c.PublicKeyPEM()))
	noError(t, err)
	fresh, err := c.SessionToken(tokens.Options{UserID: c.ines.ID})
	noError(t, err)
	for token, want := range map[string]bool{fresh: true, old: false} {
		_, err := jwt.NewParser(jwt.WithoutClaimsValidation()).Parse(token, func(*jwt.Token) (any, error) { return set.Keys[0].Public, nil })
		if (err == nil) != want {
			t.Errorf("by the PEM text, a token of the present key %v: %v", want, err)
		}
	}
}

func TestTemplateToken_IsNoSessionToken(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	noError(t, c.SetTemplate(tokens.Template{
		Name: "hasura", Lifetime: 5 * time.Minute,
		Claims: map[string]any{
			"aud": "hasura", "id": "{{user.id}}", "mail": "{{ user.primary_email_address }}", "none": "{{user.shoe_size}}",
			"text": "for {{user.id}}", "deep": map[string]any{"list": []any{"{{org.role}}", "{{org.slug}}", 1}}, "external": "{{user.external_id}}",
			// Never there, whoever asks for it.
			"sid": "sess_x", "v": 2, "fea": "o:x", "pla": "x", "sts": "active", "o": map[string]any{}, "sub": "user_x", "exp": 1,
		},
	}))
	token, err := c.TemplateToken("hasura", tokens.Options{UserID: c.ines.ID, OrganizationID: c.organization.ID, AuthorizedParty: "https://app.example.com"})
	noError(t, err)
	got := verify(t, c.JWKS(), token)
	if got.header["cat"] != "cl_B7d4PD222AAA" || got.header["kid"] != c.ID() {
		t.Errorf("header = %v", got.header)
	}
	if jti, _ := got.claims["jti"].(string); jti == "" {
		t.Error("there is no jti")
	}
	delete(got.claims, "jti")
	iat := made.Unix()
	want := map[string]any{
		"iss": c.Issuer(), "sub": c.ines.ID, "azp": "https://app.example.com", "iat": iat, "exp": iat + 300, "nbf": iat - 5,
		"aud": "hasura", "id": c.ines.ID, "mail": "ines@example.com", "none": nil, "text": "for {{user.id}}", "external": "7",
		"deep": map[string]any{"list": []any{"org:treasurer", "acme", 1}},
	}
	if diff := cmp.Diff(shown(t, want), any(got.claims)); diff != "" {
		t.Errorf("claims: -want +got\n%s", diff)
	}

	if _, err := c.TemplateToken("other", tokens.Options{UserID: c.ines.ID}); !errors.Is(err, clerkinstance.ErrNotFound) {
		t.Errorf("TemplateToken of a template that there is not = %v, want ErrNotFound", err)
	}
	if err := c.SetTemplate(tokens.Template{}); err == nil {
		t.Error("a template without a name is accepted")
	}
}

func TestTemplateToken_CanBeSupabasesFormerOne(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	const key = "super-secret-jwt-token-with-at-least-32-characters-long"
	noError(t, c.SetTemplate(tokens.Template{
		Name: "supabase", SigningKey: secret.New(key),
		Claims: map[string]any{"aud": "authenticated", "role": "authenticated", "email": "{{user.primary_email_address}}"},
	}))
	token, err := c.TemplateToken("supabase", tokens.Options{UserID: c.ines.ID})
	noError(t, err)
	claims := jwt.MapClaims{}
	parsed, err := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{"HS256"})).ParseWithClaims(token, claims,
		func(*jwt.Token) (any, error) { return []byte(key), nil })
	if err != nil || claims["role"] != "authenticated" || claims["email"] != "ines@example.com" {
		t.Errorf("the token says %v, %v", claims, err)
	}
	if kid, there := parsed.Header["kid"]; there {
		t.Errorf("a token by the project's secret names the key %v", kid)
	}
}

func TestMachineToken_SaysWhoseItIs(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	token, err := c.MachineToken(tokens.MachineOptions{MachineID: "mch_1", Scopes: []string{"mch_2", "mch_3"}, Lifetime: time.Hour})
	noError(t, err)
	got := verify(t, c.JWKS(), token)
	if jti, _ := got.claims["jti"].(string); got.header["cat"] != "cl_B7d4PD333AAA" || !strings.HasPrefix(jti, "mt_") {
		t.Errorf("header %v, jti %q", got.header, jti)
	}
	for name, want := range map[string]any{
		"sub": "mch_1", "scopes": "mch_2 mch_3", "aud": []string{"mch_2", "mch_3"}, "exp": made.Unix() + 3600, "nbf": made.Unix(), "iss": c.Issuer(),
	} {
		if diff := cmp.Diff(shown(t, want), got.claims[name]); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	if _, err := c.MachineToken(tokens.MachineOptions{MachineID: c.ines.ID}); err == nil {
		t.Error("a user is taken for a machine")
	}
}

func TestSign_MakesWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	token, err := c.Sign(map[string]any{"typ": "at+jwt", "cat": nil}, map[string]any{"client_id": "x"})
	noError(t, err)
	if got := verify(t, c.JWKS(), token); got.header["typ"] != "at+jwt" || got.claims["client_id"] != "x" || got.header["kid"] != c.ID() {
		t.Errorf("Sign = %+v", got)
	}
	token, err = c.Sign(map[string]any{"kid": nil, "alg": "none"}, nil)
	noError(t, err)
	header, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil || string(header) != `{"alg":"none","typ":"JWT"}` {
		t.Errorf("header = %s, %v, want what was given and no kid", header, err)
	}
	if _, err := c.Sign(nil, map[string]any{"x": func() {}}); err == nil {
		t.Error("claims that have no JSON are signed")
	}
}

func TestPublishableKey_HoldsTheIssuersHost(t *testing.T) {
	t.Parallel()
	mint := func(seed uint64, issuer string) *tokens.Mint {
		return tokens.New(clerkinstance.New(clerkinstance.Options{Seed: seed}), issuer)
	}
	m := mint(1, "")
	key, err := clerk.ParsePublishableKey(m.PublishableKey())
	if err != nil || key.Kind != clerk.TestInstance || "https://"+key.FrontendAPI != m.Issuer() {
		t.Errorf("ParsePublishableKey(%q) = %+v, %v, want a test key of %s", m.PublishableKey(), key, err, m.Issuer())
	}
	if again := mint(1, ""); again.PublishableKey() != m.PublishableKey() {
		t.Errorf("one seed has the keys %q and %q", m.PublishableKey(), again.PublishableKey())
	}
	if other := mint(2, ""); other.Issuer() == m.Issuer() {
		t.Errorf("two seeds have the issuer %q", m.Issuer())
	}
	if configured := mint(1, "https://clerk.example.com"); configured.Issuer() != "https://clerk.example.com" {
		t.Errorf("Issuer = %q, want the configured one", configured.Issuer())
	}
}

func TestNew_IssuesWhatItIsToldTo(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	c.Mint = tokens.New(c.Instance, "http://127.0.0.1:8787/")
	noError(t, c.SetTemplate(tokens.Template{Name: "mine"}))
	for name, sign := range map[string]func(tokens.Options) (string, error){
		"session": c.SessionToken, "template": c.template, "machine": c.machine,
	} {
		token, err := sign(tokens.Options{UserID: c.ines.ID})
		noError(t, err)
		if got := verify(t, c.JWKS(), token).claims["iss"]; got != "http://127.0.0.1:8787" {
			t.Errorf("the %s token is of %v, want the configured issuer without the slash", name, got)
		}
	}
}

func TestFrontendAPI_PublishesTheKeys(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	issuer := server.URL
	mux.Handle("/", tokens.New(c.Instance, issuer+"/").FrontendAPI())
	ask := func(method, path string, value any) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, issuer+path, nil)
		noError(t, err)
		response, err := server.Client().Do(request)
		noError(t, err)
		defer response.Body.Close()
		noError(t, json.NewDecoder(response.Body).Decode(value))
		return response.StatusCode
	}

	var configuration map[string]any
	status := ask(http.MethodGet, tokens.ConfigurationPath, &configuration)
	if status != http.StatusOK || configuration["issuer"] != issuer || configuration["jwks_uri"] != issuer+tokens.JWKSPath {
		t.Errorf("the configuration is %d %v, want %s and the keys' address", status, configuration, issuer)
	}
	source, err := keyset.NewSource(keyset.SourceOptions{URL: issuer + tokens.JWKSPath})
	noError(t, err)
	set, err := source.Keys(t.Context(), c.ID())
	if _, found := set.Find(c.ID()); err != nil || !found {
		t.Errorf("Keys = %+v, %v, want the instance's", set, err)
	}
	for path, status := range map[string]int{"/": 404, "/v1/client": 404, tokens.JWKSPath: 405} {
		method := http.MethodGet
		if status == http.StatusMethodNotAllowed {
			method = http.MethodPost
		}
		var body struct {
			Errors []struct {
				Message, Code string
				LongMessage   string `json:"long_message"`
			}
			Trace string `json:"clerk_trace_id"`
		}
		got := ask(method, path, &body)
		if got != status || len(body.Errors) != 1 || body.Errors[0].Code == "" || body.Errors[0].Message == "" || body.Errors[0].LongMessage == "" || body.Trace == "" {
			t.Errorf("%s %s = %d %+v, want %d and one error", method, path, got, body, status)
		}
	}
}

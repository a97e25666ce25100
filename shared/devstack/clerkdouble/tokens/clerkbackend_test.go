package tokens_test

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/testkit/nodepkg"
)

// judge hands tokens to Clerk's own verifier, with the public key and with the
// key set of the Backend API, and to what its libraries put in front of servers,
// and says what each makes of them.
const judge = `
const { verifyToken, createClerkClient } = require("@clerk/backend");
const { pem, publishableKey, secretKey, apiUrl, tokens } = JSON.parse(require("fs").readFileSync(0, "utf8"));
(async () => {
  const client = createClerkClient({ secretKey, publishableKey, jwtKey: pem, telemetry: { disabled: true } });
  const verdicts = {};
  for (const [name, token] of Object.entries(tokens)) {
    const verdict = (verdicts[name] = { reasons: [] });
    for (const [i, options] of [{ jwtKey: pem }, { secretKey, apiUrl }].entries()) {
      try {
        const claims = await verifyToken(token, options);
        if (i === 0) verdict.claims = claims;
      } catch (e) {
        verdict.reasons.push(e.reason ?? String(e));
      }
    }
    const request = new Request("https://api.example.com/", { headers: { authorization: "Bearer " + token } });
    const state = await client.authenticateRequest(request);
    const auth = state.toAuth();
    verdict.status = state.status;
    if (!auth) continue;
    verdict.auth = {
      userId: auth.userId, sessionId: auth.sessionId, orgId: auth.orgId ?? null, orgSlug: auth.orgSlug ?? null,
      orgRole: auth.orgRole ?? null, permissions: (auth.orgPermissions ?? []).sort(), fva: auth.factorVerificationAge ?? null,
      has: Object.fromEntries(["org:dashboard:manage", "org:dashboard:read", "org:invoices:approve", "org:teams:read"].map((p) => [p, auth.has({ permission: p })])),
      treasurer: auth.has({ role: "org:treasurer" }), gold: auth.has({ feature: "user:gold" }), pro: auth.has({ plan: "org:pro" }),
    };
  }
  process.stdout.write(JSON.stringify(verdicts));
})();`

// auth is what Clerk's libraries tell an application.
type auth struct {
	UserID, SessionID, OrgID, OrgSlug, OrgRole string
	Permissions                                []string
	FVA                                        []int
	Has                                        map[string]bool
	Treasurer, Gold, Pro                       bool
}

func TestSessionToken_IsAcceptedByClerksOwnVerifier(t *testing.T) {
	t.Parallel()
	modules := nodepkg.Find(t, "@clerk/backend")
	t.Logf("@clerk/backend %s", modules.Version(t, "@clerk/backend"))
	c := newCompany(t)
	now := time.Now()
	organization := c.organization.ID
	noError(t, c.SetTemplate(tokens.Template{Name: "mine", Claims: map[string]any{"role": "authenticated"}}))
	session := c.token(t, tokens.Options{UserID: c.ines.ID}).claims["sid"].(string)

	none := map[string]bool{"org:dashboard:manage": false, "org:dashboard:read": false, "org:invoices:approve": false, "org:teams:read": false}
	nobody := auth{Permissions: []string{}, Has: none}
	ines := auth{UserID: c.ines.ID, SessionID: session, FVA: []int{7, -1}, Permissions: []string{}, Has: none}
	treasurer := ines
	treasurer.OrgID, treasurer.OrgSlug, treasurer.OrgRole, treasurer.Treasurer = organization, "acme", "org:treasurer", true
	treasurer.Permissions = []string{"org:dashboard:manage", "org:dashboard:read", "org:teams:read"}
	treasurer.Has = map[string]bool{
		"org:dashboard:manage": true, "org:dashboard:read": true, "org:invoices:approve": false, "org:teams:read": true,
	}
	member := treasurer
	member.Gold, member.Pro = true, true
	tests := map[string]struct {
		options tokens.Options
		make    func(tokens.Options) (string, error)
		// reasons are those of both forms of verifyToken, none where it accepts.
		reasons []string
		status  string
		auth    *auth
	}{
		"version 2":                      {status: "signed-in", auth: &ines},
		"version 1":                      {options: tokens.Options{Version: 1}, status: "signed-in", auth: &ines},
		"version 2 with an organization": {options: tokens.Options{OrganizationID: organization}, status: "signed-in", auth: &treasurer},
		"version 1 with an organization": {options: tokens.Options{OrganizationID: organization, Version: 1}, status: "signed-in", auth: &treasurer},
		"features of both plans": {
			options: tokens.Options{OrganizationID: organization, UserFeatures: []string{"gold"}, Plan: "o:pro"}, status: "signed-in", auth: &member,
		},
		// The token is good, and whoever has it is not signed in all the way.
		"pending":                    {options: tokens.Options{Status: "pending"}, status: "signed-in", auth: &nobody},
		"expired":                    {options: tokens.Options{At: now.Add(-time.Hour)}, reasons: []string{"token-expired", "token-expired"}, status: "signed-out"},
		"of the future":              {options: tokens.Options{At: now.Add(time.Hour)}, reasons: []string{"token-not-active-yet", "token-not-active-yet"}, status: "signed-out"},
		"of a machine":               {make: c.machine, reasons: []string{"token-invalid", "token-invalid"}, status: "signed-out"},
		"of a template with a class": {make: c.template, status: "signed-out"},
	}
	made := map[string]string{}
	for name, test := range tests {
		o := test.options
		o.UserID, o.FactorAges = c.ines.ID, []int{7, -1}
		if o.At.IsZero() {
			o.At = now
		}
		if test.make == nil {
			test.make = c.SessionToken
		}
		token, err := test.make(o)
		noError(t, err)
		made[name] = token
	}
	const key = "sk_test_double"
	backend := backendapi.New(c.Instance, backendapi.Options{SecretKeys: []string{key}, Tokens: c.Mint})
	server := httptest.NewServer(backend)
	t.Cleanup(server.Close)
	var verdicts map[string]struct {
		Reasons []string
		Status  string
		Claims  map[string]any
		Auth    *auth
	}
	out := modules.Run(t, judge, map[string]any{
		"pem": c.PublicKeyPEM(), "publishableKey": c.PublishableKey(), "secretKey": key, "apiUrl": server.URL, "tokens": made,
	})
	if err := json.Unmarshal(out, &verdicts); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if asked := backend.Requests().Routes; asked["/jwks"] == 0 {
		t.Errorf("the Backend API was asked for %v, want its keys", asked)
	}
	for name, test := range tests {
		got := verdicts[name]
		if !slices.Equal(got.Reasons, test.reasons) || got.Status != test.status {
			t.Errorf("%s: verifyToken says %q, authenticateRequest %s; want %q, %s", name, got.Reasons, got.Status, test.reasons, test.status)
		}
		if test.auth != nil {
			if diff := cmp.Diff(test.auth, got.Auth); diff != "" {
				t.Errorf("%s: what the application is told: -want +got\n%s", name, diff)
			}
		}
		if want := verify(t, c.JWKS(), made[name]).claims; len(test.reasons) == 0 {
			if diff := cmp.Diff(want, got.Claims); diff != "" {
				t.Errorf("%s: claims: -want +got\n%s", name, diff)
			}
		}
	}
}

func (c company) machine(o tokens.Options) (string, error) {
	return c.MachineToken(tokens.MachineOptions{MachineID: "mch_1", At: o.At})
}

func (c company) template(o tokens.Options) (string, error) {
	return c.TemplateToken("mine", o)
}

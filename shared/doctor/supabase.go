package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/supabase"
	"clerksync/shared/supabase/management"
)

// What a question to Supabase may take: the whole examination has ten seconds.
const (
	managementPatience = 4 * time.Second
	managementAttempts = 2
)

// supabaseFacts are what Supabase says of the project.
type supabaseFacts struct {
	management *management.Client
	// projectStatus is what it says of the project, projectErr how asking ended.
	projectStatus management.ProjectStatus
	projectErr    error
	// ours is the provider that trusts the instance; nil without one.
	ours *management.ThirdPartyAuth
}

const projectRemedy = "Check SUPABASE_PROJECT_REF, and that the access token's account belongs to the project's organization."

// project is the reference of the Supabase project, as far as the settings say.
func (x *examination) project() string {
	ref := cmp.Or(x.diagnostics.ProjectRef, x.sync.Database.ProjectRef)
	if ref == "" {
		if c, err := supabase.Parse(options(x.sync.Database)); err == nil {
			ref = c.ProjectRef
		}
	}
	return ref
}

// checkAccessToken asks for the project. That it is not there, or paused, is an answer:
// another check tells of it.
func checkAccessToken(ctx context.Context, x *examination) finding.Finding {
	const name = "Supabase was not asked about the project"
	project := x.project()
	switch {
	case x.diagnostics.AccessToken.IsZero():
		return skip(name, "SUPABASE_ACCESS_TOKEN is not set.", "Make one on the account's page of access tokens, with the permissions project_admin_read, auth_config_read, data_api_config_read and advisors_read, and set it.")
	case project == "":
		return skip(name, "Neither SUPABASE_PROJECT_REF nor SUPABASE_URL is set, and DATABASE_URL names no project.", "Set SUPABASE_PROJECT_REF.")
	}
	var err error
	x.management, err = management.New(management.Options{
		Token: x.diagnostics.AccessToken, URL: x.diagnostics.ManagementURL, Patience: managementPatience, Attempts: managementAttempts,
	})
	if err = errors.Join(err, management.CheckRef(project)); err != nil {
		return fail("The access token is not usable", sentence(err), settingsRemedy)
	}
	var found management.Project
	found, x.projectErr = x.management.Project(ctx, project)
	x.projectStatus = found.Status
	switch {
	case errors.Is(x.projectErr, management.ErrToken):
		return fail("Supabase refuses the access token", sentence(x.projectErr), "Make a new one on the account's page of access tokens, and set SUPABASE_ACCESS_TOKEN.")
	case errors.Is(x.projectErr, management.ErrForbidden):
		return fail("The access token may not read the project", sentence(x.projectErr), "Give it the permissions project_admin_read, auth_config_read, data_api_config_read and advisors_read, or make one of an account that belongs to the project's organization.")
	case x.projectErr != nil && !errors.Is(x.projectErr, management.ErrNotFound):
		return skip(name, sentence(x.projectErr), "")
	}
	return pass("Supabase takes the access token", "The project is %s.", project)
}

func checkProject(_ context.Context, x *examination) finding.Finding {
	switch {
	case x.projectErr != nil:
		return fail("Supabase knows no such project", sentence(x.projectErr), projectRemedy)
	case x.projectStatus == management.StatusActive:
		return pass("The project is up", "")
	case x.projectStatus == management.StatusPaused || x.projectStatus == management.StatusPausing:
		return fail("The project is paused", "Supabase says "+string(x.projectStatus)+". Nothing reaches its database.", "Restore it in the Supabase dashboard; a project of the free plan is paused after about a week of little activity.")
	case x.projectStatus == management.StatusUnhealthy:
		return warn("The project is up, and not healthy", "Supabase says so.", "Look at the project's health in the Supabase dashboard, and at status.supabase.com.")
	default:
		return fail("The project is not up", "Supabase says "+string(x.projectStatus)+".", "Wait until it is; the Supabase dashboard shows how far it has come.")
	}
}

const registerRemedy = "Supabase dashboard: Authentication, Sign In / Providers, Third-Party Auth, add Clerk with the instance's domain."

func checkProvider(ctx context.Context, x *examination) finding.Finding {
	const name = "Whether the project trusts the instance is not known"
	if x.issuer == "" {
		return skip(name, "Neither CLERK_PUBLISHABLE_KEY nor CLERK_ISSUER is set.", "Set CLERK_PUBLISHABLE_KEY.")
	}
	providers, err := x.management.ThirdPartyAuth(ctx, x.project())
	switch {
	case errors.Is(err, management.ErrForbidden):
		return fail("The access token may not read whom the project trusts", sentence(err), "Give it the permission auth_config_read.")
	case err != nil:
		return skip(name, sentence(err), "")
	case len(providers) == 0:
		return fail("The project trusts no Clerk instance", "It has no third-party provider; registrations are lost when a project is moved or restored, too.", registerRemedy)
	}
	var issuers []string
	twice := false
	for i, p := range providers {
		issuer := strings.TrimSuffix(p.OIDCIssuerURL, "/")
		issuers = append(issuers, issuer)
		if issuer == strings.TrimSuffix(x.issuer, "/") {
			twice = x.ours != nil
			x.ours = &providers[i]
		}
	}
	switch {
	case x.ours == nil:
		return fail("The project trusts another instance than this one", fmt.Sprintf("It trusts %s, and tokens of this instance name %s.", some(issuers), x.issuer), registerRemedy)
	case twice:
		return warn("The project trusts the instance twice", "Both registrations are of "+x.issuer+"; they follow its keys each by itself.", "Remove the older one in the Supabase dashboard.")
	case len(issuers) > 1:
		return pass("The project trusts the instance, among others", "It trusts %s.", some(issuers))
	}
	return pass("The project trusts the instance", "It is registered as %s.", x.ours.OIDCIssuerURL)
}

func checkProviderKeys(_ context.Context, x *examination) finding.Finding {
	held, err := keyset.Parse(x.ours.ResolvedJWKS)
	if err != nil || len(held.Keys) == 0 {
		return fail("Supabase has none of the instance's keys", "It has never resolved them from "+x.ours.OIDCIssuerURL+".",
			"Open "+strings.TrimSuffix(x.ours.OIDCIssuerURL, "/")+"/.well-known/openid-configuration in a browser: it has to answer. Then remove the provider and add it again.")
	}
	lacking := keyset.Set{}
	for _, k := range x.keys.Keys {
		if !held.Holds(k) {
			lacking.Keys = append(lacking.Keys, k)
		}
	}
	if len(lacking.Keys) > 0 {
		return fail("Supabase does not have the instance's current keys",
			fmt.Sprintf("It has %s, fetched %s, and not the one that is now published as %s.", strings.Join(keyIDs(held), ", "), ago(x.now().Sub(x.ours.ResolvedAt)), strings.Join(keyIDs(lacking), ", ")),
			"After a rotation wait half an hour; to be faster remove the provider and add it again.")
	}
	return pass("Supabase has the instance's keys", "They were fetched %s.", ago(x.now().Sub(x.ours.ResolvedAt)))
}

func checkAdvisors(ctx context.Context, x *examination) finding.Finding {
	advice, err := x.management.SecurityAdvice(ctx, x.project())
	if err != nil {
		return skip("Supabase's advisors were not asked", sentence(err), "Give the access token the permission advisors_read.")
	}
	levels := map[string][]string{}
	for _, a := range advice {
		levels[a.Level] = append(levels[a.Level], a.Name+": "+a.Detail)
	}
	const remedy = "The Supabase dashboard has each under Advisors; clerksync configure-rls lint says which of them are in order, and why."
	switch {
	case len(levels["ERROR"]) > 0:
		return fail("Supabase's advisors find errors", some(levels["ERROR"]), remedy)
	case len(levels["WARN"]) > 0:
		return warn("Supabase's advisors warn", some(levels["WARN"]), remedy)
	}
	return pass("Supabase's advisors find nothing grave", "They were asked about security.")
}

func checkExposed(ctx context.Context, x *examination) finding.Finding {
	api, err := x.management.DataAPI(ctx, x.project())
	schemas := api.Schemas
	if err != nil {
		return skip("Which schemas the Data API serves is not known", sentence(err), "Give the access token the permission data_api_config_read.")
	}
	if slices.Contains(schemas, "clerk_sync") {
		return fail("The Data API serves clerk_sync", "It holds what no application may read: webhook events, history, settings.", "Take clerk_sync out of the exposed schemas in the Supabase dashboard, under Data API.")
	}
	if x.used.Helpers != "" && slices.Contains(schemas, x.used.Helpers) {
		return warn("The Data API serves the schema "+x.used.Helpers, "What policies call needs no address of its own.", "Take it out of the exposed schemas in the Supabase dashboard, under Data API.")
	}
	return pass("The Data API serves nothing that is private", "It serves %s.", some(schemas))
}

package access

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// state is the answer of clerk_sync.copy_state.
type state struct {
	User         string     `json:"user"`
	Organization string     `json:"organization"`
	Membership   string     `json:"membership"`
	Role         string     `json:"role"`
	LastEventAt  *time.Time `json:"last_event_at"`
}

// What clerk_sync.copy_state says of a row.
const (
	live        = "live"
	placeholder = "placeholder"
	deleted     = "deleted"
	absent      = "absent"
)

// lookUp asks the copy about the caller.
func (l *look) lookUp(ctx context.Context, who identity) error {
	skip := func(title, detail, remedy string) error {
		l.mirror = finding.Finding{Status: finding.Skip, Title: title, Detail: detail, Remedy: remedy}
		return nil
	}
	switch {
	case l.facts.CopyState == nil:
		return skip("The copy cannot be asked", "The function clerk_sync.copy_state is not there: the database lacks migrations of this release.", `Apply them: "clerksync migrate up".`)
	case !*l.facts.CopyState:
		return skip("The copy cannot be asked", "The connected role may not call clerk_sync.copy_state.", useLogin)
	case who.user == "" && l.claims.Status == finding.Fail:
		return skip("There is no user to look for", "Postgres cannot read the claims, as database.claims says.", "")
	case who.user == "":
		return skip("There is no user to look for", "The claims name no user.", "")
	case !strings.HasPrefix(who.user, "user_"):
		return skip("There is no Clerk user to look for", "The sub claim does not start with user_: the caller is no user of Clerk.", "")
	}
	var organization *string
	if who.organization != "" {
		organization = &who.organization
	}
	var text string
	refused, err := l.own(ctx, func() error {
		return l.QueryRow(ctx, "select clerk_sync.copy_state($1::text, $2::text)::text", who.user, organization).Scan(&text)
	})
	if err != nil {
		return err
	}
	if refused != nil {
		return skip("The copy cannot be asked", sentence(plainText(refused)), "")
	}
	var s state
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("reading the state of the copy: %w", err)
	}
	l.mirror = s.finding(who, cmp.Or(l.database.Copy, catalog.DefaultSchema), l.database.Helpers)
	return nil
}

// finding judges the state. Tokens are a snapshot that is up to a minute old, and
// webhooks take a moment: what differs may be right soon.
func (s state) finding(who identity, copySchema string, helpers catalog.Helpers) finding.Finding {
	f := finding.Finding{Status: finding.Pass, Title: "The copy knows the user"}
	var said []string
	worse := func(status finding.Status, title, remedy string) {
		if f.Status == finding.Pass || f.Status == finding.Warn && status == finding.Fail {
			f.Status, f.Title, f.Remedy = status, title, remedy
		}
	}
	fetch := fmt.Sprintf(`Fetch it now: "clerksync sync-users%s". If it stays away, check the webhook endpoint: "clerksync status" and "clerksync events" show what arrives.`, flag("--user", who.user))

	switch s.User {
	case live:
		said = append(said, "the user is in the copy")
	case placeholder:
		said = append(said, "the user's row holds the id alone: it was made by a membership or by ensure_user(), and no event of the user itself has come yet")
		worse(finding.Warn, "The copy waits for the user's data", fetch)
	case deleted:
		said = append(said, "the copy has the user as deleted, which is final: policies that go through the copy let nothing through")
		worse(finding.Fail, "The user is deleted in the copy", `Clerk said that the user was deleted; tokens outlive that by a minute at most. If the user still exists, a full sync tells: "clerksync sync-users".`)
	default:
		said = append(said, "the user is not in the copy: foreign keys to users refuse rows, and policies that go through the copy let nothing through")
		worse(finding.Warn, "The user is not in the copy", fetch+fmt.Sprintf(` Applications that write right after sign-up call "select %s.ensure_user()" first.`, catalog.QuoteIdentifier(copySchema)))
	}

	if who.organization != "" {
		s.organization(who, helpers, &said, worse)
	}
	if s.LastEventAt != nil {
		said = append(said, "the last verified webhook was received at "+s.LastEventAt.UTC().Format(time.RFC3339))
	} else {
		said = append(said, "no webhook was ever received")
		worse(finding.Warn, "No webhook was ever received", `Register the endpoint with Clerk and look at "clerksync events"; until then the copy knows what full syncs read.`)
	}
	f.Detail = sentence(strings.Join(said, "; "))
	return f
}

func (s state) organization(who identity, helpers catalog.Helpers, said *[]string, worse func(finding.Status, string, string)) {
	const sync = `Fetch it now: "clerksync sync-users%s". A token is a snapshot of up to a minute, and webhooks take a moment: if the difference stays, check the webhook endpoint.`
	remedy := fmt.Sprintf(sync, flag("--organization", who.organization))
	switch s.Organization {
	case live, placeholder:
	case deleted:
		*said = append(*said, "the token's active organization is deleted in the copy")
		worse(finding.Warn, "The active organization is deleted in the copy", remedy)
	default:
		*said = append(*said, "the token's active organization is not in the copy")
		worse(finding.Warn, "The active organization is not in the copy", remedy)
	}
	switch {
	case s.Membership == deleted:
		*said = append(*said, "the membership in it has ended, so "+helpers.String()+".my_org_ids() leaves it out")
		worse(finding.Warn, "The membership in the active organization has ended", remedy)
	case s.Membership != live:
		*said = append(*said, "the membership in it is not in the copy, so "+helpers.String()+".my_org_ids() leaves it out")
		worse(finding.Warn, "The membership in the active organization is not in the copy", remedy)
	case who.role != "" && s.Role != who.role:
		role := s.Role
		if role == "" {
			role = "none"
		}
		*said = append(*said, fmt.Sprintf("the membership's role is %s in the copy and %s in the token", role, who.role))
		worse(finding.Warn, "The role in the copy is not that of the token", remedy)
	case s.Role != "":
		*said = append(*said, "the membership in the active organization is there, as "+s.Role)
	default:
		*said = append(*said, "the membership in the active organization is there")
	}
}

// plainID is what an id of Clerk's looks like. What a token says instead has no
// place in a command that somebody copies.
var plainID = regexp.MustCompile(`^[a-z]+_[A-Za-z0-9]{1,64}$`)

// flag is a flag with an id, or nothing.
func flag(name, id string) string {
	if !plainID.MatchString(id) {
		return ""
	}
	return " " + name + " " + id
}

package access

import (
	"cmp"
	"context"
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
	var s state
	refused, err := l.own(ctx, func() error {
		return catalog.ReadJSON(ctx, l, &s, "select clerk_sync.copy_state($1::text, $2::text)::text", who.user, organization)
	})
	if err != nil {
		return err
	}
	if refused != nil {
		return skip("The copy cannot be asked", sentence(plainText(refused)), "")
	}
	l.mirror = s.finding(who, cmp.Or(l.database.Copy, catalog.DefaultSchema), l.database.Helpers)
	return nil
}

// judgement grows from what is said of several things; the worst of them, and of
// those the first, gives the title.
type judgement struct {
	finding.Finding
	said []string
}

func (j *judgement) say(text string) { j.said = append(j.said, text) }

// fault says what is wrong.
func (j *judgement) fault(text string, status finding.Status, title, remedy string) {
	j.say(text)
	if j.Status == finding.Pass || j.Status == finding.Warn && status == finding.Fail {
		j.Status, j.Title, j.Remedy = status, title, remedy
	}
}

func (j *judgement) finding() finding.Finding {
	j.Detail = sentence(strings.Join(j.said, "; "))
	return j.Finding
}

// finding judges the state. Tokens are a snapshot that is up to a minute old, and
// webhooks take a moment: what differs may be right soon.
func (s state) finding(who identity, copySchema string, helpers catalog.Helpers) finding.Finding {
	j := judgement{Finding: finding.Finding{Status: finding.Pass, Title: "The copy knows the user"}}
	fetch := fmt.Sprintf(`Fetch it now: "clerksync sync-users%s". If it stays away, check the webhook endpoint: "clerksync status" and "clerksync events" show what arrives.`, flag("--user", who.user))

	switch s.User {
	case live:
		j.say("the user is in the copy")
	case placeholder:
		j.fault("the user's row holds the id alone: it was made by a membership or by ensure_user(), and no event of the user itself has come yet",
			finding.Warn, "The copy waits for the user's data", fetch)
	case deleted:
		j.fault("the copy has the user as deleted, which is final: policies that go through the copy let nothing through",
			finding.Fail, "The user is deleted in the copy", `Clerk said that the user was deleted; tokens outlive that by a minute at most. If the user still exists, a full sync tells: "clerksync sync-users".`)
	default:
		j.fault("the user is not in the copy: foreign keys to users refuse rows, and policies that go through the copy let nothing through",
			finding.Warn, "The user is not in the copy", fetch+fmt.Sprintf(` Applications that write right after sign-up call "select %s.ensure_user()" first.`, catalog.QuoteIdentifier(copySchema)))
	}

	if who.organization != "" {
		s.organization(who, helpers, &j)
	}
	if s.LastEventAt != nil {
		j.say("the last verified webhook was received at " + s.LastEventAt.UTC().Format(time.RFC3339))
	} else {
		j.fault("no webhook was ever received",
			finding.Warn, "No webhook was ever received", `Register the endpoint with Clerk and look at "clerksync events"; until then the copy knows what full syncs read.`)
	}
	return j.finding()
}

func (s state) organization(who identity, helpers catalog.Helpers, j *judgement) {
	const sync = `Fetch it now: "clerksync sync-users%s". A token is a snapshot of up to a minute, and webhooks take a moment: if the difference stays, check the webhook endpoint.`
	remedy := fmt.Sprintf(sync, flag("--organization", who.organization))
	switch s.Organization {
	case live, placeholder:
	case deleted:
		j.fault("the token's active organization is deleted in the copy",
			finding.Warn, "The active organization is deleted in the copy", remedy)
	default:
		j.fault("the token's active organization is not in the copy",
			finding.Warn, "The active organization is not in the copy", remedy)
	}
	switch {
	case s.Membership == deleted:
		j.fault("the membership in it has ended, so "+helpers.String()+".my_org_ids() leaves it out",
			finding.Warn, "The membership in the active organization has ended", remedy)
	case s.Membership != live:
		j.fault("the membership in it is not in the copy, so "+helpers.String()+".my_org_ids() leaves it out",
			finding.Warn, "The membership in the active organization is not in the copy", remedy)
	case who.role != "" && s.Role != who.role:
		j.fault(fmt.Sprintf("the membership's role is %s in the copy and %s in the token", cmp.Or(s.Role, "none"), who.role),
			finding.Warn, "The role in the copy is not that of the token", remedy)
	case s.Role != "":
		j.say("the membership in the active organization is there, as " + s.Role)
	default:
		j.say("the membership in the active organization is there")
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

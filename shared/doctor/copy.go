package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/finding"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

// copyFacts are how the copy is kept.
type copyFacts struct {
	status mirror.Status
}

// How old things may be.
const (
	// scheduled is how often the stack syncs everything unless told otherwise; two of them
	// may fail before it is worth a word.
	scheduled = 6 * time.Hour
	overdue   = 3 * scheduled
	// slack is how long a webhook may take: Svix's first three retries.
	slack = 40 * time.Minute
	// recent is how far back rejected events count.
	recent = 24 * time.Hour
)

func checkFullSync(ctx context.Context, x *examination) finding.Finding {
	var err error
	if x.status, err = x.store.Status(ctx); err != nil {
		return skip("When everything was last synced is not known", sentence(err), "")
	}
	if slices.Contains(x.status.Missing, "runs") {
		return skip("When everything was last synced is not known", "The database did not say in time.", "")
	}
	last, complete := x.status.LastRun, x.status.LastComplete
	const now = "Run clerksync sync-users"
	switch {
	case last == nil:
		return warn("No full sync ever ran", "The copy has what webhooks told, and none of the users who were there before.", now+".")
	case last.State == "stopped":
		return fail("The last full sync was stopped", fmt.Sprintf("It began %s and was stopped: %s.", ago(x.now().Sub(last.StartedAt)), last.Reason),
			"See docs/operations.md on full-sync-stopped, and run clerksync sync-users --dry-run.")
	case complete == nil:
		return warn("No full sync was complete yet", "The last one began "+ago(x.now().Sub(last.StartedAt))+" and is "+last.State+".", now+": it goes on where the last one ended.")
	}
	age := x.now().Sub(*complete.EndedAt)
	detail := "The last complete one ended " + ago(age) + "."
	if complete.Drift != nil && *complete.Drift > 0 {
		detail += fmt.Sprintf(" It found %d objects that webhooks had left wrong, and set them right.", *complete.Drift)
	}
	if age > overdue {
		return fail("Full syncs are overdue", detail+" The stack makes one every 6 hours.", "Look at the schedule and the log of the function full-sync (docs/operations.md, full-sync-overdue); "+now+" for the moment.")
	}
	return pass("Full syncs are complete", "%s", detail)
}

// checkVersion compares the version that made the last scheduled sync with this program's.
func checkVersion(_ context.Context, x *examination) finding.Finding {
	const name = "Which version the functions have is not known"
	run := x.status.LastComplete
	var report fullsync.Report
	switch {
	case run == nil || run.Trigger != "schedule":
		return skip(name, "No scheduled full sync was complete yet, which would tell.", "")
	case json.Unmarshal(run.Report, &report) != nil || report.Version == "":
		return skip(name, "The last one does not tell.", "")
	case x.Version == "" || x.Version == "dev":
		return skip(name, "This program is a build without a version.", "")
	case report.Version != x.Version:
		return warn("The functions are of another version than this program",
			fmt.Sprintf("The last scheduled full sync was made by %s, this is %s.", report.Version, x.Version),
			"Deploy this version (sam build, sam deploy), or use the program of that one.")
	}
	return pass("The functions are of this program's version", "%s.", x.Version)
}

// checkFreshness compares when a webhook last came with when a user last changed in Clerk.
func checkFreshness(ctx context.Context, x *examination) finding.Finding {
	if slices.Contains(x.status.Missing, "last_event_at") {
		return skip("When a webhook last came is not known", "The database did not say in time.", "")
	}
	page, err := x.backend.Users(ctx, clerk.UserQuery{OrderBy: "-updated_at", Limit: 1})
	if err != nil {
		return skip("Whether webhooks have come for what has changed is not known", sentence(err), "")
	}
	// Since when the endpoint is known to have listened: before the first sync nothing was set up.
	since := time.Time{}
	if x.status.LastEventAt != nil {
		since = *x.status.LastEventAt
	} else if run := x.status.LastComplete; run != nil {
		since = run.StartedAt
	}
	said := "No webhook was ever verified."
	if x.status.LastEventAt != nil {
		said = "The last verified webhook came " + ago(x.now().Sub(since)) + "."
	}
	if len(page.Items) == 0 {
		return pass("There is no user in Clerk of whom a webhook could have told", "%s", said)
	}
	changed := page.Items[0].UpdatedAt.Time()
	if changed.After(since) && x.now().Sub(changed) > slack {
		return warn("Clerk has changed, and no webhook has told of it",
			fmt.Sprintf("%s A user changed %s.", said, ago(x.now().Sub(changed))),
			"Look at the endpoint in Clerk's dashboard, under Webhooks: is it there, enabled and subscribed (docs/webhooks.md), and do its deliveries fail? With --url or --stack its address is tried here.")
	}
	if x.status.LastEventAt == nil {
		return pass("No webhook was due yet", "%s No user has changed since the copy was filled.", said)
	}
	return pass("Webhooks have come since a user last changed in Clerk", "%s Of organizations and memberships it was not asked.", said)
}

func checkRejected(ctx context.Context, x *examination) finding.Finding {
	events, err := x.store.Events(ctx, mirror.EventFilter{Outcome: mirror.Rejected, Limit: 1000})
	if err != nil {
		return skip("Whether events were rejected is not known", sentence(err), "")
	}
	reasons := map[string]int{}
	n := 0
	for _, e := range events {
		if x.now().Sub(e.ReceivedAt) < recent {
			n++
			reasons[e.Reason]++
		}
	}
	if n == 0 {
		return pass("No event of the last day was rejected", "")
	}
	var list []string
	for reason, times := range reasons {
		list = append(list, fmt.Sprintf("%d %s", times, reason))
	}
	slices.Sort(list)
	return warn("Events were rejected", fmt.Sprintf("In the last day: %s.", some(list)),
		"clerksync events list --outcome rejected says why; mend that, and clerksync events replay --all.")
}

// sampled is how many users are compared at most.
const sampled = 500

// checkDrift compares users of Clerk's, taken from random places of the list, with the copy.
func checkDrift(ctx context.Context, x *examination) finding.Finding {
	const name = "Whether the copy equals Clerk is not known"
	total, err := x.backend.CountUsers(ctx, clerk.UserQuery{})
	if err != nil {
		return skip(name, sentence(err), "")
	}
	const page = 50
	looked, wrong := 0, 0
	seen := map[string]bool{}
	for range sampled / page {
		offset := 0
		if total > page {
			offset = rand.IntN(int(min(total-page+1, math.MaxInt32))) //nolint:gosec // where a sample is taken is no secret
		}
		users, err := x.backend.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", Offset: offset, Limit: page})
		if err != nil {
			return skip(name, sentence(err), "")
		}
		tally, _, err := x.store.PreviewPage(ctx, mirror.Users, users, users.RequestedAt)
		if err != nil {
			return skip(name, sentence(err), "")
		}
		for _, item := range users.Items {
			seen[item.ID] = true
		}
		looked += len(users.Items)
		wrong += int(tally.Created + tally.Updated)
		if int64(len(seen)) >= total {
			break
		}
	}
	switch {
	case looked == 0:
		return pass("There are no users to compare", "")
	case wrong > 0:
		return warn("The copy differs from Clerk", fmt.Sprintf("Of %d users looked at, %d differ or are missing.", looked, wrong), "Run clerksync sync-users, and look why webhooks have not told of them.")
	}
	if int64(len(seen)) >= total {
		return pass("The copy has every user of Clerk's, as Clerk has them", "%d users were compared.", len(seen))
	}
	// With none of n wrong, 95 % of such samples come from a copy of which less than 3/n is
	// (the rule of three); neighbours in Clerk's list are alike, so that it is a rough figure.
	return pass("The copy equals Clerk, as far as a sample tells", "%d users were compared, 50 from each of some random places. With 95 %% confidence fewer than about %.1f %% of all differ.", looked, 300/float64(looked))
}

package syncusers

import (
	"fmt"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

// maxOfKind is how many differences of a kind are shown to people.
const maxOfKind = 20

// reportRows is a report for people.
func reportRows(r fullsync.Report, now time.Time, row func(...any)) {
	title := ""
	if r.DryRun {
		title = "dry run"
	}
	row(title, "listed", "created", "updated", "deleted", "unchanged", "stale", "drift")
	for _, object := range clerk.Objects() {
		of := r.Of(object.Kind)
		if of.Skipped != "" {
			row(object.Plural, "-", "-", "-", "-", "-", "-", "-", strings.ReplaceAll(of.Skipped, "_", " "))
			continue
		}
		drifted := &of.Drift
		if r.Initial {
			drifted = nil
		}
		row(object.Plural, of.Listed, of.Created, of.Updated, of.Deleted, of.Unchanged, of.Stale, console.Known(drifted))
	}
	row()
	row("result", ending(r))
	row("drift", drift(r))
	if n := r.DeletedHere(); n > 0 {
		row("deleted here", console.Count(int(n), "object", "objects")+", live in Clerk")
	}
	row("requests", fmt.Sprintf("%d, of which %d repeated; %d answered 429", r.Requests, r.Retries, r.RateLimited))
	if r.Purged != (mirror.Purged{}) {
		row("purged", purged(r.Purged))
	}
	if r.PurgeFailed != "" {
		row("purge", "failed ("+r.PurgeFailed+"); the next run tries again")
	}
	row("webhooks", "last verified webhook "+console.AgoOrNever(r.LastEventAt, now))
}

// ending says how a run ended and how long it took.
func ending(r fullsync.Report) string {
	text := string(r.State)
	if r.RunID != 0 {
		text = fmt.Sprintf("run %d %s", r.RunID, text)
	}
	if r.Reason != "" {
		text += " (" + r.Reason + ")"
	}
	text += " after " + console.Took(time.Duration(r.DurationMS)*time.Millisecond)
	if r.Resumed {
		text += ", resumed"
	}
	return text
}

func drift(r fullsync.Report) string {
	if r.Initial {
		return "not told by a first run"
	}
	return console.Count(int(r.Drift), "object", "objects")
}

func purged(p mirror.Purged) string {
	text := fmt.Sprintf("%s, %s, %s", console.Count(int(p.Payloads), "payload", "payloads"), console.Count(int(p.Events), "event", "events"),
		console.Count(int(p.Users+p.Organizations+p.Memberships), "tombstone", "tombstones"))
	if p.HeldBack > 0 {
		text += fmt.Sprintf(", %d held back", p.HeldBack)
	}
	if p.Held > 0 {
		text += fmt.Sprintf("; %d kept, which another table refers to", p.Held)
	}
	return text
}

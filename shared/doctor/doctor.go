// Package doctor looks over a whole set-up: settings, Clerk's keys and API, the key set,
// Supabase's trust in it, the database and what clerksync has made there, webhooks, full
// syncs and the stack on AWS. It writes nothing, anywhere.
//
//	report := doctor.Examine(ctx, doctor.Options{Lookup: os.LookupEnv})
//	if cause := report.Cause(); cause != nil {
//		fmt.Println(cause.Title, cause.Remedy)
//	}
//
// Checks hang on each other: what needs something that failed is not looked at, so that
// the first failure of a report is a cause and no consequence. Checks that do not hang on
// each other run side by side. What could not be looked at is a finding with the status
// skip and the reason, never a pass.
//
// Limits: it sees what the given settings can see. Whether a session token has the claim
// "role" shows in a token alone: give one. The bodies of functions are not compared with
// those shipped; of the policies everything is.
package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"clerksync/shared/config"
	"clerksync/shared/finding"
	"clerksync/shared/secret"
)

// Options say whose set-up is examined. Lookup is required.
type Options struct {
	// Lookup gives the settings, as the functions have them.
	Lookup config.Lookup
	// Stack is the name of the deployed stack; "" means that none is looked at.
	Stack string
	// WebhookURL is where webhooks are sent; "" means the stack's own.
	WebhookURL string
	// Version is this program's; "" means that it is not known.
	Version string
	// Token is a session token to judge; zero means none.
	Token secret.Value
	// Deep adds what takes longer: a sample of the copy compared with Clerk.
	Deep bool
	// Now is the clock of this machine; nil means the system's.
	Now func() time.Time
}

// Limits. Everything together takes no longer than the first.
const (
	limit     = 9500 * time.Millisecond
	deepLimit = 2 * time.Minute
	// checkLimit is for one check, deep ones apart.
	checkLimit = 5 * time.Second
)

// Report is what was found, in the order of dependence.
type Report struct {
	Findings []finding.Finding `json:"findings"`
}

// Cause is the first failure, or the first warning where nothing failed; nil where
// everything that could be looked at is as it should be.
func (r Report) Cause() *finding.Finding {
	for _, status := range []finding.Status{finding.Fail, finding.Warn} {
		for i := range r.Findings {
			if r.Findings[i].Status == status {
				return &r.Findings[i]
			}
		}
	}
	return nil
}

// Worth is what is worth a look: everything but what passed, and what was skipped since
// another check was.
func (r Report) Worth() []finding.Finding {
	list := []finding.Finding{}
	for _, f := range r.Findings {
		if f.Status != finding.Pass && (f.Status != finding.Skip || !strings.HasPrefix(f.Title, notLookedAt)) {
			list = append(list, f)
		}
	}
	return list
}

// notLookedAt begins the title of a check that hangs on another one.
const notLookedAt = "Not looked at: "

// check is one thing that is looked at.
type check struct {
	id string
	// about is what is looked at, and why is what goes wrong where it is not in order:
	// for documentation.
	about, why string
	// needs are checks that must not have failed or been skipped, after those that only
	// have to be over.
	needs, after []string
	// deep checks run only where they are asked for.
	deep bool
	run  func(context.Context, *examination) finding.Finding
}

// examination is what the checks of one report share. A field is written by one check
// and read by those that wait for it.
type examination struct {
	Options
	settings
	clerkFacts
	keyFacts
	supabaseFacts
	databaseFacts
	copyFacts
	stackFacts
}

func (x *examination) now() time.Time {
	if x.Now == nil {
		return time.Now()
	}
	return x.Now()
}

// Examine looks at everything. It fails never: what keeps it from looking is a finding.
func Examine(ctx context.Context, o Options) Report {
	total := limit
	if o.Deep {
		total = deepLimit
	}
	ctx, cancel := context.WithTimeoutCause(ctx, total, fmt.Errorf("the examination ended after %s", total))
	defer cancel()
	x := &examination{Options: o}
	defer x.close()
	var chosen []check
	for _, c := range checks {
		if o.Deep || !c.deep {
			chosen = append(chosen, c)
		}
	}
	findings := make([]finding.Finding, len(chosen))
	over := map[string]chan struct{}{}
	place := map[string]int{}
	for i, c := range chosen {
		over[c.id], place[c.id] = make(chan struct{}), i
	}
	var all sync.WaitGroup
	for i, c := range chosen {
		all.Go(func() {
			defer close(over[c.id])
			for _, id := range append(c.needs, c.after...) {
				<-over[id]
			}
			for _, id := range c.needs {
				if status := findings[place[id]].Status; status == finding.Fail || status == finding.Skip {
					findings[i] = behind(c, id, status)
					return
				}
			}
			findings[i] = c.examine(ctx, x)
		})
	}
	all.Wait()
	return Report{findings}
}

// examine runs a check within its limit.
func (c check) examine(ctx context.Context, x *examination) finding.Finding {
	if !c.deep {
		limited, cancel := context.WithTimeoutCause(ctx, checkLimit, fmt.Errorf("it took longer than %s", checkLimit))
		defer cancel()
		ctx = limited
	}
	f := c.run(ctx, x)
	f.ID = c.id
	return f
}

// behind is a check that was not made since another one did not pass.
func behind(c check, other string, status finding.Status) finding.Finding {
	detail := "It hangs on " + other + ", which failed."
	if status == finding.Skip {
		detail = "It hangs on " + other + ", which was not looked at."
	}
	return finding.Finding{ID: c.id, Status: finding.Skip, Title: notLookedAt + c.about, Detail: detail}
}

func pass(title, detail string, args ...any) finding.Finding {
	return finding.Finding{Status: finding.Pass, Title: title, Detail: fmt.Sprintf(detail, args...)}
}

func skip(title, detail, remedy string) finding.Finding {
	return finding.Finding{Status: finding.Skip, Title: title, Detail: detail, Remedy: remedy}
}

func warn(title, detail, remedy string) finding.Finding {
	return finding.Finding{Status: finding.Warn, Title: title, Detail: detail, Remedy: remedy}
}

func fail(title, detail, remedy string) finding.Finding {
	return finding.Finding{Status: finding.Fail, Title: title, Detail: detail, Remedy: remedy}
}

// sentence makes one of an error's text.
func sentence(err error) string {
	text := err.Error()
	text = strings.ToUpper(text[:1]) + text[1:]
	return strings.TrimRight(text, ".") + "."
}

// ago says how long something is past.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return "a minute ago"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// some writes the first of a list, and how many there are more.
func some(list []string) string {
	const most = 4
	if len(list) <= most {
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(list[:most], "; "), len(list)-most)
}

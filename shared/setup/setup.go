// Package setup sets up a copy of a Clerk instance in a Supabase project: as a plan of steps that is looked at, shown and
// agreed to, and then carried out and read back, one write after another.
//
//	s, err := setup.New(setup.Options{…})
//	plan, err := setup.Look(ctx, s.Steps())
//	// show the plan, have it agreed to
//	err = setup.Carry(ctx, s.Steps(), plan, setup.Carrying{})
//
// What a step has to do is found out each time by looking at what is there. So a run that was ended anywhere, by kill -9
// too, is gone on with by the next one, a run that finds everything done changes nothing, and only what the plan has shown
// is written.
package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Status is how far a step is.
type Status string

// The states of a step. They are stable.
const (
	Done Status = "done"
	// Open: something has to be written.
	Open Status = "todo"
	// Waiting: nothing has to be written, and something has not happened yet.
	Waiting Status = "waiting"
	// Left: a person has to do something, which the steps behind it do not need.
	Left Status = "left"
	// Unknown: it was not found out, and the steps behind it do not need it.
	Unknown Status = "unknown"
	// Blocked: a person has to do something first; the steps behind it were not looked at.
	Blocked Status = "blocked"
)

// Step is a part of a set-up.
type Step struct {
	// ID is stable.
	ID    string
	Title string
	look  func(context.Context) (view, error)
}

// view is what a step has found.
type view struct {
	detail string
	// writes are what has to be written, in order.
	writes []write
	// waiting is what has not happened yet, and what to do if it does not.
	waiting string
	// open is [Left] or [Unknown], and detail says why; "" for neither.
	open Status
}

// write is one change, with what describes it: that can be agreed to, and is the same at each look.
type write struct {
	what string
	do   func(context.Context) error
}

// Entry is what a plan says of a step.
type Entry struct {
	Step   string   `json:"step"`
	Title  string   `json:"title"`
	Status Status   `json:"status"`
	Detail string   `json:"detail,omitempty"`
	Writes []string `json:"writes"`
}

// Plan is what has to be done.
type Plan []Entry

// Done reports whether nothing is left to do.
func (p Plan) Done() bool {
	return !slices.ContainsFunc(p, func(e Entry) bool { return e.Status != Done })
}

// Writes counts what has to be written.
func (p Plan) Writes() int {
	n := 0
	for _, e := range p {
		n += len(e.Writes)
	}
	return n
}

// Look finds out what is left to do, and writes nothing. Where a person has to do something first, the error says what, and
// the plan ends with that step.
func Look(ctx context.Context, steps []Step) (Plan, error) {
	plan := Plan{}
	for _, step := range steps {
		found, err := step.look(ctx)
		entry := Entry{Step: step.ID, Title: step.Title, Status: Done, Detail: found.detail, Writes: []string{}}
		for _, w := range found.writes {
			entry.Writes = append(entry.Writes, w.what)
		}
		switch {
		case err != nil:
			entry.Status, entry.Detail, entry.Writes = Blocked, err.Error(), []string{}
			return append(plan, entry), fmt.Errorf("%s: %w", step.ID, err)
		case len(found.writes) > 0:
			entry.Status = Open
		case found.waiting != "":
			entry.Status, entry.Detail = Waiting, found.waiting
		case found.open != "":
			entry.Status = found.open
		}
		plan = append(plan, entry)
	}
	return plan, nil
}

// ErrChanged says that something is other than when the plan was made.
var ErrChanged = errors.New("something has changed since the plan was shown")

// ErrStillWaiting says that what was waited for has not happened in time.
var ErrStillWaiting = errors.New("it has not happened yet")

// Carrying is how a plan is carried out.
type Carrying struct {
	// Report is told each write before it is made, and each step when it was found done, [Left] or [Unknown]; nil: none is.
	Report func(e Entry, what string)
	// Wait is how long what has not happened yet is waited for; 0 means two minutes.
	Wait time.Duration
	// Pause is between two looks meanwhile; 0 means three seconds.
	Pause time.Duration
}

const (
	defaultWait  = 2 * time.Minute
	defaultPause = 3 * time.Second
	// mostWrites is many times what a step needs.
	mostWrites = 32
)

// Carry carries out what a plan has shown, and reads back what it has written.
func Carry(ctx context.Context, steps []Step, agreed Plan, o Carrying) error {
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	if o.Pause == 0 {
		o.Pause = defaultPause
	}
	if o.Report == nil {
		o.Report = func(Entry, string) {}
	}
	for _, step := range steps {
		i := slices.IndexFunc(agreed, func(e Entry) bool { return e.Step == step.ID })
		if i < 0 {
			return fmt.Errorf("%s: %w: this step was not agreed to", step.ID, ErrChanged)
		}
		if err := carry(ctx, step, agreed[i].Writes, o); err != nil {
			return fmt.Errorf("%s: %w", step.ID, err)
		}
	}
	return nil
}

func carry(ctx context.Context, step Step, agreed []string, o Carrying) error {
	written, waited := 0, time.Duration(0)
	for {
		found, err := step.look(ctx)
		entry := Entry{Step: step.ID, Title: step.Title, Status: Done, Detail: found.detail}
		switch {
		case err != nil:
			return err
		case len(found.writes) > 0:
			next := found.writes[0]
			if !slices.Contains(agreed, next.what) {
				return fmt.Errorf("%w: it would also %s; run it again and look at the plan", ErrChanged, next.what)
			}
			if written++; written > mostWrites {
				return fmt.Errorf("%w: %s was done again and again and does not stay; does something else change it?", ErrChanged, next.what)
			}
			entry.Status = Open
			o.Report(entry, next.what)
			if err := next.do(ctx); err != nil {
				return err
			}
		case found.waiting == "":
			entry.Status = cmp.Or(found.open, Done)
			o.Report(entry, "")
			return nil
		case waited >= o.Wait:
			return fmt.Errorf("%w: %s", ErrStillWaiting, found.waiting)
		default:
			if waited == 0 {
				entry.Status = Waiting
				o.Report(entry, found.waiting)
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(o.Pause):
				waited += o.Pause
			}
		}
	}
}

package createwebhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
	"clerksync/shared/setup"
	"clerksync/shared/webhook"
)

// rotation is how far one is, as JSON.
type rotation struct {
	setup.Verdict
	StartedAt time.Time `json:"started_at"`
	New       used      `json:"new"`
	Old       used      `json:"old"`
	// LeftSeconds is how long the old one has still to be silent.
	LeftSeconds int64  `json:"left_seconds"`
	Next        string `json:"next"`
}

// used is what a secret has verified.
type used struct {
	SignedWith string `json:"signed_with"`
	setup.Use
}

func (u used) describe(now time.Time) string {
	if u.Messages == 0 {
		return u.SignedWith + ": has verified nothing"
	}
	return fmt.Sprintf("%s: has verified %s, the last %s ago", u.SignedWith, console.Count(int(u.Messages), "message", "messages"), now.Sub(u.LastAt).Round(time.Second))
}

// rotate begins a rotation, or says how far it is and ends it where it may be ended.
func (w *work) rotate(ctx context.Context) error {
	state, err := w.state.Read()
	if err != nil {
		return err
	}
	switch {
	case len(w.live) == 0:
		return console.Hint(errors.New(setting+" is not set: there is nothing to rotate"), `"clerksync create-webhooks" sets a first one up`)
	case len(w.live) > 2:
		return console.Hint(fmt.Errorf("%s has %d secrets: only two are live in a rotation", setting, len(w.live)), "leave the new and the old one")
	case len(w.live) == 1 && state.Rotation != nil && state.Rotation.New == webhook.Fingerprint(w.live[0]):
		// It was ended, and that was not noted any more.
		w.c.Say("clerksync: the rotation is done: the old secret is taken away; delete the old endpoint in Clerk's dashboard if it is still there")
		return w.state.SetRotation(nil)
	case len(w.live) == 1:
		if w.Finish {
			return errors.New("no rotation is under way: there is one signing secret")
		}
		if err := w.begin(ctx); err != nil {
			return err
		}
	}
	fresh, old := webhook.Fingerprint(w.live[0]), webhook.Fingerprint(w.live[1])
	r := state.Rotation
	if r == nil || r.New != fresh || r.Old != old {
		// Begun by hand, or ended before it was noted: it counts from now.
		r = &setup.Rotation{Old: old, New: fresh, StartedAt: w.now().UTC()}
		if err := w.state.SetRotation(r); err != nil {
			return err
		}
	}
	w.out.SignedWith = fresh
	return errors.Join(w.goOn(ctx, *r), w.print())
}

// begin puts a second secret before the one in use.
func (w *work) begin(ctx context.Context) error {
	w.c.Say("clerksync: in Clerk's dashboard, under Webhooks, add a second endpoint with the URL and the events of the first, and copy its Signing Secret")
	given, err := w.ask(ctx, "Signing secret of the second endpoint, whsec_… (not shown): ")
	if err != nil {
		return err
	}
	if given == w.live[0] {
		return console.Hint(errors.New("this is the secret that is in use"), "the second endpoint has one of its own: copy that")
	}
	return w.store(ctx, given, w.live[0])
}

// goOn judges a rotation and ends it where that is due, or a person says so.
func (w *work) goOn(ctx context.Context, r setup.Rotation) error {
	now := w.now()
	var before, after setup.Use
	err := connect.WithStore(ctx, w.c, func(store *mirror.Store) error {
		ctx, cancel := context.WithTimeoutCause(ctx, proveLimit, fmt.Errorf("counting deliveries took longer than %s", proveLimit))
		defer cancel()
		// A message that comes again counts by when it was first received, up to a schedule before.
		found, err := store.Signatures(ctx, r.StartedAt.Add(-2*setup.RetrySchedule))
		before, after = useOf(found, r.Old), useOf(found, r.New)
		return err
	})
	if err != nil {
		return err
	}
	v := r.Judge(before, after, now)
	w.out.Rotation = &rotation{
		Verdict: v, StartedAt: r.StartedAt, New: used{r.New, after}, Old: used{r.Old, before}, LeftSeconds: int64(v.Left / time.Second),
	}
	switch {
	case v.Silent || w.Finish:
		if w.Finish && !v.Silent {
			w.c.Say("clerksync: warning: the old secret may still be needed: deliveries that only it verifies are refused from now on")
		}
		if err := w.end(ctx); err != nil {
			return err
		}
		w.out.Rotation.Next = "done: the old secret is taken away; delete the old endpoint in Clerk's dashboard if it is still there"
		return nil
	case !v.Proved:
		w.out.Rotation.Next = "keep the old endpoint until the new secret has verified a delivery; then run this again"
	default:
		w.out.Rotation.Next = fmt.Sprintf("delete the old endpoint in Clerk's dashboard if it is still there; run this again when its secret has been silent for %s more, or with --finish", v.Left.Round(time.Minute))
	}
	return nil
}

// end takes the old secret away.
func (w *work) end(ctx context.Context) error {
	if err := w.store(ctx, w.live[0]); err != nil {
		return err
	}
	return w.state.SetRotation(nil)
}

func useOf(found []mirror.Signature, fingerprint string) setup.Use {
	i := slices.IndexFunc(found, func(s mirror.Signature) bool { return s.SignedWith == fingerprint })
	if i < 0 {
		return setup.Use{}
	}
	return setup.Use{Messages: found[i].Messages, LastAt: found[i].LastAt}
}

package createwebhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/setup"
)

// proof is a delivery that the secret has verified.
type proof struct {
	SvixID string    `json:"svix_id"`
	Type   string    `json:"type"`
	At     time.Time `json:"at"`
	// Said is the outcome.
	Said string `json:"said"`
}

const (
	// provedWithin is how far back a delivery counts.
	provedWithin = 30 * 24 * time.Hour
	// provePause is between two looks.
	provePause = time.Second
	// proveLimit is how long one look may take.
	proveLimit = 15 * time.Second
)

// prove waits for a delivery that the secret has verified, or looks for one of before.
func (w *work) prove(ctx context.Context) error {
	return connect.WithStore(ctx, w.c, func(store *mirror.Store) error {
		err := w.look(ctx, store)
		if err == nil && w.out.Proof == nil {
			if err := w.provoke(ctx); err != nil {
				return err
			}
			w.c.Say("clerksync: waiting up to %s for a delivery; Ctrl-C loses nothing, and the same command looks again", w.Wait)
			err = w.await(ctx, store)
		}
		if err != nil {
			return err
		}
		return errors.Join(w.cover(ctx, store), w.unproved(ctx, store))
	})
}

func (w *work) await(ctx context.Context, store *mirror.Store) error {
	over := time.After(w.Wait)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			return nil
		case <-time.After(provePause):
		}
		if err := w.look(ctx, store); err != nil || w.out.Proof != nil {
			return err
		}
	}
}

// look looks for the latest delivery that the secret has verified.
func (w *work) look(ctx context.Context, store *mirror.Store) error {
	ctx, cancel := context.WithTimeoutCause(ctx, proveLimit, fmt.Errorf("looking for deliveries took longer than %s", proveLimit))
	defer cancel()
	since := w.now().Add(-provedWithin)
	signatures, err := store.Signatures(ctx, since)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(signatures, func(s mirror.Signature) bool { return s.SignedWith == w.out.SignedWith })
	if i < 0 {
		return nil
	}
	w.out.Proof = &proof{At: signatures[i].LastAt, Said: fmt.Sprintf("%d messages verified", signatures[i].Messages)}
	events, err := store.Events(ctx, mirror.EventFilter{Since: since, Limit: 20})
	if err != nil {
		return err
	}
	for _, e := range events {
		detail, err := store.Event(ctx, e.SvixID)
		if err != nil {
			return err
		}
		if detail.SignedWith != w.out.SignedWith {
			continue
		}
		shown := &proof{SvixID: e.SvixID, Type: e.Type, At: e.ReceivedAt, Said: said(e)}
		if mirror.Mirrored(e.Type) {
			// Of what is copied rather than of what is ignored.
			w.out.Proof = shown
			return nil
		}
		if w.out.Proof.SvixID == "" {
			w.out.Proof = shown
		}
	}
	return nil
}

// said is the outcome, with what it means here.
func said(e mirror.RecordedEvent) string {
	if e.Outcome != mirror.Rejected {
		return string(e.Outcome)
	}
	text := fmt.Sprintf("%s (%s)", e.Outcome, e.Reason)
	if e.Reason == "wrong_instance" {
		text += `: of another instance, or made up by the dashboard's "Send Example"; its signature was right`
	}
	return text
}

// provoke has Clerk send events about an organization that is made to be deleted, where that was asked for or is agreed to.
func (w *work) provoke(ctx context.Context) error {
	key, _ := w.c.Lookup("CLERK_SECRET_KEY")
	if key == "" || !w.Provoke && w.c.Keyboard() == nil {
		return nil
	}
	err := w.consent(ctx, "Clerk can be made to send a webhook: an organization is made and deleted at once.")
	if err != nil {
		if w.Provoke || ctx.Err() != nil {
			return err
		}
		return nil // it comes by itself some time
	}
	if w.Yes && !w.Provoke {
		return nil
	}
	p, err := w.provisioner()
	if err != nil {
		return err
	}
	id, err := p.CreateOrganization(ctx, "clerksync webhook test", "")
	if errors.Is(err, clerk.ErrNotEnabled) {
		w.c.Say("clerksync: the instance has no organizations: sign a user up, or change one in the dashboard, to have a webhook sent")
		return nil
	}
	if err != nil {
		return console.Hint(advised(err), `an organization "clerksync webhook test" may have been made: delete it in the dashboard if it is there`)
	}
	// Also where the person has had enough meanwhile.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), proveLimit, fmt.Errorf("deleting took longer than %s", proveLimit))
	defer cancel()
	if err := p.DeleteOrganization(ctx, id); err != nil && !errors.Is(err, clerk.ErrNotFound) {
		return console.Hint(advised(err), fmt.Sprintf("delete the organization %s in the dashboard: it was made for the test", id))
	}
	w.c.Say("clerksync: made and deleted the organization %s", id)
	return nil
}

// cover says what the endpoint seems to be subscribed to.
func (w *work) cover(ctx context.Context, store *mirror.Store) error {
	arrived, err := store.EventTypes(ctx, w.now().Add(-provedWithin))
	if err != nil {
		return err
	}
	runs, err := store.Runs(ctx, 20)
	if err != nil {
		return err
	}
	var drift map[clerk.Kind]int64
	for _, run := range runs {
		var report fullsync.Report
		if run.State == "complete" && json.Unmarshal(run.Report, &report) == nil && !report.Initial {
			drift = map[clerk.Kind]int64{
				clerk.KindUser: report.Users.Drift, clerk.KindOrganization: report.Organizations.Drift, clerk.KindMembership: report.Memberships.Drift,
				clerk.KindRole: report.Roles.Drift, clerk.KindPermission: report.Permissions.Drift,
			}
			break
		}
	}
	found := setup.Cover(arrived, drift)
	w.out.Coverage = &found
	return nil
}

// unproved is an error where no delivery was verified: that it works is not known.
func (w *work) unproved(ctx context.Context, store *mirror.Store) error {
	if w.out.Proof != nil {
		return nil
	}
	hint := "nothing was sent, or it did not arrive: the endpoint's page in Clerk's dashboard shows each attempt and what it was answered; 401 says that the secret is of another endpoint"
	others, err := store.Signatures(ctx, w.now().Add(-provedWithin))
	if err != nil {
		return err
	}
	if len(others) > 0 && others[0].SignedWith != "" {
		hint = fmt.Sprintf("another secret, %s, has verified deliveries: the one that was given may be of another endpoint. The function also takes up to 5 minutes to read a new one", others[0].SignedWith)
	}
	return console.Unknown(console.Hint(fmt.Errorf("no delivery was verified with the secret %s yet", w.out.SignedWith), hint+". The same command looks again"))
}

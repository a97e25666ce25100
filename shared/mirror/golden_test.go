package mirror_test

import (
	"strings"
	"testing"

	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
)

// Every event type that Clerk documents, in every odd form we know of: what the
// mirror understands is applied, all else is recorded and acknowledged, and
// nothing is an error.
func TestApply_TakesEveryEventThatClerkDocuments(t *testing.T) {
	t.Parallel()
	understood := []string{"user.", "organization.", "organizationMembership.", "role.", "permission."}
	b := newBench(t)
	for _, name := range clerktest.Names() {
		body := clerktest.Event(t, name)
		want := mirror.Ignored
		for _, prefix := range understood {
			if strings.HasPrefix(clerktest.TypeOf(name), prefix) {
				want = mirror.Applied
			}
		}
		got := b.sendAs("msg_"+name, body)
		// One copy takes them all, and some are about the same made-up ids.
		if want == mirror.Applied && got.Outcome == mirror.Stale {
			got.Outcome = mirror.Applied
		}
		if got.Outcome != want {
			t.Errorf("Apply(%s) = %+v, want %s", name, got, want)
		}
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.webhook_events`); n != len(clerktest.Names()) {
		t.Errorf("%d events recorded, want %d", n, len(clerktest.Names()))
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.webhook_events where payload is not null or raw_body is not null`); n != 0 {
		t.Errorf("%d payloads are kept although nothing was rejected", n)
	}
}

// One-time codes and live tickets are never stored, whatever the settings say
// and whatever else is wrong with the message.
func TestApply_NeverStoresCodesOrTickets(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set keep_applied_payloads = true, store_private_metadata = true, instance_id = 'ins_ours'`)
	for _, name := range clerktest.Names() {
		prefix, _, _ := strings.Cut(clerktest.TypeOf(name), ".")
		switch prefix {
		case "user", "organization", "organizationMembership", "role", "permission":
			continue
		}
		if got := b.sendAs("msg_"+name, clerktest.Event(t, name)); got.Outcome != mirror.Rejected || got.Reason != "wrong_instance" {
			t.Errorf("Apply(%s) = %+v, want rejected for its instance", name, got)
		}
	}
	broken := append([]byte(`{`), clerktest.Event(t, "email.created")...)
	if got, err := b.store.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_broken", Reason: "not_json", Body: broken}); err != nil || got.Outcome != mirror.Rejected {
		t.Errorf("Reject(a broken email.created) = %+v, %v", got, err)
	}
	if n := scalar[int](b, `select count(*) from clerk_sync.webhook_events where payload is not null or raw_body is not null`); n != 0 {
		t.Errorf("%d payloads are kept that may hold codes or tickets", n)
	}
}

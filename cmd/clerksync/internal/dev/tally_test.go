package dev

import (
	"bytes"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack/clerkdouble/svix"
)

// What a stranger put into an event must not reach the terminal as an order.
func TestDeliveryLine_IsHarmless(t *testing.T) {
	t.Parallel()
	var written bytes.Buffer
	s := console.NewScreen(console.Console{Stdout: &written, Stderr: &written, Lookup: func(string) (string, bool) { return "", false }})
	line := delivery{Type: "user.\x1b]0;owned\a", ObjectID: "user_\x1b[2J\n\r", Status: 200, Outcome: "applied"}.line(s)
	if strings.ContainsAny(line, "\x1b\a\n\r") {
		t.Errorf("line = %q holds control characters", line)
	}
}

func TestShorten_KeepsBothEnds(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"user_1":                           "user_1",
		"user_3PP8XHSrmWKESvyNKTaW8FqdxwO": "user_3PP8XHSr…dxwO",
	} {
		if got := shorten(id, 18); got != want {
			t.Errorf("shorten(%q, 18) = %q, want %q", id, got, want)
		}
	}
}

func TestTally_SumsUp(t *testing.T) {
	t.Parallel()
	tally := newTally()
	for _, d := range []delivery{
		{Attempt: 1, Status: 503, Latency: 90},
		{Attempt: 2, Status: 200, Outcome: "applied", Latency: 4e6},
		{Attempt: 1, Status: 200, Outcome: "duplicate", Latency: 2e6},
		{Attempt: 8, Status: 0, GivenUp: true},
	} {
		tally.add(d)
	}
	s := tally.summary()
	if s.Outcomes["applied"] != 1 || s.Outcomes["duplicate"] != 1 || s.Failures != 2 || s.Retries != 2 {
		t.Errorf("summary = %+v", s)
	}
	if s.Latency != (latencies{P50: 2, P95: 2, P99: 2, Max: 4}) {
		t.Errorf("latencies = %+v, want those of the two answers", s.Latency)
	}
	s.Deliveries = &svix.Counts{}
	if got := tally.closing(s); !strings.HasPrefix(got, "4 deliveries in ") || !strings.Contains(got, "1 applied, 1 duplicate, 2 failed, 2 retried, 1 given up") {
		t.Errorf("closing = %q", got)
	}
}

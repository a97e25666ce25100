package dev

import (
	"fmt"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/mirror"
)

// delivery is one line of the stream.
type delivery struct {
	At       time.Time
	Type     string
	ObjectID string
	SvixID   string
	// Attempt is 0 where the sender is a real one, which does not say.
	Attempt     int
	Late, Twice bool
	Status      int
	Outcome     string
	Reason      string
	Code        string
	Latency     time.Duration
	GivenUp     bool
	err         error
	// Batch is how many events of the queue were applied together, this one
	// included; Latency is the time since Clerk stated it. 0 is a request.
	Batch int
}

// deliveryObject is a delivery as JSON.
type deliveryObject struct {
	Kind      string    `json:"kind"` // "delivery"
	At        time.Time `json:"at"`
	Type      string    `json:"type,omitempty"`
	ObjectID  string    `json:"object_id,omitempty"`
	SvixID    string    `json:"svix_id"`
	Attempt   int       `json:"attempt,omitempty"`
	Late      bool      `json:"late,omitempty"`
	Twice     bool      `json:"twice,omitempty"`
	Status    int       `json:"status"`
	Outcome   string    `json:"outcome,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Code      string    `json:"code,omitempty"`
	Error     string    `json:"error,omitempty"`
	GivenUp   bool      `json:"given_up,omitempty"`
	LatencyMS float64   `json:"latency_ms"`
}

// eventObject is what became of an event from the queue, as JSON.
type eventObject struct {
	Kind     string    `json:"kind"` // "event"
	At       time.Time `json:"at"`
	Type     string    `json:"type"`
	ObjectID string    `json:"object_id,omitempty"`
	SvixID   string    `json:"svix_id"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason,omitempty"`
	Batch    int       `json:"batch"`
	LagMS    float64   `json:"lag_ms"`
}

func (d delivery) object() any {
	if d.Batch > 0 {
		return eventObject{
			Kind: "event", At: d.At.UTC(), Type: d.Type, ObjectID: d.ObjectID, SvixID: d.SvixID,
			Outcome: d.Outcome, Reason: d.Reason, Batch: d.Batch, LagMS: milliseconds(d.Latency),
		}
	}
	o := deliveryObject{
		Kind: "delivery", At: d.At.UTC(), Type: d.Type, ObjectID: d.ObjectID, SvixID: d.SvixID, Attempt: d.Attempt,
		Late: d.Late, Twice: d.Twice, Status: d.Status, Outcome: d.Outcome, Reason: d.Reason, Code: d.Code,
		GivenUp: d.GivenUp, LatencyMS: milliseconds(d.Latency),
	}
	if d.err != nil {
		o.Error = d.err.Error()
	}
	return o
}

// result is the outcome, or what went wrong.
func (d delivery) result() string {
	switch {
	case d.Outcome != "":
		return d.Outcome
	case d.Status == 0:
		return "no answer"
	default:
		return fmt.Sprint(d.Status)
	}
}

// line is a delivery for people.
func (d delivery) line(s *console.Screen) string {
	var notes []string
	if d.Reason != "" {
		notes = append(notes, d.Reason)
	}
	if d.Code != "" {
		notes = append(notes, d.Code)
	}
	if d.err != nil {
		notes = append(notes, d.err.Error())
	}
	if d.Late {
		notes = append(notes, "late")
	}
	if d.Twice {
		notes = append(notes, "again")
	}
	if d.Attempt > 1 {
		notes = append(notes, fmt.Sprintf("attempt %d", d.Attempt))
	}
	if d.GivenUp {
		notes = append(notes, "given up")
	}
	if d.Batch > 0 {
		notes = append(notes, fmt.Sprintf("from the queue, batch of %d", d.Batch))
	}
	what, id := d.Type, d.ObjectID
	if what == "" {
		what, id = "(not verified)", d.SvixID
	}
	width := idWidth(s.Width())
	return fmt.Sprintf("%s  %-30s  %-*s  %s  %s  %s", s.Dim(d.At.Format("15:04:05")), console.Printable(what), width, console.Printable(shorten(id, width)),
		paintOutcome(s, d.result(), fmt.Sprintf("%-9s", d.result())), s.Dim(fmt.Sprintf("%6.1f ms", milliseconds(d.Latency))),
		s.Dim(console.Printable(strings.Join(notes, ", "))))
}

// idWidth is the width of the column of ids: what the other columns leave of
// the terminal, up to the longest id.
func idWidth(terminal int) int {
	const others, longest, shortest = 70, 34, 10
	if terminal == 0 {
		return longest
	}
	return min(max(terminal-others, shortest), longest)
}

// shorten keeps both ends of an id, by which people tell them apart.
func shorten(id string, width int) string {
	letters := []rune(id)
	if len(letters) <= width {
		return id
	}
	return string(letters[:width-5]) + "…" + string(letters[len(letters)-4:])
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// paintOutcome colours text by what it tells: what changed something, what was set
// right, what was not needed, and what went wrong.
func paintOutcome(s *console.Screen, outcome, text string) string {
	switch mirror.Outcome(outcome) {
	case mirror.Applied:
		return s.Paint("32", text)
	case mirror.Stale:
		return s.Paint("33", text)
	case mirror.Duplicate:
		return s.Paint("36", text)
	case mirror.Ignored, mirror.Queued:
		return s.Dim(text)
	case mirror.Rejected:
		return s.Paint("35", text)
	default:
		return s.Paint("31", text)
	}
}

package console

import (
	"testing"
	"time"
)

func TestAgo_InWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second:      "less than a minute ago", // two clocks
		59 * time.Second:  "less than a minute ago",
		time.Minute:       "1 minute ago",
		119 * time.Minute: "119 minutes ago",
		2 * time.Hour:     "2 hours ago",
		47 * time.Hour:    "47 hours ago",
		72 * time.Hour:    "3 days ago",
	} {
		if got := Ago(d); got != want {
			t.Errorf("ago(%s) = %q, want %q", d, got, want)
		}
	}
}

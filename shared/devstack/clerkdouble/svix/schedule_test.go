package svix

import (
	"net/http"
	"testing"
	"time"
)

func TestNextWait_FollowsSvixsSchedule(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		attempt int
		verdict verdict
		want    time.Duration // before jitter; 0: no further attempt
	}{
		{"first failure", 1, verdict{status: 500}, 5 * time.Second},
		{"second failure", 2, verdict{status: 500}, 5 * time.Minute},
		{"seventh failure", 7, verdict{status: 500}, 10 * time.Hour},
		{"eighth failure", 8, verdict{status: 500}, 0},
		{"delivered", 1, verdict{status: 204}, 0},
		{"redirect", 1, verdict{status: 302}, 5 * time.Second},
		{"no connection", 1, verdict{}, 5 * time.Second},
		{"told to stop", 1, verdict{status: 400, abort: true}, 0},
		{"timeout", 1, verdict{timedOut: true}, time.Minute},
		{"timeout later", 2, verdict{timedOut: true}, 5 * time.Minute},
		{"too many requests", 1, verdict{status: http.StatusTooManyRequests}, time.Minute},
		// Retry-After moves the wait only between once and twice the planned one.
		{"Retry-After too short", 1, verdict{status: 503, retryAfter: time.Second}, 5 * time.Second},
		{"Retry-After within", 1, verdict{status: 503, retryAfter: 7 * time.Second}, 7 * time.Second},
		{"Retry-After too long", 1, verdict{status: 503, retryAfter: time.Hour}, 10 * time.Second},
		{"Retry-After with 429", 1, verdict{status: 429, retryAfter: 90 * time.Second}, 90 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for range 100 {
				got, again := nextWait(test.attempt, test.verdict)
				if again != (test.want > 0) {
					t.Fatalf("nextWait(%d, %+v) says again: %t", test.attempt, test.verdict, again)
				}
				low, high := test.want*8/10, test.want*12/10
				if got < low || got > high {
					t.Fatalf("nextWait(%d, %+v) = %v, want %v to %v", test.attempt, test.verdict, got, low, high)
				}
			}
		})
	}
}

func TestRetryAfter_ReadsBothForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.June, 15, 9, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"30":                            30 * time.Second,
		" 30 ":                          30 * time.Second,
		"-1":                            0,
		"soon":                          0,
		"Mon, 15 Jun 2026 09:02:00 GMT": 2 * time.Minute,
		// A moment that has passed asks for nothing.
		"Mon, 15 Jun 2026 08:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}

package clerk_test

import (
	"encoding/json"
	"testing"
	"time"

	"clerksync/shared/clerk"
)

func TestMillis_ReadsEveryFormAndWritesOne(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want clerk.Millis
		out  string
	}{
		{"1781514005123", 1781514005123, "1781514005123"},
		{"1781514005", 1781514005000, "1781514005000"},
		{"1781514005.5", 1781514005500, "1781514005500"},
		{"1.781514005123e12", 1781514005123, "1781514005123"},
		{"99999999999", 99999999999000, "99999999999000"},       // the last number that is seconds
		{"100000000000", 100000000000, "100000000000"},          // the first that is milliseconds
		{"253402300799999", 253402300799999, "253402300799999"}, // end of the year 9999
		{"0", 0, "null"},
		{"null", 0, "null"},
	}
	for _, test := range tests {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			got := clerk.Millis(1) // must not survive
			if err := json.Unmarshal([]byte(test.in), &got); err != nil {
				t.Fatalf("decoding %s: %v", test.in, err)
			}
			if got != test.want {
				t.Errorf("decoding %s = %d, want %d", test.in, got, test.want)
			}
			out, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if string(out) != test.out {
				t.Errorf("encoding %d = %s, want %s", got, out, test.out)
			}
		})
	}
}

func TestMillis_RefusesWhatIsNoMoment(t *testing.T) {
	t.Parallel()
	for _, in := range []string{`"1781514005"`, `"2026-06-15T09:00:00Z"`, "true", "{}", "[]", "-1", "-0.5", "253402300800000", "1e300", "1e9999"} {
		got := clerk.Millis(7)
		if err := json.Unmarshal([]byte(in), &got); err == nil {
			t.Errorf("decoding %s = %d, want an error", in, got)
		}
	}
}

func TestMillis_KeepsMomentsToTheMillisecond(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 15, 11, 0, 0, 123_456_789, time.FixedZone("CEST", 7200))
	if got, want := clerk.MillisOf(at).Time(), time.Date(2026, 6, 15, 9, 0, 0, 123_000_000, time.UTC); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("MillisOf(%v).Time() = %v, want %v", at, got, want)
	}
	if got := clerk.MillisOf(time.Time{}); got != 0 || !got.Time().IsZero() {
		t.Errorf("MillisOf(zero) = %d and back %v, want zero both times", got, got.Time())
	}
}

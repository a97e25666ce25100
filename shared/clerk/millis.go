package clerk

import (
	"errors"
	"math"
	"strconv"
	"time"
)

const (
	// secondsBelow tells seconds from milliseconds: as seconds it is the year
	// 5138, as milliseconds it is March 1973, and Clerk began in between.
	secondsBelow = 1e11
	// maxMillis is the last millisecond of the year 9999, beyond which a time
	// has no RFC 3339 form.
	maxMillis = 253402300799999
)

var errNotTime = errors.New("not a Unix time in seconds or milliseconds")

// Millis is a moment as Clerk writes it, in Unix milliseconds. The zero value
// means "not stated" and is null in JSON.
//
// Reading accepts null, fractions and, because some of Clerk's own fixtures
// use them, seconds: any number below 1e11. Writing always gives whole
// milliseconds.
type Millis int64

// MillisOf returns t cut to the millisecond; the zero time gives zero.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time returns the moment in UTC, or the zero time for zero.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// MarshalJSON writes the milliseconds, or null for zero.
func (m Millis) MarshalJSON() ([]byte, error) {
	if m == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(m), 10), nil
}

// UnmarshalJSON reads what MarshalJSON writes and the other forms that the
// type's description names. Anything else, including a date in a string and a
// negative number, is an error.
func (m *Millis) UnmarshalJSON(value []byte) error {
	if string(value) == "null" {
		*m = 0
		return nil
	}
	parsed, ok := parseMillis(value)
	if !ok {
		return errNotTime
	}
	*m = parsed
	return nil
}

// parseMillis reads a JSON number of seconds or milliseconds. It reports false
// for everything that is no such number or lies outside the years 1970 to 9999.
func parseMillis(value []byte) (Millis, bool) {
	whole, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		// A fraction or an exponent. A float64 holds these to well under a
		// millisecond up to the year 9999.
		var f float64
		f, err = strconv.ParseFloat(string(value), 64)
		if err != nil || !(f >= 0 && f <= maxMillis) {
			return 0, false
		}
		if f < secondsBelow {
			f *= 1000
		}
		return Millis(math.Round(f)), true
	}
	if whole >= 0 && whole < secondsBelow {
		whole *= 1000
	}
	if whole < 0 || whole > maxMillis {
		return 0, false
	}
	return Millis(whole), true
}

package jwtdiag

import (
	"encoding/json"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"clerksync/shared/jsonkind"
)

// moment is a claim that is a time, as the two verifiers read it.
type moment struct {
	there  bool
	number bool
	raw    json.RawMessage
	// seconds is what JavaScript reads; beyond may be infinite.
	seconds float64
	// whole is what PostgREST reads, which takes what is fractional or does not
	// fit 64 bits for 0.
	whole int64
	exact bool
}

// jsMost is the largest time that JavaScript's Date holds, in seconds; beyond it
// is no time at all, and every comparison with it is false.
const jsMost = 8.64e12

func readMoment(o *object, name string) moment {
	raw, ok := o.value(name)
	if !ok {
		return moment{}
	}
	m := moment{there: true, raw: raw}
	if jsonkind.Of(raw) != "a number" {
		return m
	}
	m.number = true
	// An error is a value out of range, for which the result is infinite, as in JavaScript.
	m.seconds, _ = strconv.ParseFloat(string(raw), 64)
	m.whole, m.exact = wholeSeconds(string(raw))
	return m
}

// wholeSeconds reads a JSON number that is a whole number of 64 bits, however it
// is written.
func wholeSeconds(text string) (int64, bool) {
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(text), "e")
	if hasExponent {
		// What is multiplied out below stays small.
		if e, err := strconv.Atoi(exponent); err != nil || e > 30 || e < -30 {
			if value, _ := strconv.ParseFloat(mantissa, 64); value == 0 {
				return 0, true
			}
			return 0, false
		}
	}
	if len(mantissa) > 60 {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// usable reports whether the time is one that can be shown.
func (m moment) usable() bool { return m.number && math.Abs(m.seconds) <= jsMost }

// time is the time, where it is usable.
func (m moment) time() time.Time {
	whole, fraction := math.Modf(m.seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC()
}

// jsBefore and jsAfter compare as JavaScript does.
func (m moment) jsBefore(t time.Time) bool {
	return m.usable() && m.seconds*1000 <= float64(t.UnixMilli())
}

func (m moment) jsAfter(t time.Time) bool {
	return m.usable() && m.seconds*1000 > float64(t.UnixMilli())
}

package config

import "time"

// WithClock replaces the clock.
func WithClock(now func() time.Time) Option {
	return func(s *Source) { s.now = now }
}

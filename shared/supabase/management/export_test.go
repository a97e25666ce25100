package management

import "time"

// LimitProviders shortens the limit of a question, for tests that run into it.
func LimitProviders(p *Providers, d time.Duration) {
	p.client.patience = d
}

// SetProvidersClock replaces the clock by which answers are served again.
func SetProvidersClock(p *Providers, now func() time.Time) {
	p.now = now
}

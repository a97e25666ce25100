package setup

// Interrupt has f called before and after each effect; its error ends the run there, as the end of the process would.
func Interrupt(s *Setup, f func() error) { s.interrupted = f }

// TrustLocally is how a supabase/config.toml is edited.
var TrustLocally = trustLocally

// SetIssuer replaces the instance's issuer.
func SetIssuer(s *Setup, issuer string) { s.issuer = issuer }

// InterruptUninstall has f called before and after each effect.
func InterruptUninstall(u *Uninstall, f func() error) { u.setup.interrupted = f }

// DistrustLocally is distrustLocally.
var DistrustLocally = distrustLocally

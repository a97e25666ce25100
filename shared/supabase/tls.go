package supabase

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// encryption decides how the connection is encrypted and sets c.Encryption. A nil result is a plain connection, which
// is had to the own machine only: what libpq's default (prefer) does, to fall back to plain text when somebody in the
// middle says no, is never done.
//
// A certificate authority, once given, is always used to verify the server and its name, also where the string says
// require, which by itself trusts anybody.
func (c *Config) encryption(p params, caCert string) (*tls.Config, error) {
	local := c.kind == ownMachine || c.kind == socket
	supabaseHost := c.kind == sharedPooler || c.kind == projectHost

	var problems []error
	var roots *x509.CertPool
	if caCert != "" {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(caCert)) {
			problems = append(problems, errors.New("DATABASE_CA_CERT: holds no certificate in PEM form"))
		}
	}
	mode := p.sslMode
	switch {
	case p.sslRootCert == "system":
		if mode == "" || mode == "require" || mode == "verify-ca" {
			mode = "verify-full"
		}
	case p.sslRootCert != "" && roots != nil:
		c.warn("sslrootcert is left out: DATABASE_CA_CERT has the certificate")
	case p.sslRootCert != "":
		problems = append(problems, problem("sslrootcert names a file, which a function does not have: put its text into DATABASE_CA_CERT"))
	}
	if mode == "" {
		switch {
		case roots != nil:
			mode = "verify-full"
		case local:
			mode = "disable"
		default:
			mode = "require"
		}
	}

	verify := false
	switch mode {
	case "disable":
		if !local {
			problems = append(problems, problem("sslmode=disable sends the password and all data in clear: use sslmode=verify-full with DATABASE_CA_CERT, or at least sslmode=require"))
		}
		if roots != nil {
			c.warn("sslmode=disable leaves DATABASE_CA_CERT unused")
		}
	case "allow", "prefer":
		problems = append(problems, problem("sslmode=%s falls back to plain text when told to: use sslmode=verify-full with DATABASE_CA_CERT, or at least sslmode=require", mode))
	case "require":
		verify = roots != nil
	case "verify-ca":
		c.warn("sslmode=verify-ca is served as verify-full, which checks the host's name too")
		verify = true
	case "verify-full":
		verify = true
	default:
		problems = append(problems, problem("sslmode has an unknown value: use verify-full or require"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}

	if mode == "disable" || c.kind == socket {
		c.Encryption = Plain
		return nil, nil // as pgx has it: no TLS
	}
	if !verify {
		c.Encryption = Unverified
		if !local {
			c.warn("the connection is encrypted, but anybody could be at its other end: set DATABASE_CA_CERT to the certificate from the project's database settings")
		}
		return &tls.Config{
			MinVersion: tls.VersionTLS12,
			ServerName: c.Host,
			// What sslmode=require means. Supabase signs its servers' certificates itself, so there is nothing to verify
			// with until its certificate is given.
			InsecureSkipVerify: true, //nolint:gosec // asked for by the connection string, and warned about
		}, nil
	}
	c.Encryption = Verified
	if roots == nil && supabaseHost {
		c.warn("Supabase's certificate authority is not among the system's: without DATABASE_CA_CERT the server will not verify")
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.Host, RootCAs: roots}, nil
}

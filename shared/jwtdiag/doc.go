// Package jwtdiag says what is the matter with a token: what kind it is, whether
// Clerk's verifier and Supabase's Data API take it, as which role, what Postgres
// does with its claims, and what was the first cause.
//
//	d := jwtdiag.New(jwtdiag.Options{Issuer: issuer, Keys: keys, Providers: management, Database: db})
//	report := d.Diagnose(ctx, jwtdiag.Request{Token: pasted, Tables: []string{"public.notes"}})
//	fmt.Println(report.Sentence)
//
// Everything that can be checked is checked, also after a failure; what cannot be
// is a finding with the status skip and the reason. The two verdicts follow the
// two programs as they are, odd as they may be: @clerk/backend 3.25 (verifyToken
// with its defaults and, where configured, authorizedParties) and PostgREST 14
// with jose-jwt.
//
// A token is a key to its user's account for as long as it lives. It is never
// logged, stored or put into a text here; its claims are in [Report.Token], for
// whoever asked. No address that a token names is ever asked for anything.
//
// Limits: signatures with a shared secret are not verified, since the secret is
// nobody's to paste. Times are compared with the clock of this machine. The Data
// API's pre-request function, and audiences that a project configures, are not
// known.
package jwtdiag

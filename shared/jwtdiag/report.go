package jwtdiag

import (
	"encoding/json"
	"time"

	"clerksync/shared/finding"
	"clerksync/shared/rls/access"
)

// ActivateIntegration is what to do about session tokens without the claim role. Clerk publishes no way to do it but by hand.
const ActivateIntegration = "Open dashboard.clerk.com/setup/supabase, choose the instance and activate the integration: it adds the claim role to every session token."

// Report is what is known about a token. Its texts never hold the token.
type Report struct {
	// Sentence names the first cause, or says that there is none.
	Sentence string `json:"sentence"`
	// Cause is the id of the finding that Sentence is about; empty where nothing
	// is wrong.
	Cause    string   `json:"cause,omitempty"`
	Verdicts Verdicts `json:"verdicts"`
	// Surfaces are the parts of Supabase that treat the token each in its own way.
	Surfaces []Surface `json:"surfaces"`
	Token    Token     `json:"token"`
	// Findings are in the order of design and request: the form, the header, the
	// keys, the claims, Supabase, the database, the copy, the tables.
	Findings []finding.Finding `json:"findings"`
	// Tables are what the token's user sees; empty without a database.
	Tables []access.Table `json:"tables,omitempty"`
	// Causes explain the symptom that was asked about, likeliest first.
	Causes    []Cause   `json:"causes,omitempty"`
	CheckedAt time.Time `json:"checked_at"`
}

// Verdicts are the two answers.
type Verdicts struct {
	// Clerk is what Clerk's own verifier says: the answer of a backend that uses it.
	Clerk Verdict `json:"clerk"`
	// Supabase is what the project's Data API says.
	Supabase Verdict `json:"supabase"`
}

// Outcome is how a verdict ends.
type Outcome string

// The outcomes.
const (
	Accepted Outcome = "accepted"
	Refused  Outcome = "refused"
	// Unknown: nothing speaks against the token, and something that decides could
	// not be checked.
	Unknown Outcome = "unknown"
)

// Verdict is one of the two answers.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	// Role is what Postgres runs requests as; only Supabase's has one, and only
	// where it is not refused.
	Role string `json:"role,omitempty"`
	// Status and Code are those of the answer: PostgREST's HTTP status and error
	// code; of Clerk only the code, a reason of its verifier.
	Status int    `json:"status,omitempty"`
	Code   string `json:"code,omitempty"`
	// Message is PostgREST's own text.
	Message string `json:"message,omitempty"`
	// Because is one sentence that says why.
	Because string `json:"because"`
	// Finding is the id of the finding that decides; empty where nothing speaks
	// against the token or changes its role.
	Finding string `json:"finding,omitempty"`
}

// Surface is a part of Supabase that tokens are presented to.
type Surface struct {
	// Name is "data_api", "realtime", "storage" or "edge_functions".
	Name string `json:"name"`
	// Title is the name for people.
	Title   string  `json:"title"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
}

// Token is what a token says, for its holder alone.
type Token struct {
	Kind Kind `json:"kind"`
	// Name is the kind in words.
	Name string `json:"name"`
	// Header and Claims are the decoded parts, as they stand there; absent where
	// they cannot be decoded or are too large to show.
	Header json.RawMessage `json:"header,omitempty"`
	Claims json.RawMessage `json:"claims,omitempty"`
	// IssuedAt and ExpiresAt are zero where the claims are absent or no times.
	IssuedAt  time.Time `json:"issued_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Permissions are those that the token grants in its active organization, as
	// Clerk's libraries agree on.
	Permissions []string `json:"permissions,omitempty"`
}

// Likelihood says how well a cause fits what is known about the token.
type Likelihood string

// The likelihoods, in order.
const (
	// Confirmed: a finding of this report is this cause.
	Confirmed Likelihood = "confirmed"
	Likely    Likelihood = "likely"
	Possible  Likelihood = "possible"
	// RuledOut: a finding of this report speaks against it.
	RuledOut Likelihood = "ruled_out"
)

// Cause is one explanation of a symptom.
type Cause struct {
	// ID is stable, such as "uuid.auth_uid".
	ID         string     `json:"id"`
	Likelihood Likelihood `json:"likelihood"`
	Title      string     `json:"title"`
	Detail     string     `json:"detail"`
	Remedy     string     `json:"remedy"`
	// Finding is the id of the finding that confirms it or speaks against it.
	Finding string `json:"finding,omitempty"`
}

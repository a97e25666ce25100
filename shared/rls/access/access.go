// Package access tells what one caller gets from the database: what Postgres
// reads of the caller's token, whether clerksync's copy knows the user, and how
// many rows of each table the caller sees and why not more.
//
//	view, err := access.Look(ctx, db, access.Options{Claims: payload, Role: "authenticated"})
//	if err != nil {
//		view.Findings = access.Unavailable(err, nil)
//	}
//
// All of it is one transaction, read only and always rolled back, with every
// setting local to it, so it works through a transaction pooler. It takes claims
// and role as the Data API does and connects as clerksync_diagnostics, which may
// become a user and sees nothing of its own; or as the role that owns the
// project, which adds how many rows there are in all.
//
// Contents of rows stay in the database. What leaves it are counts, the text of
// policies and the caller's own claims: where a policy asks for something else,
// such as a list of ids, only its size is told.
//
// Limits: it runs the plain select of a whole table, without filters; writes are
// not tried (see package probe for that). The function that the Data API may run
// before requests, and settings that were made for the role, are left out.
package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// MaxTables is how many tables one call looks at, and MaxRows how many rows of
// one it counts.
const (
	MaxTables = 20
	MaxRows   = 1000
)

// What one call may take. A caller's own deadline holds beside these.
const (
	lookLimit      = 6 * time.Second
	statementLimit = 2 * time.Second
	passesLimit    = time.Second            // to count the rows of each policy, which were counted before
	briefLimit     = 250 * time.Millisecond // of a statement after one that took too long
	maxSlow        = 3                      // statements about one table that may take too long
	lockLimit      = time.Second
)

// ErrOptions is matched where claims or role cannot be those of a caller.
var ErrOptions = errors.New("not what a caller can have")

// Beginner begins transactions: a *pgx.Conn, a pool, a *supabase.DB.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Options say whose access to look at.
type Options struct {
	// Claims is the payload of the caller's token, a JSON object without repeated
	// keys. Empty: the caller has none. Its role is overwritten, as by the Data API.
	Claims json.RawMessage
	// Role is what the Data API runs the caller's requests as: anon or
	// authenticated. Empty: anon.
	Role string
	// Tables to look at, at most MaxTables of them; empty: those that the Data API serves.
	Tables []catalog.Name
}

// View is what the caller gets.
type View struct {
	// Findings are database.claims, database.role, database.uid, mirror.user, and
	// rls.<schema>.<table> for each table, named as SQL does; rls.tables says that
	// some were left out, or that there are none.
	Findings []finding.Finding
	// Tables are those that could be looked at.
	Tables []Table
	// Helpers is where clerksync's functions are, as far as the look came.
	Helpers catalog.Helpers
}

// Table is what the caller sees of one table.
type Table struct {
	// Name is as SQL writes it.
	Name string `json:"name"`
	// Visible is how many rows a select returns, counted up to MaxRows; More: there are more.
	Visible int64 `json:"visible"`
	More    bool  `json:"more,omitempty"`
	// Total is how many rows there are for anybody, counted likewise; nil where
	// the connected role cannot know.
	Total     *int64 `json:"total,omitempty"`
	TotalMore bool   `json:"total_more,omitempty"`
	// Sampled is how many of those rows the policies were asked about, where the
	// caller sees none of them and the connected role sees all.
	Sampled int64 `json:"sampled,omitempty"`
	// Estimate is how many rows the table holds, as Postgres last counted; -1: never counted.
	Estimate int64 `json:"estimate"`
	// Decision is what decides about the rows.
	Decision Decision `json:"decision"`
	// Policies are those that apply to the caller's select.
	Policies []Policy `json:"policies,omitempty"`
	// Code and Message are Postgres's, where it refused. What a message quotes and
	// is no claim of the caller is left out of it.
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// Detail is what decides, in sentences for people.
	Detail string `json:"detail"`
}

// Decision says what decides.
type Decision string

// What can decide.
const (
	ByPolicy   Decision = "policy"    // policies let these rows through, and hold back the others
	ByNoPolicy Decision = "no_policy" // row level security is on, and no policy applies
	ByRLSOff   Decision = "rls_off"   // row level security is off or does not exist: every row is visible
	ByView     Decision = "view"      // a view: what it reads decides
	ByGrant    Decision = "grant"     // a grant is missing
	ByNotFound Decision = "not_found" // there is no such table
	ByError    Decision = "error"     // a policy, a view or the table itself fails
	ByTimeout  Decision = "timeout"   // it took too long
)

// Policy is a policy that applies to the caller's select.
type Policy struct {
	Name       string `json:"name"`
	Permissive bool   `json:"permissive"`
	Using      string `json:"using"`
	// Passes is how many of the visible rows it lets through, counted up to
	// MaxRows; -1 where that could not be found out.
	Passes int64 `json:"passes"`
	// Alone is how many of Table.Sampled rows it would let through by itself; nil
	// where there is no sample.
	Alone *int64 `json:"alone,omitempty"`
	// Values are the parts of Using that depend on the caller alone, with what they are to this caller.
	Values []Value `json:"values,omitempty"`
}

// Value is a part of a policy and what it is to the caller.
type Value struct {
	Expression string `json:"expression"`
	// Value is null where Postgres says NULL, which matches no row, and where the
	// part fails.
	Value *string `json:"value"`
	// Withheld: Value only describes what is neither a claim of the caller nor true or false.
	Withheld bool `json:"withheld,omitempty"`
	// Code is Postgres's, where the part fails for this caller.
	Code string `json:"code,omitempty"`
}

// Look opens one transaction, takes the caller's claims and role as PostgREST
// does, reads, and rolls back. What could not be found out is a finding that was
// skipped and says why, also when time runs out on the way. The error matches
// [ErrOptions], or says why there was no transaction to look in; [Unavailable]
// makes findings of it.
func Look(ctx context.Context, db Beginner, o Options) (View, error) {
	c, err := readCaller(o)
	if err != nil {
		return View{}, fmt.Errorf("looking at the database: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, fmt.Errorf("looking at the database took longer than %s", lookLimit))
	defer cancel()
	s, rollback, err := begin(ctx, db, c)
	if err != nil {
		return View{}, fmt.Errorf("looking at the database: %w", err)
	}
	defer rollback()
	l := look{session: s, caller: c, tables: distinct(o.Tables)}
	// What an interrupted look did not come to is told as skipped.
	return l.view(l.run(ctx)), nil
}

// Unavailable are the findings of a database that could not be looked at: all of
// them, skipped because of err, whose text they show.
func Unavailable(err error, tables []catalog.Name) []finding.Finding {
	l := look{tables: distinct(tables)}
	return l.view(err).Findings
}

func distinct(names []catalog.Name) []catalog.Name {
	var list []catalog.Name
	known := map[catalog.Name]bool{}
	for _, n := range names {
		if !known[n] {
			known[n] = true
			list = append(list, n)
		}
	}
	return list
}

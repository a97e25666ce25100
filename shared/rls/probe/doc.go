// Package probe finds out who can do what with a table: it becomes every kind of
// caller in turn, tries every command on rows of its own making, and says what
// was let through, what was refused and which policy or missing grant decided.
//
//	report, err := probe.Run(ctx, conn, probe.Options{Tables: []catalog.Name{name}})
//	fmt.Print(report.Text())
//	changes, err := probe.Compare(expectedFile, report)
//
// Connect as the owner of the project: the prober writes rows past the policies
// and then takes the roles of the Data API. All of it happens in one transaction
// that is rolled back, whatever happens, and no row of anybody else is changed or
// shown. It works through a transaction pooler, and makes some 300 to 500 round
// trips a table.
//
// Views are probed for select only.
//
// # Whose rows
//
// Each table gets up to two rows that belong to the persona "owner", in the
// organization of owner, member and admin, and two that belong to a stranger in
// another organization; where there is a column that says so, one of each two is
// published. Matrices call them "own" and "other". Tables of clerksync's copy hold
// the personas themselves and get no further rows.
//
// # What decided
//
// An attempt is what Postgres did; the explanation is worked out beside it. The
// policies' own expressions are evaluated over the row in question, as the
// persona and with its claims, and put together as Postgres does; privileges are
// read from the catalogue. Where neither accounts for the outcome, the decision
// says so instead of guessing.
//
// # Limits
//
// Sequences are not transactional: a run uses up numbers of identity and serial
// columns. Triggers fire, so one that reaches outside the database (http, dblink)
// really does; what it writes inside is rolled back. Locks on the rows and tables
// are held for the length of a run, as by any transaction that writes.
//
// A request of the Data API has more than is set here: headers, a pre-request
// function, the timeouts of its role. Policies that read those may decide
// otherwise.
package probe

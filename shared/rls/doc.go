// Package rls writes row level security for a table: policies, grants, index and
// defaults, from a few words.
//
//	rule, err := rls.ParseRule("published or owner")
//	plan, err := rls.Build(ctx, tx, rls.Spec{Table: name, Pattern: "owner"}, nil)
//	fmt.Print(plan.SQL())
//	plan, err = rls.Apply(ctx, conn, spec, nil)
//
// [Build] reads the table and says which statements lead from what is there to
// what is asked for; applied, nothing is left to do. It refuses, with a [finding.Finding]
// that says what to do, rather than guess. [Apply] does both in one transaction
// and commits only if a second reading agrees.
//
// A policy of this package is named clerksync_…, carries a comment that begins
// with "clerksync:", and is one of at most one permissive policy a command and
// role. Who calls is asked once a query, so that an index answers; conditions are
// positive, so that a claim that is absent denies.
//
// Everything works through a transaction pooler.
package rls

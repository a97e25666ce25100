// Package rules holds every function that clerksync makes in a database, each once:
// the sync rules, what policies call, the audit log, and what reads them back.
//
// Package clerksync/sql/migrate applies them, all in one transaction, whenever they
// differ from those of the database; [Files] and [Revision] are for that package. A
// function is edited where it stands. One that leaves these files is dropped.
//
// Every file ends with who may execute its functions. Functions of the previous
// release keep their signatures for one release, since its Lambda functions still
// call them while a deployment is under way.
package rules

import "embed"

// Files are the files of this folder, one for each subject.
//
//go:embed *.sql
var Files embed.FS

// Last is the file that alters functions of the others, and so is applied behind them.
const Last = "settings.sql"

// Revision orders the rules of different releases. Each release that changes a rule
// raises it, so that an older program does not put back what a newer one made.
const Revision = 1

package probe

import (
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// Report is the outcome of a run. The same tables, policies and grants give the
// same report, but for the plans.
type Report struct {
	Personas []Persona     `json:"personas"`
	Tables   []TableReport `json:"tables"`
}

// TableReport is what was found out about one table.
type TableReport struct {
	// Name is as SQL writes it.
	Name        string       `json:"name"`
	Kind        catalog.Kind `json:"kind"`
	RowSecurity bool         `json:"row_security"`
	Forced      bool         `json:"forced"`
	// Columns are those that say whom a row belongs to.
	Columns Columns `json:"columns"`
	// Own and Other are how many rows of each kind there were to see.
	Own   int `json:"own"`
	Other int `json:"other"`
	// Cells are in the order of the personas, each in the order of the commands.
	Cells    []Cell            `json:"cells"`
	Findings []finding.Finding `json:"findings"`
	// Plans are there if they were asked for.
	Plans []Plan `json:"plans,omitempty"`
}

// CommandID names what a persona tries; the ids never change.
type CommandID string

// What is tried, in the order of every report.
const (
	// Select reads all of the prober's rows.
	Select CommandID = "select"
	// Insert adds a row of the persona's own.
	Insert CommandID = "insert"
	// InsertReturning does so and reads it back, as insert().select() does.
	InsertReturning CommandID = "insert-returning"
	// ForgeOwner adds a row whose owner is a stranger.
	ForgeOwner CommandID = "forge-owner"
	// ForgeOrganization adds a row to an organization that the persona is not in.
	ForgeOrganization CommandID = "forge-org"
	// ForgeParent adds a row of the persona's own below rows that a stranger has in
	// the tables that foreign keys refer to.
	ForgeParent CommandID = "forge-parent"
	// UpdateOwn and UpdateOther change a column of an own or other row.
	UpdateOwn   CommandID = "update-own"
	UpdateOther CommandID = "update-other"
	// GiveOwner and GiveOrganization give an own row to a stranger, or to the
	// other organization.
	GiveOwner        CommandID = "give-owner"
	GiveOrganization CommandID = "give-org"
	// DeleteOwn and DeleteOther delete an own or other row.
	DeleteOwn   CommandID = "delete-own"
	DeleteOther CommandID = "delete-other"
	// UpsertOwn and UpsertOther add a row of the persona's own under the key of an
	// own or other row, on conflict do update.
	UpsertOwn   CommandID = "upsert-own"
	UpsertOther CommandID = "upsert-other"
)

// Commands are all of them, in order.
func Commands() []CommandID {
	return []CommandID{
		Select, Insert, InsertReturning, ForgeOwner, ForgeOrganization, ForgeParent, UpdateOwn, UpdateOther,
		GiveOwner, GiveOrganization, DeleteOwn, DeleteOther, UpsertOwn, UpsertOther,
	}
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	// Allow: it was done, to at least one row.
	Allow Outcome = "allow"
	// Deny: refused with 42501, or no row was there for the persona.
	Deny Outcome = "deny"
	// Error: it failed for another reason, which the decision says.
	Error Outcome = "error"
)

// Cell is one attempt of one persona.
type Cell struct {
	Persona PersonaID `json:"persona"`
	Command CommandID `json:"command"`
	Outcome Outcome   `json:"outcome"`
	// Own and Other are how many of the rows a select saw; Self, in the copy: it saw
	// the persona's own row.
	Own   int  `json:"own,omitempty"`
	Other int  `json:"other,omitempty"`
	Self  bool `json:"self,omitempty"`
	// Text is the cell in short, as matrices and expectations have it.
	Text     string `json:"text"`
	SQLState string `json:"sqlstate,omitempty"`
	// Decisions say what decided: one, or two where some rows were let through and
	// others were not.
	Decisions []Decision `json:"decisions"`
}

// By is what kind of thing decided.
type By string

// What can decide.
const (
	ByBypass      By = "bypass"         // the role bypasses row level security
	ByRLSOff      By = "rls-off"        // row level security is off
	ByViewOwner   By = "view-owner"     // the view reads as its owner
	ByViewCaller  By = "view-caller"    // the view reads as its caller
	ByPolicy      By = "policy"         // these policies let it through
	ByNoPolicy    By = "no-policy"      // there is no permissive policy for the command and the role
	ByFalse       By = "policies-false" // none of these policies was true
	ByRestrictive By = "restrictive"    // these restrictive policies were not true
	ByGrant       By = "grant"          // a privilege is missing
	ByPolicyError By = "policy-error"   // these policies fail when they are evaluated
	ByConstraint  By = "constraint"     // policies let it through, a constraint did not
	ByStatement   By = "statement"      // the statement fails before any policy is asked, or in a trigger
	ByTimeout     By = "timeout"        // a limit was reached
	ByData        By = "data"           // the prober could not set the scene
	ByUnknown     By = "unknown"        // no policy or privilege explains it
)

// Decision is what decided an attempt.
type Decision struct {
	By By `json:"by"`
	// Command and Clause are those that the policies were asked for: an insert that
	// returns its row asks select policies, too.
	Command catalog.Command `json:"command,omitempty"`
	Clause  string          `json:"clause,omitempty"`
	// Policies are in the order of their names.
	Policies []string `json:"policies,omitempty"`
	// Missing are privileges, as GRANT writes them.
	Missing []string `json:"missing,omitempty"`
	// Detail is more about it: a constraint, or the database's own words.
	Detail string `json:"detail,omitempty"`
}

// String is the decision in a sentence without a full stop.
func (d Decision) String() string {
	asked := strings.TrimSpace(string(d.Command) + " " + d.Clause)
	list := catalog.QuoteIdentifiers(d.Policies)
	detail := ""
	if d.Detail != "" {
		detail = ": " + d.Detail
	}
	switch d.By {
	case ByBypass:
		return "the role bypasses row level security"
	case ByRLSOff:
		return "row level security is off"
	case ByViewOwner:
		return "the view reads as its owner" + detail
	case ByViewCaller:
		return "the view reads as its caller, under the policies of the tables below" + detail
	case ByPolicy:
		return fmt.Sprintf("let through by %s (%s)", list, asked)
	case ByNoPolicy:
		return fmt.Sprintf("no permissive policy for %s", d.Command)
	case ByFalse:
		return fmt.Sprintf("%s not true (%s)", list, asked)
	case ByRestrictive:
		return fmt.Sprintf("restrictive %s not true (%s)", list, asked)
	case ByGrant:
		return "missing grant: " + strings.Join(d.Missing, ", ")
	case ByPolicyError:
		return fmt.Sprintf("%s fails (%s)%s", list, asked, detail)
	case ByConstraint:
		return "policies let it through, a constraint does not" + detail
	case ByStatement:
		return "the statement fails" + detail
	case ByTimeout:
		return "a limit was reached" + detail
	case ByData:
		return "not tried" + detail
	default:
		return "not explained by policies or grants of this table" + detail
	}
}

// Cell finds the cell of a persona and a command.
func (t *TableReport) Cell(persona PersonaID, command CommandID) (Cell, bool) {
	i := slices.IndexFunc(t.Cells, func(c Cell) bool { return c.Persona == persona && c.Command == command })
	if i < 0 {
		return Cell{}, false
	}
	return t.Cells[i], true
}

// Findings are those of all tables.
func (r Report) Findings() []finding.Finding {
	var list []finding.Finding
	for _, t := range r.Tables {
		list = append(list, t.Findings...)
	}
	return list
}

package access

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs that are told apart.
const (
	codeInvalidText  = "22P02"
	codeNoPrivilege  = "42501"
	codeRecursion    = "42P17"
	codeCancelled    = "57014"
	codeLocked       = "55P03"
	codeNoFunction   = "42883"
	codeNoColumn     = "42703"
	codeNoTable      = "42P01"
	codeSyntax       = "42601"
	codeReadOnly     = "25006"
	codeTooDeep      = "54001"
	codeNoUnicode    = "22P05"
	codeBadParameter = "22023"
)

// maxText bounds what is shown of an expression or a message, in bytes.
const maxText = 300

// plainText is an error of the database about the connection, the catalogue or the
// settings, whose message cannot quote rows: but for those of data (22), constraints
// (23) and functions (P0).
func plainText(pg *pgconn.PgError) string {
	if len(pg.Code) == 5 && (pg.Code[:2] == "22" || pg.Code[:2] == "23" || pg.Code[:2] == "P0") || raised(pg) {
		return "SQLSTATE " + pg.Code
	}
	return fmt.Sprintf("%s (SQLSTATE %s)", short(pg.Message), pg.Code)
}

// raised reports whether the message is a function's own and could say anything.
func raised(pg *pgconn.PgError) bool {
	return pg.Routine == "exec_stmt_raise" || strings.HasPrefix(pg.File, "plpy") || strings.HasPrefix(pg.File, "plperl") ||
		strings.HasPrefix(pg.File, "plv8") || strings.HasPrefix(pg.File, "pltcl")
}

// message is Postgres's text about what it did with the caller's statement. The
// names of things stay in it; what could come from a row does not.
func (l *look) message(pg *pgconn.PgError) string {
	class := ""
	if len(pg.Code) == 5 {
		class = pg.Code[:2]
	}
	switch {
	case raised(pg):
		return "a function raised an error, whose text could quote rows"
	case class == "22":
		// Values are what it quotes, and everything behind the first quote could be one.
		before, after, quotes := strings.Cut(pg.Message, `"`)
		if !quotes {
			return short(pg.Message)
		}
		if end := strings.LastIndex(after, `"`); end >= 0 && l.caller.own[after[:end]] {
			return short(pg.Message)
		}
		return short(before) + `"…"`
	// Of access and names, operators, states, limits, resources, transactions, features
	// and schemas: what their messages quote are names.
	case class == "42" || class == "57" || class == "55" || class == "54" || class == "53" || class == "25" || class == "0A" || class == "3F":
		return short(pg.Message)
	default:
		return "an error whose text could quote rows"
	}
}

// said is the message with its code.
func (l *look) said(pg *pgconn.PgError) string {
	return fmt.Sprintf("%s (SQLSTATE %s)", l.message(pg), pg.Code)
}

// short bounds a text, at the end of a character.
func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// clerkID is how SQL reads the caller's Clerk id.
func (l *look) clerkID() string { return l.database.Helpers.Fill("(select {{helpers}}.user_id())") }

// advice is what to do about a code; expressions are the text of the policies
// that could be behind it.
func (l *look) advice(code, expressions string) string {
	switch code {
	case codeInvalidText:
		return "A Clerk id (user_…, org_…) is no uuid: compare text columns with " + l.clerkID() +
			" in place of auth.uid() and of casts to uuid. \"clerksync configure-rls lint\" finds all places."
	case codeRecursion:
		return l.database.Helpers.Fill("A policy reads a table whose policies lead back to it. Read it in a security definer function that the Data API does not serve, such as {{helpers}}.my_org_ids(): " +
			"organization = any (array(select {{helpers}}.my_org_ids())).")
	case codeCancelled:
		return "Write what depends on the caller alone as a sub-select, such as " + l.clerkID() + ", use = any (array(select …)) for lists, and index the columns that policies compare. " +
			"\"clerksync configure-rls lint\" shows where."
	case codeLocked:
		return "Another transaction holds the table, a migration perhaps. Look again when it has ended; pg_stat_activity shows it."
	case codeNoPrivilege:
		return "What the policy or view calls or reads has to be granted too: grant execute on the function, or select on the table and usage on its schema, to " + l.caller.role +
			"; or read the table in a security definer function."
	case codeNoFunction, codeNoColumn, codeNoTable:
		return "A policy, view or function names what is not there. A function whose search path is empty, or pg_catalog, pg_temp, has to name everything of yours with its schema."
	case codeReadOnly:
		return "A policy or a function that it calls writes. The Data API reads in a read-only transaction, in which that fails too: move the write to a trigger."
	case codeTooDeep:
		return "Functions or policies call each other without end. Read the table in a security definer function whose owner bypasses row level security."
	}
	if strings.Contains(expressions, "jwt") && strings.HasPrefix(code, "22") {
		return l.database.Helpers.Fill("A claim has another shape than the policy expects. Use the helpers of the schema {{helpers}}, which read NULL then.")
	}
	return "Run the select as this user to see all of the error, and correct the policy, view or function behind it."
}

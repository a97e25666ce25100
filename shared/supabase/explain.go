package supabase

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Explain gives an error of pgx its name here and a text to act upon. The result wraps the error, so that
// *pgconn.PgError and the like are still found, and the [ConditionError] where there is one. nil, pgx.ErrNoRows and
// what was explained before come back as they are.
//
// The text is safe to log. Of the server's messages it keeps those that name roles, databases, tables and limits, and
// withholds those that may quote data, which are the classes 22 and 23 of SQLSTATE and what functions raise; of the
// driver's, those that would quote arguments. Errors of a [DB] are explained already; this is for connections made from
// [Config.Session].
func Explain(err error) error {
	return explain("", err, nil, "")
}

// IsTransient reports whether an error is of the kind that passes, so that the same work may succeed later: the
// connection broke or could not be had, a limit of pooler or server was reached, the server restarts or is read-only,
// transactions collided, time ran out or the caller gave up. Wrong passwords, names and certificates are not: somebody
// has to correct them, and trying again can make it worse.
func IsTransient(err error) bool {
	if errors.Is(err, context.Canceled) {
		return true
	}
	c := conditionOf(err)
	return c != nil && c.Transient
}

// explainedError carries the text; the causes are for errors.Is and errors.As.
type explainedError struct {
	text   string
	causes []error // condition first, where there is one
}

func (e *explainedError) Error() string {
	return e.text
}

// MayPass is false for what somebody has to mend before the same work can succeed, so that nobody waits for it.
func (e *explainedError) MayPass() bool {
	c := conditionOf(e)
	return c == nil || c.Transient
}

func (e *explainedError) Unwrap() []error {
	return e.causes
}

// explain is Explain with what was being done, as "connecting to …", and the reason for which the caller's context
// ended, if it did. setting is the one to correct, where it is not DATABASE_URL.
func explain(doing string, err, ended error, setting string) error {
	var done *explainedError
	if err == nil || errors.Is(err, pgx.ErrNoRows) || errors.As(err, &done) {
		return err
	}
	text := safeText(err)
	causes := []error{err}
	if ended != nil && !errors.Is(err, ended) {
		text = ended.Error() + ": " + text
		causes = append(causes, ended)
	}
	if c := conditionOf(err); c != nil {
		remedy := c.Remedy
		if setting != "" {
			remedy = strings.ReplaceAll(remedy, usualSetting, setting)
		}
		text = fmt.Sprintf("%s: %s; %s", c.Summary, text, remedy)
		causes = append([]error{c}, causes...)
	}
	if doing != "" {
		text = doing + ": " + text
	}
	return &explainedError{text: text, causes: causes}
}

// safeText writes an error without what it may quote of arguments, rows and the connection's configuration.
func safeText(err error) string {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	var netErr interface{ Timeout() bool }
	switch {
	case errors.As(err, &connect):
		limit := ""
		if timedOut(err) {
			limit = fmt.Sprintf(" (limit of %s)", connect.Config.ConnectTimeout)
		}
		// One line for each address that was tried. What the server says before a login holds no data.
		return strings.ReplaceAll(errors.Unwrap(connect).Error(), "\n", "; ") + limit
	case errors.As(err, &pg):
		return serverText(pg)
	case errors.As(err, &netErr), conditionOf(err) != nil, errors.Is(err, context.Canceled):
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	default:
		return driverText(err)
	}
}

// quotesData are the classes of SQLSTATE whose messages may quote values: data exceptions, violated constraints, and
// whatever functions raise.
var quotesData = map[string]bool{"22": true, "23": true, "P0": true}

func serverText(pg *pgconn.PgError) string {
	if len(pg.Code) != 5 || !quotesData[pg.Code[:2]] {
		return fmt.Sprintf("%s (SQLSTATE %s)", pg.Message, pg.Code)
	}
	text := "SQLSTATE " + pg.Code
	for _, part := range [][2]string{
		{"constraint", pg.ConstraintName},
		{"table", strings.Trim(pg.SchemaName+"."+pg.TableName, ".")},
		{"column", pg.ColumnName},
		{"type", pg.DataTypeName},
	} {
		if part[1] != "" {
			text += fmt.Sprintf(", %s %s", part[0], part[1])
		}
	}
	return text + " (message withheld: it may quote data)"
}

// driverPlace is the harmless beginning of the driver's complaints about arguments and results.
var driverPlace = regexp.MustCompile(`failed to encode args\[\d+\]|can't scan into dest\[\d+\]|expected \d+ arguments, got \d+|number of field descriptions must equal number of destinations, got \d+ and \d+`)

func driverText(err error) string {
	if place := driverPlace.FindString(err.Error()); place != "" {
		return "driver: " + place + " (details withheld: they may quote data)"
	}
	root := err
	for next := errors.Unwrap(root); next != nil; next = errors.Unwrap(root) {
		root = next
	}
	return fmt.Sprintf("driver error of type %T (details withheld: they may quote data)", root)
}

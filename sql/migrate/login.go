package migrate

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Login roles that the migrations make, without a password. Beside each there is
// a second one with the same rights, its name ending in _b: a role has one
// password, so that one can only be replaced without a gap by taking turns.
const (
	// WriterRole is what the webhook and sync functions connect as.
	WriterRole = "clerksync_writer"
	// DiagnosticsRole is what the diagnostics function connects as.
	DiagnosticsRole = "clerksync_diagnostics"

	secondSuffix = "_b"
)

// Why a password is not changed. The text of each error says what is in the way.
var (
	// ErrLoginInUse: somebody is connected as the role whose password would change.
	ErrLoginInUse = errors.New("the login is in use")
	// ErrRotating: both roles have a password already.
	ErrRotating = errors.New("a rotation is under way")
	// ErrNothingToRetire: only one of the roles has a password.
	ErrNothingToRetire = errors.New("there is no login to retire")
	// ErrNotYet: the earlier role may still be needed. It passes with time.
	ErrNotYet = errors.New("the earlier login cannot be retired yet")
)

// takeOver is how long after a password was given out the earlier one may still
// be needed: functions keep their secret for five minutes.
const takeOver = 6 * time.Minute

// Credentials are what a role logs in with.
type Credentials struct{ Role, Password string }

// ResetPassword gives the one of the two roles that is in use a new random
// password, at once: whoever connects with the earlier one is refused from then
// on. role is the first of the two. While somebody is connected that is
// ErrLoginInUse, unless forced. In use is the role that was given a password last,
// and the first one before any was.
//
// Only a SCRAM verifier travels to the server, so that no log of statements,
// there or on the way, ever holds a password.
func ResetPassword(ctx context.Context, config *pgx.ConnConfig, role string, force bool) (Credentials, error) {
	var given Credentials
	for try := 1; ; try++ {
		err := withLogins(ctx, config, role, func(tx pgx.Tx, l logins) (err error) {
			if l.current.connections != "" && !force {
				return fmt.Errorf("%w: %s; a new password would lock out the next that connects", ErrLoginInUse, l.current.connections)
			}
			given, err = givePassword(ctx, tx, l.current.role, l.now)
			return err
		})
		if try == inUseTries || !errors.Is(err, ErrLoginInUse) {
			return given, err
		}
		// The server takes a moment to notice that a client is gone.
		select {
		case <-ctx.Done():
			return given, err
		case <-time.After(inUseWait):
		}
	}
}

// How often, and how long apart, a login is looked at before it counts as in use.
const (
	inUseTries = 5
	inUseWait  = 250 * time.Millisecond
)

// RotateLogin gives the role that is not in use a password, and leaves the other
// one as it is: both log in until [RetireLogin].
func RotateLogin(ctx context.Context, config *pgx.ConnConfig, role string) (given Credentials, earlier string, err error) {
	err = withLogins(ctx, config, role, func(tx pgx.Tx, l logins) (err error) {
		earlier = l.other.role
		switch {
		case l.other.has:
			return fmt.Errorf("%w: %s got its password at %s, and %s still has one", ErrRotating, l.current.role, stamp(l.current.since), l.other.role)
		case l.other.connections != "":
			return fmt.Errorf("%w: %s, from before its password was taken away; wait until they have ended", ErrLoginInUse, l.other.connections)
		}
		earlier = l.current.role
		given, err = givePassword(ctx, tx, l.other.role, l.now)
		return err
	})
	return given, earlier, err
}

// RetireLogin takes the password away from the role that is not in use any more.
// ErrNotYet, unless forced, while anybody is connected as that role, nobody is as
// the other one, or the other one's password is younger than functions may keep
// an earlier secret. Connections that stand are not ended.
func RetireLogin(ctx context.Context, config *pgx.ConnConfig, role string, force bool) (retired, inUse string, err error) {
	err = withLogins(ctx, config, role, func(tx pgx.Tx, l logins) error {
		retired, inUse = l.other.role, l.current.role
		if !l.other.has {
			return fmt.Errorf("%w: %s is the only one with a password", ErrNothingToRetire, inUse)
		}
		if reasons := l.notYet(); len(reasons) > 0 && !force {
			return fmt.Errorf("%w: %s", ErrNotYet, strings.Join(reasons, "; "))
		}
		return alter(ctx, tx, retired, "password null", recordNone+l.now.UTC().Format(recordTime))
	})
	return retired, inUse, err
}

// logins are the two roles of one purpose: the one in use, and the other.
type logins struct {
	current, other login
	now            time.Time
}

// login is a role as far as the database tells.
type login struct {
	role string
	// has is whether it has a password, and since when; zero where that was not
	// recorded.
	has   bool
	since time.Time
	// connections are those of the role, for people; "" for none.
	connections string
}

func (l logins) notYet() (reasons []string) {
	if l.other.connections != "" {
		reasons = append(reasons, l.other.connections)
	}
	if l.current.connections == "" {
		reasons = append(reasons, fmt.Sprintf("nobody is connected as %s, so its string may not be in the secret yet", l.current.role))
	}
	if until := l.current.since.Add(takeOver); until.After(l.now) {
		reasons = append(reasons, fmt.Sprintf("%s got its password at %s, and functions may keep what the secret was before until %s", l.current.role, stamp(l.current.since), stamp(until)))
	}
	return reasons
}

// What the comment on a role says of its password. Postgres shows nobody but a
// superuser whether there is one, and on Supabase nobody is.
const (
	recordSet  = "clerksync: password set "
	recordNone = "clerksync: no password since "
	// recordTime is fine enough to tell which of two commands came last.
	recordTime = "2006-01-02T15:04:05.000000Z07:00"
)

func stamp(t time.Time) string {
	if t.IsZero() {
		return "an unknown time"
	}
	return t.UTC().Format(time.RFC3339)
}

// withLogins does something about the two roles that nobody else does anything
// about meanwhile.
func withLogins(ctx context.Context, config *pgx.ConnConfig, role string, do func(pgx.Tx, logins) error) error {
	if role != WriterRole && role != DiagnosticsRole {
		return fmt.Errorf("%q is not a login role of clerksync", role)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connecting to look at the login roles: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockSQL); err != nil {
			return fmt.Errorf("waiting for another change of the login roles, or a migration (connect as the role that ran the migrations): %w", err)
		}
		l, err := readLogins(ctx, tx, role)
		if err != nil {
			return err
		}
		return do(tx, l)
	})
}

// loginRow is what the database tells of a role.
type loginRow struct {
	Role    string `json:"role"`
	Comment string `json:"comment"`
	// Connections are those of the role, for people.
	Connections string `json:"connections"`
	// Now is the database's time, as JSON has it.
	Now string `json:"now"`
}

// loginsSQL reads the two roles of one purpose.
func loginsSQL(role string) string {
	return fmt.Sprintf(`
		select r.rolname::text as role, coalesce(shobj_description(r.oid, 'pg_authid'), '') as comment,
		       coalesce((select string_agg(format('%%s as "%%s"', n, name), ', ' order by name)
		                 from (select coalesce(nullif(application_name, ''), 'unnamed') as name, count(*) as n from pg_catalog.pg_stat_activity where usesysid = r.oid group by 1) as a), '') as connections,
		       to_json(clock_timestamp()) #>> '{}' as now
		from pg_catalog.pg_roles as r where r.rolname in ('%[1]s', '%[1]s%[2]s')`, role, secondSuffix)
}

func readLogins(ctx context.Context, tx pgx.Tx, role string) (logins, error) {
	rows, err := tx.Query(ctx, loginsSQL(role))
	if err != nil {
		return logins{}, fmt.Errorf("looking at %s: %w", role, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[loginRow])
	if err != nil {
		return logins{}, fmt.Errorf("looking at %s: %w", role, err)
	}
	return judgeLogins(role, found)
}

// judgeLogins tells the role in use from the other one.
func judgeLogins(role string, found []loginRow) (logins, error) {
	var l logins
	first, second := login{role: role}, login{role: role + secondSuffix}
	for _, one := range []*login{&first, &second} {
		i := slices.IndexFunc(found, func(r loginRow) bool { return r.Role == one.role })
		if i < 0 {
			return l, fmt.Errorf(`there is no role %s: run "clerksync migrate up"`, one.role)
		}
		var err error
		if l.now, err = time.Parse(time.RFC3339, found[i].Now); err != nil {
			return l, fmt.Errorf("asking the database for its time: %w", err)
		}
		if found[i].Connections != "" {
			one.connections = fmt.Sprintf("connected as %s: %s", one.role, found[i].Connections)
		}
		if at, ok := strings.CutPrefix(found[i].Comment, recordSet); ok {
			one.has = true
			// A time that somebody has made unreadable counts as long ago.
			one.since, _ = time.Parse(time.RFC3339, at)
			continue
		}
		// The first may have got one before there were records.
		one.has = one.role == role && !strings.HasPrefix(found[i].Comment, recordNone)
	}
	l.current, l.other = first, second
	if second.has && (!first.has || second.since.After(first.since)) {
		l.current, l.other = second, first
	}
	return l, nil
}

func givePassword(ctx context.Context, tx pgx.Tx, role string, now time.Time) (Credentials, error) {
	given, change, comment, err := newPassword(role, now)
	if err != nil {
		return Credentials{}, err
	}
	if err := alter(ctx, tx, role, change, comment); err != nil {
		return Credentials{}, err
	}
	return given, nil
}

// newPassword is a random one, with what gives it to a role and records that.
func newPassword(role string, now time.Time) (given Credentials, change, comment string, err error) {
	password := rand.Text() + rand.Text()
	verifier, err := scramVerifier(password)
	if err != nil {
		return Credentials{}, "", "", fmt.Errorf("making a password: %w", err)
	}
	return Credentials{role, password}, "password '" + verifier + "'", recordSet + now.UTC().Format(recordTime), nil
}

// alter changes a role and its comment. Utility statements take no parameters;
// every part is of our own making.
func alter(ctx context.Context, tx pgx.Tx, role, change, comment string) error {
	_, err := tx.Exec(ctx, alterSQL(role, change, comment))
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" {
		return fmt.Errorf("changing %s: connect as the role that ran the migrations: %w", role, err)
	}
	if err != nil {
		return fmt.Errorf("changing %s: %w", role, err)
	}
	return nil
}

func alterSQL(role, change, comment string) string {
	return fmt.Sprintf("alter role %[1]s %[2]s; comment on role %[1]s is '%[3]s'", role, change, comment)
}

// scramVerifier is what Postgres stores for a password: RFC 5803, with the
// number of iterations that Postgres itself uses.
func scramVerifier(password string) (string, error) {
	const iterations = 4096
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	keyed := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(keyed("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(keyed("Server Key"))), nil
}

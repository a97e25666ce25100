package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/supabase/management"
	"clerksync/sql/migrate"
)

// Way is how the owner's work in the database is done: migrations, and passwords for the runtime logins.
type Way string

// The ways. Those without a password were tried against a double of Supabase's API alone.
const (
	// ByPassword connects as the owner; the zero value means it, too.
	ByPassword Way = "password"
	// ByLogin has Supabase make a login that may do what the owner may, for minutes.
	ByLogin Way = "login"
	// BySQL has Supabase's Management API run each script as the owner.
	BySQL Way = "sql"
)

// Ways are all there are.
func Ways() []Way { return []Way{ByPassword, ByLogin, BySQL} }

// Cost says what a way costs that needs no password; "" for the one that needs it.
func (w Way) Cost() string {
	switch w {
	case ByLogin:
		return "Supabase makes a role in the database that may do what the owner may, with a password for a few minutes; the role stays there, and the access token needs database_write (tried against a double only)"
	case BySQL:
		return "the migrations and the verifiers of the new passwords, not the passwords, travel through Supabase's API, which ends what takes longer than a minute or two and may log it; nothing is rehearsed before, and the access token needs database_write (tried against a double only)"
	case ByPassword:
	}
	return ""
}

// way is the one that is gone: a connection string of the owner's needs none of the others.
func (s *Setup) way() Way {
	if !s.DatabaseURL.IsZero() {
		return ByPassword
	}
	return cmp.Or(s.By, ByPassword)
}

// ownerLogin is a short-lived login.
type ownerLogin struct {
	connection secret.Value
	// owner is the role whose work it does.
	owner string
	// until is when it may be too late to connect with it.
	until time.Time
}

// loginSlack is how long before its end a login is not used any more.
const loginSlack = time.Minute

// needsLogin puts the making of a login before writes that need one.
func (s *Setup) needsLogin(writes []write) []write {
	if s.way() != ByLogin || s.login != (ownerLogin{}) || len(writes) == 0 {
		return writes
	}
	return append([]write{{"have Supabase make a short-lived login to the database, which may do what its owner may", func(ctx context.Context) error {
		return s.effect(func() error { return s.makeLogin(ctx) })
	}}}, writes...)
}

func (s *Setup) makeLogin(ctx context.Context) error {
	pooler, err := s.pooler(ctx)
	if err != nil {
		return err
	}
	made, err := s.Supabase.CreateLoginRole(ctx, s.Project, false)
	if err != nil {
		return err
	}
	parsed, err := s.parse(ownerAt(pooler, made.Password))
	if err != nil {
		return err
	}
	owner, _, _ := strings.Cut(pooler.User, ".")
	connection, _ := parsed.Login(made.Role, made.Password.Reveal())
	s.login = ownerLogin{connection, owner, time.Now().Add(made.TTL - loginSlack)}
	return nil
}

// loginSession is a connection of the short-lived login, which acts as the owner.
func (s *Setup) loginSession(ctx context.Context) (*pgx.ConnConfig, *supabase.Config, error) {
	if s.login == (ownerLogin{}) {
		return nil, nil, errNoPassword
	}
	if time.Now().After(s.login.until) {
		if err := s.makeLogin(ctx); err != nil {
			return nil, nil, err
		}
	}
	parsed, err := s.parse(s.login.connection)
	if err != nil {
		return nil, nil, err
	}
	session, err := parsed.Session()
	if err != nil {
		return nil, nil, err
	}
	// What it makes is the owner's then.
	become := "set role " + pgx.Identifier{s.login.owner}.Sanitize()
	session.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		_, err := conn.Exec(ctx, become).ReadAll()
		return err
	}
	return session, parsed, nil
}

// pooler is that of the project's primary database.
func (s *Setup) pooler(ctx context.Context) (management.Pooler, error) {
	poolers, err := s.Supabase.Poolers(ctx, s.Project)
	if err != nil {
		return management.Pooler{}, err
	}
	pooler, ok := choosePooler(poolers)
	if !ok {
		return management.Pooler{}, errors.New("there is no pooler of the project's primary database in what Supabase says: copy a connection string from the project's Connect dialog into DATABASE_URL")
	}
	return pooler, nil
}

// ownerAt is the owner's connection string.
func ownerAt(p management.Pooler, password secret.Value) secret.Value {
	u := url.URL{
		Scheme: "postgresql", User: url.UserPassword(p.User, password.Reveal()),
		Host: net.JoinHostPort(p.Host, strconv.Itoa(p.Port)), Path: "/" + p.Name,
	}
	return secret.New(u.String())
}

// run runs SQL through the Management API.
func (s *Setup) run(ctx context.Context, sql string, rows any) error {
	return s.Supabase.Run(ctx, s.Project, management.Query{SQL: sql}, rows)
}

// lookBySQL finds out what is pending, with the logins that are lacking.
func (s *Setup) lookBySQL(ctx context.Context, v view) (view, error) {
	steps, err := migrate.PendingThrough(ctx, s.run)
	if err != nil {
		return view{}, err
	}
	if len(steps) > 0 {
		v.writes = append([]write{{applyMigrations, func(ctx context.Context) error {
			return s.effect(func() error { return migrate.UpThrough(ctx, s.run) })
		}}}, v.writes...)
	}
	if len(v.writes) == 0 {
		v.detail = migratedDetail
	}
	return v, nil
}

// resetBySQL gives a role a password, and says where it connects.
func (s *Setup) resetBySQL(ctx context.Context, role string) (migrate.Credentials, *supabase.Config, error) {
	pooler, err := s.pooler(ctx)
	if err != nil {
		return migrate.Credentials{}, nil, err
	}
	given, err := migrate.ResetPasswordThrough(ctx, s.run, role)
	if err != nil {
		return migrate.Credentials{}, nil, err
	}
	parsed, err := s.parse(ownerAt(pooler, secret.New(given.Password)))
	if err != nil {
		return migrate.Credentials{}, nil, fmt.Errorf("making a connection string of what Supabase says of the pooler: %w", err)
	}
	return given, parsed, nil
}

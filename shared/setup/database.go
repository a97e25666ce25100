package setup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/supabase/management"
	"clerksync/sql/migrate"
)

// logins are the runtime roles and the settings that take their strings. The writer's comes last: where the file has the
// owner's string in that place, it is needed until then.
var logins = []struct{ role, setting string }{
	{migrate.DiagnosticsRole, "DIAGNOSTICS_DATABASE_URL"},
	{migrate.WriterRole, "DATABASE_URL"},
}

const migratedDetail = "it is migrated, and both runtime logins work"

const applyMigrations = "apply the pending migrations to the database, all in one transaction"

func giveLogin(role, setting, file string) string {
	return fmt.Sprintf("give the role %s a password and write its connection string into %s as %s", role, file, setting)
}

// lookDatabase needs the owner only where something is missing: the logins that are there can tell the rest.
func (s *Setup) lookDatabase(ctx context.Context) (view, error) {
	have, err := s.File.Read()
	if err != nil {
		return view{}, err
	}
	migrated := false
	var lacking []write
	for _, login := range logins {
		works, up, err := s.tried(ctx, have[login.setting], login.role)
		if err != nil {
			return view{}, err
		}
		migrated = migrated || up
		if !works {
			what := giveLogin(login.role, login.setting, s.File.Name())
			if have[login.setting] != "" {
				what += ", which replaces the string that is there"
			}
			lacking = append(lacking, write{what, func(ctx context.Context) error {
				return s.give(ctx, login.role, login.setting)
			}})
		}
	}
	if migrated && len(lacking) == 0 {
		return view{detail: migratedDetail}, nil
	}
	v := view{detail: "it is not as this program would have it", writes: s.needsLogin(lacking)}
	if migrated {
		return v, nil
	}
	if s.way() == BySQL {
		return s.lookBySQL(ctx, v)
	}
	pending := write{applyMigrations, s.migrate}
	session, _, err := s.session(ctx)
	if errors.Is(err, errNoPassword) {
		v.detail = "it was not looked at: that needs the database password"
		if s.way() == ByLogin {
			v.detail = "it was not looked at: that needs a login"
		}
		v.writes = s.needsLogin(append([]write{pending}, lacking...))
		return v, nil
	}
	if err != nil {
		return view{}, err
	}
	steps, err := migrate.Plan(ctx, session, migrate.Options{})
	if err != nil {
		return view{}, explained(err)
	}
	for _, step := range steps {
		if step.AppliedAt.IsZero() {
			v.writes = append([]write{pending}, lacking...)
			break
		}
	}
	if len(v.writes) == 0 {
		v.detail = migratedDetail
	}
	return v, nil
}

// tryLimit bounds a look with one login.
const tryLimit = 20 * time.Second

// tried reports whether a string is one of a runtime role that can log in, and whether that finds the database migrated.
func (s *Setup) tried(ctx context.Context, text, role string) (works, migrated bool, err error) {
	if text == "" {
		return false, false, nil
	}
	parsed, err := s.parse(secret.New(text))
	if err != nil {
		return false, false, err
	}
	user, _, _ := strings.Cut(parsed.User, ".")
	if user != role && user != role+"_b" {
		return false, false, nil // the owner's, or another's
	}
	ctx, cancel := context.WithTimeoutCause(ctx, tryLimit, fmt.Errorf("trying the login %s took longer than %s", user, tryLimit))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, parsed.Connection())
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && strings.HasPrefix(refused.Code, "28") {
		return false, false, nil
	}
	if err != nil {
		return false, false, supabase.Explain(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if role != migrate.WriterRole {
		return true, false, conn.Ping(ctx)
	}
	_, err = migrate.Look(ctx, conn)
	switch {
	case err == nil:
		return true, true, nil
	case errors.Is(err, migrate.ErrPending), errors.Is(err, migrate.ErrNotMigrated):
		return true, false, nil
	}
	return true, false, explained(err)
}

func (s *Setup) parse(connection secret.Value) (*supabase.Config, error) {
	return supabase.Parse(supabase.Options{URL: connection, CACert: s.CACert, ProjectRef: s.Project, AppName: "setup", MaxConns: 1})
}

// errNoPassword says that the owner's password is not to be had.
var errNoPassword = errors.New("the database password is not given")

// session is the owner's connection, which keeps its session, and the string that it is made of.
func (s *Setup) session(ctx context.Context) (*pgx.ConnConfig, *supabase.Config, error) {
	if s.way() == ByLogin {
		return s.loginSession(ctx)
	}
	if s.owner.IsZero() {
		var err error
		if s.owner, err = s.ownersString(ctx); err != nil {
			return nil, nil, err
		}
	}
	parsed, err := s.parse(s.owner)
	if err != nil {
		return nil, nil, err
	}
	session, err := parsed.Session()
	return session, parsed, err
}

// ownersString is the one that was given, or it is made of what Supabase says of the pooler.
func (s *Setup) ownersString(ctx context.Context) (secret.Value, error) {
	if !s.DatabaseURL.IsZero() {
		return s.DatabaseURL, nil
	}
	if s.OwnerPassword == nil {
		return secret.Value{}, errNoPassword
	}
	pooler, err := s.pooler(ctx)
	if err != nil {
		return secret.Value{}, err
	}
	password, err := s.OwnerPassword(ctx)
	if err != nil {
		return secret.Value{}, err
	}
	return ownerAt(pooler, password), nil
}

// choosePooler prefers the transaction pooler of the primary; its session form follows from it.
func choosePooler(list []management.Pooler) (management.Pooler, bool) {
	var chosen management.Pooler
	for _, p := range list {
		usable := p.Type == "PRIMARY" && p.Host != "" && p.User != "" && p.Port > 0
		if usable && (chosen.Host == "" || chosen.Mode != "transaction" && p.Mode == "transaction") {
			chosen = p
		}
	}
	return chosen, chosen.Host != ""
}

func (s *Setup) migrate(ctx context.Context) error {
	session, parsed, err := s.session(ctx)
	if err != nil {
		return err
	}
	for _, warning := range parsed.Warnings {
		s.Warn(warning)
	}
	return s.effect(func() error {
		_, err := migrate.Up(ctx, session, migrate.Options{})
		return explained(err)
	})
}

// give gives a role a password that no one has seen. Where the program ends before the string is written, the next run gives
// it another.
func (s *Setup) give(ctx context.Context, role, setting string) error {
	reset := s.resetBySQL
	if s.way() != BySQL {
		session, parsed, err := s.session(ctx)
		if err != nil {
			return fmt.Errorf("giving %s a password: %w", role, err)
		}
		reset = func(ctx context.Context, role string) (migrate.Credentials, *supabase.Config, error) {
			given, err := migrate.ResetPassword(ctx, session, role, false)
			return given, parsed, explained(err)
		}
	}
	var given migrate.Credentials
	var parsed *supabase.Config
	if err := s.effect(func() error {
		err := s.State.noteLogin(MadeLogin{s.Project, role})
		if err == nil {
			given, parsed, err = reset(ctx, role)
		}
		return err
	}); err != nil {
		if errors.Is(err, migrate.ErrLoginInUse) {
			return fmt.Errorf("%w: write the string that is in use into %s as %s, or replace it without a gap: clerksync migrate login --rotate", err, s.File.Name(), setting)
		}
		return err
	}
	connection, note := parsed.Login(given.Role, given.Password)
	if note != "" {
		s.Warn(note)
	}
	return s.effect(func() error { return s.State.WriteFile(s.File, map[string]string{setting: connection.Reveal()}) })
}

// explained adds what to do about a connection that cannot be made.
func explained(err error) error {
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
		return supabase.Explain(err)
	}
	return err
}

const fillCopy = "copy the users, organizations and memberships of Clerk into the database"

func (s *Setup) lookRows(ctx context.Context) (view, error) {
	users, err := s.Clerk.CountUsers(ctx, clerk.UserQuery{})
	if err != nil {
		return view{}, err
	}
	have, err := s.File.Read()
	if err != nil {
		return view{}, err
	}
	v := view{detail: fmt.Sprintf("Clerk has %d users, and the copy has none of them yet", users)}
	works, migrated, err := s.tried(ctx, have["DATABASE_URL"], migrate.WriterRole)
	if err != nil {
		return view{}, err
	}
	writer := secret.New(have["DATABASE_URL"])
	if works && migrated {
		parsed, err := s.parse(writer)
		if err != nil {
			return view{}, err
		}
		db := supabase.Open(supabase.Fixed(parsed))
		defer db.Close()
		status, err := mirror.New(db).Status(ctx)
		if err != nil {
			return view{}, err
		}
		v.detail = fmt.Sprintf("Clerk has %d users, the copy %d", users, status.Users.Live)
		if status.LastComplete != nil {
			return v, nil
		}
		if s.Preview != nil {
			would, err := s.Preview(ctx, writer)
			if err != nil {
				return view{}, err
			}
			v.detail += "; " + would
		}
	}
	v.writes = []write{{fillCopy, func(ctx context.Context) error {
		return s.effect(func() error { return s.Fill(ctx, writer) })
	}}}
	return v, nil
}

package connect

import (
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/mirror"
	"clerksync/shared/supabase"
)

// Advise adds to an error of settings, of a connection, of the database or of Clerk what to
// do next, unless it says that already. What it is not about is left as it is.
func Advise(err error) error {
	if err == nil {
		return nil
	}
	if _, advised := errors.AsType[*console.HintedError](err); advised {
		return err
	}
	if next := next(err); next != "" {
		return console.Hint(err, next)
	}
	return err
}

// next is what to do about an error, empty where it is not known.
func next(err error) string {
	code := ""
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		code = pgErr.Code
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	condition, conditioned := errors.AsType[*supabase.ConditionError](err)
	switch {
	case errors.Is(err, config.ErrInvalid):
		return `put settings into the environment, or into a file as KEY=VALUE lines and give --env-file FILE; docs/configuration.md has them all, and "clerksync doctor" checks them`
	case isOneOf(err, config.ErrSecretNotFound, config.ErrSecretEmpty, config.ErrDecryption, config.ErrNotText):
		return "look at the secret that " + config.SecretIDKey + " names in AWS Secrets Manager, or unset that to read the environment alone"
	case isOneOf(err, config.ErrAccessDenied, config.ErrNoRegion, config.ErrNoCredentials, config.ErrClock, config.ErrThrottled, config.ErrTimeout):
		return `"aws sts get-caller-identity" says who AWS takes you for; without ` + config.SecretIDKey + " nothing of AWS is asked"
	case errors.Is(err, supabase.ErrNoSession):
		return "take the string of the session pooler (port 5432) from the project's Connect dialog into DATABASE_URL"
	case isOneOf(err, clerk.ErrNotSecretKey, clerk.ErrKeyRefused):
		return "take a secret key from the instance's dashboard, under API keys, into CLERK_SECRET_KEY"
	case errors.Is(err, clerk.ErrClerkUnavailable), errors.Is(err, clerk.ErrRateLimited):
		return `run the same command again later; "clerksync doctor" says whether Clerk can be reached`
	case errors.Is(err, mirror.ErrWrongInstance):
		return "check CLERK_SECRET_KEY and DATABASE_URL, which belong together"
	case !connecting && (code == "3F000" || code == "42P01" || code == "42883"):
		return `"clerksync migrate plan" shows what is missing in the database, and "clerksync migrate up" makes it`
	case !connecting && code == "42501":
		return "connect as the role that owns the project: in a Supabase project that is postgres"
	case conditioned && condition.Transient:
		return `mend what it names and run the same command again; "clerksync doctor" looks at the whole way to the database`
	case conditioned, connecting:
		return `correct the connection string (docs/configuration.md); "clerksync doctor" tries it and judges what it leads to`
	default:
		return ""
	}
}

func isOneOf(err error, some ...error) bool {
	for _, one := range some {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/mirror"
	"clerksync/shared/netaddr"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/lint"
	"clerksync/shared/rls/probe"
	"clerksync/shared/supabase"
	"clerksync/sql/migrate"
)

// databaseFacts are what the database of DATABASE_URL is.
type databaseFacts struct {
	config *supabase.Config
	db     *supabase.DB
	store  *mirror.Store
	// used are the schemas that it was migrated with.
	used migrate.Options
}

// close lets go of what the checks have opened.
func (x *examination) close() {
	if x.db != nil {
		x.db.Close()
	}
}

func checkConnection(ctx context.Context, x *examination) finding.Finding {
	var err error
	if x.config, err = supabase.Parse(options(x.sync.Database)); err != nil {
		return fail("DATABASE_URL is not usable", strings.Join(problemLines([]error{err}), " "), settingsRemedy)
	}
	x.db = supabase.Open(supabase.Fixed(x.config))
	x.store = mirror.New(x.db)
	var version string
	if err := x.db.QueryRow(ctx, `select pg_catalog.current_setting('server_version')`).Scan(&version); err != nil {
		remedy := "Correct DATABASE_URL; the project's Connect dialog has the transaction pooler's string."
		if known, ok := errors.AsType[*supabase.ConditionError](err); ok && known.Remedy != "" {
			remedy = strings.ToUpper(known.Remedy[:1]) + known.Remedy[1:] + "."
		}
		return fail("The database cannot be reached", sentence(err), remedy)
	}
	detail := fmt.Sprintf("PostgreSQL %s at %s:%d as %s.", version, x.config.Host, x.config.Port, x.config.User)
	if len(x.config.Warnings) > 0 {
		return warn("The database answers, and its connection string should be otherwise", detail+" "+strings.Join(x.config.Warnings, " "), "Copy the transaction pooler's string from the project's Connect dialog, and set DATABASE_CA_CERT and SUPABASE_PROJECT_REF.")
	}
	return pass("The database answers", "%s", detail)
}

func checkEncryption(_ context.Context, x *examination) finding.Finding {
	const remedy = "Set DATABASE_CA_CERT to the certificate from the project's database settings."
	switch x.config.Encryption {
	case supabase.Verified:
		return pass("The connection is encrypted, and the server verified", "")
	case supabase.Unverified:
		return warn("The connection is encrypted, and the server is not verified", "Another machine on the way could pretend to be it and read the password.", remedy)
	default:
		return skip("The connection is not encrypted", "It does not leave this machine.", "")
	}
}

// checkPooler finds out how connections are shared: what the string says, and where it
// says nothing, how the server behaves.
func checkPooler(ctx context.Context, x *examination) finding.Finding {
	const remedy = "Use the transaction pooler's string (port 6543) from the project's Connect dialog: each running function holds a connection."
	kind := x.config.Pooler
	if kind == supabase.Unknown {
		var err error
		if kind, err = observePooler(ctx, x.config); err != nil {
			return skip("How connections are pooled is not known", sentence(supabase.Explain(err)), "")
		}
	}
	local := netaddr.IsLoopback(x.config.Host)
	switch {
	case kind == supabase.Transaction:
		return pass("Connections go through a transaction pooler", "")
	case kind == supabase.Session:
		return warn("Connections go through a pooler that keeps a session for each", "A server connection is taken for as long as a function lives, so that a burst uses them up.", remedy)
	case kind == supabase.Direct && !local:
		return warn("Connections go to the server itself", "Its connections are few, and a burst of functions uses them up.", remedy)
	case kind == supabase.Direct:
		return pass("Connections go to a server on this machine", "")
	default:
		return skip("How connections are pooled is not known", "The server is behind something that hides it.", remedy)
	}
}

// observePooler opens two connections. Behind a transaction pooler the second can get the
// server's connection that the first has just left; a server that sees another port than
// the one that was left from is behind something.
func observePooler(ctx context.Context, config *supabase.Config) (supabase.Pooler, error) {
	first, err := pgx.ConnectConfig(ctx, config.Connection())
	if err != nil {
		return supabase.Unknown, err
	}
	defer first.Close(context.WithoutCancel(ctx))
	second, err := pgx.ConnectConfig(ctx, config.Connection())
	if err != nil {
		return supabase.Unknown, err
	}
	defer second.Close(context.WithoutCancel(ctx))
	// Others use the pool, too: one of some tries meets no one.
	const tries = 5
	for range tries {
		var one, other int
		for conn, pid := range map[*pgx.Conn]*int{first: &one, second: &other} {
			if err := conn.QueryRow(ctx, `select pg_catalog.pg_backend_pid()`).Scan(pid); err != nil {
				return supabase.Unknown, err
			}
		}
		if one == other {
			return supabase.Transaction, nil
		}
	}
	var port *int
	var server *string
	if err := first.QueryRow(ctx, `select pg_catalog.inet_client_port(), pg_catalog.host(pg_catalog.inet_server_addr())`).Scan(&port, &server); err != nil {
		return supabase.Unknown, err
	}
	here, ok := first.PgConn().Conn().LocalAddr().(*net.TCPAddr)
	switch {
	case port == nil || ok && here.Port == *port: // a socket, or nothing in between
		return supabase.Direct, nil
	case server != nil && netaddr.IsLoopback(config.Host) && !netaddr.IsLoopback(*server):
		return supabase.Unknown, nil // a container's port
	default:
		return supabase.Session, nil
	}
}

func checkLogin(ctx context.Context, x *examination) finding.Finding {
	var user string
	var super, owns bool
	err := x.db.QueryRow(ctx, `
		select current_user::text, r.rolsuper,
		       coalesce((select pg_catalog.pg_has_role(current_user, n.nspowner, 'usage') from pg_catalog.pg_namespace as n where n.nspname = 'clerk_sync'), false)
		from pg_catalog.pg_roles as r where r.rolname = current_user`).Scan(&user, &super, &owns)
	const remedy = "Give the functions a login of their own: clerksync migrate login writer prints its string."
	switch {
	case err != nil:
		return skip("What the login may do is not known", sentence(err), "")
	case super:
		return warn("DATABASE_URL connects as a superuser", "Functions with this string could do anything with the whole server; they need to call a few functions.", remedy)
	case owns:
		return warn("DATABASE_URL connects as the owner of what clerksync has made", "That is right for migrations, and more than the functions need: they would own every row they are to keep safe.", remedy)
	}
	return pass("The login is "+user+", which owns nothing of clerksync's", "")
}

func checkMigrations(ctx context.Context, x *examination) finding.Finding {
	used, err := migrate.Look(ctx, x.db)
	x.used = used
	const plan = "Run clerksync migrate plan, and then clerksync migrate up, with the owner's connection string."
	switch {
	case err == nil:
		return pass("The database is as migrated by this version", "The copy is in the schema %s, what policies call in %s.", used.Schema, used.Helpers)
	case errors.Is(err, migrate.ErrTaken):
		return fail("Nothing is migrated, and a name is taken", sentence(err), "Run clerksync migrate up --schema clerk_mirror (or another free name), with the owner's connection string.")
	case errors.Is(err, migrate.ErrNotMigrated):
		return fail("Nothing is migrated", sentence(err), plan)
	case errors.Is(err, migrate.ErrPending):
		return fail("The database is of another version than this program", sentence(err), plan)
	case errors.Is(err, migrate.ErrUnknown), errors.Is(err, migrate.ErrChanged), errors.Is(err, migrate.ErrUnreleased):
		return fail("The database is of another version than this program", sentence(err), "Use the version of clerksync that migrated it, or read clerksync migrate plan.")
	default:
		return skip("Which migrations the database has is not known", sentence(supabase.Explain(err)), "")
	}
}

func checkRights(ctx context.Context, x *examination) finding.Finding {
	missing, added, err := migrate.ChangedRights(ctx, x.db, x.used)
	if err != nil {
		return skip("Whether the rights are as migrated is not known", sentence(supabase.Explain(err)), "")
	}
	if len(missing)+len(added) == 0 {
		return pass("Row level security, policies and grants are as migrated", "The bodies of functions are not compared.")
	}
	var parts []string
	if len(missing) > 0 {
		parts = append(parts, "Missing: "+some(missing)+".")
	}
	if len(added) > 0 {
		parts = append(parts, "Added: "+some(added)+".")
	}
	return fail("What clerksync has made was changed by hand", strings.Join(parts, " "),
		"Take back what was changed, as the owner: what is missing was given by the migrations (clerksync migrate export writes them as SQL), what was added was not.")
}

// checkOwnInstance compares the instance that the copy is of with the secret key's.
func checkOwnInstance(ctx context.Context, x *examination) finding.Finding {
	expected, err := x.store.ExpectedInstance(ctx, false)
	switch {
	case err != nil:
		return skip("Which instance the copy is of is not known", sentence(err), "")
	case expected == "":
		return pass("The copy is not bound to an instance yet", "The first full sync binds it.")
	case expected != x.instance.ID:
		return fail("The copy is of another instance than the secret key",
			fmt.Sprintf("The copy is of %s, the secret key of %s.", expected, x.instance.ID),
			"Correct CLERK_SECRET_KEY or DATABASE_URL, which belong together. If the copy is to change its instance, read docs/full-sync.md on --accept-instance.")
	}
	return pass("The copy is of the secret key's instance", "")
}

// maxProbed bounds how many tables are probed, each with some hundred round trips.
const maxProbed = 25

// checkProbe plays every kind of caller on the tables of the schemas that the copy is in
// and that the Data API serves by default.
func checkProbe(ctx context.Context, x *examination) finding.Finding {
	const name = "No caller was played"
	conn, err := pgx.ConnectConfig(ctx, x.config.Connection())
	if err != nil {
		return skip(name, sentence(supabase.Explain(err)), "")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `
		select n.nspname, c.relname from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
		where c.relkind in ('r', 'p') and n.nspname in ('public', $1) order by 1, 2 limit $2`, x.used.Schema, maxProbed+1)
	var tables []catalog.Name
	if err == nil {
		tables, err = pgx.CollectRows(rows, pgx.RowToStructByPos[catalog.Name])
	}
	if err != nil {
		return skip(name, sentence(supabase.Explain(err)), "")
	}
	more := len(tables) > maxProbed
	tables = tables[:min(len(tables), maxProbed)]
	report, err := probe.Run(ctx, conn, probe.Options{Tables: tables})
	switch {
	case errors.Is(err, probe.ErrPrivileges):
		return skip(name, "The login of DATABASE_URL may not.", "Run clerksync configure-rls test with the owner's connection string.")
	case err != nil:
		return skip(name, sentence(supabase.Explain(err)), "")
	}
	var failed, other []string
	for _, f := range report.Findings() {
		text := strings.TrimSpace(f.Object + ": " + f.Title)
		switch f.Status {
		case finding.Fail:
			failed = append(failed, text)
		case finding.Warn, finding.Skip:
			other = append(other, text)
		case finding.Pass:
		}
	}
	const remedy = "Run clerksync configure-rls test on the table: it shows which policy decides."
	switch {
	case len(failed) > 0:
		return fail("Callers may do what they should not", some(failed)+".", remedy)
	case len(other) > 0:
		return warn("Not everything that callers may do is as usual", some(other)+".", remedy)
	case more:
		return skip("Not every table was probed", fmt.Sprintf("There are more than %d.", maxProbed), "Run clerksync configure-rls test on the others.")
	}
	return pass("No kind of caller may do more than it should", "%d tables were probed.", len(tables))
}

func checkLint(ctx context.Context, x *examination) finding.Finding {
	conn, err := pgx.ConnectConfig(ctx, x.config.Connection())
	if err != nil {
		return skip("The policies were not linted", sentence(supabase.Explain(err)), "")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	found, err := lint.Run(ctx, conn, lint.Options{})
	if err != nil {
		return skip("The policies were not linted", sentence(supabase.Explain(err)), "")
	}
	texts := map[finding.Status][]string{}
	for _, f := range found {
		where := f.ID
		if f.Object != "" {
			where += " (" + f.Object + ")"
		}
		texts[f.Status] = append(texts[f.Status], where+": "+f.Title)
	}
	const remedy = "Run clerksync configure-rls lint: it says of each what to do."
	switch {
	case len(texts[finding.Fail]) > 0:
		return fail("Tables are open, or policies do not hold", some(texts[finding.Fail])+".", remedy)
	case len(texts[finding.Warn]) > 0:
		return warn("Policies and grants should be otherwise", some(texts[finding.Warn])+".", remedy)
	case len(texts[finding.Skip]) > 0:
		return skip("Not everything could be linted", some(texts[finding.Skip])+".", "Run clerksync configure-rls lint with the owner's connection string.")
	}
	return pass("The linter finds nothing to change", "%d things were looked at.", len(found))
}

package supabase_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/secret"
	"clerksync/shared/supabase"
)

const (
	ref      = "abcdefghijklmnopqrst"
	password = "Tr0ub4dor-3"
	pooler   = "aws-0-eu-central-1.pooler.supabase.com"
)

// parse reads a connection string in which PW stands for the password.
func parse(dsn string, change ...func(*supabase.Options)) (*supabase.Config, error) {
	o := supabase.Options{URL: secret.New(strings.ReplaceAll(dsn, "PW", password))}
	for _, c := range change {
		c(&o)
	}
	return supabase.Parse(o)
}

func mustParse(t *testing.T, dsn string, change ...func(*supabase.Options)) *supabase.Config {
	t.Helper()
	c, err := parse(dsn, change...)
	if err != nil {
		t.Fatalf("Parse(%q): %v", dsn, err)
	}
	return c
}

func TestParse_TellsWhereAStringLeads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, dsn string
		pooler    supabase.Pooler
		where     string // user@host:port/database
		ref       string
	}{
		{"shared pooler, transaction", "postgresql://postgres." + ref + ":PW@" + pooler + ":6543/postgres", supabase.Transaction, "postgres." + ref + "@" + pooler + ":6543/postgres", ref},
		{"shared pooler, session", "postgresql://postgres." + ref + ":PW@" + pooler + ":5432/postgres", supabase.Session, "postgres." + ref + "@" + pooler + ":5432/postgres", ref},
		{"port left out", "postgres://a." + ref + ":PW@" + pooler + "/postgres", supabase.Session, "a." + ref + "@" + pooler + ":5432/postgres", ref},
		{"direct", "postgresql://postgres:PW@db." + ref + ".supabase.co:5432/postgres", supabase.Direct, "postgres@db." + ref + ".supabase.co:5432/postgres", ref},
		{"dedicated pooler", "postgresql://postgres:PW@db." + ref + ".supabase.co:6543/postgres", supabase.Transaction, "postgres@db." + ref + ".supabase.co:6543/postgres", ref},
		{"another host on 6543", "postgres://u:PW@pg.example.com:6543/app", supabase.Transaction, "u@pg.example.com:6543/app", ""},
		{"another host, said to be a pooler", "postgres://u:PW@pg.example.com:7000/app?pgbouncer=true", supabase.Transaction, "u@pg.example.com:7000/app", ""},
		{"another host", "postgres://u:PW@pg.example.com/app", supabase.Unknown, "u@pg.example.com:5432/app", ""},
		// Prisma's parameter cannot make port 5432 of the shared pooler another pooler than it is.
		{"pgbouncer=true on the session port", "postgres://a." + ref + ":PW@" + pooler + ":5432/postgres?pgbouncer=true", supabase.Session, "a." + ref + "@" + pooler + ":5432/postgres", ref},
		{"database left out", "postgres://u:PW@pg.example.com", supabase.Unknown, "u@pg.example.com:5432/postgres", ""},
		{"role with dots", "postgres://my.role." + ref + ":PW@" + pooler + ":6543", supabase.Transaction, "my.role." + ref + "@" + pooler + ":6543/postgres", ref},
		{"scheme and host in capitals", "POSTGRESQL://a." + ref + ":PW@" + strings.ToUpper(pooler) + ":6543/x", supabase.Transaction, "a." + ref + "@" + strings.ToUpper(pooler) + ":6543/x", ref},
		{"loopback without a password", "postgres://u@localhost:6000/db", supabase.Unknown, "u@localhost:6000/db", ""},
		{"IPv6 address", "postgres://u:PW@[::1]:6000/db", supabase.Unknown, "u@[::1]:6000/db", ""},
		{"IPv6 address without a port", "postgres://u:PW@[::1]", supabase.Unknown, "u@[::1]:5432/postgres", ""},
		{"Unix socket", "postgres:///db?host=/var/run/postgresql&user=u&port=6000", supabase.Unknown, "u@/var/run/postgresql/db", ""},
		{"database as a parameter", "postgres://u:PW@127.0.0.1?dbname=db", supabase.Unknown, "u@127.0.0.1:5432/db", ""},
		{"white space around it", " \tpostgres://u:PW@127.0.0.1/db\n", supabase.Unknown, "u@127.0.0.1:5432/db", ""},
		{"encoded user and database", "postgres://a%2Fb:PW@127.0.0.1/my%20db", supabase.Unknown, "a/b@127.0.0.1:5432/my db", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, tt.dsn)
			if where, _, _ := strings.Cut(c.String(), " ("); where != tt.where || c.Pooler != tt.pooler || c.ProjectRef != tt.ref {
				t.Errorf("Parse(%q) = %s, %s, project %q; want %s, %s, project %q", tt.dsn, where, c.Pooler, c.ProjectRef, tt.where, tt.pooler, tt.ref)
			}
			checkHidden(t, fmt.Sprintf("%v %+v %s %q", c, c, c, slog.Any("config", c).Value.Resolve()))
		})
	}
}

func TestParse_NamesTheMistake(t *testing.T) {
	t.Parallel()
	project := func(o *supabase.Options) { o.ProjectRef = ref }
	const encode = "percent-encode it"
	for _, tt := range []struct {
		name, dsn string
		want      []string
		change    func(*supabase.Options)
	}{
		{"empty", "", []string{"DATABASE_URL: is not set"}, nil},
		{"web address", "https://u:PW@" + ref + ".supabase.co", []string{"web address"}, nil},
		{"quoted", `"postgres://u:PW@h/db"`, []string{"quotation marks"}, nil},
		{"keyword=value", "host=h user=u password=PW", []string{"keyword=value", "postgresql://"}, nil},
		{"keyword=value, another order", "password = PW host=h", []string{"keyword=value"}, nil},
		{"JDBC", "jdbc:postgresql://h/db?user=u&password=PW", []string{"JDBC"}, nil},
		{"psql command", `psql "postgres://u:PW@h/db"`, []string{"psql command"}, nil},
		{"line of a .env file", "DATABASE_URL=postgres://u:PW@h/db", []string{"repeats its own name"}, nil},
		{"no scheme", "u:PW@h:5432/db", []string{"does not begin with postgresql://"}, nil},

		// One for each character that may not stand bare in a password.
		{"bare @", "postgres://u:PW@x@h/db", []string{"more than one @", encode, "%40"}, nil},
		{"bare /", "postgres://u:PW/x@h/db", []string{"bare @, / or ?", encode, "%2F"}, nil},
		{"bare ?", "postgres://u:PW?x@h/db", []string{"bare @, / or ?", encode, "%3F"}, nil},
		{"bare #", "postgres://u:PW#x@h/db", []string{"bare #", encode, "%23"}, nil},
		{"bare %", "postgres://u:PW%zz@h/db", []string{"hexadecimal", encode, "%25"}, nil},
		{"bare % at the end", "postgres://u:PW%@h/db", []string{"hexadecimal", encode}, nil},
		{"bare space", "postgres://u:PW x@h/db", []string{"space", "percent-encoded"}, nil},
		{"line break", "postgres://u:PW\nx@h/db", []string{"line break"}, nil},
		{"zero byte", "postgres://u:PW%00@h/db", []string{"zero byte"}, nil},
		// The password ends in what looks like host and parameters.
		{"bare @ before a path", "postgres://u:x@PW/y?sslmode=PW@h/db", []string{"bare @, / or ?"}, nil},
		{"@ forgotten", "postgres://u:PW/db?x=1", []string{"no @"}, nil},

		{"placeholder", "postgresql://postgres." + ref + ":[YOUR-PASSWORD]@" + pooler + ":6543/postgres", []string{"placeholder"}, nil},
		{"placeholder's brackets kept", "postgresql://postgres." + ref + ":[PW]@" + pooler + ":6543/postgres", []string{"brackets"}, nil},
		{"placeholder for the host", "postgres://u:PW@[host]:5432/db%", []string{"hexadecimal"}, nil},
		{"angle brackets for the host", "postgres://u:PW@<host>:5432/db", []string{"placeholder"}, nil},
		{"no password", "postgresql://postgres." + ref + "@" + pooler + ":6543/postgres", []string{"no password"}, nil},
		{"no user", "postgresql://" + pooler + ":6543/postgres", []string{"names no user"}, nil},
		{"no host", "postgresql://u:PW@/postgres", []string{"names no host"}, nil},

		{"user without the project", "postgresql://postgres:PW@" + pooler + ":6543/postgres", []string{"write postgres.<project ref> in place of postgres"}, nil},
		{"user without the project, which is known", "postgresql://postgres:PW@" + pooler + ":6543/postgres", []string{"write postgres." + ref + " in place of postgres"}, project},
		{"user with a dot only", "postgresql://postgres.:PW@" + pooler + ":6543/postgres", []string{"write postgres.<project ref>"}, nil},
		{"another project", "postgresql://postgres.zzzzzzzzzzzzzzzzzzzz:PW@" + pooler + ":6543/postgres", []string{"project zzzzzzzzzzzzzzzzzzzz", "SUPABASE_PROJECT_REF is " + ref}, project},
		{"another project, direct", "postgresql://postgres:PW@db.zzzzzzzzzzzzzzzzzzzz.supabase.co:5432/postgres", []string{"SUPABASE_PROJECT_REF"}, project},
		{"user with the project, direct", "postgresql://postgres." + ref + ":PW@db." + ref + ".supabase.co:5432/postgres", []string{"suffix", "write postgres for"}, nil},

		{"API host", "postgresql://postgres:PW@" + ref + ".supabase.co:5432/postgres", []string{"API host", "Connect dialog"}, nil},
		{"wrong ending", "postgresql://postgres." + ref + ":PW@aws-0-eu-central-1.pooler.supabase.co:6543/postgres", []string{".pooler.supabase.com"}, nil},
		{"port of neither pooler", "postgresql://postgres." + ref + ":PW@" + pooler + ":5433/postgres", []string{"6543", "5432", "not 5433"}, nil},
		{"port too large", "postgres://u:PW@h:65536/db", []string{"1 to 65535"}, nil},
		{"port zero", "postgres://u:PW@h:0/db", []string{"1 to 65535"}, nil},
		{"port not a number", "postgres://u:PW@h:pg/db", []string{"1 to 65535"}, nil},
		{"several hosts", "postgres://u:PW@a:1,b:2/db", []string{"several hosts"}, nil},
		{"several hosts as a parameter", "postgres://u:PW@/db?host=a,b", []string{"several hosts"}, nil},
		{"IPv6 address without brackets", "postgres://u:PW@::1/db", []string{"square brackets"}, nil},
		{"IPv6 bracket left open", "postgres://u:PW@[::1/db", []string{"square brackets"}, nil},
		{"path too long", "postgres://u:PW@h/a/b", []string{"more than a database's name"}, nil},

		{"password as a parameter", "postgres://u@h/db?password=PW", []string{"after the ?"}, nil},
		{"user twice", "postgres://u:PW@h/db?user=v", []string{"names the user twice"}, nil},
		{"port twice", "postgres://u:PW@h:1/db?port=2", []string{"names the port twice"}, nil},
		{"parameter twice", "postgres://u:PW@h/db?sslmode=require&sslmode=disable", []string{"a parameter twice: sslmode"}, nil},
		{"parameter without a value", "postgres://u:PW@h/db?sslmode", []string{"name=value"}, nil},
		// Left out in silence, this would be a connection less safe than was asked for.
		{"misspelt parameter", "postgres://u:PW@h/db?sslmod=verify-full", []string{"unknown parameter: sslmod (did you mean sslmode?)"}, nil},
		{"unknown parameter", "postgres://u:PW@h/db?frobnicate=1", []string{"unknown parameter: frobnicate"}, nil},
		{"parameter that is no name", "postgres://u:PW@h/db?a1%7Bb=1", []string{"not shown"}, nil},
		{"client certificate", "postgres://u:PW@h/db?sslcert=a&sslkey=b", []string{"sslcert", "sslkey", "not supported"}, nil},
		{"another role", "postgres://u:PW@h/db?role=postgres", []string{"connect as that role"}, nil},
		{"service file", "postgres://u:PW@h/db?service=prod", []string{"service files"}, nil},
		{"channel binding", "postgres://u:PW@h/db?channel_binding=maybe", []string{"channel_binding"}, nil},

		{"mode that mixes up answers", "postgres://u:PW@h/db?default_query_exec_mode=describe_exec", []string{"describe_exec", "other clients' answers"}, nil},
		{"prepared statements at a pooler", "postgres://u:PW@h:6543/db?default_query_exec_mode=cache_statement", []string{"cache_statement", "prepared statements"}, nil},
		{"prepared statements at an unknown server", "postgres://u:PW@h/db?default_query_exec_mode=cache_statement", []string{"cache_statement"}, nil},
		{"unknown mode", "postgres://u:PW@h/db?default_query_exec_mode=fast", []string{"unknown value"}, nil},

		{"plain text to a remote host", "postgres://u:PW@h/db?sslmode=disable", []string{"sslmode=disable", "in clear"}, nil},
		{"plain text to an address", "postgres://u:PW@10.0.0.5/db?sslmode=disable", []string{"sslmode=disable"}, nil},
		{"libpq's default", "postgres://u:PW@h/db?sslmode=prefer", []string{"sslmode=prefer falls back"}, nil},
		{"plain text first", "postgres://u:PW@localhost/db?sslmode=allow", []string{"sslmode=allow falls back"}, nil},
		{"node's mode", "postgres://u:PW@h/db?sslmode=no-verify", []string{"sslmode has an unknown value"}, nil},
		{"certificate in a file", "postgres://u:PW@h/db?sslrootcert=/etc/ca.crt", []string{"DATABASE_CA_CERT"}, nil},
		{"certificate unreadable", "postgres://u:PW@h/db", []string{"DATABASE_CA_CERT: holds no certificate"}, func(o *supabase.Options) { o.CACert = "none" }},
		{"size of the pool", "postgres://u:PW@h/db", []string{"MaxConns"}, func(o *supabase.Options) { o.MaxConns = -1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			change := tt.change
			if change == nil {
				change = func(*supabase.Options) {}
			}
			c, err := parse(tt.dsn, change)
			if err == nil {
				t.Fatalf("Parse(%q) = %s, want an error", tt.dsn, c)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("Parse(%q): error lacks %q:\n%v", tt.dsn, part, err)
				}
			}
			checkHidden(t, err.Error())
		})
	}
}

func TestParse_ReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := parse("postgres://postgres:PW@"+pooler+":7000/db?sslmode=prefer&sslcert=x&default_query_exec_mode=describe_exec&nonsense=1",
		func(o *supabase.Options) { o.CACert = "none" })
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"7000", "postgres.<project ref>", "sslmode=prefer", "sslcert", "describe_exec", "nonsense", "DATABASE_CA_CERT"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error lacks %q:\n%v", part, err)
		}
	}
}

func TestParse_DecodesThePassword(t *testing.T) {
	t.Parallel()
	for encoded, want := range map[string]string{
		"p%40ss%2Fw%3Fo%23r%25d": "p@ss/w?o#r%d",
		"a:b:c":                  "a:b:c",
		"a+b":                    "a+b", // libpq: a plus is a plus
		"p'a\\ss%27":             `p'a\ss'`,
		"%C3%A4":                 "ä",
		"ä":                      "ä",
		"!$&*()=,;~":             "!$&*()=,;~",
	} {
		c := mustParse(t, "postgres://u:"+encoded+"@h/db")
		cc, err := c.Session()
		if err != nil {
			t.Fatalf("Session: %v", err)
		}
		if cc.Password != want {
			t.Errorf("password %q read as %q, want %q", encoded, cc.Password, want)
		}
		if strings.Contains(cc.ConnString(), want) {
			t.Errorf("pgx's copy of the string holds the password %q", want)
		}
	}
}

// The environment of a machine with psql on it must not decide where a function connects or whom it trusts.
func TestParse_IgnoresLibpqsEnvironment(t *testing.T) { //nolint:paralleltest // it sets the environment
	for name, value := range map[string]string{
		"PGHOST": "evil.example.com", "PGPORT": "1", "PGUSER": "evil", "PGPASSWORD": "evil", "PGDATABASE": "evil", "PGSSLMODE": "disable",
		"PGOPTIONS": "-c search_path=evil", "PGAPPNAME": "evil", "PGTZ": "Mars/Phobos", "PGTARGETSESSIONATTRS": "standby", "PGCONNECT_TIMEOUT": "99",
		"PGSSLCERT": "/nowhere", "PGSSLKEY": "/nowhere", "PGSSLROOTCERT": "/nowhere", "PGPASSFILE": "/nowhere", "PGREQUIREAUTH": "none",
		"PGCHANNELBINDING": "require", "PGSSLNEGOTIATION": "direct", "PGMINPROTOCOLVERSION": "3.2", "PGSSLCERTMODE": "require",
	} {
		t.Setenv(name, value)
	}
	cc, err := mustParse(t, "postgres://u@h/").Session()
	if err != nil {
		t.Fatalf("Session: %v", err)
	}
	if cc.Host != "h" || cc.Port != 5432 || cc.User != "u" || cc.Password != "" || cc.Database != "postgres" {
		t.Errorf("connects to %s@%s:%d/%s, want u@h:5432/postgres", cc.User, cc.Host, cc.Port, cc.Database)
	}
	if diff := cmp.Diff(map[string]string{"application_name": "clerksync"}, cc.RuntimeParams); diff != "" {
		t.Errorf("settings of the session (-want +got):\n%s", diff)
	}
	if cc.TLSConfig == nil || len(cc.TLSConfig.Certificates) != 0 || cc.ValidateConnect != nil || cc.RequireAuth != "" ||
		cc.SSLNegotiation != "postgres" || cc.ChannelBinding != "prefer" || cc.MinProtocolVersion != "3.0" || cc.SSLCertMode != "allow" {
		t.Error("the environment changed how the connection is made")
	}
}

func TestParse_Encrypts(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t).pem
	for _, tt := range []struct {
		name, dsn, ca string
		want          supabase.Encryption
		warning       string // part of one, or empty for none
	}{
		{"remote, nothing said", "postgres://u:PW@h/db", "", supabase.Unverified, "anybody could be at its other end"},
		{"remote, require", "postgres://u:PW@h/db?sslmode=require", "", supabase.Unverified, "DATABASE_CA_CERT"},
		{"remote, ssl=true", "postgres://u:PW@h/db?ssl=true", "", supabase.Unverified, "DATABASE_CA_CERT"},
		{"remote, verify-full", "postgres://u:PW@h/db?sslmode=verify-full", "", supabase.Verified, ""},
		{"remote, the system's authorities", "postgres://u:PW@h/db?sslrootcert=system", "", supabase.Verified, ""},
		{"Supabase, verify-full with the system's authorities", "postgres://u." + ref + ":PW@" + pooler + ":6543/db?sslmode=verify-full", "", supabase.Verified, "not among the system's"},
		{"remote, certificate given", "postgres://u:PW@h/db", ca, supabase.Verified, ""},
		// A certificate is there to be used: require alone would trust anybody.
		{"remote, certificate given, require", "postgres://u:PW@h/db?sslmode=require", ca, supabase.Verified, ""},
		{"remote, certificate given, verify-ca", "postgres://u:PW@h/db?sslmode=verify-ca", ca, supabase.Verified, "verify-full"},
		{"remote, certificate given twice", "postgres://u:PW@h/db?sslmode=verify-full&sslrootcert=x.crt", ca, supabase.Verified, "sslrootcert is left out"},
		{"loopback, nothing said", "postgres://u:PW@localhost/db", "", supabase.Plain, ""},
		{"loopback address", "postgres://u:PW@127.0.0.2/db", "", supabase.Plain, ""},
		{"loopback, disable", "postgres://u:PW@127.0.0.1/db?sslmode=disable", "", supabase.Plain, ""},
		{"loopback, require", "postgres://u:PW@127.0.0.1/db?sslmode=require", "", supabase.Unverified, ""},
		{"loopback, certificate given", "postgres://u:PW@localhost/db", ca, supabase.Verified, ""},
		{"loopback, certificate given, disable", "postgres://u:PW@localhost/db?sslmode=disable", ca, supabase.Plain, "unused"},
		// Where a container reaches the machine it runs on.
		{"Docker's host", "postgres://u:PW@host.docker.internal:5432/db?sslmode=disable", "", supabase.Plain, ""},
		{"Unix socket", "postgres:///db?host=/tmp&user=u", "", supabase.Plain, ""},
		{"Unix socket, require", "postgres:///db?host=/tmp&user=u&sslmode=require", "", supabase.Plain, ""},
		// Looks like loopback at the beginning.
		{"name that begins like loopback", "postgres://u:PW@localhost.example.com/db", "", supabase.Unverified, "anybody"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, tt.dsn, func(o *supabase.Options) { o.CACert = tt.ca })
			if c.Encryption != tt.want {
				t.Errorf("Parse(%q): %s, want %s", tt.dsn, c.Encryption, tt.want)
			}
			warnings := strings.Join(c.Warnings, "\n")
			if (tt.warning == "") != (warnings == "") || !strings.Contains(warnings, tt.warning) {
				t.Errorf("Parse(%q): warnings %q, want one with %q", tt.dsn, warnings, tt.warning)
			}
			checkHidden(t, warnings)

			cc, err := c.Session()
			if err != nil {
				t.Fatalf("Session: %v", err)
			}
			checkTLS(t, cc, c.Encryption)
			if tt.want == supabase.Verified && (cc.TLSConfig.RootCAs != nil) != (tt.ca != "") {
				t.Errorf("Parse(%q): own authorities used: %t, want %t", tt.dsn, cc.TLSConfig.RootCAs != nil, tt.ca != "")
			}
		})
	}
}

// checkTLS fails when what pgx is given is less than the Config says.
func checkTLS(t *testing.T, cc *pgx.ConnConfig, said supabase.Encryption) {
	t.Helper()
	if len(cc.Fallbacks) != 0 {
		t.Errorf("%d fallbacks, want none: one of them may be plain text", len(cc.Fallbacks))
	}
	switch said {
	case supabase.Plain:
		if cc.TLSConfig != nil {
			t.Error("encrypted, though said to be plain")
		}
	case supabase.Unverified:
		if cc.TLSConfig == nil || !cc.TLSConfig.InsecureSkipVerify {
			t.Error("not as said: encrypted, unverified")
		}
	case supabase.Verified:
		if cc.TLSConfig == nil || cc.TLSConfig.InsecureSkipVerify || cc.TLSConfig.ServerName != cc.Host {
			t.Error("not as said: verified, for the host's name")
		}
	default:
		t.Errorf("unknown encryption %q", said)
	}
}

func TestParse_ChoosesTheWayToRunQueries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dsn                    string
		want                   pgx.QueryExecMode
		statements, descriptor bool // which cache is on
	}{
		{"postgres://u." + ref + ":PW@" + pooler + ":6543/db", pgx.QueryExecModeExec, false, false},
		{"postgres://u." + ref + ":PW@" + pooler + ":5432/db", pgx.QueryExecModeExec, false, false},
		{"postgres://u:PW@h/db", pgx.QueryExecModeExec, false, false},
		{"postgres://u:PW@h:6543/db?default_query_exec_mode=exec", pgx.QueryExecModeExec, false, false},
		{"postgres://u:PW@h:6543/db?default_query_exec_mode=cache_describe", pgx.QueryExecModeCacheDescribe, false, true},
		{"postgres://u:PW@h:6543/db?default_query_exec_mode=simple_protocol", pgx.QueryExecModeSimpleProtocol, false, false},
		{"postgres://u:PW@db." + ref + ".supabase.co/db?default_query_exec_mode=cache_statement", pgx.QueryExecModeCacheStatement, true, false},
		{"postgres://u." + ref + ":PW@" + pooler + ":5432/db?default_query_exec_mode=cache_statement", pgx.QueryExecModeCacheStatement, true, false},
	} {
		c := mustParse(t, tt.dsn)
		if c.Mode != tt.want {
			t.Errorf("Parse(%q): mode %s, want %s", tt.dsn, c.Mode, tt.want)
		}
		pc := supabase.PoolConfig(c).ConnConfig
		if pc.DefaultQueryExecMode != tt.want || (pc.StatementCacheCapacity > 0) != tt.statements || (pc.DescriptionCacheCapacity > 0) != tt.descriptor {
			t.Errorf("Parse(%q): pgx gets mode %s with caches of %d statements and %d descriptions",
				tt.dsn, pc.DefaultQueryExecMode, pc.StatementCacheCapacity, pc.DescriptionCacheCapacity)
		}
	}
}

func TestParse_SizesThePool(t *testing.T) {
	t.Parallel()
	pc := supabase.PoolConfig(mustParse(t, "postgres://u:PW@h/db?pool_max_conns=50"))
	if pc.MaxConns != 1 || pc.MinConns != 0 || pc.MinIdleConns != 0 {
		t.Errorf("pool of %d to %d connections, %d idle; want 0 to 1, none idle", pc.MinConns, pc.MaxConns, pc.MinIdleConns)
	}
	if pc.MaxConnIdleTime != 45*time.Second || pc.MaxConnLifetime != 10*time.Minute || pc.MaxConnLifetimeJitter <= 0 ||
		pc.PingTimeout != time.Second || pc.ConnConfig.ConnectTimeout != 5*time.Second {
		t.Errorf("limits idle %s, life %s+%s, ping %s, connect %s", pc.MaxConnIdleTime, pc.MaxConnLifetime, pc.MaxConnLifetimeJitter, pc.PingTimeout, pc.ConnConfig.ConnectTimeout)
	}
	pc = supabase.PoolConfig(mustParse(t, "postgres://u:PW@h/db", func(o *supabase.Options) { o.MaxConns = 8 }))
	if pc.MaxConns != 8 {
		t.Errorf("MaxConns = %d, want the 8 asked for", pc.MaxConns)
	}
}

func TestParse_LeavesOutWhatPoolersRefuse(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "postgres://u."+ref+":PW@"+pooler+":6543/db?sslmode=require&pgbouncer=true&connection_limit=1&supa=base-pooler.x&connect_timeout=30"+
		"&statement_timeout=5000&search_path=app&options=-c%20jit%3Doff&application_name=mine",
		func(o *supabase.Options) { o.AppName = "webhook ingest" })
	pc := supabase.PoolConfig(c).ConnConfig
	if diff := cmp.Diff(map[string]string{"application_name": "clerksync/webhook_ingest"}, pc.RuntimeParams); diff != "" {
		t.Errorf("settings of the session (-want +got):\n%s", diff)
	}
	warnings := strings.Join(c.Warnings, "\n")
	for _, name := range []string{"connection_limit", "supa", "connect_timeout", "statement_timeout", "search_path", "options", "application_name"} {
		if !strings.Contains(warnings, name) {
			t.Errorf("no warning names %s:\n%s", name, warnings)
		}
	}
}

func TestParse_WarnsWhereAFunctionShouldNotConnect(t *testing.T) {
	t.Parallel()
	ca := func(o *supabase.Options) { o.CACert = newAuthority(t).pem }
	for dsn, want := range map[string]string{
		"postgres://u." + ref + ":PW@" + pooler + ":5432/db":     "6543",
		"postgres://u:PW@db." + ref + ".supabase.co:5432/db":     "IPv6",
		"postgres://u:PW@db." + ref + ".supabase.co:6543/db":     "IPv6",
		"postgres://u." + ref + ":PW@" + pooler + ":6543/db":     "",
		"postgres://u:PW@pg.example.com:5432/db?sslmode=require": "",
	} {
		warnings := strings.Join(mustParse(t, dsn, ca).Warnings, "\n")
		if (want == "") != (warnings == "") || !strings.Contains(warnings, want) {
			t.Errorf("Parse(%q): warnings %q, want %q", dsn, warnings, want)
		}
	}
}

func TestParse_RefusesWhatBreaksAFunctionUnderLoad(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t).pem
	for _, tt := range []struct {
		name, dsn string
		problem   string   // what the error says; empty: taken
		warnings  []string // one part of each
	}{
		{"transaction pooler", "postgres://u." + ref + ":PW@" + pooler + ":6543/db", "", nil},
		{"session mode", "postgres://u." + ref + ":PW@" + pooler + ":5432/db", "DATABASE_URL: port 5432 of the shared pooler is session mode", nil},
		{"session mode, port left out", "postgres://u." + ref + ":PW@" + pooler + "/db", "write port 6543", nil},
		// It works as long as the server has connections for every instance.
		{"direct", "postgres://u:PW@db." + ref + ".supabase.co:5432/db", "", []string{"IPv6", "holds up to 4 of the server's connections"}},
		{"dedicated pooler", "postgres://u:PW@db." + ref + ".supabase.co:6543/db", "", []string{"IPv6"}},
		// Whose server it is, and how many connections it has, cannot be told.
		{"another server", "postgres://u:PW@pg.example.com:5432/db", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := parse(tt.dsn, func(o *supabase.Options) { o.CACert, o.Function, o.MaxConns = ca, true, 4 })
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Fatalf("Parse(%q) = %v, want %q", tt.dsn, err, tt.problem)
				}
				checkHidden(t, err.Error())
				return
			}
			if err != nil {
				t.Fatalf("Parse(%q): %v", tt.dsn, err)
			}
			if len(c.Warnings) != len(tt.warnings) {
				t.Fatalf("Parse(%q): warnings %q, want %q", tt.dsn, c.Warnings, tt.warnings)
			}
			for i, part := range tt.warnings {
				if !strings.Contains(c.Warnings[i], part) {
					t.Errorf("Parse(%q): warning %q, want %q", tt.dsn, c.Warnings[i], part)
				}
			}
		})
	}
}

func TestSession_FindsTheWayAroundTheTransactionPooler(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, dsn, want string // host:port, or what the refusal says
		refused         bool
	}{
		{"shared pooler", "postgres://u." + ref + ":PW@" + pooler + ":6543/db", pooler + ":5432", false},
		{"shared pooler, session already", "postgres://u." + ref + ":PW@" + pooler + ":5432/db", pooler + ":5432", false},
		{"dedicated pooler", "postgres://u:PW@db." + ref + ".supabase.co:6543/db", "db." + ref + ".supabase.co:5432", false},
		{"direct", "postgres://u:PW@db." + ref + ".supabase.co:5432/db", "db." + ref + ".supabase.co:5432", false},
		{"another server", "postgres://u:PW@h:7000/db", "h:7000", false},
		{"another pooler", "postgres://u:PW@h:6543/db", "u@h:6543/db is a transaction pooler", true},
		{"local pooler", "postgres://u:PW@127.0.0.1:7000/db?pgbouncer=true", "direct or session connection string", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := mustParse(t, tt.dsn)
			cc, err := c.Session()
			if tt.refused {
				if !errors.Is(err, supabase.ErrNoSession) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Session of %q = %v, want ErrNoSession with %q", tt.dsn, err, tt.want)
				}
				checkHidden(t, err.Error())
				return
			}
			if err != nil {
				t.Fatalf("Session of %q: %v", tt.dsn, err)
			}
			if got := fmt.Sprintf("%s:%d", cc.Host, cc.Port); got != tt.want {
				t.Errorf("Session of %q leads to %s, want %s", tt.dsn, got, tt.want)
			}
			if cc.ConnectTimeout != 10*time.Second || cc.DefaultQueryExecMode != pgx.QueryExecModeExec || cc.StatementCacheCapacity != 0 {
				t.Errorf("Session of %q: limit %s, mode %s, cache %d", tt.dsn, cc.ConnectTimeout, cc.DefaultQueryExecMode, cc.StatementCacheCapacity)
			}
			checkTLS(t, cc, c.Encryption)
			// The pool's own configuration stays as it was.
			if pc := supabase.PoolConfig(c).ConnConfig; pc.Port != c.Port || pc.ConnectTimeout != 5*time.Second {
				t.Errorf("Session of %q changed the pool's configuration", tt.dsn)
			}
		})
	}
}

// checkHidden fails when a text shows the password.
func checkHidden(t *testing.T, text string) {
	t.Helper()
	if strings.Contains(text, password) || strings.Contains(text, password[:6]) {
		t.Errorf("the password is shown: %s", text)
	}
}

func TestParse_CallsTheSettingByItsName(t *testing.T) {
	t.Parallel()
	_, err := supabase.Parse(supabase.Options{URL: secret.New("http://x"), Setting: "DIAGNOSTICS_DATABASE_URL"})
	if err == nil || !strings.HasPrefix(err.Error(), "DIAGNOSTICS_DATABASE_URL: ") {
		t.Errorf("a web address: %v", err)
	}
	c, err := supabase.Parse(supabase.Options{
		URL: secret.New("postgres://u:p@db.example.com/postgres?sslmode=require&search_path=a"), Setting: "DIAGNOSTICS_DATABASE_URL",
	})
	if err != nil || len(c.Warnings) == 0 {
		t.Fatalf("Parse = %+v, %v, want warnings", c, err)
	}
	for _, warning := range c.Warnings {
		if !strings.HasPrefix(warning, "DIAGNOSTICS_DATABASE_URL: ") {
			t.Errorf("warning %q", warning)
		}
	}
}

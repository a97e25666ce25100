package supabase

import (
	"errors"
	"slices"
	"strings"
)

// params are the parameters that have a say, and the names of those that have none.
type params struct {
	sslMode, sslRootCert string
	channelBinding       string
	execMode             string
	pgbouncer            bool
	dropped              []string // harmless, for other clients or decided here
	session              []string // settings of the session
}

// What other drivers and dashboards put into connection strings, and what this package decides itself.
var notUsed = []string{
	"supa", "connection_limit", "pool_timeout", "connect_timeout", "schema", "sslaccept", "socket_timeout", "pool_mode",
	"pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time",
	"pool_health_check_period", "pool_max_conn_lifetime_jitter", "pool_ping_timeout",
	"statement_cache_size", "statement_cache_capacity", "description_cache_capacity", "prepared_statements", "prepare", "prepareThreshold",
	"application_name", "fallback_application_name", "target_session_attrs", "load_balance_hosts", "gssencmode", "krbsrvname", "krbspn",
	"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "uselibpqcompat",
	"sslnegotiation", "sslsni", "sslcertmode", "sslcompression", "min_protocol_version", "max_protocol_version", "workaround",
}

// Settings of a session. Supabase's dedicated pooler refuses a login with most of them, the shared one ignores them
// without a word or, with search_path, opens a second pool; and none of them is needed.
var sessionSettings = []string{
	"search_path", "options", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout",
	"transaction_timeout", "timezone", "TimeZone", "datestyle", "DateStyle", "intervalstyle", "IntervalStyle", "client_encoding",
	"client_min_messages", "extra_float_digits", "standard_conforming_strings", "default_transaction_isolation", "jit", "work_mem",
}

// What changes who connects or whom is trusted cannot be left out in silence.
var refused = map[string]string{
	"sslcert":               "client certificates are not supported: log in with a password",
	"sslkey":                "client certificates are not supported: log in with a password",
	"sslpassword":           "client certificates are not supported: log in with a password",
	"role":                  "connect as that role instead",
	"session_authorization": "connect as that role instead",
	"service":               "service files are not read: write host, user and database into the string",
	"servicefile":           "service files are not read: write host, user and database into the string",
	"passfile":              "password files are not read: write the password into the string",
	"hostaddr":              "write the host's name or address before the ?",
	"require_auth":          "not supported: leave it out",
	"sslcrl":                "not supported: leave it out",
	"sslcrldir":             "not supported: leave it out",
}

func readParams(list []param) (params, error) {
	p := params{channelBinding: "prefer"}
	var problems []error
	for _, q := range list {
		switch {
		case q.name == "sslmode":
			p.sslMode = q.value
		case q.name == "ssl":
			switch q.value {
			case "true", "1":
				if p.sslMode == "" {
					p.sslMode = "require"
				}
			default:
				problems = append(problems, problem("ssl has an unknown value: use sslmode=require or sslmode=verify-full"))
			}
		case q.name == "sslrootcert":
			p.sslRootCert = q.value
		case q.name == "channel_binding":
			if !slices.Contains([]string{"disable", "prefer", "require"}, q.value) {
				problems = append(problems, problem("channel_binding has an unknown value: use prefer or require"))
				continue
			}
			p.channelBinding = q.value
		case q.name == "default_query_exec_mode":
			p.execMode = q.value
		case q.name == "pgbouncer":
			p.pgbouncer = q.value == "true" || q.value == "1"
		case slices.Contains(notUsed, q.name):
			p.dropped = append(p.dropped, q.name)
		case slices.Contains(sessionSettings, q.name):
			p.session = append(p.session, q.name)
		case refused[q.name] != "":
			problems = append(problems, problem("parameter %s: %s", q.name, refused[q.name]))
		default:
			// Not left out in silence: it may be a misspelt sslmode.
			problems = append(problems, problem("has an unknown parameter: %s%s", showName(q.name), suggest(q.name)))
		}
	}
	return p, errors.Join(problems...)
}

// suggest names the parameter that was probably meant: the one that begins alike, where there is one.
func suggest(name string) string {
	if !paramName.MatchString(name) {
		return ""
	}
	name = strings.ToLower(name)
	for _, known := range []string{"sslmode", "sslrootcert", "channel_binding", "default_query_exec_mode", "pgbouncer"} {
		if len(name) >= 4 && strings.HasPrefix(known, name[:4]) || strings.ReplaceAll(name, "_", "") == strings.ReplaceAll(known, "_", "") {
			return " (did you mean " + known + "?)"
		}
	}
	return ""
}

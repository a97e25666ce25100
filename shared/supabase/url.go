package supabase

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// dsn is a connection string taken apart, its parts decoded.
type dsn struct {
	user, password, host, database string
	port                           uint16 // 0: not given
	params                         []param
}

type param struct{ name, value string }

var keywordValue = regexp.MustCompile(`(?i)^(host|hostaddr|port|user|password|dbname|service|sslmode)\s*=`)

// splitURL takes a connection string apart, more strictly than libpq: a string that could be read in two ways is
// refused, since the wrong reading would put part of a password where hosts and parameters are, and so into errors. In
// what passes, the only @ ends the user part, and what stands before it is the only place of a password. Errors quote
// nothing, except names of parameters.
func splitURL(s string) (dsn, error) {
	rest, err := cutScheme(s)
	if err != nil {
		return dsn{}, err
	}

	const encode = "percent-encode it, writing @ as %40, / as %2F, ? as %3F, # as %23, : as %3A and % as %25"
	var d dsn
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	switch {
	case strings.ContainsFunc(rest, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return d, problem("holds a space, a line break or another character that must be percent-encoded, as %%20")
	case strings.Contains(rest, "#"):
		return d, problem("holds a bare #, probably in the password: %s", encode)
	case strings.Count(authority, "@") > 1:
		return d, problem("holds more than one @, probably in the password: %s", encode)
	case strings.Contains(tail, "@"):
		return d, problem("holds a bare @, / or ?, probably in the password: %s", encode)
	case !wellEncoded(rest):
		return d, problem("holds a %% that no two hexadecimal digits follow, probably in the password: %s", encode)
	}

	userinfo, hosts, found := strings.Cut(authority, "@")
	if !found {
		userinfo, hosts = "", authority
		// Read on, host and parameters of such a string would be a user and pieces of the password.
		if _, port, ok := cutLast(hosts, ":"); ok && strings.Trim(port, "0123456789]:") != "" {
			return d, problem("has no @ between password and host: write postgresql://user:password@host:port/database")
		}
	}
	user, password, _ := strings.Cut(userinfo, ":")
	path, query, _ := strings.Cut(tail, "?")
	database := strings.TrimPrefix(path, "/")
	if strings.Contains(database, "/") {
		return d, problem("has more than a database's name between host and parameters")
	}
	d.user, d.password, d.database = decode(user), decode(password), decode(database)

	var problems []error
	if d.params, err = splitQuery(query); err != nil {
		problems = append(problems, err)
	}
	if err := d.takeHost(hosts); err != nil {
		problems = append(problems, err)
	}
	if err := d.fillFromParams(); err != nil {
		problems = append(problems, err)
	}
	if strings.ContainsRune(d.user+d.password+d.host+d.database, 0) {
		problems = append(problems, problem("holds an encoded zero byte"))
	}
	return d, errors.Join(problems...)
}

// cutScheme returns what follows postgres://, or says what the string is instead.
func cutScheme(s string) (string, error) {
	const want = "write postgresql://user:password@host:port/database"
	lower := strings.ToLower(s)
	for _, scheme := range []string{"postgresql://", "postgres://"} {
		if strings.HasPrefix(lower, scheme) {
			return s[len(scheme):], nil
		}
	}
	switch {
	case s == "":
		return "", problem("is not set")
	case strings.ContainsAny(s[:1], "\"'`“‘"):
		return "", problem("has quotation marks around it: remove them")
	case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"):
		return "", problem("is a web address, not a connection string: %s", want)
	case strings.HasPrefix(lower, "jdbc:"):
		return "", problem("is in JDBC's form: %s", want)
	case strings.HasPrefix(lower, "psql "):
		return "", problem("is a psql command: keep only the connection string, without its quotation marks")
	case strings.HasPrefix(s, "DATABASE_URL="):
		return "", problem("repeats its own name: keep only what follows the =")
	case keywordValue.MatchString(s):
		return "", problem("is in libpq's keyword=value form, which is not read: %s", want)
	default:
		return "", problem("does not begin with postgresql://: %s", want)
	}
}

// takeHost reads host and port.
func (d *dsn) takeHost(hosts string) error {
	if strings.Contains(hosts, ",") {
		return problem("names several hosts: give one")
	}
	host, port := hosts, ""
	if strings.HasPrefix(hosts, "[") {
		end := strings.Index(hosts, "]")
		if end < 0 || (hosts[end+1:] != "" && hosts[end+1] != ':') {
			return problem("the host's square brackets are for an IPv6 address, as in [::1]:5432")
		}
		host, port = hosts[1:end], strings.TrimPrefix(hosts[end+1:], ":")
	} else if h, p, ok := cutLast(hosts, ":"); ok {
		if strings.Contains(h, ":") {
			return problem("has more than one colon after the @: an IPv6 address belongs in square brackets")
		}
		host, port = h, p
	}
	d.host = decode(host)
	if strings.ContainsAny(d.host, "<>[]{}") {
		return problem("the host is still a placeholder: copy the string from the project's Connect dialog")
	}
	return d.takePort(port)
}

func (d *dsn) takePort(port string) error {
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return problem("the port is no number from 1 to 65535")
	}
	d.port = uint16(n)
	return nil
}

// fillFromParams takes what may be said as a parameter too, such as a Unix socket's directory, where the string has
// not said it before.
func (d *dsn) fillFromParams() error {
	var problems []error
	var rest []param
	fill := func(into *string, p param) {
		if *into != "" {
			problems = append(problems, problem("names the %s twice, before and after the ?: keep one", p.name))
			return
		}
		*into = p.value
	}
	for _, p := range d.params {
		switch p.name {
		case "host":
			if strings.Contains(p.value, ",") {
				problems = append(problems, problem("names several hosts: give one"))
				continue
			}
			fill(&d.host, p)
		case "user":
			fill(&d.user, p)
		case "dbname":
			fill(&d.database, p)
		case "port":
			if d.port != 0 {
				problems = append(problems, problem("names the port twice, before and after the ?: keep one"))
				continue
			}
			problems = append(problems, d.takePort(p.value))
		case "password":
			problems = append(problems, problem("has the password after the ?: write it as user:password@host"))
		default:
			rest = append(rest, p)
		}
	}
	d.params = rest
	return errors.Join(problems...)
}

func splitQuery(query string) ([]param, error) {
	var params []param
	var problems []error
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || strings.Contains(value, "=") && name != "options" {
			problems = append(problems, problem("has a parameter after the ? that is not of the form name=value"))
			continue
		}
		name = decode(name)
		if seen[name] {
			problems = append(problems, problem("has a parameter twice: %s", showName(name)))
			continue
		}
		seen[name] = true
		params = append(params, param{name, decode(value)})
	}
	return params, errors.Join(problems...)
}

// wellEncoded reports whether every % begins an encoded byte.
func wellEncoded(s string) bool {
	_, err := url.PathUnescape(s)
	return err == nil
}

// decode undoes percent-encoding in a string that is well encoded. A + stands for itself, as libpq has it.
func decode(s string) string {
	out, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return out
}

var paramName = regexp.MustCompile(`^[A-Za-z_][A-Za-z_.]{0,40}$`)

// showName writes a parameter's name, unless it looks like anything but one.
func showName(name string) string {
	if paramName.MatchString(name) {
		return name
	}
	return "one whose name is not shown"
}

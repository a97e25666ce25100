package supabase_test

import (
	"net"
	"net/url"
	"strings"
	"testing"

	"clerksync/shared/secret"
	"clerksync/shared/supabase"
)

// Whatever stands in the password's place of a string, encoded or not: Parse does not panic, no error, warning or
// description shows the password, and what is accepted encrypts unless it stays on the machine.
func FuzzParse_NeverLeaksOrGoesPlain(f *testing.F) {
	for _, pw := range []string{
		password, "p@ss", "p@ss/w", "a?sslmode=s3cret", "a#b", "%zz", "%00", "[YOUR-PASSWORD]", "x@evil:5432/aaa?sslmode=s3cret-s3cret", "1234567",
		"a b", "a\nb", "p:q", "ü", "x@h,y", "?host=s3cret", "/s3cret?user=", "@", "x@secret-host", "x@secret-host:6543/secret-base", "s3cret@h:s3cret/s3cret/s3cret", `a'b\c`,
	} {
		for _, tail := range []string{
			"@" + pooler + ":6543/postgres?sslmode=require", "@db." + ref + ".supabase.co/postgres", "@localhost/db?sslmode=disable",
			"@10.0.0.1:5432/db", "@h/db?sslmode=verify-full&options=x", "@h/db?host=/tmp", "@[::1]:1/db", "",
		} {
			f.Add("postgresql://postgres."+ref, pw, tail)
		}
	}
	f.Add("", "", "")
	f.Add("postgres://u", "secret-secret", "@h/db?user=x&host=secret")

	f.Fuzz(func(t *testing.T, head, pw, tail string) {
		// In clear as people paste it, and encoded as they should.
		for _, raw := range []string{pw, url.PathEscape(pw)} {
			dsn := head + ":" + raw + tail
			c, err := supabase.Parse(supabase.Options{URL: secret.New(dsn), ProjectRef: ref})
			var said string
			if err != nil {
				said = err.Error()
			} else {
				said = c.String() + strings.Join(c.Warnings, " ")
				checkPlain(t, dsn, c)
			}
			// Judged where it is certain which part is the password: a string without the @ that ends a password has none.
			if !strings.HasPrefix(tail, "@") || strings.Contains(tail[1:], "@") || strings.ContainsAny(head, "@") {
				continue
			}
			// In pieces too: read wrongly, a password falls apart at these characters.
			for _, piece := range append(strings.FieldsFunc(pw, func(r rune) bool { return strings.ContainsRune("@/?#:%,=&[] ", r) }), pw) {
				// What the rest of the string, or a text of this package, says as well is no leak.
				if len(piece) >= 6 && strings.Contains(said, piece) && !strings.Contains(head+tail, piece) && !strings.Contains(vocabulary, piece) {
					t.Errorf("Parse(%q) shows %q of the password: %s", dsn, piece, said)
				}
			}
		}
	})
}

func checkPlain(t *testing.T, dsn string, c *supabase.Config) {
	t.Helper()
	cc := supabase.PoolConfig(c).ConnConfig
	if len(cc.Fallbacks) != 0 {
		t.Errorf("Parse(%q) leaves %d fallbacks", dsn, len(cc.Fallbacks))
	}
	host := strings.ToLower(strings.TrimSuffix(cc.Host, "."))
	local := strings.HasPrefix(host, "/") || host == "localhost" || host == "host.docker.internal" || net.ParseIP(host).IsLoopback()
	if cc.TLSConfig == nil && !local {
		t.Errorf("Parse(%q) connects to %s in plain text", dsn, cc.Host)
	}
}

// vocabulary is what this package says in any case.
var vocabulary = func() string {
	var all strings.Builder
	for _, dsn := range []string{
		"", "x", "postgres://u:p@x@h", "postgres://u:a b@h", "postgres://u:p/@h", "postgres://u:p#@h", "postgres://u:%@h", "postgres://u:p@a,b", "postgres://u:p@[h",
		"postgres://u:p@a:b:c", "postgres://u:p@h/a/b", "postgres://u:p@h:0", "postgres://u:[p]@h?a", "postgres://:p@", "postgres://u:p@h?sslmode=disable&password=a&a=b",
		"postgres://postgres:p@x.pooler.supabase.com:1?sslmode=prefer", "postgres://u:p/x",
	} {
		if _, err := supabase.Parse(supabase.Options{URL: secret.New(dsn)}); err != nil {
			all.WriteString(err.Error())
		}
	}
	return all.String()
}()

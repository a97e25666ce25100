package supabase

import (
	"net"
	"net/url"
	"strconv"

	"clerksync/shared/secret"
)

// Login returns the connection string with which another role logs in to the
// same database at run time: through the transaction pooler where the host has
// one. note, if not empty, is what the caller should be told about the string.
// TLS settings other than whether it is encrypted are left to the reader's
// configuration.
func (c *Config) Login(role, password string) (connection secret.Value, note string) {
	port := c.Port
	switch c.kind {
	case sharedPooler:
		port = transactionPort
		if _, ref, ok := cutLast(c.User, "."); ok {
			role += "." + ref
		}
	case projectHost:
		note = "functions outside an IPv6 network need the shared pooler: take its host from the project's Connect dialog, " +
			"use port 6543, and write the user as " + role + "." + c.hostRef()
	case other, ownMachine, socket:
	}
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(role, password), Path: "/" + c.Database}
	if c.kind == socket {
		u.RawQuery = url.Values{"host": {c.Host}, "port": {strconv.Itoa(int(port))}}.Encode()
	} else {
		u.Host = net.JoinHostPort(c.Host, strconv.Itoa(int(port)))
	}
	return secret.New(u.String()), note
}

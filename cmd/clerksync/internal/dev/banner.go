package dev

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack"
	"clerksync/shared/jwtdiag/endpoint"
)

// banner says what runs where.
func (d *development) banner() {
	s := d.screen
	for _, warning := range d.stack.Warnings {
		s.Talk("clerksync: warning: %s", warning)
	}
	s.Talk("%s %s  %s", s.Bold("gateway "), d.stack.WebhookURL(), s.Dim("GET /healthz"))
	switch {
	case d.stack.EmbeddedURL() == "":
		s.Talk("%s %s, from DATABASE_URL", s.Bold("database"), d.stack.Database())
	case d.cmd.Data == "":
		s.Talk("%s %s  %s", s.Bold("database"), d.stack.Database(), s.Dim("thrown away at the end"))
	default:
		s.Talk("%s %s  %s", s.Bold("database"), d.stack.Database(), s.Dim("kept in "+string(d.cmd.Data)))
	}
	if url := d.stack.EmbeddedURL(); url != "" {
		s.Talk("         psql '%s'", url)
	}
	if settings := d.stack.RealClerk(); len(settings) > 0 {
		s.Talk("%s your own instance, because of %s", s.Bold("clerk   "), strings.Join(settings, ", "))
		s.Talk("         clerk webhooks listen --forward-to %s", d.stack.WebhookURL())
	} else {
		s.Talk("%s a double  %s", s.Bold("clerk   "), s.Dim(fmt.Sprintf("seed %d: %d sign-ups, then %v events a second; %v %% late, %v %% twice",
			d.cmd.Seed, d.cmd.Users, d.cmd.Rate, 100*d.cmd.Late, 100*d.cmd.Twice)))
		if d.cmd.Unseen > 0 {
			s.Talk("         %s", s.Dim(fmt.Sprintf("%s were there before, and no event tells of them", console.Count(d.cmd.Unseen, "user", "users"))))
		}
		s.Talk("         %s", d.syncLine())
		if len(d.known) > 0 {
			s.Talk("         %s", s.Dim(fmt.Sprintf("the %d rows that are there already stay out of the comparison", len(d.known))))
		}
		if d.cmd.PrintSecret {
			s.Talk("%s %s", s.Bold("secret  "), d.stack.Endpoints()[0].Secret.Reveal())
		}
	}
	if d.stack.Queue() != nil {
		s.Talk("%s in memory, with SQS's rules  %s", s.Bold("queue   "), s.Dim(fmt.Sprintf("batches of up to %d, gathered for %s, %d at a time; %v %% twice",
			devstack.QueueBatchSize, devstack.QueueWindow, devstack.QueueConcurrency, 100*d.cmd.Twice)))
	}
	d.diagnosticsLines()
	if d.cmd.Duration > 0 {
		s.Talk("%s", s.Dim(fmt.Sprintf("ends after %s; Ctrl-C ends it earlier", d.cmd.Duration)))
	} else {
		s.Talk("%s", s.Dim("Ctrl-C ends it"))
	}
	s.Talk("")
}

// syncLine is a full sync of the double, to be typed in a second terminal. The
// key is the double's, made for this run; a given DATABASE_URL is not repeated.
func (d *development) syncLine() string {
	line := "CLERK_API_URL=" + d.stack.BackendURL() + " CLERK_SECRET_KEY=" + d.stack.SecretKey().Reveal()
	return line + " clerksync" + d.envFileFlag() + " sync-users"
}

// envFileFlag names the file with the connection strings of the embedded database.
func (d *development) envFileFlag() string {
	if file := d.stack.EnvFile(); file != "" {
		return " --env-file " + file
	}
	return ""
}

// diagnosticsLines say where the page is, and for a double how to come by a token
// and what to do with it in a second terminal. A given connection string is not
// repeated.
func (d *development) diagnosticsLines() {
	u, err := url.Parse(d.stack.URL())
	if err != nil || !net.ParseIP(u.Hostname()).IsLoopback() {
		return // it is served to this machine alone, which calls itself by other names
	}
	s := d.screen
	s.Talk("%s %s  %s", s.Bold("page    "), d.stack.URL()+endpoint.Path, s.Dim("paste a token, and see what is the matter with it"))
	if d.instance == nil {
		return
	}
	line := "curl -sX POST " + d.stack.URL() + tokenPath + " | CLERK_ISSUER=" + d.stack.Issuer()
	s.Talk("         %s", line+" clerksync"+d.envFileFlag()+" test-jwt")
}

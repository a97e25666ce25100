// Package dev is the command dev: the local stack with a Clerk that lives, or with the
// webhooks of an instance, and what is seen of it.
package dev

import (
	"errors"
	"math"
	"net"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack"
)

// Command is dev, as kong reads it.
type Command struct {
	Addr        string        `help:"Where the gateway listens (default: ${default})." default:"127.0.0.1:8787" placeholder:"HOST:PORT"`
	Postgres    string        `help:"Main version of the embedded PostgreSQL, 15 or 17 (default: the one that is found)." enum:",15,17" default:"" placeholder:"15|17"`
	Data        console.Path  `help:"Keep the embedded database in this folder (default: throw it away)." placeholder:"DIR"`
	Seed        uint64        `help:"Seed of the Clerk double: one seed, one history (default: ${default})." default:"1" placeholder:"N"`
	Users       int           `help:"How many people sign up at the start (default: ${default})." default:"20" placeholder:"N"`
	Unseen      int           `help:"How many users, and a tenth as many organizations, Clerk has from before the endpoint was connected: no event tells of them, sync-users finds them (default: ${default})." default:"0" placeholder:"N"`
	Rate        float64       `help:"How many events a second follow, on average (default: ${default})." default:"5" placeholder:"EVENTS"`
	Duration    time.Duration `help:"Stop by itself after this time, such as 10s (default: run until Ctrl-C)." placeholder:"DURATION"`
	Late        float64       `help:"Share of the deliveries that are held back, so that later ones overtake them (default: ${default})." default:"0.1" placeholder:"SHARE"`
	Twice       float64       `help:"Share of the deliveries that come twice (default: ${default})." default:"0.05" placeholder:"SHARE"`
	Ingest      string        `help:"Apply each delivery before it is answered, or answer once it lies in a queue, from which batches are applied (default: ${default})." enum:"direct,queued" default:"direct" placeholder:"direct|queued"`
	Mix         bool          `help:"Let the double write into a database of yours whose copy is not empty, and leave what is not the double's out of the comparison."`
	PrintSecret bool          `help:"Show the signing secret made for this run, to sign requests by hand."`

	// queue is what tests change about the queue.
	queue devstack.Queued
}

// Help is the text below the flags' list in "clerksync dev --help".
func (Command) Help() string {
	return `Without settings everything is local and made up: an embedded PostgreSQL that looks like Supabase's, and a
double of Clerk whose users sign up, join, leave and are deleted. The double has a Backend API too, for sync-users in a
second terminal: the line to type is printed at the start.

The page at /diagnostics/jwt says what is the matter with a token. It is served to this machine alone. The double makes tokens
to try it with: the line to type is printed, too.

With DATABASE_URL set, that database is used and migrated instead. With any CLERK_… setting there is no double, and
the gateway waits for the webhooks of your instance, verified with CLERK_WEBHOOK_SIGNING_SECRET.

With --ingest queued the deliveries go through a queue with SQS's rules in this process, from which the consumer of the
deployed stack applies them. The share of --twice holds for the queue, too.

At the end the copy is compared with what the double holds. The exit code is 1 if they differ, or if an event was given up.
What no event has told of (--unseen) may be missing.

Examples:
  clerksync dev
  clerksync dev --duration 10s --rate 100 --seed 42 --late 0.5 --twice 0.3
  clerksync dev --data .postgres --ingest queued`
}

// Validate checks what the types of the flags do not.
func (cmd Command) Validate() error {
	share := func(name string, value float64) error {
		return console.Refuse(!(value >= 0 && value <= 1), "--%s is %v: give a share from 0 to 1", name, value)
	}
	people := func(name string, n int) error {
		return console.Refuse(n < 0 || n > maxPeople, "--%s is %d: give a number from 0 to %d", name, n, maxPeople)
	}
	_, _, err := net.SplitHostPort(cmd.Addr)
	return errors.Join(share("late", cmd.Late), share("twice", cmd.Twice), people("users", cmd.Users), people("unseen", cmd.Unseen),
		console.Refuse(err != nil, "--addr is %q: give HOST:PORT", cmd.Addr),
		console.Refuse(!(cmd.Rate >= 0) || math.IsInf(cmd.Rate, 0), "--rate is %v: give how many events a second", cmd.Rate),
		console.Refuse(cmd.Duration < 0, "--duration is negative"))
}

// maxPeople is more than a double in this process can hold in a laptop's memory.
const maxPeople = 10_000_000

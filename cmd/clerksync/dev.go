package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/supabase"
)

type devCommand struct {
	Addr        string        `help:"Where the gateway listens (default: ${default})." default:"127.0.0.1:8787" placeholder:"HOST:PORT"`
	Postgres    string        `help:"Main version of the embedded PostgreSQL, 15 or 17 (default: whichever is found)." enum:",15,17" default:"" placeholder:"15|17"`
	Data        string        `help:"Keep the embedded database in this folder (default: throw it away)." type:"path" placeholder:"DIR"`
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
func (devCommand) Help() string {
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
What no event has told of (--unseen) may be missing.`
}

// Validate checks what the types of the flags do not.
func (cmd devCommand) Validate() error {
	share := func(name string, value float64) error {
		if !(value >= 0 && value <= 1) {
			return fmt.Errorf("--%s is %v: give a share from 0 to 1", name, value)
		}
		return nil
	}
	negative := func(name string, is bool) error {
		if is {
			return fmt.Errorf("--%s is negative", name)
		}
		return nil
	}
	return errors.Join(share("late", cmd.Late), share("twice", cmd.Twice),
		negative("users", cmd.Users < 0), negative("unseen", cmd.Unseen < 0), negative("rate", !(cmd.Rate >= 0)), negative("duration", cmd.Duration < 0))
}

// ingestQueued is the value of --ingest with a queue.
const ingestQueued = "queued"

const (
	// interruptedDrain is how long deliveries under way may take after Ctrl-C,
	// finishedDrain after the time of --duration.
	interruptedDrain = 5 * time.Second
	finishedDrain    = 30 * time.Second
	// compareLimit is for reading and comparing all tables.
	compareLimit = time.Minute
	// stopLimit is for everything to stop by itself.
	stopLimit = 15 * time.Second
	// slowStep is when a step that still goes on is explained.
	slowStep = 2 * time.Second
)

// development is one run of the command.
type development struct {
	cmd    devCommand
	screen *screen
	stack  *devstack.Stack
	tally  *tally
	logger *slog.Logger
	// diagnostics is what the diagnostics look at, nil until they are served.
	diagnostics *supabase.DB

	// The double; nil with a real instance.
	instance *clerkinstance.Instance
	mint     *tokens.Mint
	sender   *svix.Sender
	// known are the rows that were there before.
	known map[string]bool
	// unseen are the ids that no event tells of.
	unseen map[string]bool

	// abandoned: what the handler logs from now on is about requests that were
	// broken off on purpose.
	abandoned atomic.Bool
}

// Run is the command. Ctrl-C is the way to end it, and so no failure; a second
// Ctrl-C during the clean-up is.
func (cmd devCommand) Run(ctx context.Context, c console) error {
	d := &development{cmd: cmd, screen: newScreen(c), tally: newTally()}
	defer d.screen.close()
	// A reader that goes away is noticed by the failing write, and everything is
	// stopped in order; the signal would end this process alone.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)

	if err := d.start(ctx, c); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return err
	}
	// The clean-up goes on after the signal that began it, until the second one.
	ending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	err := d.live(ctx)
	if ctx.Err() != nil {
		stop := onInterrupt(cancel)
		defer stop()
	}
	if err == nil {
		err = d.finish(ctx, ending)
	}
	d.abandoned.Store(true)
	if d.sender != nil {
		d.sender.Close()
	}
	stopping, release := context.WithTimeoutCause(ending, stopLimit, fmt.Errorf("stopping took longer than %s", stopLimit))
	defer release()
	stopErr := d.stack.Stop(stopping)
	if ending.Err() != nil {
		return fmt.Errorf("stopped at once: %w", ending.Err())
	}
	d.diagnostics.Close() // nobody asks any more
	return errors.Join(err, stopErr)
}

// onInterrupt calls f at the next signal.
func onInterrupt(f func()) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			f()
		case <-done:
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

// start brings up the stack and the double and says where everything is.
func (d *development) start(ctx context.Context, c console) error {
	step := newSlowStep(d.screen)
	defer step.end()
	major := 0
	if d.cmd.Postgres != "" {
		major = 15
		if d.cmd.Postgres == "17" {
			major = 17
		}
	}
	var queued *devstack.Queued
	if d.cmd.Ingest == ingestQueued {
		q := d.cmd.queue
		q.Twice, q.Seed, q.Handled = d.cmd.Twice, d.cmd.Seed, d.handled
		queued = &q
	}
	var err error
	d.stack, err = devstack.Start(ctx, devstack.Options{
		Lookup: c.Lookup, Addr: d.cmd.Addr, Postgres: major, DataDir: d.cmd.Data,
		Progress: step.begin,
		Observe:  d.observe,
		Queued:   queued,
		Logger: func(level slog.Level) *slog.Logger {
			d.logger = slog.New(slog.NewTextHandler(d, &slog.HandlerOptions{Level: level}))
			return d.logger
		},
	})
	step.end()
	if errors.Is(err, devstack.ErrAddressInUse) {
		return fmt.Errorf("%w, as in --addr 127.0.0.1:8788", err)
	}
	if err != nil {
		return err
	}
	err = d.startDouble(ctx)
	if err == nil {
		err = d.serveDiagnostics(ctx, c)
	}
	if err != nil {
		return errors.Join(err, d.stack.Stop(context.WithoutCancel(ctx)))
	}
	d.banner()
	return nil
}

// Write takes the lines of the log.
func (d *development) Write(line []byte) (int, error) {
	if !d.abandoned.Load() {
		d.screen.talk("%s", bytes.TrimRight(line, "\n"))
	}
	return len(line), nil
}

func (d *development) startDouble(ctx context.Context) error {
	if len(d.stack.RealClerk()) > 0 {
		return nil
	}
	occupied, err := d.occupied(ctx)
	if err != nil {
		return err
	}
	var salt uint64
	if occupied != "" {
		// The ids of the same seed are taken, some of them by tombstones.
		salt = uint64(time.Now().UnixNano())
		if d.stack.EmbeddedURL() == "" && !d.cmd.Mix {
			return fmt.Errorf("%s, and made-up people would mix with what is there: "+
				"give --mix if that is what you want, set CLERK_WEBHOOK_SIGNING_SECRET for your own instance, or unset DATABASE_URL", occupied)
		}
	}
	d.sender, err = svix.NewSender(svix.SenderOptions{
		Endpoints: d.stack.Endpoints(), Late: d.cmd.Late, Twice: d.cmd.Twice, Seed: d.cmd.Seed, OnAttempt: d.attempted,
	})
	if err != nil {
		return err
	}
	d.instance = clerkinstance.New(clerkinstance.Options{Seed: d.cmd.Seed, Salt: salt, Emit: d.sender.Send})
	if err := d.seed(); err != nil {
		return err
	}
	d.mint, err = d.stack.ServeBackend(d.instance)
	return err
}

// occupied says what the copy holds already, or that it cannot be told; "" if it is
// empty. It fails where the database cannot be asked at all.
func (d *development) occupied(ctx context.Context) (string, error) {
	var err error
	d.known, err = d.stack.Rows(ctx)
	rows, heard := int64(len(d.known)), false
	switch {
	case errors.Is(err, devstack.ErrUnreadable):
		if rows, heard, err = d.stack.Unread(ctx); err != nil {
			return fmt.Sprintf("it cannot be told whether the copy in %s is empty (%v)", d.stack.Database(), err), nil
		}
	case err != nil:
		return "", err
	}
	switch {
	case rows > 0:
		return fmt.Sprintf("the copy in %s holds %s already", d.stack.Database(), count(int(rows), "row", "rows")), nil
	case heard:
		return fmt.Sprintf("the copy in %s has heard of an instance already", d.stack.Database()), nil
	default:
		return "", nil
	}
}

// seed makes those who were there before the endpoint was.
func (d *development) seed() error {
	n := d.cmd.Unseen
	if n == 0 {
		return nil
	}
	before := d.instance.Snapshot().IDs()
	err := d.instance.Seed(clerkinstance.SeedOptions{Users: n, Organizations: n / 10, Memberships: n / 10 * min(5, n)})
	if err != nil {
		return err
	}
	d.unseen = d.instance.Snapshot().IDs()
	maps.DeleteFunc(d.unseen, func(id string, _ bool) bool { return before[id] })
	return nil
}

// seen takes the differences out of which nobody can blame the events: an object
// that none has told of, and that the copy does not have, or has as what an
// event about another object let it guess. It returns how many such objects
// there are.
func (d *development) seen(differences []devstack.Difference) (rest []devstack.Difference, missing int) {
	excused := map[string]bool{}
	for _, x := range differences {
		absent := x.Field == "row" && x.Copy == "absent"
		guessed := x.Field == "is_placeholder" && x.Copy == "true"
		if d.unseen[x.ID] && (absent || guessed) {
			excused[x.ID] = true
		}
	}
	return slices.DeleteFunc(differences, func(x devstack.Difference) bool { return excused[x.ID] }), len(excused)
}

// banner says what runs where.
func (d *development) banner() {
	s := d.screen
	for _, warning := range d.stack.Warnings {
		s.talk("clerksync: warning: %s", warning)
	}
	s.talk("%s %s  %s", s.bold("gateway "), d.stack.WebhookURL(), s.dim("GET /healthz"))
	switch {
	case d.stack.EmbeddedURL() == "":
		s.talk("%s %s, from DATABASE_URL", s.bold("database"), d.stack.Database())
	case d.cmd.Data == "":
		s.talk("%s %s  %s", s.bold("database"), d.stack.Database(), s.dim("thrown away at the end"))
	default:
		s.talk("%s %s  %s", s.bold("database"), d.stack.Database(), s.dim("kept in "+d.cmd.Data))
	}
	if url := d.stack.EmbeddedURL(); url != "" {
		s.talk("         psql '%s'", url)
	}
	if settings := d.stack.RealClerk(); len(settings) > 0 {
		s.talk("%s your own instance, because of %s", s.bold("clerk   "), strings.Join(settings, ", "))
		s.talk("         clerk webhooks listen --forward-to %s", d.stack.WebhookURL())
	} else {
		s.talk("%s a double  %s", s.bold("clerk   "), s.dim(fmt.Sprintf("seed %d: %d sign-ups, then %v events a second; %v %% late, %v %% twice",
			d.cmd.Seed, d.cmd.Users, d.cmd.Rate, 100*d.cmd.Late, 100*d.cmd.Twice)))
		if d.cmd.Unseen > 0 {
			s.talk("         %s", s.dim(fmt.Sprintf("%s were there before, and no event tells of them", count(d.cmd.Unseen, "user", "users"))))
		}
		s.talk("         %s", d.syncLine())
		if len(d.known) > 0 {
			s.talk("         %s", s.dim(fmt.Sprintf("the %d rows that are there already stay out of the comparison", len(d.known))))
		}
		if d.cmd.PrintSecret {
			s.talk("%s %s", s.bold("secret  "), d.stack.Endpoints()[0].Secret.Reveal())
		}
	}
	if d.stack.Queue() != nil {
		s.talk("%s in memory, with SQS's rules  %s", s.bold("queue   "), s.dim(fmt.Sprintf("batches of up to %d, gathered for %s, %d at a time; %v %% twice",
			devstack.QueueBatchSize, devstack.QueueWindow, devstack.QueueConcurrency, 100*d.cmd.Twice)))
	}
	d.diagnosticsLines()
	if d.cmd.Duration > 0 {
		s.talk("%s", s.dim(fmt.Sprintf("ends after %s; Ctrl-C ends it earlier", d.cmd.Duration)))
	} else {
		s.talk("%s", s.dim("Ctrl-C ends it"))
	}
	s.talk("")
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

// live lets things happen until it is time to end, which is no error.
func (d *development) live(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if d.cmd.Duration > 0 {
		ctx, cancel = context.WithTimeout(ctx, d.cmd.Duration)
		defer cancel()
	}
	d.tally.begin()

	var waits []<-chan error
	if d.instance != nil {
		waits = append(waits, inBackground(func() error {
			traffic := clerkinstance.NewTraffic(d.instance, d.cmd.Seed)
			if err := traffic.SignUps(d.cmd.Users); err != nil {
				return err
			}
			return traffic.Run(ctx, d.cmd.Rate)
		}))
	}
	waits = append(waits, inBackground(func() error {
		d.watchTables(ctx)
		return nil
	}))

	var err error
	select {
	case <-ctx.Done():
	case err = <-d.stack.Failed():
	case <-d.screen.gone:
	}
	cancel()
	for _, wait := range waits {
		err = errors.Join(err, <-wait)
	}
	return err
}

// inBackground runs f and hands over its result.
func inBackground(f func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return result
}

// watchTables counts the tables for those who look on: every second on a
// terminal, every five in a log.
func (d *development) watchTables(ctx context.Context) {
	every := 5 * time.Second
	if d.screen.animated {
		every = time.Second
	}
	if d.screen.json {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if d.screen.animated {
			d.screen.status(d.tally.block(d.screen))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		d.tally.setQueue(d.stack.Queue())
		started := time.Now()
		status, err := d.stack.Status(ctx)
		// A database that is away for a moment shows in the stream.
		if err == nil {
			d.tally.setTables(status)
			// Counting may take a twentieth of the time.
			tick.Reset(max(every, 20*time.Since(started)))
		}
		if !d.screen.animated && ctx.Err() == nil {
			d.screen.talk("clerksync: %s", d.tally.line())
		}
	}
}

// attempted shows a delivery by the double.
func (d *development) attempted(a svix.Attempt) {
	d.show(delivery{
		At: a.At, Type: a.Type, ObjectID: a.ObjectID, SvixID: a.SvixID,
		Attempt: a.Number, Late: a.Late, Twice: a.Twice, Status: a.Status, Outcome: a.Outcome, Code: a.Code,
		Latency: a.Latency, err: a.Err, GivenUp: a.GivenUp,
	})
}

// observe shows a request of a real instance; the double's own are shown by the
// side that sends them, which also knows of those that never arrived.
func (d *development) observe(r devstack.Request) {
	if d.instance != nil {
		return
	}
	d.show(delivery{
		At: r.At, Type: r.Type, ObjectID: r.ObjectID, SvixID: r.SvixID,
		Status: r.Status, Outcome: string(r.Outcome), Reason: r.Reason, Code: r.Code, Latency: r.Latency,
	})
}

// handled shows what became of an event from the queue.
func (d *development) handled(h devstack.Handled) {
	d.show(delivery{
		At: h.At, Type: h.Type, ObjectID: h.ObjectID, SvixID: h.SvixID, Outcome: string(h.Outcome), Reason: h.Reason, Latency: h.Lag, Batch: h.Batch,
	})
}

func (d *development) show(x delivery) {
	d.tally.add(x)
	if d.screen.json {
		d.screen.object(x.object())
		return
	}
	d.screen.data(x.line(d.screen))
	if d.screen.animated {
		d.screen.status(d.tally.block(d.screen))
	}
}

// errDiffers is the failure of a run whose copy is not what it should be, and
// errDeadLetters of one that has given up events.
var (
	errDiffers     = errors.New("the copy differs from Clerk's state")
	errDeadLetters = errors.New("the queue has given up events")
)

// finish delivers what is under way, compares and sums up.
func (d *development) finish(ctx, ending context.Context) error {
	limit := finishedDrain
	if ctx.Err() != nil {
		limit = interruptedDrain
	}
	if d.instance == nil {
		draining, cancel := context.WithTimeout(ending, limit)
		defer cancel()
		_ = d.stack.DrainQueue(draining) // what is left then is told by Stop
		d.sumUp(ending, nil, nil)
		return d.givenUp()
	}
	if n := d.sender.Counts().Pending; n > 0 {
		d.screen.talk("%s", d.screen.dim(fmt.Sprintf("finishing %s, for %s at most; Ctrl-C stops at once", count(n, "delivery", "deliveries"), limit)))
	}
	draining, cancel := context.WithTimeoutCause(ending, limit, fmt.Errorf("they took longer than %s", limit))
	defer cancel()
	err := d.sender.Drain(draining)
	if err == nil {
		err = d.drainQueue(draining)
	}
	if err != nil {
		if ending.Err() != nil {
			return nil
		}
		d.sumUp(ending, nil, nil)
		d.screen.talk("not compared: %v", err)
		if ctx.Err() != nil {
			return nil
		}
		return err
	}

	comparing, cancel := context.WithTimeoutCause(ending, compareLimit, fmt.Errorf("comparing took longer than %s", compareLimit))
	defer cancel()
	want := d.instance.Snapshot()
	foreign := func(id string) bool { return d.known[id] || d.cmd.Mix }
	differences, err := d.stack.Diff(comparing, want, foreign)
	if errors.Is(err, devstack.ErrUnreadable) {
		d.sumUp(ending, nil, nil)
		d.screen.talk("not compared: the login of DATABASE_URL may not read the tables")
		return d.givenUp()
	}
	if err != nil {
		return fmt.Errorf("comparing the copy with Clerk's state: %w", err)
	}
	differences, missing := d.seen(differences)
	d.sumUp(ending, new(len(differences) == 0), differences)
	if len(differences) > 0 {
		return errors.Join(fmt.Errorf("%w in %d places", errDiffers, len(differences)), d.givenUp())
	}
	if err := d.givenUp(); err != nil {
		return err
	}
	if missing > 0 {
		d.screen.talk("%s; %s, and sync-users brings them", d.screen.green("the copy equals what events have told"),
			count(missing, "object is from before the endpoint", "objects are from before the endpoint"))
		return nil
	}
	d.screen.talk("%s: %s, %s, %s, %s", d.screen.green("the copy equals Clerk's state"),
		count(len(want.Users), "user", "users"), count(len(want.Organizations), "organization", "organizations"),
		count(len(want.Memberships), "membership", "memberships"), count(len(want.Deleted), "tombstone", "tombstones"))
	return nil
}

// drainQueue waits until each event of the queue is applied or given up.
func (d *development) drainQueue(ctx context.Context) error {
	if q := d.stack.Queue(); q != nil && q.Waiting > 0 {
		d.screen.talk("%s", d.screen.dim("applying "+count(q.Waiting, "event", "events")+" from the queue"))
	}
	return d.stack.DrainQueue(ctx)
}

// givenUp fails where events were given up.
func (d *development) givenUp() error {
	if n := len(d.stack.DeadLetters()); n > 0 {
		return fmt.Errorf("%w: %d", errDeadLetters, n)
	}
	return nil
}

// maxShown is how many differences, and how many dead letters, are listed for people.
const maxShown = 20

func (d *development) sumUp(ctx context.Context, equal *bool, differences []devstack.Difference) {
	ctx, cancel := context.WithTimeout(ctx, compareLimit)
	defer cancel()
	// Without an answer the last count stands.
	if status, err := d.stack.Status(ctx); err == nil {
		d.tally.setTables(status)
	}
	d.tally.setQueue(d.stack.Queue())
	s := d.tally.summary()
	s.Equal, s.Differences, s.DeadLetters = equal, differences, d.stack.DeadLetters()
	if d.sender != nil {
		s.Seed = new(d.cmd.Seed)
		s.Deliveries = new(d.sender.Counts())
	}
	d.screen.status(nil)
	if d.screen.json {
		d.screen.object(s)
	}
	for i, difference := range differences {
		if i == maxShown {
			d.screen.talk("… and %d more", len(differences)-maxShown)
			break
		}
		d.screen.talk("%s", difference)
	}
	for i, letter := range s.DeadLetters {
		if i == maxShown {
			d.screen.talk("… and %d more", len(s.DeadLetters)-maxShown)
			break
		}
		d.screen.talk("given up: %s", letter)
	}
	d.screen.talk("%s", d.tally.closing(s))
}

// count writes a number and what it counts, in the plural unless it is 1.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// slowSteps say before a step that it is taken, and what it may be that takes
// so long.
type slowSteps struct {
	screen *screen
	timer  *time.Timer
}

func newSlowStep(s *screen) *slowSteps { return &slowSteps{screen: s} }

func (s *slowSteps) begin(step string) {
	s.end()
	s.screen.talk("%s", s.screen.dim(step+" …"))
	s.timer = time.AfterFunc(slowStep, func() {
		s.screen.talk("%s", s.screen.dim("  still "+step+"; a first start may fetch PostgreSQL through npm (23 MB)"))
	})
}

func (s *slowSteps) end() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// Package svix delivers the events of a Clerk instance in memory as signed
// webhooks, with Svix's retries and with as much disorder as one asks for.
//
//	sender, err := svix.NewSender(svix.SenderOptions{
//		Endpoints: []svix.Endpoint{{URL: url, Secret: secret}},
//		Late:      0.1,
//	})
//	instance := clerkinstance.New(clerkinstance.Options{Emit: sender.Send})
//	…
//	err = sender.Drain(ctx)
//
// Not played: endpoints that Svix disables after days of failures, and replays
// from the dashboard.
//
// Sources: Svix's documentation of retries and its open source server (worker.rs).
package svix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	standard "github.com/svix/svix-webhooks/go"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/secret"
)

// Endpoint is a place that events are delivered to.
type Endpoint struct {
	URL string
	// Secret is its signing secret, whsec_ and base64.
	Secret secret.Value
}

// SenderOptions describe a sender. Only Endpoints is required.
type SenderOptions struct {
	// Endpoints all get every event, under the same svix-id. Rotating a secret
	// the way Clerk documents it means two of one URL for a while.
	Endpoints []Endpoint

	// Speed divides every wait of the retry schedule, and a Retry-After with
	// them; 0 means 1000, by which 27 hours pass in 100 seconds. The limit of 15
	// s for an answer is not divided.
	Speed float64
	// Timeout replaces that limit.
	Timeout time.Duration
	// Concurrency is how many requests are under way at a time; 0 means 8.
	Concurrency int

	// Late, Twice and Lost are shares of the deliveries, from 0 to 1: held back
	// for up to LateBy (0 means 3 s), so that later events overtake them; made
	// twice, at the same time or one after the other; never made.
	Late, Twice, Lost float64
	LateBy            time.Duration
	// Seed decides which deliveries these are.
	Seed uint64

	// OnAttempt, if set, is told about every attempt, one at a time.
	OnAttempt func(Attempt)
	// Now is the clock for signatures; nil means the system's.
	Now func() time.Time
}

// Attempt is what became of one request.
type Attempt struct {
	SvixID   string
	Type     string
	ObjectID string
	// Endpoint is the index of the endpoint.
	Endpoint int
	// Number counts the attempts of one delivery from 1.
	Number int
	// Late and Twice mark deliveries that were held back, and the second one of
	// those that are made twice.
	Late, Twice bool

	At      time.Time
	Latency time.Duration
	// Status is the answer's, 0 if none came.
	Status int
	// Outcome and Code are what the answer's body names, if anything.
	Outcome string
	Code    string
	// Err says why no answer came.
	Err error

	// Delivered: the answer was a 2xx. GivenUp: it was not and no attempt
	// follows; otherwise the next comes after Wait.
	Delivered bool
	GivenUp   bool
	Wait      time.Duration
}

// Counts are the deliveries of a sender so far: an event counts once for each
// endpoint, and once more where it is delivered twice.
type Counts struct {
	Events    int `json:"events"`
	Delivered int `json:"delivered"`
	GivenUp   int `json:"given_up"`
	Lost      int `json:"lost"`
	// Pending are under way, held back or waiting for a retry.
	Pending int `json:"pending"`
}

// ErrUndelivered is returned by [Sender.Drain] when time ran out first.
var ErrUndelivered = errors.New("events are still to be delivered")

// Sender delivers events as Svix does: signed anew for every attempt, a 2xx in
// time is a success, redirects are failures, failures are repeated by schedule.
type Sender struct {
	options   SenderOptions
	endpoints []endpoint
	client    *http.Client
	slots     chan struct{}

	// life ends with Close.
	life context.Context
	end  context.CancelFunc

	reporting sync.Mutex // one report at a time

	mu     sync.Mutex
	rng    *rand.Rand
	counts Counts
	// idle is closed while nothing is pending; release is closed once nothing
	// is held back any more.
	idle     chan struct{}
	release  chan struct{}
	released bool
}

type endpoint struct {
	index  int
	url    string
	signer *standard.Webhook
}

// NewSender returns a sender that has sent nothing yet. Close it.
func NewSender(o SenderOptions) (*Sender, error) {
	if o.Speed == 0 {
		o.Speed = 1000
	}
	if o.Timeout == 0 {
		o.Timeout = attemptLimit
	}
	if o.Concurrency == 0 {
		o.Concurrency = 8
	}
	if o.LateBy == 0 {
		o.LateBy = 3 * time.Second
	}
	if o.OnAttempt == nil {
		o.OnAttempt = func(Attempt) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sender{
		options: o,
		slots:   make(chan struct{}, o.Concurrency),
		rng:     rand.New(rand.NewPCG(o.Seed, 0x5e4de4)),
		idle:    make(chan struct{}),
		release: make(chan struct{}),
		client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: o.Concurrency, ForceAttemptHTTP2: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	close(s.idle)
	s.life, s.end = context.WithCancel(context.Background())

	var problems []error
	for _, share := range []struct {
		name  string
		value float64
	}{{"late", o.Late}, {"twice", o.Twice}, {"lost", o.Lost}} {
		if !(share.value >= 0 && share.value <= 1) {
			problems = append(problems, fmt.Errorf("the share of events that are %s is %v: give one from 0 to 1", share.name, share.value))
		}
	}
	for i, e := range o.Endpoints {
		u, err := url.Parse(e.URL)
		if err != nil || u.Host == "" {
			problems = append(problems, fmt.Errorf("endpoint %d: its URL is not an absolute one", i+1))
		}
		signer, err := standard.NewWebhook(e.Secret.Reveal())
		if err != nil {
			problems = append(problems, fmt.Errorf("endpoint %d: its signing secret is not whsec_ and base64", i+1))
		}
		s.endpoints = append(s.endpoints, endpoint{index: i, url: e.URL, signer: signer})
	}
	if err := errors.Join(problems...); err != nil {
		s.end()
		return nil, fmt.Errorf("preparing deliveries: %w", err)
	}
	return s, nil
}

// delivery is one event on its way to one endpoint.
type delivery struct {
	event       clerkinstance.Event
	to          endpoint
	hold        time.Duration
	late, twice bool
}

// Send begins to deliver an event and returns at once.
func (s *Sender) Send(e clerkinstance.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Events++
	for _, to := range s.endpoints {
		d := delivery{event: e, to: to}
		// The same draws for every delivery, so that one share does not change
		// whom another falls on.
		late, twice, lost := s.rng.Float64() < s.options.Late, s.rng.Float64() < s.options.Twice, s.rng.Float64() < s.options.Lost
		hold, again := s.holdTime(), s.holdTime()
		if s.rng.Float64() < 0.5 {
			again = 0
		}
		if lost {
			s.counts.Lost++
			continue
		}
		if late {
			d.late, d.hold = true, hold
		}
		s.begin(d)
		if twice {
			d.twice, d.hold = true, d.hold+again
			s.begin(d)
		}
	}
}

func (s *Sender) holdTime() time.Duration {
	return time.Duration(s.rng.Float64() * float64(s.options.LateBy))
}

// begin is called with the lock held.
func (s *Sender) begin(d delivery) {
	if s.counts.Pending == 0 {
		s.idle = make(chan struct{})
	}
	s.counts.Pending++
	go s.deliver(d)
}

func (s *Sender) finish(count *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if count != nil {
		*count++
	}
	s.counts.Pending--
	if s.counts.Pending == 0 {
		close(s.idle)
	}
}

// Counts returns the deliveries so far.
func (s *Sender) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Drain delivers what is held back, now and from here on without delay, and
// waits until every delivery is made or given up. If ctx is done first the
// error wraps [ErrUndelivered].
func (s *Sender) Drain(ctx context.Context) error {
	s.mu.Lock()
	if !s.released {
		s.released = true
		close(s.release)
	}
	idle := s.idle
	s.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %d of them: %w", ErrUndelivered, s.Counts().Pending, context.Cause(ctx))
	}
}

// Close abandons what is under way and returns when nothing is any more. A
// sender that is closed delivers nothing.
func (s *Sender) Close() {
	s.end()
	s.mu.Lock()
	idle := s.idle
	s.mu.Unlock()
	<-idle
	s.client.CloseIdleConnections()
}

// deliver sees one delivery through.
func (s *Sender) deliver(d delivery) {
	if d.hold > 0 {
		timer := time.NewTimer(d.hold)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-s.release:
		case <-s.life.Done():
		}
	}
	for number := 1; ; number++ {
		select {
		case s.slots <- struct{}{}:
		case <-s.life.Done():
		}
		if s.life.Err() != nil {
			s.finish(nil)
			return
		}
		a := s.attempt(d, number)
		<-s.slots
		if s.life.Err() != nil {
			s.finish(nil)
			return
		}
		s.report(a)
		switch {
		case a.Delivered:
			s.finish(&s.counts.Delivered)
			return
		case a.GivenUp:
			s.finish(&s.counts.GivenUp)
			return
		}
		wait := time.NewTimer(a.Wait)
		select {
		case <-wait.C:
		case <-s.life.Done():
			wait.Stop()
		}
	}
}

func (s *Sender) report(a Attempt) {
	s.reporting.Lock()
	defer s.reporting.Unlock()
	s.options.OnAttempt(a)
}

// errTimeout is the reason of an attempt that was not answered in time.
var errTimeout = errors.New("no answer in time")

func (s *Sender) attempt(d delivery, number int) Attempt {
	ctx, cancel := context.WithTimeoutCause(s.life, s.options.Timeout, errTimeout)
	defer cancel()
	a := Attempt{
		SvixID: d.event.SvixID, Type: d.event.Type, ObjectID: d.event.ObjectID, Endpoint: d.to.index,
		Number: number, Late: d.late, Twice: d.twice, At: time.Now(),
	}
	v := s.post(ctx, d, &a)
	a.Latency = time.Since(a.At)
	a.Delivered = v.delivered()
	wait, again := nextWait(number, v)
	a.GivenUp = !a.Delivered && !again
	a.Wait = time.Duration(float64(wait) / s.options.Speed)
	return a
}

// post makes one request, signed at this moment.
func (s *Sender) post(ctx context.Context, d delivery, a *Attempt) verdict {
	now := s.options.Now()
	signature, err := d.to.signer.Sign(d.event.SvixID, now, d.event.Body)
	if err != nil {
		a.Err = fmt.Errorf("signing: %w", err)
		return verdict{abort: true}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.to.url, bytes.NewReader(d.event.Body))
	if err != nil {
		a.Err = fmt.Errorf("making a request: %w", err)
		return verdict{abort: true}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Svix-Webhooks/1.99 (clerksync development)")
	request.Header.Set("svix-id", d.event.SvixID)
	request.Header.Set("svix-timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("svix-signature", signature)

	response, err := s.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		a.Err = fmt.Errorf("delivering: %w", err)
		return verdict{timedOut: errors.Is(err, errTimeout) || errors.Is(err, os.ErrDeadlineExceeded)}
	}
	defer response.Body.Close()
	// What does not arrive of the body changes nothing about the answer.
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	a.Status = response.StatusCode
	a.Outcome, a.Code = readAnswer(body)
	return verdict{
		status:     response.StatusCode,
		retryAfter: retryAfter(response.Header, now),
		abort:      response.Header.Get("webhook-delivery") == "abort-message",
	}
}

// readAnswer reads what the webhook handler answers; another's answer says
// nothing.
func readAnswer(body []byte) (outcome, code string) {
	var answer struct {
		Outcome string `json:"outcome"`
		Error   struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return "", ""
	}
	return answer.Outcome, answer.Error.Code
}

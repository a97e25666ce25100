// Package queue is a standard SQS queue in this process, what Lambda puts behind
// one, and a server that speaks SQS's protocol to the AWS SDK, so that the queued
// mode runs on one machine without AWS and without Python.
//
//	dead := queue.New(queue.Options{Name: "events-dead"})
//	events := queue.New(queue.Options{Name: "events", MaxReceives: 30, DeadLetters: dead})
//	server := queue.NewServer(accessKey, events, dead) // an http.Handler
//	source := queue.StartEventSource(ctx, queue.EventSourceOptions{Source: events, …})
//
// # What it keeps of SQS
//
// Messages of up to 1 MiB and of the characters that SQS takes, batches of up to
// ten, long polls of up to 20 s, the visibility timeout, receipt handles of which
// the last one counts, receive counts, and the move to the dead-letter queue
// instead of a receive too many. With Options.Twice it also shows that a standard
// queue delivers at least once: a deleted message comes again. After the Amazon
// SQS API reference and developer guide ("Message quotas", "Visibility timeout",
// "Dead-letter queues", "At-least-once delivery").
//
// # Limits
//
// Messages are in memory, in the order in which they were sent or became visible
// again; nothing expires. There are no message attributes and no FIFO queues.
// Time is the system's, or that of the synctest bubble in which a test runs it.
package queue

import (
	"container/heap"
	"context"
	"crypto/md5" //nolint:gosec // what SQS states about a message
	cryptorand "crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Where all queues lie.
const (
	Region  = "eu-central-1"
	Account = "000000000000"
)

// The limits of SQS.
const (
	maxMessage      = 1 << 20
	maxBatch        = 10
	maxWait         = 20 * time.Second
	maxVisibility   = 12 * time.Hour
	maxDelay        = 15 * time.Minute
	maxInFlight     = 120_000
	defaultInterval = 30 * time.Second // of the visibility timeout
)

// Options describe a queue. Only Name is required.
type Options struct {
	Name string
	// Visibility is how long a message that was received and not deleted stays
	// hidden; 0 means 30 s, as at SQS.
	Visibility time.Duration
	// MaxReceives is how often a message is handed out before it moves to
	// DeadLetters; 0 means any number of times.
	MaxReceives int
	DeadLetters *Queue
	// Twice is the share of the messages, from 0 to 1, that come once more after
	// they were deleted. Seed decides which.
	Twice float64
	Seed  uint64
}

// Message is a message as it is received.
type Message struct {
	ID, Handle, Body, MD5 string
	// Attributes are SQS's own, such as ApproximateReceiveCount.
	Attributes map[string]string
}

// Receives is how often the message was handed out, this time included.
func (m Message) Receives() int {
	n, _ := strconv.Atoi(m.Attributes[attributeReceiveCount])
	return n
}

// The names of SQS's attributes of a message.
const (
	attributeReceiveCount  = "ApproximateReceiveCount"
	attributeFirstReceived = "ApproximateFirstReceiveTimestamp"
	attributeSenderID      = "SenderId"
	attributeSent          = "SentTimestamp"
	attributeSource        = "DeadLetterQueueSourceArn"
)

// Queue is one queue. Call New.
type Queue struct {
	options Options

	mu      sync.Mutex
	chance  *rand.Rand
	entries map[string]*entry // by message id
	ready   []*entry          // in order; what was deleted is passed over
	hidden  hidden
	visible int // of ready
	delayed int // of hidden
	// changed is closed when a message may have become visible.
	changed chan struct{}
}

// entry is a message that the queue holds.
type entry struct {
	id, body, md5  string
	sent, received time.Time // received is the first time, or zero
	receives       int
	source         string // ARN, of a dead letter
	twice          bool
	handle         string // the last one
	// until is when a hidden message becomes visible, in is its place among the
	// hidden ones, and -1 while it is visible.
	until time.Time
	in    int
	// delayed: it is hidden since it was sent, not since it was received.
	delayed bool
}

// New returns an empty queue.
func New(o Options) *Queue {
	if o.Visibility == 0 {
		o.Visibility = defaultInterval
	}
	return &Queue{
		options: o, chance: rand.New(rand.NewPCG(o.Seed, 2)),
		entries: map[string]*entry{}, changed: make(chan struct{}),
	}
}

// ARN is the queue's name in full.
func (q *Queue) ARN(context.Context) (string, error) {
	return "arn:aws:sqs:" + Region + ":" + Account + ":" + q.options.Name, nil
}

// Path is the path of the queue's URL.
func (q *Queue) Path() string { return "/" + Account + "/" + q.options.Name }

// Send adds a message, which becomes visible after the delay, and returns its id.
func (q *Queue) Send(body string, delay time.Duration) (Message, error) {
	if err := checkBody(body); err != nil {
		return Message{}, err
	}
	if delay < 0 || delay > maxDelay {
		return Message{}, invalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", delay/time.Second)
	}
	sum := md5.Sum([]byte(body)) //nolint:gosec // what SQS states about a message
	e := &entry{id: newID(), body: body, md5: hex.EncodeToString(sum[:]), sent: time.Now(), in: -1}
	q.mu.Lock()
	defer q.mu.Unlock()
	e.twice = q.options.Twice > 0 && q.chance.Float64() < q.options.Twice
	q.add(e, delay)
	return Message{ID: e.id, Body: body, MD5: e.md5}, nil
}

// add is called with the lock held, as are all methods below it without a comment
// that says otherwise.
func (q *Queue) add(e *entry, delay time.Duration) {
	q.entries[e.id] = e
	if delay > 0 {
		e.delayed = true
		q.delayed++
		q.hide(e, delay)
		return
	}
	q.show(e)
}

func (q *Queue) show(e *entry) {
	e.in = -1
	q.ready = append(q.ready, e)
	q.visible++
	q.notify()
}

func (q *Queue) notify() {
	close(q.changed)
	q.changed = make(chan struct{})
}

func (q *Queue) hide(e *entry, interval time.Duration) {
	e.until = time.Now().Add(interval)
	if e.in >= 0 {
		heap.Fix(&q.hidden, e.in)
	} else {
		heap.Push(&q.hidden, e)
	}
	q.notify() // a waiting receive may have to wake up earlier
}

// wake shows what has been hidden for long enough.
func (q *Queue) wake() {
	for now := time.Now(); len(q.hidden) > 0 && !q.hidden[0].until.After(now); {
		e := heap.Pop(&q.hidden).(*entry)
		if e.delayed {
			e.delayed = false
			q.delayed--
		}
		q.show(e)
	}
}

// Receive hands out up to most messages and hides them. Where there are none it
// waits for one, for wait at most.
func (q *Queue) Receive(ctx context.Context, most int, wait time.Duration) ([]Message, error) {
	return q.receive(ctx, most, wait, q.options.Visibility)
}

// receive is called without the lock.
func (q *Queue) receive(ctx context.Context, most int, wait, visibility time.Duration) ([]Message, error) {
	if most < 1 || most > maxBatch {
		return nil, invalidParameter("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", most)
	}
	if wait < 0 || wait > maxWait {
		return nil, invalidParameter("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", wait/time.Second)
	}
	if err := checkVisibility(visibility); err != nil {
		return nil, err
	}
	end := time.Now().Add(wait)
	for {
		q.mu.Lock()
		messages, err := q.take(most, visibility)
		changed, next := q.changed, end
		if len(q.hidden) > 0 && q.hidden[0].until.Before(end) {
			next = q.hidden[0].until
		}
		q.mu.Unlock()
		left := time.Until(end)
		if err != nil || len(messages) > 0 || left <= 0 {
			return messages, err
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// take hands out what is visible.
func (q *Queue) take(most int, visibility time.Duration) ([]Message, error) {
	q.wake()
	if len(q.hidden)-q.delayed >= maxInFlight {
		return nil, errOverLimit
	}
	var messages []Message
	passed := 0
	for _, e := range q.ready {
		if len(messages) == most {
			break
		}
		passed++
		if q.entries[e.id] != e {
			continue // deleted since
		}
		q.visible--
		if q.options.DeadLetters != nil && q.options.MaxReceives > 0 && e.receives >= q.options.MaxReceives {
			delete(q.entries, e.id)
			q.bury(e)
			continue
		}
		e.receives++
		if e.received.IsZero() {
			e.received = time.Now()
		}
		e.handle = newHandle(e)
		q.hide(e, visibility)
		messages = append(messages, e.message())
	}
	if q.ready = q.ready[passed:]; len(q.ready) == 0 {
		q.ready = nil
	}
	return messages, nil
}

// bury moves an entry to the dead-letter queue, where it keeps its id and its age.
func (q *Queue) bury(e *entry) {
	arn, _ := q.ARN(context.Background())
	dead := q.options.DeadLetters
	dead.mu.Lock()
	defer dead.mu.Unlock()
	dead.add(&entry{id: e.id, body: e.body, md5: e.md5, sent: e.sent, received: e.received, receives: e.receives, source: arn, in: -1}, 0)
}

func (e *entry) message() Message {
	m := Message{ID: e.id, Handle: e.handle, Body: e.body, MD5: e.md5, Attributes: map[string]string{
		attributeReceiveCount: strconv.Itoa(e.receives),
		attributeSenderID:     Account,
		attributeSent:         strconv.FormatInt(e.sent.UnixMilli(), 10),
	}}
	if !e.received.IsZero() {
		m.Attributes[attributeFirstReceived] = strconv.FormatInt(e.received.UnixMilli(), 10)
	}
	if e.source != "" {
		m.Attributes[attributeSource] = e.source
	}
	return m
}

// Delete removes messages, up to ten.
func (q *Queue) Delete(_ context.Context, messages []Message) error {
	for _, m := range messages {
		if err := q.remove(m.Handle); err != nil {
			return err
		}
	}
	return nil
}

// remove is called without the lock. A handle that is not the message's last one
// removes nothing, and that is no error.
func (q *Queue) remove(handle string) error {
	id, err := idOf(handle)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake()
	e := q.entries[id]
	if e == nil || e.handle != handle {
		return nil
	}
	if e.in >= 0 {
		heap.Remove(&q.hidden, e.in)
	} else {
		q.visible--
	}
	delete(q.entries, id)
	if e.twice {
		// The copy on a server that was away when the others deleted theirs.
		again := *e
		again.twice, again.handle = false, ""
		q.add(&again, 0)
	}
	return nil
}

// changeVisibility is called without the lock.
func (q *Queue) changeVisibility(handle string, visibility time.Duration) error {
	id, err := idOf(handle)
	if err != nil {
		return err
	}
	if err := checkVisibility(visibility); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake()
	e := q.entries[id]
	if e == nil || e.handle != handle || e.in < 0 {
		return errNotInFlight
	}
	if visibility == 0 {
		heap.Remove(&q.hidden, e.in)
		q.show(e)
		return nil
	}
	q.hide(e, visibility)
	return nil
}

// Lengths counts messages by their state, as SQS does.
type Lengths struct{ Visible, InFlight, Delayed int }

// Lengths counts what the queue holds.
func (q *Queue) Lengths() Lengths {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake()
	return Lengths{Visible: q.visible, InFlight: len(q.hidden) - q.delayed, Delayed: q.delayed}
}

// Length is how many messages the queue holds, in whatever state.
func (q *Queue) Length(context.Context) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.entries), nil
}

// Peek returns all messages in the order in which they were sent, and leaves them
// as they are.
func (q *Queue) Peek() []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	held := slices.SortedFunc(maps.Values(q.entries), func(a, b *entry) int { return a.sent.Compare(b.sent) })
	messages := make([]Message, len(held))
	for i, e := range held {
		messages[i] = e.message()
	}
	return messages
}

// hidden is a heap of the entries that are not visible, the next one first.
type hidden []*entry

func (h *hidden) Len() int           { return len(*h) }
func (h *hidden) Less(i, j int) bool { return (*h)[i].until.Before((*h)[j].until) }

func (h *hidden) Swap(i, j int) {
	entries := *h
	entries[i], entries[j] = entries[j], entries[i]
	entries[i].in, entries[j].in = i, j
}

func (h *hidden) Push(x any) {
	e := x.(*entry)
	e.in = len(*h)
	*h = append(*h, e)
}

func (h *hidden) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.in = -1
	return e
}

// checkBody refuses what SQS does not take.
func checkBody(body string) error {
	if body == "" {
		return &Error{Code: "MissingParameter", kind: common + "MissingParameterException", Message: "The request must contain the parameter MessageBody."}
	}
	if len(body) > maxMessage {
		return invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxMessage)
	}
	if !utf8.ValidString(body) || strings.ContainsFunc(body, func(r rune) bool {
		switch {
		case r == '\t', r == '\n', r == '\r', r >= ' ' && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000:
			return false
		}
		return true
	}) {
		return &Error{Code: "InvalidMessageContents", kind: own + "InvalidMessageContents", Message: "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"}
	}
	return nil
}

func checkVisibility(visibility time.Duration) error {
	if visibility < 0 || visibility > maxVisibility {
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200, if provided.", visibility/time.Second)
	}
	return nil
}

// newID makes an id of the form that SQS's have.
func newID() string {
	var b [16]byte
	_, _ = cryptorand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// newHandle makes a receipt handle: of this receive, and opaque.
func newHandle(e *entry) string {
	return base64.StdEncoding.EncodeToString([]byte(e.id + " " + strconv.Itoa(e.receives) + " " + cryptorand.Text()))
}

func idOf(handle string) (string, error) {
	text, err := base64.StdEncoding.DecodeString(handle)
	id, rest, ok := strings.Cut(string(text), " ")
	if err != nil || !ok || id == "" || rest == "" {
		return "", &Error{Code: "ReceiptHandleIsInvalid", kind: own + "ReceiptHandleIsInvalid", Message: "The input receipt handle is invalid."}
	}
	return id, nil
}

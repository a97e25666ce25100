package devstack_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/devstack/queue"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

// drained waits until the stack's queue is empty, and compares.
func drained(t *testing.T, stack *devstack.Stack, want clerkinstance.Snapshot) []devstack.Difference {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("a minute has passed"))
	defer cancel()
	if err := stack.DrainQueue(ctx); err != nil {
		t.Fatalf("%v: %+v", err, stack.Queue())
	}
	differences, err := stack.Diff(t.Context(), want, nil)
	if err != nil {
		t.Fatalf("Diff = %v", err)
	}
	return differences
}

// ledger counts what the consumer has decided.
type ledger struct {
	mu       sync.Mutex
	outcomes map[mirror.Outcome]int
	largest  int // batch
}

func (l *ledger) note(h devstack.Handled) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outcomes == nil {
		l.outcomes = map[mirror.Outcome]int{}
	}
	l.outcomes[h.Outcome]++
	l.largest = max(l.largest, h.Batch)
}

func TestStart_AppliesWhatLiesInTheQueue(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	var handled ledger
	var queued, otherwise atomic.Int64
	stack := start(t, devstack.Options{
		Lookup: environment(map[string]string{"DATABASE_URL": db.Owner()}),
		Queued: &devstack.Queued{Twice: 0.3, Seed: 21, Handled: handled.note},
		Observe: func(r devstack.Request) {
			if r.Status == 202 && r.Outcome == mirror.Queued {
				queued.Add(1)
			} else {
				otherwise.Add(1)
			}
		},
	})
	want := play(t, stack, 21, 300, svix.SenderOptions{Late: 0.3, Twice: 0.3, LateBy: time.Second, Seed: 21})
	for _, d := range drained(t, stack, want) {
		t.Errorf("once the queue is empty: %s", d)
	}
	if queued.Load() < 300 || otherwise.Load() > 0 {
		t.Errorf("%d requests were answered queued and %d otherwise, want all of them queued", queued.Load(), otherwise.Load())
	}
	total := 0
	for _, n := range handled.outcomes {
		total += n
	}
	// The queue doubles some by itself.
	if handled.outcomes[mirror.Applied] == 0 || int64(total) < queued.Load()*11/10 || handled.largest < 10 || handled.largest > devstack.QueueBatchSize {
		t.Errorf("of %d queued %v were decided about, %d at a time at most", queued.Load(), handled.outcomes, handled.largest)
	}
	if s := stack.Queue(); s.Waiting > 0 || s.Dead > 0 || s.Failed > 0 || s.Batches == 0 {
		t.Errorf("the queue is %+v, want it empty, and no batch failed", s)
	}
}

// mortal is a consumer that can be killed with a batch in its hands.
type mortal struct {
	queue.Environment
	// dies says whether it does: before it works, or after the commit and before
	// it answers.
	dies   func() (before, after bool)
	exited atomic.Bool
}

var errKilled = errors.New("killed")

func (m *mortal) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	before, after := m.dies()
	if before {
		m.exited.Store(true)
		return nil, errKilled
	}
	answer, err := m.Environment.Invoke(ctx, payload)
	if after {
		m.exited.Store(true)
		return nil, errKilled
	}
	return answer, err
}

func (m *mortal) Exited() bool { return m.exited.Load() }

func TestQueued_ConsumerKilledWithABatchLeavesAnEqualCopy(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	const kills = 6
	var handled ledger
	var invocations atomic.Int64
	q := &devstack.Queued{Visibility: 2 * time.Second, Twice: 0.2, Seed: 22, Handled: handled.note}
	q.Wrap(func(e queue.Environment) queue.Environment {
		return &mortal{Environment: e, dies: func() (bool, bool) {
			n := invocations.Add(1)
			return n <= kills && n%2 == 0, n <= kills && n%2 == 1
		}}
	})
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": db.Owner()}), Queued: q})
	want := play(t, stack, 22, 300, svix.SenderOptions{Late: 0.3, Twice: 0.2, LateBy: time.Second, Seed: 22})
	for _, d := range drained(t, stack, want) {
		t.Errorf("after %d kills: %s", kills, d)
	}
	// What was committed before a kill is known when it comes back.
	if s := stack.Queue(); s.Failed != kills || s.Dead > 0 || handled.outcomes[mirror.Duplicate] == 0 {
		t.Errorf("%+v, outcomes %v: want %d failed batches, no dead letter, and duplicates", s, handled.outcomes, kills)
	}
	var twice int
	if err := db.Conn(t, db.Superuser()).QueryRow(t.Context(), `
		select count(*) - count(distinct svix_id) from clerk_sync.webhook_events`).Scan(&twice); err != nil || twice > 0 {
		t.Errorf("%d events are recorded twice, %v", twice, err)
	}
}

func TestQueued_NamesItsDeadLetters(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	q := &devstack.Queued{Visibility: 1500 * time.Millisecond, Receives: 2}
	q.Wrap(func(e queue.Environment) queue.Environment {
		return &mortal{Environment: e, dies: func() (bool, bool) { return true, false }}
	})
	stack := start(t, devstack.Options{Lookup: environment(map[string]string{"DATABASE_URL": db.Owner()}), Queued: q})
	want := play(t, stack, 23, 0, svix.SenderOptions{})
	if len(drained(t, stack, want)) == 0 {
		t.Error("nothing was applied, and yet the copy is equal")
	}
	letters := stack.DeadLetters()
	if s := stack.Queue(); len(letters) < len(want.Users) || s.Dead != len(letters) || s.Waiting > 0 {
		t.Errorf("%d dead letters of %d users, and the queue says %+v", len(letters), len(want.Users), s)
	}
	for _, l := range letters {
		if l.SvixID == "" || l.Type == "" || l.ObjectID == "" || l.Receives != 2 || !strings.Contains(l.String(), l.ObjectID) {
			t.Errorf("dead letter %s, want it to name its event, tried twice", l)
		}
	}
}

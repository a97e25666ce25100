package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"clerksync/shared/devstack/queue"
)

// function is an execution environment that is played.
type function struct {
	handle func(ctx context.Context, event events.SQSEvent) ([]byte, error)
	killed atomic.Bool
}

func (f *function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event events.SQSEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	return f.handle(ctx, event)
}

func (f *function) Kill()        { f.killed.Store(true) }
func (f *function) Exited() bool { return f.killed.Load() }

// stage is a queue and the function behind it.
type stage struct {
	queue, dead *queue.Queue
	source      *queue.EventSource

	mu      sync.Mutex
	batches []string // "bodies/receives at time since start"
	started int      // environments
	active  int      // invocations now, and the most at a time
	most    int
}

const timeout = 30 * time.Second

func newStage(t *testing.T, o queue.EventSourceOptions, handle func(ctx context.Context, event events.SQSEvent) ([]byte, error)) *stage {
	t.Helper()
	s := &stage{dead: queue.New(queue.Options{Name: "dead"})}
	s.queue = queue.New(queue.Options{Name: "events", Visibility: time.Minute, MaxReceives: 3, DeadLetters: s.dead})
	began := time.Now()
	o.Source, o.Timeout = s.queue, timeout
	o.Failed = func(err error) { t.Error(err) }
	o.Start = func() queue.Environment {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.started++
		return &function{handle: func(ctx context.Context, event events.SQSEvent) ([]byte, error) {
			var bodies []string
			for _, r := range event.Records {
				bodies = append(bodies, r.Body+"/"+r.Attributes["ApproximateReceiveCount"])
			}
			s.mu.Lock()
			s.batches = append(s.batches, fmt.Sprintf("%s at %v", strings.Join(bodies, " "), time.Since(began)))
			s.active++
			s.most = max(s.most, s.active)
			s.mu.Unlock()
			defer func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.active--
			}()
			return handle(ctx, event)
		}}
	}
	var err error
	if s.source, err = queue.StartEventSource(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) send(t *testing.T, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := s.queue.Send(body, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// drained waits until the queue is empty, and returns the batches.
func (s *stage) drained(t *testing.T) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := s.source.AwaitEmpty(ctx); err != nil {
		t.Error(err)
	}
	s.source.Stop(t.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.batches
}

func fine(context.Context, events.SQSEvent) ([]byte, error) {
	return []byte(`{"batchItemFailures":[]}`), nil
}

func TestEventSource_GathersUntilTheWindowIsOverOrTheBatchIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, queue.EventSourceOptions{BatchSize: 3, Window: time.Second, Concurrency: 1}, fine)
		<-time.After(10 * time.Second)
		s.send(t, "a")
		<-time.After(900 * time.Millisecond)
		s.send(t, "b")
		<-time.After(time.Minute)
		s.send(t, "c", "d", "e", "f")
		want := []string{"a/1 b/1 at 11s", "c/1 d/1 e/1 at 1m10.9s", "f/1 at 1m11.9s"}
		if diff := cmp.Diff(want, s.drained(t)); diff != "" {
			t.Errorf("batches (-want +got):\n%s", diff)
		}
	})
}

func TestEventSource_BringsBackWhatFailed(t *testing.T) {
	t.Parallel()
	all := func(of string) func(events.SQSEvent) bool {
		return func(e events.SQSEvent) bool {
			return strings.HasPrefix(of, e.Records[0].Attributes["ApproximateReceiveCount"])
		}
	}
	first := all("1")
	for _, tt := range []struct {
		name   string
		handle func(ctx context.Context, e events.SQSEvent) ([]byte, error)
		want   []string
		dead   int
		// environments that were started, errors that were counted
		started, errors int
	}{
		{"one of a batch", func(_ context.Context, e events.SQSEvent) ([]byte, error) {
			if first(e) {
				return fmt.Appendf(nil, `{"batchItemFailures":[{"itemIdentifier":%q}]}`, e.Records[1].MessageId), nil
			}
			return fine(t.Context(), e)
		}, []string{"a/1 b/1 at 1s", "b/2 at 1m1s"}, 0, 1, 0},
		{"a function that fails", func(_ context.Context, e events.SQSEvent) ([]byte, error) {
			if first(e) {
				return nil, errors.New("failed")
			}
			return fine(t.Context(), e)
		}, []string{"a/1 b/1 at 1s", "a/2 b/2 at 1m1s"}, 0, 1, 1},
		{"an answer that means nothing", func(_ context.Context, e events.SQSEvent) ([]byte, error) {
			if first(e) {
				return []byte(`{"batchItemFailures":[{"itemIdentifier":"another"}]}`), nil
			}
			return fine(t.Context(), e)
		}, []string{"a/1 b/1 at 1s", "a/2 b/2 at 1m1s"}, 0, 1, 1},
		{"a function that takes too long", func(ctx context.Context, e events.SQSEvent) ([]byte, error) {
			if first(e) {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			return fine(t.Context(), e)
		}, []string{"a/1 b/1 at 1s", "a/2 b/2 at 1m1s"}, 0, 2, 1},
		{"always", func(context.Context, events.SQSEvent) ([]byte, error) {
			return nil, errors.New("failed")
		}, []string{"a/1 b/1 at 1s", "a/2 b/2 at 1m1s", "a/3 b/3 at 2m1s"}, 2, 1, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				// Received at 0, handed over at 1s; the minute counts from the former.
				s := newStage(t, queue.EventSourceOptions{BatchSize: 10, Window: time.Second, Concurrency: 1}, tt.handle)
				s.send(t, "a", "b")
				if diff := cmp.Diff(tt.want, s.drained(t)); diff != "" {
					t.Errorf("batches (-want +got):\n%s", diff)
				}
				if dead := len(s.dead.Peek()); dead != tt.dead {
					t.Errorf("%d dead letters, want %d", dead, tt.dead)
				}
				if got := s.source.Counts(); s.started != tt.started || got.Errors != tt.errors || got.Invocations != len(tt.want) {
					t.Errorf("%+v after %d starts, want %d errors and %d starts", got, s.started, tt.errors, tt.started)
				}
			})
		})
	}
}

func TestEventSource_RunsNoMoreThanItsConcurrencyAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, e events.SQSEvent) ([]byte, error) {
			<-time.After(10 * time.Second)
			return fine(ctx, e)
		}
		s := newStage(t, queue.EventSourceOptions{BatchSize: 1, Window: 0, Concurrency: 2}, slow)
		s.send(t, "a", "b", "c", "d", "e")
		if batches := s.drained(t); len(batches) != 5 || s.most != 2 || s.started != 2 {
			t.Errorf("%d batches, %d at a time at most in %d environments, want 5, 2 and 2: %v", len(batches), s.most, s.started, batches)
		}
	})
}

func TestEventSource_MakesNoEventLargerThanLambdaTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, queue.EventSourceOptions{BatchSize: 100, Window: time.Second, Concurrency: 1}, fine)
		large := strings.Repeat("x", 1<<20)
		for range 13 {
			s.send(t, large)
		}
		var sizes []int
		for _, batch := range s.drained(t) {
			sizes = append(sizes, strings.Count(batch, "/1"))
		}
		if diff := cmp.Diff([]int{5, 5, 3}, sizes); diff != "" {
			t.Errorf("messages by batch (-want +got):\n%s", diff)
		}
	})
}

func TestEventSource_StopsAnInvocationWhenItsCallerCannotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, queue.EventSourceOptions{BatchSize: 1, Window: 0, Concurrency: 1}, func(ctx context.Context, _ events.SQSEvent) ([]byte, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		s.send(t, "a")
		<-time.After(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		started := time.Now()
		s.source.Stop(ctx)
		if took := time.Since(started); took != 2*time.Second {
			t.Errorf("Stop took %v, want 2s", took)
		}
		if err := s.source.AwaitEmpty(ctx); err == nil || !strings.Contains(err.Error(), "left in the queue: 1") {
			t.Errorf("AwaitEmpty = %v, want it to count the message", err)
		}
	})
}

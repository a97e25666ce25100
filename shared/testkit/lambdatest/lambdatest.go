// Package lambdatest runs a built function the way Lambda does: as a process
// that polls a runtime API for events and posts its answers there. Here that API
// is a server on loopback, after AWS's published description ("Using the Lambda
// runtime API").
//
//	binary := lambdatest.Build(t, "clerksync/functions/webhook-ingest")
//	f := lambdatest.Start(t, binary, map[string]string{"DATABASE_URL": url})
//	answer, err := f.Invoke(ctx, event)
//
// A Function takes one event at a time, as an execution environment does; start
// several for concurrency. Killing one loses the event it was working on, and
// [Function.Invoke] says so.
//
// A binary is built once for all packages, with the race detector where the tests have it:
// a race in a function then fails the test that started it.
//
// [StartEventSource] invokes functions with the messages of a queue.
//
// [ReportSize] and [ReportColdStart] look at the bootstrap that is deployed,
// [CheckMetrics] at what it writes, and [SampleEvent] and [SampleEnvironment] are
// what `sam local invoke` hands it. The template and what is built from it are looked
// at in infra/.
package lambdatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"clerksync/shared/devstack/process"
)

// ErrExited says that the process ended before it had answered.
var ErrExited = errors.New("the function's process ended")

// FunctionError is an answer that reports an error: the handler's, or a panic.
type FunctionError struct {
	// Payload is the JSON that the function posted.
	Payload []byte
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("the function reported an error: %s", e.Payload)
}

// TraceID is the trace that every invocation belongs to. A function passes it on
// to what it calls, so that Lambda can tell a loop.
const TraceID = "Root=1-684e8a15-0f3b7a5c2d1e4f60718293a4;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:24b0b1f4:0"

// Function is one running process of a function.
type Function struct {
	// Ready is how long the process took from its start to its first poll for
	// an event: the part of a cold start that is the function's own.
	Ready time.Duration

	child  *process.Process
	server *http.Server
	events chan invocation
	exited <-chan struct{}
	logs   string // name of the file
	dies   atomic.Bool

	mu      sync.Mutex
	waiting map[string]chan result
	next    int
}

type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
}

type result struct {
	payload []byte
	err     error
}

// startLimit is how long a process may take to its first poll. Lambda allows 10 s, of
// which a machine under load may leave little; benchmarks say how long it takes.
const startLimit = 10 * time.Minute

// Start runs the binary with the given environment and nothing else, and waits
// for its first poll. The process is ended with the test.
func Start(t testing.TB, binary string, environment map[string]string) *Function {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Function{
		events: make(chan invocation), waiting: map[string]chan result{},
	}
	polled := make(chan struct{}, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case polled <- struct{}{}:
		default:
		}
		select {
		case event := <-f.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", event.id)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(event.deadline.UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Trace-Id", TraceID)
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:123456789012:function:test")
			_, _ = w.Write(event.payload)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{kind}", func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(r.Body)
		if err != nil {
			return // killed while it answered, which is no answer
		}
		if f.dies.Load() {
			f.Kill()
			return
		}
		answer := result{payload: payload}
		if r.PathValue("kind") == "error" {
			answer = result{err: &FunctionError{payload}}
		}
		f.settle(r.PathValue("id"), answer)
		w.WriteHeader(http.StatusAccepted)
	})
	// A function that wants to hear of its end registers as an extension.
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", "00000000-0000-4000-8000-000000000000")
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	f.server = &http.Server{Handler: mux, ReadHeaderTimeout: startLimit}
	go func() { _ = f.server.Serve(listener) }()

	command := exec.CommandContext(context.Background(), binary)
	if oneCore != "" {
		command = exec.CommandContext(context.Background(), "taskset", "-c", oneCore, binary)
	}
	command.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(),
		"AWS_LAMBDA_FUNCTION_NAME=test", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_REGION=eu-west-1", "TZ=UTC",
	}
	for key, value := range environment {
		command.Env = append(command.Env, key+"="+value)
	}
	// A file and no pipe: what the function wrote before it answered is there
	// when the answer is.
	logs, err := os.CreateTemp(t.TempDir(), "logs-")
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	f.logs = logs.Name()
	command.Stdout, command.Stderr = logs, logs
	started := time.Now()
	if f.child, err = process.Start(command, process.Identity{}, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f.exited = f.child.Done()
	t.Cleanup(func() {
		f.Kill()
		f.checkRaces(t)
	})

	select {
	case <-polled:
		f.Ready = time.Since(started)
	case <-f.exited:
		t.Fatalf("the function ended before it asked for an event:\n%s", f.Logs())
	case <-time.After(startLimit):
		t.Fatalf("the function did not ask for an event within %v:\n%s", startLimit, f.Logs())
	}
	return f
}

func (f *Function) settle(id string, r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if waiting, ok := f.waiting[id]; ok {
		waiting <- r
		delete(f.waiting, id)
	}
}

// Invoke hands the function one event and returns its answer. ErrExited if the
// process ends first; a *FunctionError if the function reports one. The event's
// deadline is that of ctx, or 10 s.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	answer := make(chan result, 1)
	f.mu.Lock()
	f.next++
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", f.next)
	f.waiting[id] = answer
	f.mu.Unlock()

	select {
	case f.events <- invocation{id, payload, deadline}:
	case <-f.exited:
		return nil, ErrExited
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case r := <-answer:
		return r.payload, r.err
	case <-f.exited:
		return nil, ErrExited
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Kill ends the process at once, as kill -9 does, and waits until it is gone.
func (f *Function) Kill() {
	f.child.Kill()
	_ = f.server.Close()
}

// KillAtAnswer has the process killed when it answers next: its work is done, and
// no one hears of it.
func (f *Function) KillAtAnswer() { f.dies.Store(true) }

// Exited says whether the process has ended.
func (f *Function) Exited() bool {
	select {
	case <-f.exited:
		return true
	default:
		return false
	}
}

// Logs is what the function has written so far.
func (f *Function) Logs() string {
	text, err := os.ReadFile(f.logs)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

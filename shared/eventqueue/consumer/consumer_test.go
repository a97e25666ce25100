package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/config"
	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
)

// rules are a store that is played.
type rules struct {
	// batch says what becomes of a batch before it is looked at; nil: nothing.
	batch func(context.Context, []mirror.Delivery) ([]mirror.Result, error)
	// refuses says which events fail by themselves.
	refuses func(svixID string) bool
	// outcome is that of every event which does not fail; "" is applied.
	outcome mirror.Outcome

	recorded map[string]bool // by svix-id
	pins     []string
	singles  int
}

var errAway = fmt.Errorf("%w: connection refused", mirror.ErrUnavailable)

func (r *rules) Apply(ctx context.Context, d mirror.Delivery) (mirror.Result, error) {
	r.singles++
	if err := ctx.Err(); err != nil {
		return mirror.Result{}, context.Cause(ctx)
	}
	if r.refuses != nil && r.refuses(d.SvixID) {
		return mirror.Result{}, errAway
	}
	return r.record(d), nil
}

func (r *rules) ApplyBatch(ctx context.Context, deliveries []mirror.Delivery) ([]mirror.Result, error) {
	if r.batch != nil {
		if results, err := r.batch(ctx, deliveries); err != nil || results != nil {
			return results, err
		}
	}
	results := make([]mirror.Result, len(deliveries))
	for i, d := range deliveries {
		results[i] = r.record(d)
	}
	return results, nil
}

func (r *rules) record(d mirror.Delivery) mirror.Result {
	r.pins = append(r.pins, d.InstanceID)
	if r.recorded[d.SvixID] {
		return mirror.Result{Outcome: mirror.Duplicate}
	}
	if r.recorded == nil {
		r.recorded = map[string]bool{}
	}
	r.recorded[d.SvixID] = true
	if r.outcome != "" {
		return mirror.Result{Outcome: r.outcome}
	}
	return mirror.Result{Outcome: mirror.Applied}
}

// away is a batch that fails as a whole.
func away(_ context.Context, deliveries []mirror.Delivery) ([]mirror.Result, error) {
	return make([]mirror.Result, len(deliveries)), errAway
}

const functionName = "event-consumer"

// stage is a handler whose store is played.
type stage struct {
	Handler
	rules *rules
	out   bytes.Buffer // log and metrics
}

func newStage(r *rules) *stage {
	s := &stage{rules: r}
	s.Handler = Handler{
		configure: func(context.Context) (config.Consumer, error) { return config.Consumer{InstanceID: "ins_pinned"}, nil },
		store:     r,
		logger:    telemetry.NewLogger(&s.out, nil),
		metrics:   metrics{telemetry.NewMetrics(&s.out, functionName)},
	}
	return s
}

// record is a message about a user.
func record(n int) events.SQSMessage {
	body := clerktest.User(fmt.Sprintf("user_%d", n)).Email("private@example.com").Event(clerk.UserUpdated, clerktest.Epoch)
	return events.SQSMessage{
		MessageId: fmt.Sprintf("message-%d", n), EventSource: "aws:sqs",
		Body: fmt.Sprintf(`{"svix_id":"msg_%d","event":%s}`, n, body),
	}
}

func foreign(n int) events.SQSMessage {
	return events.SQSMessage{MessageId: fmt.Sprintf("message-%d", n), Body: `{"private": "private@example.com"}`}
}

// invoke returns the ids of the messages that are to come back.
func (s *stage) invoke(ctx context.Context, t *testing.T, records ...events.SQSMessage) ([]string, error) {
	t.Helper()
	payload, err := json.Marshal(events.SQSEvent{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.Invoke(ctx, payload)
	if err != nil {
		return nil, err
	}
	var response struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(answer, &response); err != nil || response.BatchItemFailures == nil {
		t.Fatalf("answer %s: %v, want a list of failures", answer, err)
	}
	back := []string{}
	for _, failure := range response.BatchItemFailures {
		back = append(back, failure.ItemIdentifier)
	}
	return back, nil
}

// measured returns the metrics written so far, by name.
func (s *stage) measured(t *testing.T) map[string][]map[string]any {
	t.Helper()
	found := map[string][]map[string]any{}
	for line := range strings.Lines(s.out.String()) {
		var values map[string]any
		if err := json.Unmarshal([]byte(line), &values); err != nil {
			t.Fatalf("line %s: %v", line, err)
		}
		if values["_aws"] == nil {
			continue
		}
		delete(values, "_aws")
		for name := range values {
			found[name] = append(found[name], values)
		}
	}
	return found
}

func TestInvoke_AnswersForEveryEndOfABatch(t *testing.T) {
	t.Parallel()
	only := func(ids ...string) func(string) bool {
		return func(id string) bool { return slices.Contains(ids, id) }
	}
	everything := func(string) bool { return true }
	for _, tt := range []struct {
		name    string
		rules   rules
		records []events.SQSMessage
		back    []string
		fails   string // code of the error, "" for an answer
		// failures are the codes of the metric.
		failures []string
		singles  int // events that were tried by themselves
	}{
		{"nothing", rules{}, nil, []string{}, "", nil, 0},
		{"all applied", rules{}, []events.SQSMessage{record(1), record(2)}, []string{}, "", nil, 0},
		{"all ignored", rules{outcome: mirror.Ignored}, []events.SQSMessage{record(1), record(2)}, []string{}, "", nil, 0},
		{"all rejected", rules{outcome: mirror.Rejected}, []events.SQSMessage{record(1)}, []string{}, "", nil, 0},
		{"twice in a batch", rules{}, []events.SQSMessage{record(1), record(1)}, []string{}, "", nil, 0},
		{"one of another sender", rules{}, []events.SQSMessage{record(1), foreign(2), record(3)}, []string{"message-2"}, "", []string{foreignMessage}, 0},
		// The function is fine: an error would slow the whole queue down.
		{"all of another sender", rules{}, []events.SQSMessage{foreign(1), foreign(2)}, []string{"message-1", "message-2"}, "", []string{foreignMessage, foreignMessage}, 0},
		{"one holds up the others", rules{batch: away, refuses: only("msg_2")}, []events.SQSMessage{record(1), record(2), record(3)}, []string{"message-2"}, "", []string{unavailable}, 3},
		{"the batch alone fails", rules{batch: away}, []events.SQSMessage{record(1), record(2)}, []string{}, "", nil, 2},
		{"the database is away", rules{batch: away, refuses: everything}, []events.SQSMessage{record(1), record(2), record(3), record(4), record(5)}, nil, unavailable, []string{unavailable}, maxSingleFailures},
		{"the database is away, and one of another sender", rules{batch: away, refuses: everything}, []events.SQSMessage{foreign(1), record(2)}, nil, unavailable, []string{foreignMessage, unavailable}, 1},
		{
			"the database goes away in the middle",
			rules{batch: away, refuses: func(id string) bool { return id != "msg_1" }},
			[]events.SQSMessage{record(1), record(2), record(3), record(4), record(5), record(6)},
			[]string{"message-2", "message-3", "message-4", "message-5", "message-6"},
			"",
			[]string{unavailable},
			1 + maxSingleFailures,
		},
		{"some were decided before it failed", rules{batch: func(_ context.Context, d []mirror.Delivery) ([]mirror.Result, error) {
			return []mirror.Result{{}, {Outcome: mirror.Applied}, {}}, errAway
		}, refuses: only("msg_3")}, []events.SQSMessage{record(1), record(2), record(3)}, []string{"message-3"}, "", []string{unavailable}, 2},
		// Rules of a later version: the second answer tells that the first was a commit.
		{"an outcome that is not known", rules{outcome: "postponed"}, []events.SQSMessage{record(1)}, []string{}, "", nil, 1},
		{"fewer results than events", rules{batch: func(_ context.Context, d []mirror.Delivery) ([]mirror.Result, error) {
			return []mirror.Result{{Outcome: mirror.Applied}}, nil
		}, refuses: everything}, []events.SQSMessage{record(1), record(2)}, []string{"message-2"}, "", []string{unavailable}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(&tt.rules)
			back, err := s.invoke(t.Context(), t, tt.records...)
			told, failed := errors.AsType[messages.InvokeResponse_Error](err)
			if failed != (tt.fails != "") || told.Type != tt.fails {
				t.Errorf("Lambda is told %v, want an error of the type %q", err, tt.fails)
			}
			// The caller of a function may see less than its log shows.
			if failed && strings.Contains(told.Message, "connection refused") {
				t.Errorf("Lambda is told %q, want the code and no more", told.Message)
			}
			if diff := cmp.Diff(tt.back, back); diff != "" {
				t.Errorf("messages that come back (-want +got):\n%s", diff)
			}
			var codes []string
			for _, one := range s.measured(t)["failures"] {
				code, _ := one["code"].(string)
				codes = append(codes, code)
			}
			if diff := cmp.Diff(tt.failures, codes); diff != "" {
				t.Errorf("metric failures by code (-want +got):\n%s", diff)
			}
			if s.rules.singles != tt.singles {
				t.Errorf("%d events were tried by themselves, want %d", s.rules.singles, tt.singles)
			}
			if strings.Contains(s.out.String(), "private") {
				t.Errorf("the log quotes a message:\n%s", s.out.String())
			}
		})
	}
}

// Whatever fails, and however often: exactly what is not recorded comes back, and
// in the end everything of ours is recorded and nothing else.
func TestInvoke_LosesNothingWhateverFails(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 6))
		store := &rules{recorded: map[string]bool{}}
		trouble := r.Float64()
		fails := func() bool { return r.Float64() < trouble }
		store.refuses = func(string) bool { return fails() }
		store.batch = func(_ context.Context, deliveries []mirror.Delivery) ([]mirror.Result, error) {
			switch {
			case !fails():
				return nil, nil // goes on to apply all
			case fails():
				return make([]mirror.Result, len(deliveries)), errAway
			}
			results := make([]mirror.Result, len(deliveries))
			for i, d := range deliveries {
				if !fails() {
					results[i] = store.record(d)
				}
			}
			return results, errAway
		}
		s := newStage(store)

		queue, alien := map[string]events.SQSMessage{}, map[string]bool{}
		svixID := map[string]string{}
		for n := range 1 + r.IntN(40) {
			message := record(n)
			svixID[message.MessageId] = fmt.Sprintf("msg_%d", n)
			if r.IntN(10) == 0 {
				message = foreign(n)
				alien[message.MessageId] = true
			}
			queue[message.MessageId] = message
		}
		for round := 0; len(queue) > len(alien); round++ {
			if round > 200 {
				trouble = 0 // it passes
			}
			var batch []events.SQSMessage
			for _, id := range slices.Sorted(maps.Keys(queue)) {
				if r.IntN(3) > 0 {
					batch = append(batch, queue[id])
				}
			}
			back, err := s.invoke(t.Context(), t, batch...)
			for _, message := range batch {
				id := message.MessageId
				done := err == nil && !slices.Contains(back, id)
				if recorded := store.recorded[svixID[id]]; done && !recorded {
					t.Fatalf("seed %d: %s is acknowledged and not recorded", seed, id)
				}
				if done {
					delete(queue, id)
				}
			}
			for _, id := range back {
				if !slices.ContainsFunc(batch, func(m events.SQSMessage) bool { return m.MessageId == id }) {
					t.Fatalf("seed %d: %s comes back and was not in the batch", seed, id)
				}
				if store.recorded[svixID[id]] {
					t.Fatalf("seed %d: %s comes back and is recorded", seed, id)
				}
			}
		}
		for id, svix := range svixID {
			if store.recorded[svix] == alien[id] {
				t.Fatalf("seed %d: %s, of another sender: %t, is recorded: %t", seed, id, alien[id], store.recorded[svix])
			}
		}
	}
}

func TestInvoke_FailsWhileItIsNotConfigured(t *testing.T) {
	t.Parallel()
	s := newStage(&rules{})
	s.configure = func(context.Context) (config.Consumer, error) {
		return config.Consumer{}, fmt.Errorf("%w: DATABASE_URL is not set", config.ErrInvalid)
	}
	_, err := s.invoke(t.Context(), t, record(1))
	if told, _ := errors.AsType[messages.InvokeResponse_Error](err); told.Type != notConfigured || strings.Contains(told.Message, "DATABASE_URL") {
		t.Errorf("Lambda is told %v, want the type %s and no more", err, notConfigured)
	}
	if !strings.Contains(s.out.String(), "DATABASE_URL is not set") || len(s.measured(t)["failures"]) != 1 {
		t.Errorf("the log does not name the problem, or it is not counted once:\n%s", s.out.String())
	}
	if len(s.rules.recorded) > 0 {
		t.Error("an event was applied without a configuration")
	}
}

func TestInvoke_RefusesWhatIsNoEventOfAQueue(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{``, `"private"`, `[]`, `{"Records":"private"}`, `{"Records":[{"body":{"private":1}}]}`} {
		s := newStage(&rules{})
		_, err := s.Invoke(t.Context(), []byte(payload))
		if told, _ := errors.AsType[messages.InvokeResponse_Error](err); told.Type != foreignMessage {
			t.Errorf("Invoke(%s) = %v, want the type %s", payload, err, foreignMessage)
		}
		if strings.Contains(s.out.String()+err.Error(), "private") {
			t.Errorf("Invoke(%s) quotes it: %v\n%s", payload, err, s.out.String())
		}
	}
}

func TestInvoke_PinsTheInstance(t *testing.T) {
	t.Parallel()
	s := newStage(&rules{})
	if _, err := s.invoke(t.Context(), t, record(1)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ins_pinned"}, s.rules.pins); diff != "" {
		t.Errorf("instances of the deliveries (-want +got):\n%s", diff)
	}
}

func TestInvoke_LogsALineForEachEventAndOneIDForAll(t *testing.T) {
	t.Parallel()
	s := newStage(&rules{outcome: mirror.Rejected})
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
	if _, err := s.invoke(ctx, t, record(1), foreign(2), record(1)); err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	for line := range strings.Lines(s.out.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("line %s: %v", line, err)
		}
		if one["_aws"] != nil {
			continue
		}
		if one["lag_ms"] != nil {
			one["lag_ms"] = "some"
		}
		delete(one, "time")
		got = append(got, one)
	}
	event := func(level, outcome string) map[string]any {
		return map[string]any{
			"level": level, "msg": "event handled", "request_id": "request-1", "svix_id": "msg_1",
			"type": "user.updated", "object_id": "user_1", "lag_ms": "some", "outcome": outcome,
		}
	}
	want := []map[string]any{
		{
			"level": "ERROR", "msg": "message refused", "request_id": "request-1", "message_id": "message-2", "code": foreignMessage,
			"error": "the message is none of clerksync's: it has no usable svix_id",
		},
		event("WARN", "rejected"), event("INFO", "duplicate"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestMetrics_SumUpABatch(t *testing.T) {
	t.Parallel()
	s := newStage(&rules{})
	now := time.Now()
	about := func(behind time.Duration, outcome mirror.Outcome) *item {
		i := &item{result: mirror.Result{Outcome: outcome}, decidedAt: now}
		if behind != 0 {
			i.delivery.Event.StatedAt = now.Add(-behind)
		}
		return i
	}
	s.Handler.metrics.observe([]*item{
		about(2*time.Second, mirror.Applied), about(5*time.Second, mirror.Applied), about(0, mirror.Stale),
		// Its row was written when it came the first time.
		about(time.Hour, mirror.Duplicate),
		about(2*time.Hour, ""), // comes back
	}, 6, 1500*time.Millisecond)
	found := s.measured(t)
	want := map[string]any{"function": functionName, "batch": 6.0, "duration": 1500.0, "lag": 5000.0}
	if diff := cmp.Diff([]map[string]any{want}, found["batch"]); diff != "" {
		t.Errorf("metrics without a dimension (-want +got):\n%s", diff)
	}
	outcomes := map[string]any{}
	for _, one := range found["events"] {
		outcome, _ := one["outcome"].(string)
		outcomes[outcome] = one["events"]
	}
	if diff := cmp.Diff(map[string]any{"applied": 2.0, "stale": 1.0, "duplicate": 1.0}, outcomes); diff != "" {
		t.Errorf("metric events by outcome (-want +got):\n%s", diff)
	}
}

func TestInvoke_LeavesTimeForTheAnswer(t *testing.T) {
	t.Parallel()
	s := newStage(&rules{batch: func(ctx context.Context, _ []mirror.Delivery) ([]mirror.Result, error) {
		deadline, _ := ctx.Deadline()
		if left := time.Until(deadline); left > 8*time.Second {
			t.Errorf("a batch is given %v of 10 s, want %v less", left, answerMargin)
		}
		return nil, context.Cause(ctx)
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if back, err := s.invoke(ctx, t, record(1)); err != nil || len(back) > 0 {
		t.Errorf("Invoke = %v, %v, want the event to be applied", back, err)
	}
	spent, cancel := context.WithTimeout(t.Context(), answerMargin/2)
	defer cancel()
	_, err := s.invoke(spent, t, record(2))
	if told, _ := errors.AsType[messages.InvokeResponse_Error](err); told.Type != unavailable {
		t.Errorf("with no time left: %v, want the type %s", err, unavailable)
	}
	if !strings.Contains(s.out.String(), "the function's time is nearly up") {
		t.Errorf("the log does not say why:\n%s", s.out.String())
	}
}

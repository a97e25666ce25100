package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

// soak is how long TestSoak lasts.
var soak = flag.Duration("soak", 0, "have TestSoak run, for so long")

func TestMain(m *testing.M) {
	code := testdb.Main(m)
	moto.Stop()
	os.Exit(code)
}

// function is the package of a function.
type function string

const (
	webhookIngest function = "clerksync/functions/webhook-ingest"
	eventConsumer function = "clerksync/functions/event-consumer"
)

func (f function) binary(t testing.TB) string {
	t.Helper()
	return lambdatest.Build(t, string(f))
}

const signingSecret = "whsec_dGVzdC1zZWNyZXQtdGhhdC1pcy1sb25nLWVub3VnaA=="

// stack is a database, a queue with its dead-letter queue, and the environment
// that leads the functions there.
type stack struct {
	server      *moto.Server
	queue, dead string
	environment map[string]string
}

// Of the queues: how long a message that was not deleted stays hidden, and how
// often it is handed out.
const (
	visibility   = time.Second
	receiveCount = 3
)

func newStack(t testing.TB, databaseURL string, receives int) *stack {
	t.Helper()
	s := &stack{server: moto.Start(t)}
	s.dead = s.server.NewQueue(t, nil)
	arn, err := s.server.SQS().GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &s.dead, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.queue = s.server.NewQueue(t, map[string]string{
		"VisibilityTimeout": fmt.Sprint(visibility.Seconds()),
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, arn.Attributes["QueueArn"], receives),
	})
	s.environment = s.server.Environment()
	maps.Copy(s.environment, map[string]string{
		"DATABASE_URL": databaseURL, "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret, "EVENT_QUEUE_URL": s.queue,
	})
	return s
}

// consume begins to hand the queue's messages to the consumer.
func (s *stack) consume(t testing.TB, batch, concurrency int) *lambdatest.EventSource {
	t.Helper()
	binary := eventConsumer.binary(t)
	return lambdatest.StartEventSource(t, lambdatest.EventSourceOptions{
		Client: s.server.SQS(), QueueURL: s.queue, BatchSize: batch, Window: 200 * time.Millisecond, Concurrency: concurrency,
		Timeout: 30 * time.Second,
		Start:   func() *lambdatest.Function { return lambdatest.Start(t, binary, s.environment) },
	})
}

// messages are the bodies that the queue holds, which it keeps.
func (s *stack) messages(t testing.TB, queue string) []string {
	t.Helper()
	var bodies []string
	for {
		out, err := s.server.SQS().ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return bodies
		}
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
		}
	}
}

// patience is longer than anything takes that a test waits for, on a loaded machine too.
const patience = 10 * time.Minute

var errImpatient = fmt.Errorf("%s have passed", patience)

// drain waits until nothing is left to be consumed.
func drain(t testing.TB, source *lambdatest.EventSource) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errImpatient)
	defer cancel()
	if err := source.AwaitEmpty(ctx); err != nil {
		for _, f := range source.Environments() {
			t.Log(f.Logs())
		}
		t.Fatal(err)
	}
}

func signed(id string, body []byte) []byte {
	return lambdatest.WebhookRequest(clerktest.Sign(signingSecret, id, time.Now(), body), body, false)
}

// send delivers an event to the webhook function and checks the answer.
func send(t testing.TB, f *lambdatest.Function, id string, body []byte, want lambdatest.WebhookAnswer) {
	t.Helper()
	got, err := lambdatest.InvokeWebhook(t.Context(), f, signed(id, body))
	got.Header = nil
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%s: %v (-want +got):\n%s\n%s", id, err, diff, f.Logs())
	}
}

var queued = lambdatest.WebhookAnswer{Status: http.StatusAccepted, Outcome: "queued"}

func TestBootstrap_AppliesWhatTheWebhookHasQueued(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	db := testdb.New(t)
	s := newStack(t, db.Pooled(t, db.Writer()), receiveCount)
	f := lambdatest.Start(t, webhookIngest.binary(t), s.environment)

	user := clerktest.User("user_1").Email("one@example.com")
	organization := clerktest.Organization("org_1", "Harbour Lights")
	email := clerktest.Event(t, "email.created")
	send(t, f, "msg_1", user.Event(clerk.UserCreated, clerktest.Epoch), queued)
	send(t, f, "msg_2", organization.Event(clerk.OrganizationCreated, clerktest.Epoch), queued)
	send(t, f, "msg_3", clerktest.Membership("orgmem_1", organization, user).Event(clerk.OrganizationMembershipCreated, clerktest.Epoch), queued)
	send(t, f, "msg_4", email, queued)
	// Delivered again, as after an answer that got lost.
	send(t, f, "msg_1", user.Event(clerk.UserCreated, clerktest.Epoch), queued)
	// What is no event is decided at once.
	send(t, f, "msg_5", []byte(`{"email":"two@example.com"}`), lambdatest.WebhookAnswer{Status: 200, Outcome: "rejected"})

	bodies := strings.Join(s.messages(t, s.queue), "\n")
	if n := strings.Count(bodies, "\n") + 1; n != 5 {
		t.Fatalf("%d messages in the queue, want 5:\n%s", n, bodies)
	}
	var private struct{ Data map[string]any }
	if err := json.Unmarshal(email, &private); err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"body", "body_plain", "subject", "to_email_address"} {
		if text, _ := private.Data[member].(string); text == "" || strings.Contains(bodies, text) {
			t.Errorf("the queue holds the %s of an e-mail with a code, or the example has none: %q", member, text)
		}
	}

	source := s.consume(t, 100, 1)
	drain(t, source)
	conn := db.Conn(t, db.Owner())
	var rows string
	if err := conn.QueryRow(t.Context(), `
		select concat_ws(' ', (select email from public.users), (select name from public.organizations),
			(select clerk_user_id from public.organization_memberships),
			(select string_agg(svix_id || '=' || outcome, ',' order by svix_id) from clerk_sync.webhook_events))`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if want := "one@example.com Harbour Lights user_1 msg_1=applied,msg_2=applied,msg_3=applied,msg_4=ignored,msg_5=rejected"; rows != want {
		t.Errorf("copy and history = %s, want %s", rows, want)
	}

	logs := source.Environments()[0].Logs()
	for _, part := range []string{`"svix_id":"msg_1"`, `"request_id":"00000000-0000-4000-8000-00000000000`, `"outcome":"applied"`, `"outcome":"duplicate"`, `"outcome":"ignored"`, `"batch"`, `"lag"`} {
		if !strings.Contains(logs, part) {
			t.Errorf("the consumer's logs lack %s:\n%s", part, logs)
		}
	}
	if ingest := f.Logs(); !strings.Contains(ingest, `"verified"`) || strings.Contains(ingest, `"lag"`) {
		t.Errorf("the webhook's metrics are to count what was verified and to know nothing of the commit:\n%s", ingest)
	}
	for _, leak := range []string{"one@example.com", "two@example.com", "Harbour", signingSecret, "whsec_", "postgres://"} {
		if strings.Contains(logs+f.Logs(), leak) {
			t.Errorf("the logs hold %q", leak)
		}
	}
}

func TestBootstrap_AppliesAtOnceWhatIsTooLargeForAMessage(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	db := testdb.New(t)
	s := newStack(t, db.Pooled(t, db.Writer()), receiveCount)
	f := lambdatest.Start(t, webhookIngest.binary(t), s.environment)
	large := clerktest.User("user_1").PublicMetadata(`{"note":"` + strings.Repeat("x", 300<<10) + `"}`)
	send(t, f, "msg_1", large.Event(clerk.UserCreated, clerktest.Epoch), lambdatest.WebhookAnswer{Status: 200, Outcome: "applied"})
	var size int
	if err := db.Conn(t, db.Owner()).QueryRow(t.Context(), `select length(metadata ->> 'note') from public.users`).Scan(&size); err != nil || size != 300<<10 {
		t.Errorf("the note in the copy has %d characters, %v, want all", size, err)
	}
}

func TestBootstrap_Answers503WhileTheQueueCannotBeReached(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	db := testdb.New(t)
	s := newStack(t, db.Pooled(t, db.Writer()), receiveCount)
	wrong := maps.Clone(s.environment)
	wrong["EVENT_QUEUE_URL"] += "-gone"
	f := lambdatest.Start(t, webhookIngest.binary(t), wrong)
	send(t, f, "msg_1", clerktest.User("user_1").Email("one@example.com").Event(clerk.UserCreated, clerktest.Epoch),
		lambdatest.WebhookAnswer{Status: 503, Code: "unavailable"})
	if logs := f.Logs(); !strings.Contains(logs, "EVENT_QUEUE_URL") || strings.Contains(logs, "one@example.com") {
		t.Errorf("the logs are to name the setting and nothing of the event:\n%s", logs)
	}
}

// What nobody of ours has sent goes to the dead-letter queue, and holds up nothing.
func TestBootstrap_LeavesForeignMessagesToTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	db := testdb.New(t)
	s := newStack(t, db.Pooled(t, db.Writer()), receiveCount)
	f := lambdatest.Start(t, webhookIngest.binary(t), s.environment)
	malformed := `{"svix_id":"msg_1","event":{"type":"user.created","email":"private@example.com"}}`
	if _, err := s.server.SQS().SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &s.queue, MessageBody: &malformed}); err != nil {
		t.Fatal(err)
	}
	send(t, f, "msg_2", clerktest.User("user_1").Event(clerk.UserCreated, clerktest.Epoch), queued)
	source := s.consume(t, 10, 1)
	drain(t, source)
	if diff := cmp.Diff([]string{malformed}, s.messages(t, s.dead)); diff != "" {
		t.Errorf("dead-letter queue (-want +got):\n%s", diff)
	}
	var events int
	if err := db.Conn(t, db.Superuser()).QueryRow(t.Context(), `select count(*) from clerk_sync.webhook_events where svix_id = 'msg_2'`).Scan(&events); err != nil || events != 1 {
		t.Errorf("the event beside it is recorded %d times, %v", events, err)
	}
	logs := source.Environments()[0].Logs()
	if n := strings.Count(logs, `"msg":"message refused"`); n != receiveCount || strings.Contains(logs, "private@example.com") {
		t.Errorf("it was refused %d times, want %d, and the logs are to hold nothing of it:\n%s", n, receiveCount, logs)
	}
}

func batch(t *testing.T, n int) []byte {
	t.Helper()
	var records []map[string]any
	for i := range n {
		body := clerktest.User(fmt.Sprintf("user_%d", i)).Email("private@example.com").Event(clerk.UserCreated, clerktest.Epoch)
		records = append(records, map[string]any{"messageId": fmt.Sprintf("message-%d", i), "body": fmt.Sprintf(`{"svix_id":"msg_%d","event":%s}`, i, body), "eventSource": "aws:sqs"})
	}
	payload, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// errorType is the type of the error that the function has reported.
func errorType(t *testing.T, err error) string {
	t.Helper()
	reported, ok := errors.AsType[*lambdatest.FunctionError](err)
	if !ok {
		t.Fatalf("the function answered with %v, want an error that it reports", err)
	}
	var payload struct {
		ErrorType string `json:"errorType"`
	}
	if err := json.Unmarshal(reported.Payload, &payload); err != nil {
		t.Fatalf("error %s: %v", reported.Payload, err)
	}
	return payload.ErrorType
}

func TestBootstrap_FailsWhileTheDatabaseIsAwayAndRecovers(t *testing.T) {
	t.Parallel()
	server := testdb.NewServer(t, nil)
	f := lambdatest.Start(t, eventConsumer.binary(t), map[string]string{"DATABASE_URL": server.URL(testdb.ServerDatabase, "clerksync_writer", "")})
	const want = `{"batchItemFailures":[]}`
	if got, err := f.Invoke(t.Context(), batch(t, 3)); err != nil || string(got) != want {
		t.Fatalf("before: %s, %v, want %s\n%s", got, err, want, f.Logs())
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	_, err := f.Invoke(t.Context(), batch(t, 6))
	if got := errorType(t, err); got != "unavailable" || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("during: %v, want an error of the type unavailable that tells no more", err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Invoke(t.Context(), batch(t, 6)); err != nil || string(got) != want {
		t.Errorf("after: %s, %v, want %s\n%s", got, err, want, f.Logs())
	}
	if strings.Contains(f.Logs(), "private@example.com") {
		t.Errorf("the logs quote an event:\n%s", f.Logs())
	}
}

// Somebody holds one row: the others do not wait for it longer than a batch may.
func TestBootstrap_AppliesTheRestWhileOneEventCannotBe(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	f := lambdatest.Start(t, eventConsumer.binary(t), map[string]string{"DATABASE_URL": db.Pooled(t, db.Writer())})
	if _, err := f.Invoke(t.Context(), batch(t, 1)); err != nil {
		t.Fatal(err)
	}
	conn := db.Conn(t, db.Superuser())
	// The history forgets the first event, so that it is applied again.
	if _, err := conn.Exec(t.Context(), `delete from clerk_sync.webhook_events`); err != nil {
		t.Fatal(err)
	}
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `insert into clerk_sync.webhook_events (svix_id, type, outcome) values ('msg_0', 'user.created', 'applied')`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, err := f.Invoke(ctx, batch(t, 4))
	if want := `{"batchItemFailures":[{"itemIdentifier":"message-0"}]}`; err != nil || string(got) != want {
		t.Errorf("with msg_0 held: %s, %v, want %s\n%s", got, err, want, f.Logs())
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Invoke(t.Context(), batch(t, 4)); err != nil || string(got) != `{"batchItemFailures":[]}` {
		t.Errorf("once it is free: %s, %v, want no failures\n%s", got, err, f.Logs())
	}
}

func TestBootstrap_FailsWithoutAUsableConfiguration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		environment map[string]string
		says        []string
	}{
		{"nothing", nil, []string{"DATABASE_URL is not set"}},
		{"everything wrong", map[string]string{"DATABASE_URL": "https://abcdefghijklmnopqrst.supabase.co", "CLERK_INSTANCE_ID": "hidden!", "LOG_LEVEL": "hidden!"}, []string{"DATABASE_URL", "CLERK_INSTANCE_ID", "LOG_LEVEL"}},
		// What package supabase alone knows to be wrong.
		{"a mode that mixes up answers", map[string]string{"DATABASE_URL": "postgres://writer:hidden@127.0.0.1:1/db?default_query_exec_mode=describe_exec"}, []string{"describe_exec"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := lambdatest.Start(t, eventConsumer.binary(t), tt.environment)
			_, err := f.Invoke(t.Context(), batch(t, 1))
			if got := errorType(t, err); got != "not_configured" || strings.Contains(err.Error(), "DATABASE_URL") {
				t.Errorf("Invoke = %v, want an error of the type not_configured that tells no more", err)
			}
			for _, part := range tt.says {
				if !strings.Contains(f.Logs(), part) {
					t.Errorf("the logs do not name %s:\n%s", part, f.Logs())
				}
			}
			if strings.Contains(f.Logs(), "hidden") || strings.Contains(f.Logs(), "private@example.com") {
				t.Errorf("the logs hold a value or an event:\n%s", f.Logs())
			}
		})
	}
}

func TestBootstrap_TakesItsConfigurationFromSecretsManager(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	db := testdb.New(t)
	server := moto.Start(t)
	id := "clerksync/" + t.Name()
	text, err := json.Marshal(map[string]string{"DATABASE_URL": db.Pooled(t, db.Writer()), "CLERK_INSTANCE_ID": "ins_another"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &id, SecretString: new(string(text))}); err != nil {
		t.Fatal(err)
	}
	environment := server.Environment()
	environment["CLERKSYNC_SECRET_ID"] = id
	f := lambdatest.Start(t, eventConsumer.binary(t), environment)
	if got, err := f.Invoke(t.Context(), batch(t, 2)); err != nil || string(got) != `{"batchItemFailures":[]}` {
		t.Errorf("answer = %s, %v, want no failures\n%s", got, err, f.Logs())
	}
	// The events are another instance's than the one that the secret pins.
	if n := strings.Count(f.Logs(), `"reason":"wrong_instance"`); n != 2 || strings.Contains(f.Logs(), "postgres://") {
		t.Errorf("%d events were rejected for their instance, want 2, and no address in the logs:\n%s", n, f.Logs())
	}
}

func TestBootstrap_FailsWhileItsSecretCannotBeRead(t *testing.T) {
	t.Parallel()
	environment := moto.Start(t).Environment()
	environment["CLERKSYNC_SECRET_ID"] = "clerksync/" + t.Name() + "/missing"
	f := lambdatest.Start(t, eventConsumer.binary(t), environment)
	_, err := f.Invoke(t.Context(), batch(t, 1))
	if got := errorType(t, err); got != "not_configured" || !strings.Contains(f.Logs(), environment["CLERKSYNC_SECRET_ID"]) {
		t.Errorf("Invoke = %v, want not_configured, and the secret's name in the logs:\n%s", err, f.Logs())
	}
}

// The event that the template's page tells people to try out.
func TestBootstrap_AnswersTheSampleEvent(t *testing.T) {
	t.Parallel()
	sample, err := os.ReadFile(filepath.Join("..", "..", "infra", "events", "event-consumer.json"))
	if err != nil {
		t.Fatal(err)
	}
	db := testdb.New(t)
	f := lambdatest.Start(t, eventConsumer.binary(t), map[string]string{"DATABASE_URL": db.Writer()})
	if got, err := f.Invoke(t.Context(), sample); err != nil || string(got) != `{"batchItemFailures":[]}` {
		t.Errorf("answer = %s, %v, want no failures\n%s", got, err, f.Logs())
	}
	var outcomes string
	if err := db.Conn(t, db.Superuser()).QueryRow(t.Context(), `select string_agg(outcome, ',' order by outcome) from clerk_sync.webhook_events`).Scan(&outcomes); err != nil || outcomes != "applied,ignored" {
		t.Errorf("outcomes = %s, %v, want applied,ignored", outcomes, err)
	}
	// Handed out again, as queues do.
	if got, err := f.Invoke(t.Context(), sample); err != nil || string(got) != `{"batchItemFailures":[]}` || strings.Count(f.Logs(), `"outcome":"duplicate"`) < 2 {
		t.Errorf("again: %s, %v, want two duplicates\n%s", got, err, f.Logs())
	}
}

// The consumer is killed again and again while it works; what it had not
// acknowledged is handed out again. Nothing may be lost and nothing doubled.
func TestBootstrap_KilledAtWorkLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	db := testdb.New(t)
	s := newStack(t, db.Pooled(t, db.Writer()), 1000)
	f := lambdatest.Start(t, webhookIngest.binary(t), s.environment)
	const events, users = 120, 20
	for n := range events {
		at := clerktest.Epoch.Add(time.Duration(n) * time.Second)
		body := clerktest.User(fmt.Sprintf("user_%d", n%users)).Name(fmt.Sprintf("name%d", n), "").UpdatedAt(at).Event(clerk.UserUpdated, at)
		send(t, f, fmt.Sprintf("msg_%d", n), body, queued)
	}
	// While somebody holds the table, whoever works is in the middle of its statement.
	holder, err := db.Conn(t, db.Superuser()).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), `lock table public.users in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	source := s.consume(t, 15, 2)
	watch := db.Conn(t, db.Superuser())
	for range 3 {
		awaitWaiting(t, watch)
		for _, f := range source.Environments() {
			f.Kill()
		}
		// A session that waits does not notice that its client is gone.
		if _, err := watch.Exec(t.Context(), `
			select pg_terminate_backend(pid, 1000) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`); err != nil {
			t.Fatal(err)
		}
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	drain(t, source)
	if counts := source.Counts(); counts.Errors < 3 {
		t.Errorf("%+v: not every kill hit a process at work", counts)
	}
	var newest, recorded int
	if err := db.Conn(t, db.Superuser()).QueryRow(t.Context(), `
		select (select count(*) from public.users where first_name = 'name' || ($1::int - $2::int + substr(clerk_id, 6)::int)),
		       (select count(*) from clerk_sync.webhook_events)`, events, users).Scan(&newest, &recorded); err != nil {
		t.Fatal(err)
	}
	if newest != users || recorded != events {
		t.Errorf("%d users say the newest, %d events recorded, want %d and %d", newest, recorded, users, events)
	}
	if dead := s.messages(t, s.dead); len(dead) > 0 {
		t.Errorf("%d messages in the dead-letter queue, want none", len(dead))
	}
}

// awaitWaiting waits until a statement waits for a lock.
func awaitWaiting(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errImpatient)
	defer cancel()
	for {
		var waiting bool
		if err := conn.QueryRow(ctx, `
			select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`).Scan(&waiting); err != nil {
			t.Fatalf("nobody waits for a lock: %v", errors.Join(err, context.Cause(ctx)))
		}
		if waiting {
			return
		}
	}
}

package eventqueue_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/config"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/eventqueue"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/moto"
)

func TestMain(m *testing.M) { os.Exit(moto.Main(m)) }

// direct is the store behind a sender.
type direct struct {
	mu    sync.Mutex
	calls []string // svix-ids
}

func (d *direct) Apply(_ context.Context, delivery mirror.Delivery) (mirror.Result, error) {
	return d.note("apply " + delivery.SvixID)
}

func (d *direct) Reject(_ context.Context, m mirror.Unreadable) (mirror.Result, error) {
	return d.note("reject " + m.SvixID + " " + m.Reason)
}

func (d *direct) note(call string) (mirror.Result, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
	return mirror.Result{Outcome: mirror.Applied}, nil
}

// scene is a sender with everything around it that a test looks at.
type scene struct {
	*eventqueue.Sender
	direct *direct
	log    *bytes.Buffer
}

// newScene returns a sender to the queue that url holds at the time.
func newScene(url *string, variables map[string]string) scene {
	s := scene{direct: &direct{}, log: &bytes.Buffer{}}
	s.Sender = eventqueue.NewSender(eventqueue.SenderOptions{
		Direct:   s.direct,
		QueueURL: func(context.Context) (string, error) { return *url, nil },
		Lookup:   func(key string) (string, bool) { value, ok := variables[key]; return value, ok },
		Logger:   slog.New(slog.NewJSONHandler(s.log, nil)),
	})
	return s
}

func receive(t *testing.T, server *moto.Server, url string) []types.Message {
	t.Helper()
	out, err := server.SQS().ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

func userEvent(t *testing.T, id string, change func(*resource.User)) mirror.Delivery {
	t.Helper()
	user := clerktest.User(id).Email(id + "@example.com")
	if change != nil {
		user = user.With(change)
	}
	return delivery(t, "msg_"+id, string(user.Event(clerk.UserUpdated, clerktest.Epoch)))
}

func TestSender_SendsOneMessageForAnEvent(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	url := server.NewQueue(t, nil)
	s := newScene(&url, server.Environment())
	sent := userEvent(t, "user_1", nil)
	if got, err := s.Apply(t.Context(), sent); err != nil || got != (mirror.Result{Outcome: mirror.Queued}) {
		t.Fatalf("Apply = %+v, %v, want queued", got, err)
	}
	messages := receive(t, server, url)
	if len(messages) != 1 {
		t.Fatalf("%d messages in the queue, want 1", len(messages))
	}
	got, err := eventqueue.Decode(*messages[0].Body)
	if err != nil || got.SvixID != "msg_user_1" || got.Event.Type != clerk.UserUpdated || !got.Event.StatedAt.Equal(sent.Event.StatedAt) {
		t.Errorf("Decode(%s) = %+v, %v, want the delivery", *messages[0].Body, got, err)
	}
	if len(s.direct.calls) > 0 {
		t.Errorf("the direct store was called: %v", s.direct.calls)
	}
}

func TestSender_AppliesAtOnceWhatNoMessageMayCarry(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	url := server.NewQueue(t, nil)
	s := newScene(&url, server.Environment())
	large := userEvent(t, "user_large", func(u *resource.User) { u.FirstName = new(strings.Repeat("private", eventqueue.MaxMessage/7)) })
	if got, err := s.Apply(t.Context(), large); err != nil || got.Outcome != mirror.Applied {
		t.Errorf("Apply of a large event = %+v, %v, want applied", got, err)
	}
	if got, err := s.Reject(t.Context(), mirror.Unreadable{SvixID: "msg_2", Reason: "not_json", Body: []byte("code 424242")}); err != nil || got.Outcome != mirror.Applied {
		t.Errorf("Reject = %+v, %v, want the direct store's answer", got, err)
	}
	if diff := cmp.Diff([]string{"apply msg_user_large", "reject msg_2 not_json"}, s.direct.calls); diff != "" {
		t.Errorf("calls of the direct store (-want +got):\n%s", diff)
	}
	if messages := receive(t, server, url); len(messages) > 0 {
		t.Errorf("%d messages in the queue, want none", len(messages))
	}
	if log := s.log.String(); !strings.Contains(log, "msg_user_large") || strings.Contains(log, "private") || strings.Contains(log, "424242") {
		t.Errorf("the log is to name the event and nothing in it: %s", log)
	}
}

func TestSender_FollowsItsConfiguration(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	var url string
	s := newScene(&url, server.Environment())
	for _, step := range []struct {
		url  string
		want mirror.Outcome
	}{{"", mirror.Applied}, {server.NewQueue(t, nil), mirror.Queued}, {"", mirror.Applied}} {
		url = step.url
		if got, err := s.Apply(t.Context(), userEvent(t, "user_1", nil)); err != nil || got.Outcome != step.want {
			t.Errorf("Apply with the queue %q = %+v, %v, want %s", step.url, got, err, step.want)
		}
	}
}

func TestSender_FailsWhereItsConfigurationDoes(t *testing.T) {
	t.Parallel()
	store := &direct{}
	s := eventqueue.NewSender(eventqueue.SenderOptions{
		Direct: store, QueueURL: func(context.Context) (string, error) { return "", config.ErrInvalid },
	})
	if got, err := s.Apply(t.Context(), userEvent(t, "user_1", nil)); !errors.Is(err, config.ErrInvalid) || got.Outcome != "" || len(store.calls) > 0 {
		t.Errorf("Apply = %+v, %v with the calls %v, want ErrInvalid and none", got, err, store.calls)
	}
}

// A queue that was made to take less than others.
func TestSender_AppliesAtOnceWhatTheQueueDoesNotTake(t *testing.T) {
	t.Parallel()
	service := answering(t, http.StatusBadRequest, "com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue;Sender",
		"One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.")
	url := service + "/123456789012/events"
	s := newScene(&url, variables(service))
	got, err := s.Apply(t.Context(), userEvent(t, "user_1", nil))
	if err != nil || got.Outcome != mirror.Applied || len(s.direct.calls) != 1 {
		t.Errorf("Apply = %+v, %v with the calls %v, want applied by the direct store", got, err, s.direct.calls)
	}
	if log := s.log.String(); !strings.Contains(log, `"level":"WARN"`) || !strings.Contains(log, "MaximumMessageSize") {
		t.Errorf("the log does not say how to mend it: %s", log)
	}
}

// answering is the address of a service that answers every request with an error
// in the form of SQS's JSON protocol.
func answering(t *testing.T, status int, kind, queryCode, message string) string {
	t.Helper()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if queryCode != "" {
			w.Header().Set("x-amzn-query-error", queryCode)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"__type":"`+kind+`","message":"`+message+`"}`)
	}))
	t.Cleanup(service.Close)
	return service.URL
}

func variables(endpoint string) map[string]string {
	return map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": endpoint,
	}
}

func TestSender_SaysThatThereIsNoSuchQueue(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	url := server.URL + "/123456789012/" + t.Name()
	s := newScene(&url, server.Environment())
	err := config.ErrTimeout
	// The limit of a send is another test's; a machine under load may exceed it.
	for errors.Is(err, config.ErrTimeout) {
		_, err = s.Apply(t.Context(), userEvent(t, "user_1", nil))
	}
	if !errors.Is(err, eventqueue.ErrNoSuchQueue) || !strings.Contains(err.Error(), "region "+moto.Region) || !strings.Contains(err.Error(), "EVENT_QUEUE_URL") {
		t.Errorf("Apply = %v, want ErrNoSuchQueue that names region and setting", err)
	}
	if len(s.direct.calls) > 0 {
		t.Errorf("the direct store was called: %v", s.direct.calls)
	}
}

// What moto does not do: the answers of AWS that need roles, keys and load, in
// the codes of the JSON protocol and of the older one beside it.
func TestSender_ExplainsRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name              string
		status            int
		kind, query, text string
		want              error
		says              string
	}{
		{"no permission", 403, "com.amazon.coral.service#AccessDeniedException", "AccessDenied;Sender", "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: sqs:sendmessage", config.ErrAccessDenied, "sqs:SendMessage"},
		{"no permission on the key", 400, "com.amazonaws.sqs#KmsAccessDenied", "KMS.AccessDeniedException;Sender", "The caller doesn't have the required KMS access.", eventqueue.ErrKey, "kms:GenerateDataKey"},
		{"no permission on the key, as SQS itself says it", 400, "com.amazon.coral.service#AccessDeniedException", "AccessDenied;Sender", "access to the KMS key is denied", eventqueue.ErrKey, "kms:Decrypt"},
		{"key disabled", 400, "com.amazonaws.sqs#KmsDisabled", "", "key is disabled", eventqueue.ErrKey, "enabled"},
		{"key gone", 400, "com.amazonaws.sqs#KmsNotFound", "KMS.NotFoundException;Sender", "not found", eventqueue.ErrKey, "KMS.NotFoundException"},
		{"key asked too often", 400, "com.amazonaws.sqs#KmsThrottled", "KMS.ThrottlingException;Sender", "Rate exceeded", config.ErrThrottled, "reuse period"},
		{"queue deleted", 400, "com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue;Sender", "gone", eventqueue.ErrNoSuchQueue, "EVENT_QUEUE_URL"},
		{"no queue's URL", 400, "com.amazonaws.sqs#InvalidAddress", "InvalidAddress;Sender", "The address is not valid", eventqueue.ErrNoSuchQueue, "region eu-central-1"},
		{"too many calls", 403, "com.amazonaws.sqs#RequestThrottled", "RequestThrottled;Sender", "Rate exceeded", config.ErrThrottled, "by SQS"},
		{"expired credentials", 403, "com.amazon.coral.service#ExpiredTokenException", "", "The security token included in the request is expired", config.ErrNoCredentials, "role"},
		{"unknown credentials", 403, "com.amazon.coral.service#UnrecognizedClientException", "", "The security token included in the request is invalid.", config.ErrNoCredentials, "role"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			service := answering(t, tt.status, tt.kind, tt.query, tt.text)
			url := service + "/123456789012/events"
			s := newScene(&url, variables(service))
			got, err := s.Apply(t.Context(), userEvent(t, "user_1", nil))
			if !errors.Is(err, tt.want) || got.Outcome != "" {
				t.Fatalf("Apply = %+v, %v, want %v", got, err, tt.want)
			}
			if text := err.Error(); !strings.Contains(text, tt.says) || !strings.Contains(text, "msg_user_1") || strings.Contains(text, "example.com") {
				t.Errorf("Apply = %q, want it to name %q and the event, and nothing in that", text, tt.says)
			}
			if len(s.direct.calls) > 0 {
				t.Errorf("the direct store was called: %v", s.direct.calls)
			}
		})
	}
}

func TestSender_SaysThatNobodyAnswered(t *testing.T) {
	t.Parallel()
	// Takes connections and stays silent, like a network without a way to AWS.
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	url := "http://" + l.Addr().String() + "/123456789012/events"
	s := newScene(&url, variables("http://"+l.Addr().String()))
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("limit of the test"))
	defer cancel()
	_, err = s.Apply(ctx, userEvent(t, "user_1", nil))
	if !errors.Is(err, config.ErrTimeout) || !strings.Contains(err.Error(), "limit of the test") || !strings.Contains(err.Error(), "endpoint for SQS") {
		t.Errorf("Apply = %v, want ErrTimeout with the limit and the fix", err)
	}
}

// An error of the service passes: the SDK tries again within the limit.
func TestSender_TriesAgain(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	url := server.NewQueue(t, nil)
	var attempts atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if attempts.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		request, err := http.NewRequestWithContext(r.Context(), r.Method, server.URL, r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		request.Header = r.Header
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}))
	defer proxy.Close()
	s := newScene(&url, variables(proxy.URL))
	if got, err := s.Apply(t.Context(), userEvent(t, "user_1", nil)); err != nil || got.Outcome != mirror.Queued || attempts.Load() != 2 {
		t.Errorf("Apply = %+v, %v after %d attempts, want queued after 2", got, err, attempts.Load())
	}
	if messages := receive(t, server, url); len(messages) != 1 {
		t.Errorf("%d messages in the queue, want 1", len(messages))
	}
}

func TestSender_WantsARegion(t *testing.T) {
	// Not parallel: the SDK looks into the process's environment and files for what the lookup does not give.
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	url := "https://queue.example.com/123456789012/events"
	_, err := newScene(&url, nil).Apply(t.Context(), userEvent(t, "user_1", nil))
	if !errors.Is(err, config.ErrNoRegion) || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("Apply = %v, want ErrNoRegion that names AWS_REGION", err)
	}
}

func TestRegionOf_ReadsEveryFormOfAQueuesURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://sqs.eu-central-1.amazonaws.com/123456789012/events":      "eu-central-1",
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/events":     "cn-north-1",
		"https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/x":     "us-gov-west-1",
		"https://SQS.EU-WEST-1.api.aws/123456789012/events":               "eu-west-1",
		"https://vpce-0a1b-2c3d.sqs.us-east-2.vpce.amazonaws.com/1/event": "us-east-2",
		"https://ap-south-1.queue.amazonaws.com/123456789012/events":      "ap-south-1",
		// The oldest form, which only the first region has.
		"https://queue.amazonaws.com/123456789012/events": "",
		"http://127.0.0.1:4566/000000000000/events":       "",
		"https://queue.example.com/123456789012/events":   "",
	} {
		if got := eventqueue.RegionOf(in); got != want {
			t.Errorf("region of %s = %q, want %q", in, got, want)
		}
	}
}

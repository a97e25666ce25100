package eventqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"clerksync/shared/config"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/webhook"
)

// What sending fails with, besides what every call of AWS does
// ([config.ErrAccessDenied] and its like). Each error's text names the fix.
var (
	ErrNoSuchQueue = errors.New("no such queue")
	ErrKey         = errors.New("the queue's key cannot be used")
)

// errNotTaken says that SQS does not want this message, now or ever.
var errNotTaken = errors.New("the queue does not take this message")

// sendLimit bounds the sending of a message with all its attempts. The handler
// allows six seconds for storing, and what the queue does not take has to be
// applied in what is left of them.
const sendLimit = 3 * time.Second

// queueSetting names the setting that the URL comes from.
const queueSetting = "EVENT_QUEUE_URL"

// SenderOptions say where events go. All are required but Local and Logger.
type SenderOptions struct {
	// Direct applies at once what no message can carry, and everything while
	// there is no queue.
	Direct webhook.Store
	// QueueURL returns the URL of the queue, or "" for none. It is called for
	// every event and should cache.
	QueueURL func(ctx context.Context) (string, error)
	// Lookup is where the AWS client is made from, as [config.AWS] says.
	Lookup config.Lookup
	// Local, if set, takes SQS's place. Nothing is looked up then, and the AWS
	// settings of the machine are not read.
	Local *Local
	// Logger is told about events that did not go through the queue. Nil means
	// none.
	Logger *slog.Logger
}

// Local is a server on this machine that speaks SQS's protocol.
type Local struct {
	Endpoint, AccessKey string
	SecretKey           secret.Value
}

// localRegion is what requests to a Local are signed for.
const localRegion = "local"

func (l *Local) client() *sqs.Client {
	return sqs.New(sqs.Options{
		Region: localRegion, BaseEndpoint: &l.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(l.AccessKey, l.SecretKey.Reveal(), ""),
	})
}

// Sender is a [webhook.Store] that hands events to a queue. It answers
// [mirror.Queued] for these, and whatever the direct store says for others.
// It needs sqs:SendMessage on the queue, and kms:GenerateDataKey and kms:Decrypt
// on its key where that is a customer managed one. Call NewSender.
type Sender struct {
	options SenderOptions

	mu     sync.Mutex
	region string // of client
	client *sqs.Client
}

var _ webhook.Store = (*Sender)(nil)

// NewSender returns a Sender. It calls nothing yet.
func NewSender(options SenderOptions) *Sender {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sender{options: options}
}

// Apply sends the delivery, once or, where an answer got lost, twice. Any error
// means that it may not have been sent, and that repeating it is safe.
func (s *Sender) Apply(ctx context.Context, d mirror.Delivery) (mirror.Result, error) {
	queueURL, err := s.options.QueueURL(ctx)
	if err != nil {
		return mirror.Result{}, fmt.Errorf("asking for the queue's URL: %w", err)
	}
	if queueURL == "" {
		return s.options.Direct.Apply(ctx, d)
	}
	body, ok := Encode(d)
	if !ok {
		s.options.Logger.InfoContext(ctx, "event applied at once: no message can carry it",
			"svix_id", d.SvixID, "type", d.Event.Type, "bytes", len(d.Event.JSON), "limit", maxMessage)
		return s.options.Direct.Apply(ctx, d)
	}
	err = s.send(ctx, queueURL, body)
	if errors.Is(err, errNotTaken) {
		s.options.Logger.WarnContext(ctx, "event applied at once", "svix_id", d.SvixID, "type", d.Event.Type, "bytes", len(body), "error", err)
		return s.options.Direct.Apply(ctx, d)
	}
	if err != nil {
		return mirror.Result{}, fmt.Errorf("sending event %s to the queue: %w", d.SvixID, err)
	}
	return mirror.Result{Outcome: mirror.Queued}, nil
}

// Reject hands over to the direct store: what a body holds that is no event
// cannot be told, so it rests nowhere but in the table that is made for it.
func (s *Sender) Reject(ctx context.Context, m mirror.Unreadable) (mirror.Result, error) {
	return s.options.Direct.Reject(ctx, m)
}

func (s *Sender) send(ctx context.Context, queueURL, body string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sendLimit, fmt.Errorf("limit of %s for SQS", sendLimit))
	defer cancel()
	client, err := s.clientFor(ctx, queueURL)
	if err != nil {
		return err
	}
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: &body})
	if err != nil {
		return explain(ctx, err, client.Options().Region)
	}
	return nil
}

// clientFor returns a client of the queue's region. It is made when the first
// event is to be sent, and again should the queue be replaced by one elsewhere.
func (s *Sender) clientFor(ctx context.Context, queueURL string) (*sqs.Client, error) {
	region := regionOf(queueURL)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil && s.region == region {
		return s.client, nil
	}
	if s.options.Local != nil {
		s.client, s.region = s.options.Local.client(), region
		return s.client, nil
	}
	cfg, err := config.AWS(ctx, s.options.Lookup, "SQS", region)
	if err != nil {
		return nil, err
	}
	s.client, s.region = sqs.NewFromConfig(cfg), region
	return s.client, nil
}

// queueHost are the hosts of SQS that name a region (AWS General Reference,
// "Amazon SQS endpoints and quotas"; VPC endpoints end the same way), the second
// form as old queues' URLs have it.
var queueHost = regexp.MustCompile(`(?:^|\.)sqs(?:-fips)?\.([a-z0-9-]+)\.|^([a-z0-9-]+)\.queue\.`)

// regionOf returns the region that a queue's URL names, or "".
func regionOf(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	found := queueHost.FindStringSubmatch(strings.ToLower(u.Hostname()))
	if found == nil {
		return ""
	}
	return found[1] + found[2]
}

// explain gives an error of SendMessage its name here and the way to mend it
// (Amazon SQS API reference, SendMessage and "Common errors").
func explain(ctx context.Context, err error, region string) error {
	code, message := "", ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = api.ErrorCode(), api.ErrorMessage()
	}
	is := func(prefixes ...string) bool {
		for _, prefix := range prefixes {
			// Services name some errors anew in front of old clients.
			if strings.HasPrefix(code, prefix) {
				return true
			}
		}
		return false
	}
	_, noQueue := errors.AsType[*types.QueueDoesNotExist](err)
	switch {
	case noQueue || is("AWS.SimpleQueueService.NonExistentQueue", "InvalidAddress"):
		return fmt.Errorf("%w in region %s: check %s; a queue that was made a moment ago takes a minute to be seen", ErrNoSuchQueue, region, queueSetting)
	case is("KmsThrottled", "KMS.Throttling"):
		return fmt.Errorf("%w by KMS: it is tried again; a longer data key reuse period of the queue asks it less often", config.ErrThrottled)
	case is("Kms", "KMS.") || is("AccessDenied") && strings.Contains(strings.ToLower(message), "kms"):
		return fmt.Errorf("%w (%s): allow the role kms:GenerateDataKey and kms:Decrypt on the queue's key, and check that the key is enabled", ErrKey, code)
	case is("AccessDenied"):
		return fmt.Errorf("%w: allow the role sqs:SendMessage on the queue's ARN, and check that the queue's policy does not deny it", config.ErrAccessDenied)
	case is("InvalidParameterValue", "InvalidMessageContents", "MissingParameter"):
		return fmt.Errorf("%w (%s): raise its MaximumMessageSize to %d bytes, and check that it is a standard queue", errNotTaken, code, maxMessage)
	default:
		return config.ExplainAWS(ctx, err, "SQS")
	}
}

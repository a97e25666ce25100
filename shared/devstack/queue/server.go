package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Error is an answer of SQS that refuses something.
type Error struct {
	// Code is the one that the SDK reports, and programs compare.
	Code, Message string
	// kind is the error's name in the JSON protocol, status 400 unless it is set.
	kind   string
	status int
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// The namespaces of errors: SQS's own, and what every service has.
const (
	own    = "com.amazonaws.sqs#"
	common = "com.amazon.coral.service#"
)

var (
	errNotInFlight = &Error{Code: "AWS.SimpleQueueService.MessageNotInflight", kind: own + "MessageNotInflight", Message: "The message referred to is not in flight."}
	errOverLimit   = &Error{Code: "OverLimit", kind: own + "OverLimit", status: http.StatusForbidden, Message: "Too many messages are in flight."}
	errNoQueue     = &Error{Code: "AWS.SimpleQueueService.NonExistentQueue", kind: own + "QueueDoesNotExist", Message: "The specified queue does not exist."}
	errUnsupported = &Error{Code: "AWS.SimpleQueueService.UnsupportedOperation", kind: own + "UnsupportedOperation", Message: "This stand-in for SQS has no message attributes and no FIFO queues."}
	errUnknownKey  = &Error{Code: "InvalidClientTokenId", kind: common + "UnrecognizedClientException", status: http.StatusForbidden, Message: "The security token included in the request is invalid."}
	errMalformed   = &Error{Code: "MalformedInput", kind: common + "SerializationException", Message: "The request is no JSON object of the expected form."}
)

func invalidParameter(format string, args ...any) *Error {
	return &Error{Code: "InvalidParameterValue", kind: common + "InvalidParameterValueException", Message: fmt.Sprintf(format, args...)}
}

// Server answers SQS's JSON protocol for its queues.
type Server struct {
	accessKey string
	queues    map[string]*Queue // by path
}

// NewServer returns a server of these queues for callers whose requests are signed
// with this access key; the signature itself is not verified. A web page cannot
// send one, so that none of those that a developer has open gets at the queue.
func NewServer(accessKey string, queues ...*Queue) *Server {
	s := &Server{accessKey: accessKey, queues: map[string]*Queue{}}
	for _, q := range queues {
		s.queues[q.Path()] = q
	}
	return s
}

// maxRequest is the largest message with every byte escaped, and something around
// it, in bytes.
const maxRequest = 6*maxMessage + 64<<10

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := s.answer(r)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Requestid", newID())
	if err != nil {
		refused, ok := errors.AsType[*Error](err)
		if !ok {
			return // the caller has hung up
		}
		// The code that SQS had before it spoke JSON, which clients still go by.
		w.Header().Set("X-Amzn-Query-Error", refused.Code+";Sender")
		w.WriteHeader(max(refused.status, http.StatusBadRequest))
		answer = map[string]string{"__type": refused.kind, "message": refused.Message}
	}
	// A caller that hung up sends again.
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) answer(r *http.Request) (any, error) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+s.accessKey+"/") {
		return nil, errUnknownKey
	}
	action, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	do := actions[action]
	if r.Method != http.MethodPost || !ok || do == nil {
		return nil, &Error{Code: "InvalidAction", kind: common + "UnknownOperationException", Message: "This stand-in for SQS does not know the action."}
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRequest))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, invalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxMessage)
	}
	if err != nil {
		return nil, err
	}
	var in request
	if json.Unmarshal(body, &in) != nil {
		return nil, errMalformed
	}
	u, err := url.Parse(in.QueueURL)
	if err != nil || s.queues[u.Path] == nil {
		return nil, errNoQueue
	}
	return do(r.Context(), s.queues[u.Path], in)
}

// request has the parameters of all actions.
type request struct {
	QueueURL string `json:"QueueUrl"`
	single
	Entries []batchEntry

	MaxNumberOfMessages *int
	WaitTimeSeconds     int

	AttributeNames              []string
	MessageSystemAttributeNames []string
}

// single has the parameters of what is done to one message.
type single struct {
	MessageBody            string
	DelaySeconds           int
	MessageAttributes      map[string]any
	MessageGroupID         *string `json:"MessageGroupId"`
	MessageDeduplicationID *string `json:"MessageDeduplicationId"`

	ReceiptHandle     string
	VisibilityTimeout *int
}

// batchEntry is one of a batch.
type batchEntry struct {
	ID string `json:"Id"`
	single
}

var actions = map[string]func(context.Context, *Queue, request) (any, error){
	"SendMessage": func(_ context.Context, q *Queue, in request) (any, error) { return send(q, in.single) },
	"SendMessageBatch": func(_ context.Context, q *Queue, in request) (any, error) {
		total := 0
		for _, e := range in.Entries {
			total += len(e.MessageBody)
		}
		if total > maxMessage {
			return nil, &Error{Code: "AWS.SimpleQueueService.BatchRequestTooLong", kind: own + "BatchRequestTooLong", Message: fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessage, total)}
		}
		return batch(q, in.Entries, send)
	},
	"ReceiveMessage": receive,
	"DeleteMessage":  func(_ context.Context, q *Queue, in request) (any, error) { return remove(q, in.single) },
	"DeleteMessageBatch": func(_ context.Context, q *Queue, in request) (any, error) {
		return batch(q, in.Entries, remove)
	},
	"ChangeMessageVisibility": func(_ context.Context, q *Queue, in request) (any, error) { return hide(q, in.single) },
	"ChangeMessageVisibilityBatch": func(_ context.Context, q *Queue, in request) (any, error) {
		return batch(q, in.Entries, hide)
	},
	"GetQueueAttributes": attributes,
}

// result has what the actions answer, for a batch with the entry's id.
type result map[string]any

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func send(q *Queue, in single) (result, error) {
	if len(in.MessageAttributes) > 0 || in.MessageGroupID != nil || in.MessageDeduplicationID != nil {
		return nil, errUnsupported
	}
	m, err := q.Send(in.MessageBody, seconds(in.DelaySeconds))
	if err != nil {
		return nil, err
	}
	return result{"MessageId": m.ID, "MD5OfMessageBody": m.MD5}, nil
}

func remove(q *Queue, in single) (result, error) {
	return result{}, q.remove(in.ReceiptHandle)
}

func hide(q *Queue, in single) (result, error) {
	if in.VisibilityTimeout == nil {
		return nil, &Error{Code: "MissingParameter", kind: common + "MissingParameterException", Message: "The request must contain the parameter VisibilityTimeout."}
	}
	return result{}, q.changeVisibility(in.ReceiptHandle, seconds(*in.VisibilityTimeout))
}

// entryID are the ids that SQS takes in a batch.
var entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// batch does the same to each entry: one that fails does not hold up the others.
func batch(q *Queue, entries []batchEntry, do func(*Queue, single) (result, error)) (any, error) {
	refuse := func(name, message string) error {
		return &Error{Code: "AWS.SimpleQueueService." + name, kind: own + name, Message: message}
	}
	switch {
	case len(entries) == 0:
		return nil, refuse("EmptyBatchRequest", "There should be at least one entry in the request.")
	case len(entries) > maxBatch:
		return nil, refuse("TooManyEntriesInBatchRequest", fmt.Sprintf("Maximum number of entries per request are 10. You have sent %d.", len(entries)))
	}
	seen := map[string]bool{}
	for _, e := range entries {
		if !entryID.MatchString(e.ID) {
			return nil, refuse("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[e.ID] {
			return nil, refuse("BatchEntryIdsNotDistinct", fmt.Sprintf("Id %s repeated.", e.ID))
		}
		seen[e.ID] = true
	}
	done, failed := []result{}, []result{}
	for _, e := range entries {
		one, err := do(q, e.single)
		if refused, ok := errors.AsType[*Error](err); ok {
			failed = append(failed, result{"Id": e.ID, "Code": refused.Code, "Message": refused.Message, "SenderFault": true})
			continue
		}
		one["Id"] = e.ID
		done = append(done, one)
	}
	return result{"Successful": done, "Failed": failed}, nil
}

func receive(ctx context.Context, q *Queue, in request) (any, error) {
	most, visibility := 1, q.options.Visibility
	if in.MaxNumberOfMessages != nil {
		most = *in.MaxNumberOfMessages
	}
	if in.VisibilityTimeout != nil {
		visibility = seconds(*in.VisibilityTimeout)
	}
	received, err := q.receive(ctx, most, seconds(in.WaitTimeSeconds), visibility)
	if err != nil {
		return nil, err
	}
	wanted := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	messages := make([]result, len(received))
	for i, m := range received {
		messages[i] = result{"MessageId": m.ID, "ReceiptHandle": m.Handle, "Body": m.Body, "MD5OfBody": m.MD5}
		if told := pick(m.Attributes, wanted); len(told) > 0 {
			messages[i]["Attributes"] = told
		}
	}
	if len(messages) == 0 {
		return result{}, nil
	}
	return result{"Messages": messages}, nil
}

func pick(all map[string]string, wanted []string) map[string]string {
	told := map[string]string{}
	for name, value := range all {
		if slices.Contains(wanted, "All") || slices.Contains(wanted, name) {
			told[name] = value
		}
	}
	return told
}

func attributes(ctx context.Context, q *Queue, in request) (any, error) {
	arn, err := q.ARN(ctx)
	if err != nil {
		return nil, err
	}
	lengths := q.Lengths()
	all := map[string]string{
		"QueueArn":                              arn,
		"ApproximateNumberOfMessages":           strconv.Itoa(lengths.Visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(lengths.InFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(lengths.Delayed),
		"VisibilityTimeout":                     strconv.Itoa(int(q.options.Visibility / time.Second)),
		"MaximumMessageSize":                    strconv.Itoa(maxMessage),
		"DelaySeconds":                          "0",
		"ReceiveMessageWaitTimeSeconds":         "0",
	}
	if dead := q.options.DeadLetters; dead != nil {
		target, err := dead.ARN(ctx)
		if err != nil {
			return nil, err
		}
		all["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, target, q.options.MaxReceives)
	}
	for _, name := range in.AttributeNames {
		if _, known := all[name]; !known && name != "All" && name != "RedrivePolicy" {
			return nil, &Error{Code: "InvalidAttributeName", kind: own + "InvalidAttributeName", Message: "Unknown Attribute " + name + "."}
		}
	}
	told := pick(all, in.AttributeNames)
	if len(told) == 0 {
		return result{}, nil
	}
	return result{"Attributes": told}, nil
}

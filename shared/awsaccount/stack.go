package awsaccount

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	alarms "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	queues "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"clerksync/shared/config"
)

// ErrNoStack says that there is no stack of this name in the account and region.
var ErrNoStack = errors.New("there is no such stack")

// Stack is a deployed stack of clerksync, as CloudFormation describes it.
type Stack struct {
	Name   string
	Region string
	// Status is CloudFormation's, such as "UPDATE_COMPLETE".
	Status string
	// Outputs are by name.
	Outputs map[string]string

	lookup config.Lookup
}

// Usable reports whether the stack is neither being changed nor in pieces.
func (s Stack) Usable() bool {
	return strings.HasSuffix(s.Status, "_COMPLETE") && !strings.HasPrefix(s.Status, "DELETE") && s.Status != "ROLLBACK_COMPLETE"
}

// ReadStack asks CloudFormation, with cloudformation:DescribeStacks. Its errors wrap
// ErrNoStack or one of config's where it is of those.
func ReadStack(ctx context.Context, lookup config.Lookup, name string) (Stack, error) {
	cfg, err := config.AWS(ctx, lookup, "CLOUDFORMATION", "")
	if err != nil {
		return Stack{}, err
	}
	out, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "ValidationError" && strings.Contains(api.ErrorMessage(), "does not exist") {
		return Stack{}, fmt.Errorf("%w: %q in %s", ErrNoStack, name, cfg.Region)
	}
	if err != nil {
		return Stack{}, explainCall(ctx, err, "CloudFormation", "cloudformation:DescribeStacks")
	}
	if len(out.Stacks) != 1 {
		return Stack{}, fmt.Errorf("%w: %q in %s", ErrNoStack, name, cfg.Region)
	}
	s := Stack{Name: name, Region: cfg.Region, Status: string(out.Stacks[0].StackStatus), Outputs: map[string]string{}, lookup: lookup}
	for _, o := range out.Stacks[0].Outputs {
		s.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return s, nil
}

// Schedule is when a full sync is started.
type Schedule struct {
	Name    string
	Enabled bool
}

// Schedules asks for those that start the stack's full sync, with scheduler:ListSchedules:
// whatever their names are, also one that a team has made by itself.
func (s Stack) Schedules(ctx context.Context) ([]Schedule, error) {
	cfg, err := config.AWS(ctx, s.lookup, "SCHEDULER", s.Region)
	if err != nil {
		return nil, err
	}
	function := ":function:" + s.Outputs["FullSyncFunctionName"]
	var list []Schedule
	seen := 0
	pages := scheduler.NewListSchedulesPaginator(scheduler.NewFromConfig(cfg), &scheduler.ListSchedulesInput{})
	for pages.HasMorePages() && seen < maxListed {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explainCall(ctx, err, "EventBridge Scheduler", "scheduler:ListSchedules")
		}
		for _, one := range page.Schedules {
			seen++
			if one.Target != nil && strings.HasSuffix(aws.ToString(one.Target.Arn), function) {
				list = append(list, Schedule{aws.ToString(one.Name), string(one.State) == "ENABLED"})
			}
		}
	}
	return list, nil
}

// maxListed bounds how many things of one kind are looked through.
const maxListed = 1000

// failureQueues are those of what could not be done, by the output that names them.
var failureQueues = []string{"FullSyncFailureQueueUrl", "EventDeadLetterQueueUrl"}

// Waiting counts the messages in the stack's failure queues, by the output that has the
// queue's URL, with sqs:GetQueueAttributes.
func (s Stack) Waiting(ctx context.Context) (map[string]string, error) {
	cfg, err := config.AWS(ctx, s.lookup, "SQS", s.Region)
	if err != nil {
		return nil, err
	}
	client := sqs.NewFromConfig(cfg)
	waiting := map[string]string{}
	for _, output := range failureQueues {
		url := s.Outputs[output]
		if url == "" {
			continue
		}
		out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: &url, AttributeNames: []queues.QueueAttributeName{queues.QueueAttributeNameApproximateNumberOfMessages},
		})
		if err != nil {
			return nil, explainCall(ctx, err, "SQS", "sqs:GetQueueAttributes")
		}
		waiting[output] = out.Attributes[string(queues.QueueAttributeNameApproximateNumberOfMessages)]
	}
	return waiting, nil
}

// Alarm is one of the stack's.
type Alarm struct {
	// Name is without the stack's: docs/operations.md has a section of this name.
	Name    string
	Ringing bool
}

// Alarms asks for those of the stack, with cloudwatch:DescribeAlarms.
func (s Stack) Alarms(ctx context.Context) ([]Alarm, error) {
	cfg, err := config.AWS(ctx, s.lookup, "CLOUDWATCH", s.Region)
	if err != nil {
		return nil, err
	}
	prefix := s.Name + "-"
	var list []Alarm
	pages := cloudwatch.NewDescribeAlarmsPaginator(cloudwatch.NewFromConfig(cfg), &cloudwatch.DescribeAlarmsInput{
		AlarmNamePrefix: &prefix, AlarmTypes: []alarms.AlarmType{alarms.AlarmTypeMetricAlarm, alarms.AlarmTypeCompositeAlarm},
	})
	for pages.HasMorePages() && len(list) < maxListed {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, explainCall(ctx, err, "CloudWatch", "cloudwatch:DescribeAlarms")
		}
		for _, a := range page.MetricAlarms {
			list = append(list, Alarm{strings.TrimPrefix(aws.ToString(a.AlarmName), prefix), a.StateValue == alarms.StateValueAlarm})
		}
		for _, a := range page.CompositeAlarms {
			list = append(list, Alarm{strings.TrimPrefix(aws.ToString(a.AlarmName), prefix), a.StateValue == alarms.StateValueAlarm})
		}
	}
	return list, nil
}

// Swept is what came of looking through messages.
type Swept struct {
	// Looked counts the messages that were read, Removed those that were deleted.
	Looked, Removed int
	// Whole says that as many were read as there were.
	Whole bool
}

const (
	// sweepHides is for how long a message that was read is hidden, so that it is not read
	// again: longer than all of them take.
	sweepHides = 15 * 60
	// maxSwept bounds what is read.
	maxSwept = 100_000
	// emptyReads in a row end a queue: of one that is nearly empty SQS may answer nothing.
	emptyReads = 3
)

// SweepDeadLetters reads the events that could not be applied and deletes those for which
// matches holds, with sqs:ReceiveMessage and sqs:DeleteMessage. The others come back to the
// queue. A stack without a queue has none.
func (s Stack) SweepDeadLetters(ctx context.Context, matches func(sent time.Time, body string) bool) (Swept, error) {
	url := s.Outputs["EventDeadLetterQueueUrl"]
	if url == "" {
		return Swept{Whole: true}, nil
	}
	cfg, err := config.AWS(ctx, s.lookup, "SQS", s.Region)
	if err != nil {
		return Swept{}, err
	}
	client := sqs.NewFromConfig(cfg)
	var swept Swept
	hidden, err := inFlight(ctx, client, url)
	if err != nil {
		return swept, err
	}
	var others []queues.ChangeMessageVisibilityBatchRequestEntry
	defer func() { showAgain(context.WithoutCancel(ctx), client, url, others) }()
	for empty := 0; empty < emptyReads; {
		if swept.Looked >= maxSwept {
			return swept, nil
		}
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, VisibilityTimeout: sweepHides, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []queues.MessageSystemAttributeName{queues.MessageSystemAttributeNameSentTimestamp},
		})
		if err != nil {
			return swept, explainCall(ctx, err, "SQS", "sqs:ReceiveMessage")
		}
		if len(out.Messages) == 0 {
			empty++
		} else {
			empty = 0
		}
		for _, m := range out.Messages {
			swept.Looked++
			millis, _ := strconv.ParseInt(m.Attributes[string(queues.MessageSystemAttributeNameSentTimestamp)], 10, 64)
			if !matches(time.UnixMilli(millis), aws.ToString(m.Body)) {
				others = append(others, queues.ChangeMessageVisibilityBatchRequestEntry{Id: m.MessageId, ReceiptHandle: m.ReceiptHandle})
				continue
			}
			if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return swept, explainCall(ctx, err, "SQS", "sqs:DeleteMessage")
			}
			swept.Removed++
		}
	}
	// What another reader holds was not looked at.
	swept.Whole = hidden == 0
	return swept, nil
}

// inFlight counts messages that another reader holds.
func inFlight(ctx context.Context, client *sqs.Client, url string) (int, error) {
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []queues.QueueAttributeName{queues.QueueAttributeNameApproximateNumberOfMessagesNotVisible},
	})
	if err != nil {
		return 0, explainCall(ctx, err, "SQS", "sqs:GetQueueAttributes")
	}
	return strconv.Atoi(out.Attributes[string(queues.QueueAttributeNameApproximateNumberOfMessagesNotVisible)])
}

// showAgain ends the hiding of messages early; otherwise it ends by itself.
func showAgain(ctx context.Context, client *sqs.Client, url string, those []queues.ChangeMessageVisibilityBatchRequestEntry) {
	ctx, cancel := context.WithTimeoutCause(ctx, showAgainLimit, fmt.Errorf("showing messages again took longer than %s", showAgainLimit))
	defer cancel()
	for part := range slices.Chunk(those, 10) {
		if _, err := client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: part}); err != nil {
			return
		}
	}
}

// showAgainLimit is for what a second look would otherwise wait for.
const showAgainLimit = 30 * time.Second

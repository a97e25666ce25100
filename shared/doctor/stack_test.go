package doctor_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	alarms "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	schedules "github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"clerksync/shared/config"
	"clerksync/shared/testkit/moto"
)

// stack is what the template makes of it, as far as doctor looks at it.
type stack struct {
	*setup
	server *moto.Server
	// secret are the settings of the functions; nil for none.
	secret map[string]string
	// disabled is the schedule's state, waiting how many messages a failure queue has.
	disabled bool
	waiting  int
	ringing  bool
}

func newStack(s *setup) *stack {
	return &stack{setup: s, server: moto.Start(s), secret: maps.Clone(s.settings)}
}

// deploy makes it and returns its name; nil is none.
func (k *stack) deploy() string {
	if k == nil {
		return ""
	}
	k.Helper()
	maps.Copy(k.settings, k.server.Environment())
	// The functions find AWS by themselves.
	name := "clerksync-" + strings.ToLower(strings.ReplaceAll(k.Name()[strings.LastIndex(k.Name(), "/")+1:], "_", "-"))
	function := name + "-FullSyncFunction-1"
	queue := k.server.NewQueue(k, nil)
	ctx := k.Context()
	client := func(service string) aws.Config {
		cfg, err := config.AWS(ctx, func(key string) (string, bool) { v, ok := k.settings[key]; return v, ok }, service, "")
		if err != nil {
			k.Fatal(err)
		}
		return cfg
	}
	must := func(what string, err error) {
		k.Helper()
		if err != nil {
			k.Fatalf("%s: %v", what, err)
		}
	}
	secrets := secretsmanager.NewFromConfig(client("SECRETS_MANAGER"))
	_, err := secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name})
	must("making the secret", err)
	if k.secret != nil {
		text, err := json.Marshal(k.secret)
		must("writing the secret", err)
		_, err = secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: aws.String(string(text))})
		must("storing the secret", err)
	}
	for range k.waiting {
		_, err := sqs.NewFromConfig(client("SQS")).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String("{}")})
		must("sending a failure", err)
	}
	state := schedules.ScheduleStateEnabled
	if k.disabled {
		state = schedules.ScheduleStateDisabled
	}
	_, err = scheduler.NewFromConfig(client("SCHEDULER")).CreateSchedule(ctx, &scheduler.CreateScheduleInput{
		Name: &name, ScheduleExpression: aws.String("rate(6 hours)"), State: state,
		FlexibleTimeWindow: &schedules.FlexibleTimeWindow{Mode: schedules.FlexibleTimeWindowModeOff},
		Target:             &schedules.Target{Arn: aws.String("arn:aws:lambda:" + moto.Region + ":123456789012:function:" + function), RoleArn: aws.String("arn:aws:iam::123456789012:role/r")},
	})
	must("making the schedule", err)
	watch := cloudwatch.NewFromConfig(client("CLOUDWATCH"))
	alarm := name + "-no-verified-webhook"
	_, err = watch.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{
		AlarmName: &alarm, ComparisonOperator: alarms.ComparisonOperatorGreaterThanThreshold, EvaluationPeriods: aws.Int32(1),
		MetricName: aws.String("m"), Namespace: aws.String("n"), Period: aws.Int32(60), Statistic: alarms.StatisticSum, Threshold: aws.Float64(1),
	})
	must("making the alarm", err)
	if k.ringing {
		_, err = watch.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: &alarm, StateValue: alarms.StateValueAlarm, StateReason: aws.String("r")})
		must("ringing", err)
	}
	outputs := map[string]any{}
	for key, value := range map[string]string{"SecretId": name, "FullSyncFunctionName": function, "FullSyncFailureQueueUrl": queue} {
		outputs[key] = map[string]string{"Value": value}
	}
	template, err := json.Marshal(map[string]any{
		"Resources": map[string]any{"Topic": map[string]any{"Type": "AWS::SNS::Topic"}}, "Outputs": outputs,
	})
	must("writing the template", err)
	_, err = cloudformation.NewFromConfig(client("CLOUDFORMATION")).CreateStack(ctx, &cloudformation.CreateStackInput{
		StackName: &name, TemplateBody: aws.String(string(template)), Capabilities: []types.Capability{types.CapabilityCapabilityIam},
	})
	must("making the stack", err)
	return name
}

func stackAccidents() map[string]func(*setup) {
	return map[string]func(*setup){
		"secret-of-stack-empty":      func(s *setup) { s.stack.secret = nil },
		"secret-of-another-instance": func(s *setup) { s.stack.secret["CLERK_SECRET_KEY"] = secretKey + "OfAnother" },
		"schedule-disabled":          func(s *setup) { s.stack.disabled = true },
		"dead-letters":               func(s *setup) { s.stack.waiting = 3 },
		"alarm-ringing":              func(s *setup) { s.stack.ringing = true },
	}
}

// What doctor reads of a stack is what the template has.
func TestExamine_ReadsOutputsThatTheTemplateHas(t *testing.T) {
	t.Parallel()
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, outputs, _ := strings.Cut(string(template), "\nOutputs:\n")
	for _, name := range []string{"SecretId", "FullSyncFunctionName", "FullSyncFailureQueueUrl", "EventDeadLetterQueueUrl"} {
		if !strings.Contains(outputs, fmt.Sprintf("\n  %s:\n", name)) {
			t.Errorf("template.yaml has no output %s", name)
		}
	}
}

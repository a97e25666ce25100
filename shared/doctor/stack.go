package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/awsaccount"
	"clerksync/shared/config"
	"clerksync/shared/finding"
)

// stackFacts are the deployed stack.
type stackFacts struct {
	stack awsaccount.Stack
}

func checkStack(ctx context.Context, x *examination) finding.Finding {
	if x.Stack == "" {
		return skip("The stack on AWS was not looked at", "No stack is named.", "Name it with --stack.")
	}
	var err error
	x.stack, err = awsaccount.ReadStack(ctx, x.Lookup, x.Stack)
	switch {
	case errors.Is(err, awsaccount.ErrNoStack):
		return fail("There is no stack of this name", sentence(err), "Correct --stack or AWS_REGION, or deploy it: sam deploy --guided.")
	case err != nil:
		return skip("The stack on AWS could not be looked at", sentence(err), "Log in (aws sso login), and set AWS_REGION.")
	case !x.stack.Usable():
		return fail("The stack is not usable", fmt.Sprintf("CloudFormation says %s.", x.stack.Status), "Look at the stack's events in the CloudFormation console, and deploy it again.")
	}
	return pass("The stack is deployed", "%s in %s is %s.", x.stack.Name, x.stack.Region, x.stack.Status)
}

// checkSecret reads the stack's secret and compares it with the settings at hand.
func checkSecret(ctx context.Context, x *examination) finding.Finding {
	id := x.stack.Outputs["SecretId"]
	if id == "" {
		return skip("The stack's secret was not looked at", "The stack has no output SecretId.", "")
	}
	source := config.NewSource(func(key string) (string, bool) {
		// Nothing but the secret, and the way to it.
		if key == config.SecretIDKey {
			return id, true
		}
		if strings.HasPrefix(key, "AWS_") {
			return x.Lookup(key)
		}
		return "", false
	}, config.SecretsManager(x.Lookup))
	sync, err := source.Sync(ctx)
	if err == nil {
		_, err = source.Ingest(ctx)
	}
	switch {
	case errors.Is(err, config.ErrInvalid), errors.Is(err, config.ErrSecretEmpty), errors.Is(err, config.ErrNotText), errors.Is(err, config.ErrSecretNotFound):
		return fail("The functions cannot use the stack's secret", strings.Join(problemLines([]error{err}), " "),
			"Store the settings: the stack's output StoreSecretCommand has the command, infra/secret.json the shape.")
	case err != nil:
		return skip("The stack's secret could not be read", sentence(err), "")
	case sync.SecretKey != x.sync.SecretKey:
		return fail("The stack's secret has another CLERK_SECRET_KEY than the settings here", "The functions may copy another instance, or use a key that was replaced.", "Make both the same.")
	case sync.Database.URL != x.sync.Database.URL:
		return warn("The stack's secret has another DATABASE_URL than the settings here", "That is in order where the settings here are the owner's and the secret has the writer's.", "Look whether both lead to one project.")
	}
	return pass("The functions have usable settings", "They are in the secret %s.", id)
}

func checkSchedule(ctx context.Context, x *examination) finding.Finding {
	schedules, err := x.stack.Schedules(ctx)
	switch {
	case err != nil:
		return skip("Whether full syncs are scheduled is not known", sentence(err), "")
	case len(schedules) == 0:
		return fail("Nothing starts full syncs", "No schedule has the stack's function as its target.", "Deploy the stack again: sam deploy.")
	}
	if !slices.ContainsFunc(schedules, func(s awsaccount.Schedule) bool { return s.Enabled }) {
		return fail("The schedule of full syncs is disabled", schedules[0].Name+" is.", "Enable it in the EventBridge Scheduler console, or deploy the stack again.")
	}
	return pass("Full syncs are scheduled", "%s starts them.", schedules[0].Name)
}

func checkQueues(ctx context.Context, x *examination) finding.Finding {
	waiting, err := x.stack.Waiting(ctx)
	if err != nil {
		return skip("Whether the failure queues are empty is not known", sentence(err), "")
	}
	var full []string
	for output, n := range waiting {
		if n != "0" {
			full = append(full, fmt.Sprintf("%s holds %s", output, n))
		}
	}
	if len(full) > 0 {
		slices.Sort(full)
		return fail("Failure queues hold messages", some(full)+".", "See docs/operations.md on event-dead-letters and full-sync-dead-letters; the output RedriveCommand tries events again.")
	}
	return pass("The failure queues are empty", "There are %d.", len(waiting))
}

func checkAlarms(ctx context.Context, x *examination) finding.Finding {
	alarms, err := x.stack.Alarms(ctx)
	if err != nil {
		return skip("Whether alarms ring is not known", sentence(err), "")
	}
	var ringing []string
	for _, a := range alarms {
		if a.Ringing {
			ringing = append(ringing, a.Name)
		}
	}
	switch {
	case len(ringing) > 0:
		return fail("Alarms ring", some(ringing)+".", "docs/operations.md has a section for each of these names.")
	case len(alarms) == 0:
		return warn("The stack has no alarms", "Nothing tells you when webhooks or full syncs stop.", "Deploy it with Monitoring=on, and give AlarmEmail.")
	}
	return pass("No alarm rings", "There are %d.", len(alarms))
}

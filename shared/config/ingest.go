package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/secret"
)

// parseIngest checks everything the webhook function needs and reports every problem at once.
func parseIngest(s settings) (Ingest, error) {
	var cfg Ingest
	var problems [5]error
	cfg.Database, problems[0] = parseDatabase(s)
	cfg.SigningSecrets, problems[1] = parseSigningSecrets(s.get(keySigningSecret))
	cfg.InstanceID, problems[2] = parseInstanceID(s.get(keyInstanceID))
	cfg.QueueURL, problems[3] = parseQueueURL(s.get(keyQueueURL))
	cfg.LogLevel, problems[4] = parseLogLevel(s.get(keyLogLevel))
	if err := invalid(problems[:]...); err != nil {
		return Ingest{}, err
	}
	return cfg, nil
}

// Key sizes that Svix takes for a symmetric secret, in bytes (svix-webhooks server, EndpointSecret: the pattern of its
// API allows 32 to 100 base64 characters).
const (
	minSigningKey = 24
	maxSigningKey = 75
)

func parseSigningSecrets(v setting) ([]secret.Value, error) {
	const copyIt = "copy the signing secret (whsec_…) from the endpoint's page in the Clerk dashboard"
	if v.value == "" {
		return nil, v.missing(copyIt)
	}
	if err := v.quoted(); err != nil {
		return nil, err
	}

	var found []secret.Value
	var problems []error
	for i, item := range strings.Split(v.value, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		one := setting{v.key, item, v.origin}
		if strings.Contains(v.value, ",") {
			one.origin = fmt.Sprintf("%s, item %d", v.origin, i+1)
		}
		if err := checkSigningSecret(one, copyIt); err != nil {
			problems = append(problems, err)
			continue
		}
		if !slices.Contains(found, secret.New(item)) {
			found = append(found, secret.New(item))
		}
	}
	if len(found) == 0 && len(problems) == 0 {
		return nil, v.missing(copyIt)
	}
	return found, errors.Join(problems...)
}

func checkSigningSecret(v setting, copyIt string) error {
	if err := v.quoted(); err != nil {
		return err
	}
	encoded, ok := strings.CutPrefix(v.value, "whsec_")
	if !ok {
		if kind := secretKind(v.value); kind != "" {
			return v.problem("is a %s: %s", kind, copyIt)
		}
		return v.problem("does not begin with whsec_: %s, with its prefix", copyIt)
	}
	// The decoder skips line breaks; the verifying library would be given them too, but a secret that holds one was
	// pasted badly.
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return v.problem("is not base64 after its whsec_ prefix: a part is missing or was changed; %s", copyIt)
	}
	if len(key) < minSigningKey || len(key) > maxSigningKey {
		return v.problem("decodes to %d bytes, but a signing key has %d to %d: a part is missing or doubled; %s",
			len(key), minSigningKey, maxSigningKey, copyIt)
	}
	return nil
}

// parseQueueURL takes the URL of a standard queue, which ends in the account's number and the queue's name (Amazon SQS
// developer guide, "Queue and message identifiers").
func parseQueueURL(v setting) (string, error) {
	const form = "copy the queue's URL, such as https://sqs.eu-central-1.amazonaws.com/123456789012/events, or leave it out to have events applied at once"
	if v.value == "" {
		return "", nil
	}
	if strings.HasPrefix(v.value, "arn:") {
		return "", v.problem("is an ARN: %s", form)
	}
	u, err := v.webAddress("the URL of an SQS queue", "the events", form)
	if err != nil {
		return "", err
	}
	account, name, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	switch {
	case account == "" || name == "" || strings.Contains(name, "/"):
		return "", v.problem("names no queue: %s", form)
	case strings.HasSuffix(name, ".fifo"):
		return "", v.problem("is a FIFO queue: make a standard one, since events need no order and name no group")
	}
	return u.String(), nil
}

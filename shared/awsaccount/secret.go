package awsaccount

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	managed "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"clerksync/shared/config"
)

// The ways in which a secret cannot be merged into. Nothing is written then.
var (
	// ErrSecretForeign says that a secret holds something else than an object of settings.
	ErrSecretForeign = errors.New("the secret holds no JSON object of settings")
	// ErrSecretTooLarge says that it would be larger than AWS takes.
	ErrSecretTooLarge = errors.New("the secret would be too large")
	// ErrSecretContended says that others write to it all the time. What they wrote is
	// there, or in a version of before.
	ErrSecretContended = errors.New("the secret is written to by others at the same time")
)

// maxSecret is the size of the largest secret, in bytes (Secrets Manager user guide,
// "Quotas").
const maxSecret = 65536

// mostMerges is how often a secret is merged into that others write to meanwhile.
const mostMerges = 4

// Secret is one of AWS Secrets Manager that holds settings.
type Secret struct {
	id     string
	lookup config.Lookup
}

// NewSecret names a secret by name or ARN. Nothing is asked yet.
func NewSecret(lookup config.Lookup, id string) Secret { return Secret{id: id, lookup: lookup} }

// Name is what it was named by.
func (s Secret) Name() string { return s.id }

// Read returns its settings, with secretsmanager:GetSecretValue: none where there is no
// such secret, or no value in it yet. A value that is no text is left out.
func (s Secret) Read(ctx context.Context) (map[string]string, error) {
	client, err := s.client(ctx)
	if err != nil {
		return nil, err
	}
	held, err := s.read(ctx, client, "")
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for key, raw := range held.members {
		var text string
		if json.Unmarshal(raw, &text) == nil {
			settings[key] = text
		}
	}
	return settings, nil
}

func (s Secret) client(ctx context.Context) (*secretsmanager.Client, error) {
	region := ""
	// A secret lives in one region, and an ARN says in which.
	if a, err := arn.Parse(s.id); err == nil {
		region = a.Region
	}
	cfg, err := config.AWS(ctx, s.lookup, "SECRETS_MANAGER", region)
	if err != nil {
		return nil, err
	}
	return secretsmanager.NewFromConfig(cfg), nil
}

// held is a version of a secret.
type held struct {
	members map[string]json.RawMessage
	// version is "" where there is none; there says whether there is such a secret.
	version string
	there   bool
}

// read returns the current version, or the named one.
func (s Secret) read(ctx context.Context, client *secretsmanager.Client, version string) (held, error) {
	in := &secretsmanager.GetSecretValueInput{SecretId: &s.id}
	if version != "" {
		in.VersionId = &version
	}
	out, err := client.GetSecretValue(ctx, in)
	if _, absent := errors.AsType[*managed.ResourceNotFoundException](err); absent {
		// A secret without a value is answered like one that is not there.
		_, err := client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.id})
		if _, absent := errors.AsType[*managed.ResourceNotFoundException](err); absent {
			return held{}, nil
		}
		if err != nil {
			return held{}, explainCall(ctx, err, "Secrets Manager", "secretsmanager:DescribeSecret")
		}
		return held{there: true}, nil
	}
	if err != nil {
		return held{}, explainCall(ctx, err, "Secrets Manager", "secretsmanager:GetSecretValue")
	}
	h := held{version: aws.ToString(out.VersionId), there: true}
	text := bytes.TrimSpace([]byte(aws.ToString(out.SecretString)))
	if len(text) > 0 && json.Unmarshal(text, &h.members) != nil || out.SecretString == nil {
		return held{}, fmt.Errorf("%w: %s", ErrSecretForeign, s.id)
	}
	return h, nil
}

// Merge gives settings values and keeps whatever else the secret holds; it makes the secret
// where there is none, and writes nothing where nothing changes. It needs
// secretsmanager:GetSecretValue, DescribeSecret, PutSecretValue and CreateSecret. What another
// writes at the same time is merged, too.
func (s Secret) Merge(ctx context.Context, values map[string]string) error {
	return s.change(ctx, func(members map[string]json.RawMessage) (bool, error) { return merge(members, values) })
}

// Remove takes those settings out of the secret that have exactly these values, and keeps whatever else it holds; the secret
// itself stays. It needs what [Secret.Merge] does, and writes nothing where none of them is there.
func (s Secret) Remove(ctx context.Context, values map[string]string) error {
	return s.change(ctx, func(members map[string]json.RawMessage) (bool, error) {
		before := len(members)
		maps.DeleteFunc(members, func(key string, raw json.RawMessage) bool {
			var held string
			value, named := values[key]
			return named && json.Unmarshal(raw, &held) == nil && held == value
		})
		return len(members) < before, nil
	})
}

// change writes what do makes of the settings, until no one else has written meanwhile.
func (s Secret) change(ctx context.Context, do func(map[string]json.RawMessage) (changed bool, err error)) error {
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	before, err := s.read(ctx, client, "")
	if err != nil {
		return err
	}
	for range mostMerges {
		all := maps.Clone(before.members)
		if all == nil {
			all = map[string]json.RawMessage{}
		}
		changed, err := do(all)
		if err != nil || !changed {
			return err
		}
		text, err := written(all)
		if err != nil {
			return err
		}
		if !before.there {
			_, err := client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
				Name: &s.id, SecretString: &text, Description: aws.String("Settings of clerksync's functions."),
			})
			if _, exists := errors.AsType[*managed.ResourceExistsException](err); exists {
				// Made meanwhile.
				if before, err = s.read(ctx, client, ""); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return explainCall(ctx, err, "Secrets Manager", "secretsmanager:CreateSecret")
			}
			return nil
		}
		put, err := client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &s.id, SecretString: &text})
		if err != nil {
			return explainCall(ctx, err, "Secrets Manager", "secretsmanager:PutSecretValue")
		}
		overwritten, err := s.previous(ctx, client, aws.ToString(put.VersionId))
		if err != nil {
			return err
		}
		if overwritten == "" || overwritten == before.version {
			return nil
		}
		// Another wrote between the two: what that was is changed in its turn.
		if before, err = s.read(ctx, client, overwritten); err != nil {
			return err
		}
		// It is merged into ours, which is current.
		before.version = aws.ToString(put.VersionId)
	}
	return fmt.Errorf("%w: %s", ErrSecretContended, s.id)
}

// previous is the version that was current before another.
func (s Secret) previous(ctx context.Context, client *secretsmanager.Client, current string) (string, error) {
	out, err := client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.id})
	if err != nil {
		return "", explainCall(ctx, err, "Secrets Manager", "secretsmanager:DescribeSecret")
	}
	for version, stages := range out.VersionIdsToStages {
		for _, stage := range stages {
			if stage == "AWSPREVIOUS" && version != current {
				return version, nil
			}
		}
	}
	return "", nil
}

// merge gives settings values, and says whether that is something else than before.
func merge(all map[string]json.RawMessage, values map[string]string) (changed bool, err error) {
	for key, value := range values {
		var had string
		if raw, ok := all[key]; ok && json.Unmarshal(raw, &had) == nil && had == value {
			continue
		}
		var raw bytes.Buffer
		encoder := json.NewEncoder(&raw)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			return false, fmt.Errorf("%s cannot be written as JSON: %w", key, err)
		}
		all[key], changed = bytes.TrimSpace(raw.Bytes()), true
	}
	return changed, nil
}

// written is the text of a secret.
func written(all map[string]json.RawMessage) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return "", fmt.Errorf("the secret cannot be written as JSON: %w", err)
	}
	if out.Len() > maxSecret {
		return "", fmt.Errorf("%w: %d bytes of %d at most", ErrSecretTooLarge, out.Len(), maxSecret)
	}
	return out.String(), nil
}

package setup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"clerksync/shared/secret"
	"clerksync/shared/supabase"
)

// SecretStore is where deployed functions read their settings, such as a secret of AWS Secrets Manager.
type SecretStore interface {
	// Name is for people.
	Name() string
	// Read returns the settings that are there: none where there is no such place yet.
	Read(ctx context.Context) (map[string]string, error)
	// Merge gives settings values and keeps whatever else is there.
	Merge(ctx context.Context, values map[string]string) error
	// Remove takes those settings out that have exactly these values, and keeps whatever else is there.
	Remove(ctx context.Context, values map[string]string) error
}

// lookSecret compares the settings of the file that functions read with what they are deployed with.
func (s *Setup) lookSecret(ctx context.Context) (view, error) {
	held, err := s.Secret.Read(ctx)
	if err != nil {
		return view{}, err
	}
	wanted, complete, err := s.deployable()
	if err != nil {
		return view{}, err
	}
	left := map[string]string{}
	for key, value := range wanted {
		if held[key] != value {
			left[key] = value
		}
	}
	v := view{detail: fmt.Sprintf("the secret %s has %d settings as the functions need them", s.Secret.Name(), len(wanted))}
	receive := ""
	if s.WebhookURL != "" {
		receive = "; they receive webhooks at " + s.WebhookURL
	}
	v.detail += receive
	if len(left) == 0 && complete {
		return v, nil
	}
	v.detail = "the secret " + s.Secret.Name() + " is not as the functions need it" + receive
	v.writes = []write{{
		"store the settings that functions read in the secret " + s.Secret.Name() + ", and keep whatever else it holds",
		func(ctx context.Context) error {
			wanted, complete, err := s.deployable()
			if err != nil {
				return err
			}
			if !complete {
				return fmt.Errorf("%s lacks settings that the functions need: run it again without --only", s.File.Name())
			}
			return s.effect(func() error { return s.State.WriteSecret(ctx, s.Secret, wanted) })
		},
	}}
	return v, nil
}

// deployable are the settings of the file that functions read. They are complete once the steps before have written theirs;
// the owner's string is not for functions.
func (s *Setup) deployable() (values map[string]string, complete bool, err error) {
	have, err := s.File.Read()
	if err != nil {
		return nil, false, err
	}
	values = maps.Clone(have)
	maps.DeleteFunc(values, func(key, value string) bool { return value == "" || !slices.Contains(s.SecretKeys, key) })
	for _, login := range logins {
		parsed, err := supabase.Parse(supabase.Options{URL: secret.New(values[login.setting])})
		if err != nil || !strings.HasPrefix(parsed.User, login.role) {
			delete(values, login.setting)
		}
	}
	return values, values["CLERK_SECRET_KEY"] != "" && values["DATABASE_URL"] != "", nil
}

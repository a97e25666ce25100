package setup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"clerksync/shared/supabase/management"
)

// missing is a write of the settings that the file does not have.
func (s *Setup) missing(wanted map[string]string) ([]write, error) {
	have, err := s.File.Read()
	if err != nil {
		return nil, err
	}
	left := map[string]string{}
	for key, value := range wanted {
		if have[key] != value {
			left[key] = value
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	return []write{{
		"write " + strings.Join(slices.Sorted(maps.Keys(wanted)), ", ") + " into " + s.File.Name(),
		func(context.Context) error { return s.effect(func() error { return s.State.WriteFile(s.File, left) }) },
	}}, nil
}

func (s *Setup) lookKeys(ctx context.Context) (view, error) {
	found, err := s.learn(ctx)
	if err != nil {
		return view{}, err
	}
	have, err := s.File.Read()
	if err != nil {
		return view{}, err
	}
	if pinned := have["CLERK_INSTANCE_ID"]; pinned != "" && pinned != found.ID {
		return view{}, fmt.Errorf("%s pins the instance %s, and the secret key is of %s: use that instance's keys, or take CLERK_INSTANCE_ID out of the file", s.File.Name(), pinned, found.ID)
	}
	wanted := map[string]string{
		"CLERK_SECRET_KEY": s.SecretKey.Reveal(), "CLERK_PUBLISHABLE_KEY": s.PublishableKey, "CLERK_INSTANCE_ID": found.ID,
	}
	writes, err := s.missing(wanted)
	return view{detail: fmt.Sprintf("both keys are of %s (%s), whose tokens are issued by %s", found.ID, found.EnvironmentType, s.issuer), writes: writes}, err
}

func (s *Setup) lookProject(ctx context.Context) (view, error) {
	project, err := s.Supabase.Project(ctx, s.Project)
	switch {
	case errors.Is(err, management.ErrNotFound):
		return view{}, fmt.Errorf("%w; \"clerksync setup-sync\" without --project lists those that the token may see", err)
	case err != nil:
		return view{}, err
	}
	if err := running(project); err != nil {
		return view{}, err
	}
	writes, err := s.missing(map[string]string{
		"SUPABASE_PROJECT_REF": s.Project, "SUPABASE_URL": "https://" + s.Project + ".supabase.co",
	})
	return view{detail: fmt.Sprintf("%s (%s) in %s is up", project.Name, project.Ref, project.Region), writes: writes}, err
}

// running says what to do about a project that does not run.
func running(p management.Project) error {
	switch p.Status {
	case management.StatusActive, management.StatusUnhealthy:
		return nil
	case management.StatusPaused, management.StatusPausing:
		return fmt.Errorf("the project %s is paused: restore it in Supabase's dashboard, wait until it is up, and run this again", p.Ref)
	case management.StatusRestoring, management.StatusComingUp:
		return fmt.Errorf("the project %s is being started (%s): wait until Supabase's dashboard shows it as up, and run this again", p.Ref, p.Status)
	case management.StatusGoingDown, management.StatusRemoved:
		return fmt.Errorf("the project %s is being removed (%s): choose another", p.Ref, p.Status)
	}
	return fmt.Errorf("the project %s is not up (%s): Supabase's dashboard says what it needs", p.Ref, p.Status)
}

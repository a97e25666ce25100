package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clerksync/shared/secret"
	"clerksync/shared/supabase/management"
	"clerksync/sql/migrate"
)

// UninstallOptions say where what was set up is. State is required.
type UninstallOptions struct {
	State StateFile
	// Folder is that of the files of settings.
	Folder string
	// Supabase is needed where a provider was registered.
	Supabase *management.Client
	// Project is the reference of the Supabase project; may be "".
	Project string
	// DatabaseURL and OwnerPassword are as in [Options]. Without either the database is not looked at.
	DatabaseURL   secret.Value
	OwnerPassword func(context.Context) (secret.Value, error)
	CACert        string
	// Secrets opens a secret that functions read, by its name.
	Secrets func(name string) SecretStore
	// LocalConfig is the supabase/config.toml of a local project, "" without one.
	LocalConfig string
	// DropData has the copy dropped, too.
	DropData bool
	// Warn is told what works and should be otherwise.
	Warn func(text string)
}

// Uninstall removes what [Setup] has made. Its steps share what they find out. Make it with [NewUninstall].
type Uninstall struct {
	UninstallOptions
	// setup is what makes connections and changes.
	setup *Setup
	// left says that a step has left something, or not looked: what is known of it is kept.
	left bool
}

// NewUninstall takes the options as they are.
func NewUninstall(o UninstallOptions) *Uninstall {
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	return &Uninstall{UninstallOptions: o, setup: &Setup{Options: Options{
		Supabase: o.Supabase, Project: o.Project, DatabaseURL: o.DatabaseURL, OwnerPassword: o.OwnerPassword, CACert: o.CACert, Warn: o.Warn, State: o.State,
	}}}
}

// Steps are all there are, in their order: what is needed to find the rest goes last.
func (u *Uninstall) Steps() []Step {
	var steps []Step
	for _, step := range []Step{
		{ID: "provider", Title: "third-party auth: Supabase trusts Clerk's tokens", look: u.lookProvider},
		{ID: "session", Title: "sessions that were opened to look at their tokens", look: u.lookSessions},
		{ID: "secret", Title: "the settings of the deployed functions", look: u.lookSecrets},
		{ID: "database", Title: "the database", look: u.lookDatabase},
		{ID: "local", Title: "third-party auth of the local project", look: u.lookLocal},
		{ID: "settings", Title: "the settings in files", look: u.lookFiles},
		{ID: "record", Title: "the record of what was made", look: u.lookRecord},
	} {
		look := step.look
		first := len(steps) == 0
		step.look = func(ctx context.Context) (view, error) {
			if first {
				u.left = false
			}
			found, err := look(ctx)
			u.left = u.left || found.open != ""
			return found, err
		}
		steps = append(steps, step)
	}
	return steps
}

func (u *Uninstall) lookProvider(ctx context.Context) (view, error) {
	state, err := u.State.Read()
	if err != nil {
		return view{}, err
	}
	v := view{detail: "this program has registered none"}
	var said []string
	for _, made := range state.Providers {
		if u.Supabase == nil {
			return view{detail: "whether " + made.Issuer + " is still registered was not looked at: that needs a Supabase access token", open: Unknown}, nil
		}
		list, err := u.Supabase.ThirdPartyAuth(ctx, made.Project)
		if err != nil && !errors.Is(err, management.ErrNotFound) {
			return view{}, err
		}
		list = slices.DeleteFunc(list, func(p management.ThirdPartyAuth) bool { return strings.TrimSuffix(p.OIDCIssuerURL, "/") != made.Issuer })
		switch len(list) {
		case 0:
			said = append(said, fmt.Sprintf("%s no longer trusts %s", made.Project, made.Issuer))
		case 1:
			said = append(said, fmt.Sprintf("%s trusts %s", made.Project, made.Issuer))
			v.writes = append(v.writes, u.setup.unregisterFrom(made.Project, list[0], fmt.Sprintf("have the project %s trust %s no longer: its users' tokens are refused from then on", made.Project, made.Issuer)))
		default:
			said = append(said, fmt.Sprintf("%s trusts %s %d times, and which of them this program has registered is not known: remove it in Supabase's dashboard", made.Project, made.Issuer, len(list)))
			v.open = Left
		}
	}
	v.detail = cmp.Or(strings.Join(said, "; "), v.detail)
	return v, nil
}

func (u *Uninstall) lookSessions(context.Context) (view, error) {
	state, err := u.State.Read()
	if err != nil || len(state.Sessions) == 0 {
		return view{detail: "none is open"}, err
	}
	return view{detail: fmt.Sprintf("%d may still be open: \"clerksync setup-sync --only role\" ends them", len(state.Sessions)), open: Left}, nil
}

// parted are the settings at one place: those that are as they were written, and the keys of those that are not.
func parted(written []WrittenSetting, settings map[string]string) (unchanged map[string]string, changed []string) {
	unchanged = map[string]string{}
	for _, w := range written {
		if value, there := settings[w.Key]; there && w.holds(settings) {
			unchanged[w.Key] = value
		} else if there {
			changed = append(changed, w.Key)
		}
	}
	return unchanged, changed
}

// keys are those of settings, for people.
func keys(settings map[string]string) string {
	var list []string
	for key := range settings {
		list = append(list, key)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (u *Uninstall) lookSecrets(ctx context.Context) (view, error) {
	return u.lookSettings("a secret", func(w WrittenSetting) string { return w.Secret }, func(name string) (map[string]string, func(context.Context, map[string]string) error, error) {
		store := u.Secrets(name)
		held, err := store.Read(ctx)
		return held, store.Remove, err
	})
}

func (u *Uninstall) lookFiles(context.Context) (view, error) {
	return u.lookSettings("a file", func(w WrittenSetting) string { return w.File }, func(name string) (map[string]string, func(context.Context, map[string]string) error, error) {
		file := NewEnvFile(filepath.Join(u.Folder, name))
		held, err := file.Read()
		return held, func(_ context.Context, values map[string]string) error {
			// What was changed since the look stays.
			now, err := file.Read()
			if err != nil {
				return err
			}
			var unchanged []string
			for key, value := range values {
				if had, there := now[key]; there && had == value {
					unchanged = append(unchanged, key)
				}
			}
			return file.Remove(unchanged)
		}, err
	})
}

// lookSettings is for settings that were written into places of a kind, which open reads.
func (u *Uninstall) lookSettings(
	kind string, place func(WrittenSetting) string, open func(name string) (held map[string]string, remove func(context.Context, map[string]string) error, err error),
) (view, error) {
	state, err := u.State.Read()
	if err != nil {
		return view{}, err
	}
	at := map[string][]WrittenSetting{}
	var names []string
	for _, w := range state.Settings {
		name := place(w)
		if name == "" {
			continue
		}
		if at[name] == nil {
			names = append(names, name)
		}
		at[name] = append(at[name], w)
	}
	v := view{detail: "this program has written none into " + kind}
	var said []string
	for _, name := range names {
		held, remove, err := open(name)
		if err != nil {
			return view{}, err
		}
		unchanged, changed := parted(at[name], held)
		text := fmt.Sprintf("%s has %d of %d as they were written", name, len(unchanged), len(at[name]))
		if len(changed) > 0 {
			text += ", and of other values, which stay: " + strings.Join(changed, ", ")
		}
		said = append(said, text)
		if len(unchanged) > 0 {
			v.writes = append(v.writes, write{
				fmt.Sprintf("take %s out of %s, and keep whatever else it holds", keys(unchanged), name),
				func(ctx context.Context) error {
					return u.setup.effect(func() error { return remove(ctx, unchanged) })
				},
			})
		}
	}
	v.detail = cmp.Or(strings.Join(said, "; "), v.detail)
	return v, nil
}

// lookDatabase looks where something is known to have been made, or is to be dropped, or can be looked at.
func (u *Uninstall) lookDatabase(ctx context.Context) (view, error) {
	state, err := u.State.Read()
	if err != nil {
		return view{}, err
	}
	if len(state.Logins) == 0 && u.DatabaseURL.IsZero() && !u.DropData {
		return view{detail: "this program has made no login"}, nil
	}
	session, _, err := u.setup.session(ctx)
	if errors.Is(err, errNoPassword) {
		return view{detail: "it was not looked at: that needs the database password", open: Unknown}, nil
	}
	if err != nil {
		return view{}, err
	}
	found, err := migrate.Survey(ctx, session)
	if err != nil {
		return view{}, explained(err)
	}
	var v view
	run := func(what string, do func(context.Context) error) {
		v.writes = append(v.writes, write{what, func(ctx context.Context) error {
			return u.setup.effect(func() error { return explained(do(ctx)) })
		}})
	}
	if len(found.Logins) > 0 {
		run("take the passwords from the roles "+strings.Join(found.Logins, ", ")+" and end their connections: functions that use them fail from then on",
			func(ctx context.Context) error { return migrate.TakeLogins(ctx, session) })
	}
	hanging := ""
	if len(found.Uses) > 0 {
		hanging = fmt.Sprintf("; of yours these stand on it: %s", strings.Join(found.Uses, "; "))
	}
	switch {
	case !u.DropData && found.Migrated:
		v.detail = fmt.Sprintf("the copy of %d users and its login roles stay, and --drop-data drops them%s", found.Users, hanging)
	case !found.Migrated && (len(found.Roles) == 0 || !u.DropData):
		v.detail = "it has no copy"
	case len(found.Uses) > 0:
		return view{}, fmt.Errorf("--drop-data would take what is yours along%s; drop it or have it use something else, and run this again", hanging)
	default:
		v.detail = fmt.Sprintf("it has the copy of %d users", found.Users)
		if found.Migrated {
			run(fmt.Sprintf("drop the copy: the tables users, users_public, organizations and organization_memberships of schema %s with %d users, and all that clerksync has in the schemas clerk_sync and %s, for good",
				found.Schemas.Schema, found.Users, found.Schemas.Helpers), func(ctx context.Context) error { return migrate.Drop(ctx, session) })
		}
		if len(found.Roles) > 0 {
			run("drop the roles "+strings.Join(found.Roles, ", "), func(ctx context.Context) error { return migrate.DropRoles(ctx, session) })
		}
	}
	for _, made := range state.Logins {
		if made.Project != u.Project {
			v.open, v.detail = Unknown, v.detail+"; whether "+made.Role+" still works in the project "+made.Project+" was not looked at: --project "+made.Project
			break
		}
	}
	return v, nil
}

func (u *Uninstall) lookLocal(context.Context) (view, error) {
	state, err := u.State.Read()
	if err != nil {
		return view{}, err
	}
	v := view{detail: "this program has changed no local project"}
	if state.Local == "" || u.LocalConfig == "" {
		return v, nil
	}
	info, err := os.Stat(u.LocalConfig)
	if err != nil {
		return view{}, fmt.Errorf("reading %s: %w", localName, withoutPath(err))
	}
	text, err := os.ReadFile(u.LocalConfig)
	if err != nil {
		return view{}, fmt.Errorf("reading %s: %w", localName, withoutPath(err))
	}
	without, trusts := distrustLocally(string(text), state.Local)
	if !trusts {
		v.detail = localName + " no longer has a local project trust " + state.Local
		return v, nil
	}
	v.detail = localName + " has a local project trust " + state.Local
	v.writes = []write{{"disable [auth.third_party.clerk] for " + state.Local + " in " + localName, func(context.Context) error {
		return u.setup.effect(func() error { return writeBeside(u.LocalConfig, without, info.Mode().Perm()) })
	}}}
	return v, nil
}

// lookRecord looks at the state itself, which goes last, and only where nothing is left that it tells of.
func (u *Uninstall) lookRecord(context.Context) (view, error) {
	switch there, err := u.State.Exists(); {
	case err != nil:
		return view{}, err
	case !there:
		return view{detail: "nothing is on record"}, nil
	case u.left:
		return view{detail: ".clerksync/setup.json stays for what is left"}, nil
	}
	return view{detail: ".clerksync/setup.json", writes: []write{{"remove .clerksync/setup.json", func(context.Context) error {
		return u.setup.effect(u.State.remove)
	}}}}, nil
}

// Exists reports whether there is a record.
func (f StateFile) Exists() (bool, error) {
	_, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, withoutPath(err)
}

// remove removes the file, and its folder where nothing else is in it.
func (f StateFile) remove() error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing .clerksync/setup.json: %w", withoutPath(err))
	}
	_ = os.Remove(filepath.Dir(f.path)) // something of someone else's is in it
	return nil
}

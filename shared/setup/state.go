package setup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// State is what this program has made, or was about to make when it was ended. It holds no secret. What is still there has
// to be looked up.
type State struct {
	Version int `json:"version"`
	// Providers are those that were registered with Supabase.
	Providers []MadeProvider `json:"providers"`
	// Rotation is that of the webhook's signing secret, while it is under way.
	Rotation *Rotation `json:"rotation,omitempty"`
	// Sessions are those that were opened to look at their tokens, until they are ended.
	Sessions []OpenedSession `json:"sessions,omitempty"`
	// Roles are the instances whose session tokens were seen with the claim role.
	Roles []SeenRole `json:"roles,omitempty"`
	// Settings are those that were written into files and secrets.
	Settings []WrittenSetting `json:"settings,omitempty"`
	// Logins are the database roles that were given passwords.
	Logins []MadeLogin `json:"logins,omitempty"`
	// Local is the domain that supabase/config.toml was made to trust; "" for none.
	Local string `json:"local,omitempty"`
}

// MadeProvider is a third-party provider of a project.
type MadeProvider struct {
	Project string `json:"project"`
	Issuer  string `json:"issuer"`
}

// MadeLogin is a database role of a project that was given a password.
type MadeLogin struct {
	Project string `json:"project"`
	Role    string `json:"role"`
}

const stateVersion = 1

// StateFile is where the state is kept.
type StateFile struct{ path string }

// NewStateFile is that below a folder: .clerksync/setup.json.
func NewStateFile(folder string) StateFile {
	return StateFile{filepath.Join(folder, ".clerksync", "setup.json")}
}

// Read returns the state: an empty one where there is no file.
func (f StateFile) Read() (State, error) {
	text, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{Version: stateVersion}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("reading .clerksync/setup.json: %w", withoutPath(err))
	}
	var s State
	if len(text) > maxFile || json.Unmarshal(text, &s) != nil || s.Version != stateVersion {
		return State{}, errors.New(".clerksync/setup.json is not one that this program has written: move it away, or use the program that wrote it")
	}
	return s, nil
}

// record adds what is about to be made.
func (f StateFile) record(made MadeProvider) error {
	return f.change(func(s *State) {
		if !slices.Contains(s.Providers, made) {
			s.Providers = append(s.Providers, made)
		}
	})
}

// noteLogin adds a login that is about to be made.
func (f StateFile) noteLogin(made MadeLogin) error {
	return f.change(func(s *State) {
		if !slices.Contains(s.Logins, made) {
			s.Logins = append(s.Logins, made)
		}
	})
}

// change writes what something changes.
func (f StateFile) change(do func(*State)) error {
	s, err := f.Read()
	if err != nil {
		return err
	}
	before, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing .clerksync/setup.json: %w", err)
	}
	do(&s)
	if after, err := json.Marshal(s); err == nil && bytes.Equal(before, after) {
		return nil
	}
	return f.write(s)
}

// SetRotation records a rotation that was begun, or with nil that none is under way.
func (f StateFile) SetRotation(r *Rotation) error {
	s, err := f.Read()
	if err != nil {
		return err
	}
	s.Rotation = r
	return f.write(s)
}

func (f StateFile) write(s State) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing .clerksync/setup.json: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o750); err != nil {
		return fmt.Errorf("making the folder .clerksync: %w", withoutPath(err))
	}
	return writeBeside(f.path, string(text)+"\n", private)
}

package setup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// WrittenSetting is a setting that this program has written, or was about to write when it was ended: into a file beside the
// state, or into a secret that functions read.
type WrittenSetting struct {
	// File is the name of the file; "": it is in the secret of this name.
	File   string `json:"file,omitempty"`
	Secret string `json:"secret,omitempty"`
	Key    string `json:"key"`
	// Fingerprint tells whether the value is still the one that was written, and not what it is.
	Fingerprint string `json:"fingerprint"`
}

// fingerprint is half of a SHA-256: a password of 256 bits is not found by it.
func fingerprint(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:8])
}

// holds reports whether settings have it as it was written.
func (w WrittenSetting) holds(settings map[string]string) bool {
	value, there := settings[w.Key]
	return there && fingerprint(value) == w.Fingerprint
}

// WriteFile has a file hold settings, and records which of them it did not hold before, so that they can be taken out again.
func (f StateFile) WriteFile(file EnvFile, values map[string]string) error {
	have, err := file.Read()
	if err != nil {
		return err
	}
	if err := f.noteSettings(WrittenSetting{File: file.Name()}, values, func(w WrittenSetting, recorded bool) bool {
		return recorded || have[w.Key] != values[w.Key]
	}); err != nil {
		return err
	}
	return file.Set(values)
}

// WriteSecret has a secret hold settings, and records which of them were not there, so that they can be taken out again: what
// someone else had put there stays theirs, also with another value.
func (f StateFile) WriteSecret(ctx context.Context, store SecretStore, values map[string]string) error {
	held, err := store.Read(ctx)
	if err != nil {
		return err
	}
	if err := f.noteSettings(WrittenSetting{Secret: store.Name()}, values, func(w WrittenSetting, recorded bool) bool {
		_, there := held[w.Key]
		return !there || recorded && w.holds(held)
	}); err != nil {
		return err
	}
	return store.Merge(ctx, values)
}

// noteSettings records the values of settings at a place where they are ours: those about which ours says so, as they are
// recorded, or by their key alone.
func (f StateFile) noteSettings(place WrittenSetting, values map[string]string, ours func(w WrittenSetting, recorded bool) bool) error {
	return f.change(func(s *State) {
		for key, value := range values {
			w := place
			w.Key = key
			i := slices.IndexFunc(s.Settings, func(other WrittenSetting) bool { return w.compare(other) == 0 })
			if i >= 0 {
				w = s.Settings[i]
				s.Settings = slices.Delete(s.Settings, i, i+1)
			}
			if ours(w, i >= 0) {
				w.Fingerprint = fingerprint(value)
				s.Settings = append(s.Settings, w)
			}
		}
		slices.SortFunc(s.Settings, WrittenSetting.compare)
	})
}

func (w WrittenSetting) compare(other WrittenSetting) int {
	return cmp.Or(cmp.Compare(w.File, other.File), cmp.Compare(w.Secret, other.Secret), cmp.Compare(w.Key, other.Key))
}

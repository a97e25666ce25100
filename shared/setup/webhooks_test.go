package setup_test

import (
	"slices"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/setup"
)

func TestEventTypes_AreThoseThatTheRulesTake(t *testing.T) {
	t.Parallel()
	types := setup.EventTypes()
	for _, want := range []string{"user.created", "user.deleted", "organizationMembership.updated", "role.deleted", "permission.created"} {
		if !slices.Contains(types, want) {
			t.Errorf("%s is missing in %v", want, types)
		}
	}
	if len(types) != 15 {
		t.Errorf("%d types, want three of each of five kinds", len(types))
	}
}

func TestCover_NamesWhatArrivesForNothingAndWhatIsMissing(t *testing.T) {
	t.Parallel()
	got := setup.Cover(map[string]int64{"user.created": 3, "session.created": 9, "email.created": 1, "": 1}, map[clerk.Kind]int64{clerk.KindMembership: 4, clerk.KindUser: 1, clerk.KindRole: 0})
	if !slices.Equal(got.Needless, []string{"email.created", "session.created"}) || !slices.Equal(got.Missing, []string{"organizationMembership"}) {
		t.Errorf("Cover = %+v", got)
	}
	if slices.Contains(got.Unseen, "user.created") || !slices.Contains(got.Unseen, "user.deleted") || len(got.Unseen) != 14 {
		t.Errorf("unseen are %v", got.Unseen)
	}
	if got := setup.Cover(nil, nil); len(got.Missing) != 0 || len(got.Unseen) != 15 {
		t.Errorf("of nothing known: %+v", got)
	}
}

func TestJudge_LetsTheOldSecretGoOnlyWhenItWasSilentAndTheNewOneWorks(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	r := setup.Rotation{Old: "0000000a", New: "0000000b", StartedAt: begun}
	used := func(hours float64) setup.Use {
		return setup.Use{Messages: 1, LastAt: begun.Add(time.Duration(hours * float64(time.Hour)))}
	}
	for _, test := range []struct {
		name          string
		before, after setup.Use
		hours         float64
		want          setup.Verdict
	}{
		{"at once", setup.Use{}, setup.Use{}, 0, setup.Verdict{Left: setup.RetrySchedule}},
		{"the new one works, the old one too", used(1), used(1), 2, setup.Verdict{Proved: true, Left: setup.RetrySchedule - time.Hour}},
		{"the old one was last used long before", used(-300), used(1), 10, setup.Verdict{Proved: true, Left: setup.RetrySchedule - 10*time.Hour}},
		{"a late retry begins it anew", used(27), used(1), 28, setup.Verdict{Proved: true, Left: setup.RetrySchedule - time.Hour}},
		{"silent for a whole schedule", used(1), used(1), 28.7, setup.Verdict{Proved: true, Silent: true}},
		{"silent, but so is the new one", used(1), setup.Use{}, 100, setup.Verdict{}},
	} {
		got := r.Judge(test.before, test.after, begun.Add(time.Duration(test.hours*float64(time.Hour))))
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

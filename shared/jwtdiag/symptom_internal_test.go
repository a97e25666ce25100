package jwtdiag

import "testing"

func TestSymptoms_AndCausesBelongTogether(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, s := range symptoms {
		for _, id := range s.causes {
			used[id] = true
			if _, ok := causesByID[id]; !ok {
				t.Errorf("%s leads to %s, which there is not", s.shows, id)
			}
		}
	}
	for id := range causesByID {
		if !used[id] {
			t.Errorf("no symptom leads to %s", id)
		}
	}
}

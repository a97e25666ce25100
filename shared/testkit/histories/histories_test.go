package histories_test

import (
	"flag"
	"slices"
	"testing"

	"clerksync/shared/testkit/histories"
)

func TestSeeds_AreFewAndAsManyTimesThatAsTheFlagSays(t *testing.T) {
	before := flag.Lookup("histories").Value.String()
	t.Cleanup(func() { _ = flag.Set("histories", before) })
	for _, test := range []struct {
		times string
		want  []uint64
	}{{"1", []uint64{0, 1, 2}}, {"2", []uint64{0, 1, 2, 3, 4, 5}}, {"0", []uint64{0, 1, 2}}} {
		if err := flag.Set("histories", test.times); err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(histories.Seeds(3)); !slices.Equal(got, test.want) {
			t.Errorf("with -histories %s: %v, want %v", test.times, got, test.want)
		}
	}
}

package clerk

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProject_KeepsClerksOwnBytesOfWhatMatters(t *testing.T) {
	t.Parallel()
	keep := Projection{"id": nil, "list": {"id": nil, "deep": {"x": nil}}, "meta": nil}
	for in, want := range map[string]string{
		`[]`:                     `[]`,
		`[{}]`:                   `[{}]`,
		`[{"other":1}]`:          `[{}]`,
		`[{"id":"a","other":1}]`: `[{"id":"a"}]`,
		// Spaces go between members, not within what is kept whole.
		` [ { "id" : "a" , "meta" : { "n" : 1e400 , "list" : [ 1 ] } } , {"id":"b"} ] `: `[{"id":"a","meta":{ "n" : 1e400 , "list" : [ 1 ] }},{"id":"b"}]`,
		`[{"list":[{"id":1,"no":2,"deep":{"x":3,"y":4}},{"no":2}]}]`:                    `[{"list":[{"id":1,"deep":{"x":3}},{}]}]`,
		// Where an array or an object should be and is not, the value says so itself.
		`[{"list":null,"id":7}]`:      `[{"id":7}]`,
		`[{"list":"text"}]`:           `[{"list":"text"}]`,
		`[{"list":[null,[{"z":1}]]}]`: `[{"list":[null,[{}]]}]`,
		// A name may be written with escapes.
		`[{"\u0069d":"a"}]`: `[{"id":"a"}]`,
		`[null,3]`:          `[null,3]`,
	} {
		got := Page{Resources: json.RawMessage(in)}.Project(keep)
		if diff := cmp.Diff(want, string(got.Resources)); diff != "" {
			t.Errorf("Project(%s) (-want +got):\n%s", in, diff)
		}
	}
}

func TestSelect_KeepsItemsWithTheirResources(t *testing.T) {
	t.Parallel()
	page := Page{Total: 3, Items: []Item{{ID: "a"}, {ID: "b"}, {ID: "c"}}, Resources: json.RawMessage(`[ {"id":"a"}, {"id":"b"} ,{"id":"c"} ]`)}
	for keep, want := range map[string]string{
		"": `[]`, "b": `[{"id":"b"}]`, "ac": `[{"id":"a"},{"id":"c"}]`, "abc": `[ {"id":"a"}, {"id":"b"} ,{"id":"c"} ]`,
	} {
		got := page.Select(func(item Item) bool { return strings.Contains(keep, item.ID) })
		if string(got.Resources) != want || len(got.Items) != len(keep) || got.Total != 3 {
			t.Errorf("keeping %q: %s with %d items of %d, want %s", keep, got.Resources, len(got.Items), got.Total, want)
		}
	}
	if len(page.Items) != 3 {
		t.Errorf("the page itself has %d items left", len(page.Items))
	}
}

// Whatever the page, its projection is valid JSON with as many elements, and projecting again changes nothing.
func FuzzProject(f *testing.F) {
	for _, seed := range []string{`[{"id":"a","x":[{"id":1}]}]`, `[]`, `[[],{}]`, `{"id":{}}`} {
		f.Add([]byte(seed))
	}
	keep := Projection{"id": nil, "x": {"id": nil}}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !json.Valid(body) {
			t.Skip()
		}
		once := Page{Resources: body}.Project(keep).Resources
		if !json.Valid(once) {
			t.Fatalf("Project(%s) = %s, which is not JSON", body, once)
		}
		count := func(list []byte) (n int) { elements(list, func(json.RawMessage) { n++ }); return n }
		if count(body) != count(once) {
			t.Errorf("Project(%s) = %s, of another length", body, once)
		}
		if again := (Page{Resources: once}).Project(keep).Resources; string(again) != string(once) {
			t.Errorf("Project twice of %s = %s, once %s", body, again, once)
		}
	})
}

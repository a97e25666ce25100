package clerk_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/testkit/testdb"
)

// What jsonb refuses, and what it reads out of an event, is Postgres's to say.
func TestParseEvent_AgreesWithPostgres(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	conn := db.Conn(t, db.Owner())

	type row struct {
		body string
		// refused says that jsonb does not take the body as it came.
		refused bool
	}
	rows := map[string]row{
		"names twice":           {`{"type":"a","type":"b","data":{"id":"x","k":1},"data":{"id":"y","id":"z"}}`, false},
		"names in another case": {`{"type":"a","Type":"b","data":{"id":"x","ID":"y"},"DATA":{"id":"z"}}`, false},
		"escaped names":         {`{"\u0074ype":"a","data":{"\u0069d":"\u0078"}}`, false},
		"ids of other kinds":    {`{"type":"a","instance_id":null,"data":{}}`, false},
	}
	for _, name := range clerktest.Names() {
		rows[name] = row{string(clerktest.Event(t, name)), name == "user.created--nul-in-name" || name == "user.updated--lone-surrogate"}
	}
	for escape, refused := range map[string]bool{
		`\u0000`: true, `\ud83d`: true, `\ude00`: true, `\ude00\ud83d`: true, `\ud83d\ud83d\ude00`: true, `\ud83d\ude00\ude00`: true,
		`\ud83d\n`: true, `\ud83d\u0041`: true, `\ud83d\\ude00`: true, `\\\u0000`: true, `\uD800`: true, `\udfff`: true,
		`\ud83d\ude00`: false, `\ud800\udc00\udbff\udfff`: false, `\ud7ff\ue000\uffff`: false, `\\u0000`: false, `\\ud83d`: false, `\u0001`: false,
	} {
		rows["value "+escape] = row{fmt.Sprintf(`{"type":"a","data":{"id":"x%s"}}`, escape), refused}
		rows["name "+escape] = row{fmt.Sprintf(`{"type":"a","data":{"id":"x","k%s":1}}`, escape), refused}
	}

	for name, row := range rows {
		event, err := clerk.ParseEvent([]byte(row.body))
		if err != nil {
			t.Errorf("%s: ParseEvent(%s) = error %v", name, row.body, err)
			continue
		}
		_, err = conn.Exec(t.Context(), "select $1::text::jsonb", row.body)
		if refused := err != nil; refused != row.refused {
			t.Errorf("%s: jsonb refuses %s: %t (%v), want %t", name, row.body, refused, err, row.refused)
		}
		type reading struct{ Type, ObjectID, InstanceID string }
		var got reading
		err = conn.QueryRow(t.Context(), `
			select e->>'type', coalesce(e->'data'->>'id', ''), coalesce(e->>'instance_id', '')
			from (select $1::text::jsonb as e) as event`, string(event.JSON)).Scan(&got.Type, &got.ObjectID, &got.InstanceID)
		if err != nil {
			t.Errorf("%s: Postgres refuses %s: %v", name, event.JSON, err)
			continue
		}
		if diff := cmp.Diff(reading{event.Type, event.ObjectID, event.InstanceID}, got); diff != "" {
			t.Errorf("%s: reading of %s: -ParseEvent +Postgres\n%s", name, row.body, diff)
		}
	}
}

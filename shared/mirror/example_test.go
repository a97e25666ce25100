package mirror_test

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// once is a database in which every delivery of one id but the first is a duplicate, as
// the sync functions have it. A pool of package supabase is a real one.
type once map[any]bool

func (o once) QueryRow(_ context.Context, _ string, args ...any) pgx.Row {
	again := o[args[0]]
	o[args[0]] = true
	if again {
		return answer(mirror.Duplicate)
	}
	return answer(mirror.Applied)
}

func (once) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, pgx.ErrNoRows }

// answer is the row that a sync function returns.
type answer mirror.Outcome

func (a answer) Scan(into ...any) error {
	*into[0].(*mirror.Outcome) = mirror.Outcome(a)
	return nil
}

func ExampleStore_Apply() {
	store := mirror.New(once{})
	event, err := clerk.ParseEvent([]byte(`{"object":"event","type":"user.created","timestamp":1764547200123,"data":{"id":"user_2nQ8","object":"user","updated_at":1764547200120}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Svix delivers again whatever was not answered: the second time nothing happens.
	for range 2 {
		result, err := store.Apply(context.Background(), mirror.Delivery{SvixID: "msg_1", Event: event})
		fmt.Println(result.Outcome, err)
	}
	// Output:
	// applied <nil>
	// duplicate <nil>
}

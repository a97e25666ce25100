package clerk_test

import (
	"errors"
	"fmt"

	"clerksync/shared/clerk"
)

func ExampleParseEvent() {
	// What a webhook delivered, after its signature was verified over these bytes.
	body := []byte(`{
		"object": "event", "type": "user.updated", "instance_id": "ins_2abc", "timestamp": 1764547200123,
		"data": {"id": "user_2nQ8", "object": "user", "updated_at": 1764547200120, "public_metadata": {"account": 90071992547409931}}
	}`)
	event, err := clerk.ParseEvent(body)
	if errors.Is(err, clerk.ErrNotEvent) {
		fmt.Println("authentic, and nothing that can be applied:", err)
		return
	}
	fmt.Println(event.Type, event.ObjectID)

	_, err = clerk.ParseEvent([]byte(`"user.updated"`))
	fmt.Println(errors.Is(err, clerk.ErrNotEvent))
	// Output:
	// user.updated user_2nQ8
	// true
}

func ExampleParsePublishableKey() {
	key, err := clerk.ParsePublishableKey("pk_test_aGFwcHktb3R0ZXItNDIuY2xlcmsuYWNjb3VudHMuZGV2JA")
	fmt.Println(key.Kind, key.FrontendAPI, err)

	_, err = clerk.ParsePublishableKey("sk_test_pasted_by_mistake")
	fmt.Println(errors.Is(err, clerk.ErrSecretKey), err)
	// Output:
	// test happy-otter-42.clerk.accounts.dev <nil>
	// true this is a secret, not a Clerk publishable key: it begins with "sk_test_", and a publishable key begins with pk_test_ or pk_live_
}

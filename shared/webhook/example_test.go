package webhook_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/webhook"
)

// printer is a store that applies everything; [mirror.Store] is the real one.
type printer struct{}

func (printer) Apply(_ context.Context, d mirror.Delivery) (mirror.Result, error) {
	fmt.Println("to be applied:", d.SvixID, d.Event.Type, d.Event.ObjectID)
	return mirror.Result{Outcome: mirror.Applied}, nil
}

func (printer) Reject(_ context.Context, m mirror.Unreadable) (mirror.Result, error) {
	fmt.Println("to be kept:", m.SvixID, m.Reason)
	return mirror.Result{Outcome: mirror.Rejected, Reason: m.Reason}, nil
}

func ExampleNew() {
	handler, err := webhook.New(webhook.Options{
		Store: printer{},
		Configure: func(context.Context) (webhook.Configuration, error) {
			return webhook.Configuration{Secrets: []secret.Value{secret.New(clerktest.Secret)}}, nil
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	body := clerktest.Deletion("user.deleted", "user", "user_2nQ8", time.Now())
	deliver := func(body []byte, signed http.Header) {
		request := httptest.NewRequest(http.MethodPost, webhook.Path, bytes.NewReader(body))
		request.Header = signed.Clone()
		request.Header.Set("Content-Type", "application/json")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		fmt.Println(answer.Code, answer.Body)
	}
	signed := clerktest.Sign(clerktest.Secret, "msg_1", time.Now(), body)
	deliver(body, signed)

	// One byte more, and nobody has signed it.
	deliver(append(body, ' '), signed)
	// Output:
	// to be applied: msg_1 user.deleted user_2nQ8
	// 200 {"outcome":"applied"}
	// 401 {"error":{"code":"invalid_signature","message":"The signature does not match; check the signing secret of this endpoint."}}
}

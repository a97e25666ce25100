package awsaccount_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"clerksync/shared/awsaccount"
	"clerksync/shared/config"
)

// answering is a Lambda that answers every request like this, and what points the
// SDK at it.
func answering(t *testing.T, status int, code, body string) config.Lookup {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || strings.TrimSuffix(r.URL.Path, "/") != "/2016-08-19/account-settings" {
			t.Errorf("asked for %s %s", r.Method, r.URL.Path)
		}
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/lambda/aws4_request") {
			t.Errorf("signed %q, want it for Lambda in the region", r.Header.Get("Authorization"))
		}
		w.Header().Set("Content-Type", "application/json")
		if code != "" {
			w.Header().Set("X-Amzn-ErrorType", code)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	settings := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL_LAMBDA": server.URL,
	}
	return func(key string) (string, bool) {
		value, ok := settings[key]
		return value, ok
	}
}

func limits(concurrent, unreserved int) string {
	return fmt.Sprintf(`{"AccountLimit":{"TotalCodeSize":80530636800,"CodeSizeUnzipped":262144000,"CodeSizeZipped":52428800,"ConcurrentExecutions":%d,"UnreservedConcurrentExecutions":%d},"AccountUsage":{"TotalCodeSize":0,"FunctionCount":0}}`, concurrent, unreserved)
}

func TestReadConcurrency_SaysWhatMayBeReserved(t *testing.T) {
	t.Parallel()
	tests := []struct{ limit, unreserved, reservable int }{
		// A new account, one that asked for some, the usual quota, and one that has reserved nearly all.
		{10, 10, 0},
		{100, 100, 0},
		{125, 125, 25},
		{1000, 1000, 900},
		{1000, 101, 1},
		{1000, 100, 0},
	}
	for _, test := range tests {
		got, err := awsaccount.ReadConcurrency(t.Context(), answering(t, http.StatusOK, "", limits(test.limit, test.unreserved)))
		want := awsaccount.Concurrency{Region: "eu-central-1", Limit: test.limit, Unreserved: test.unreserved}
		if err != nil || got != want || got.Reservable() != test.reservable {
			t.Errorf("of %d, %d not reserved: %+v and %d to reserve, %v; want %+v and %d", test.limit, test.unreserved, got, got.Reservable(), err, want, test.reservable)
		}
	}
}

func TestReadConcurrency_SaysWhyItDoesNotKnow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, code, body string
		status           int
		want             error
		says             string
	}{
		{"no permission", "AccessDeniedException", `{"Message":"User: arn:aws:iam::123456789012:user/me is not authorized"}`, 403, config.ErrAccessDenied, "lambda:GetAccountSettings"},
		{"credentials of nobody", "UnrecognizedClientException", `{"message":"The security token included in the request is invalid."}`, 403, config.ErrNoCredentials, "log in"},
		{"an answer without limits", "", `{}`, 200, nil, "no limits"},
		{"an answer without numbers", "", `{"AccountLimit":{}}`, 200, nil, "no limits"},
		{"a Lambda that knows no such request", "", "", 404, nil, "asking Lambda"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := awsaccount.ReadConcurrency(t.Context(), answering(t, test.status, test.code, test.body))
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%+v, %v; want an error with %q", got, err, test.says)
			}
			if strings.Contains(fmt.Sprint(err), "arn:aws:iam") {
				t.Errorf("the error quotes AWS's text: %v", err)
			}
		})
	}
}

func TestReadConcurrency_GivesUp(t *testing.T) {
	t.Parallel()
	late := errors.New("it took too long")
	ctx, cancel := context.WithDeadlineCause(t.Context(), time.Now().Add(-time.Second), late)
	defer cancel()
	_, err := awsaccount.ReadConcurrency(ctx, func(key string) (string, bool) {
		value, ok := map[string]string{
			"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1",
		}[key]
		return value, ok
	})
	if !errors.Is(err, config.ErrTimeout) || !errors.Is(err, late) {
		t.Errorf("after its time: %v", err)
	}
}

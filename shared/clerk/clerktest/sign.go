package clerktest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	svix "github.com/svix/svix-webhooks/go"
)

// Secret is a signing secret of the right form, for tests that need any.
const Secret = "whsec_Y2xlcmtzeW5jLXRlc3Qtc2lnbmluZy1zZWNyZXQhISE="

// Sign returns the three svix-* headers of a delivery of body, signed at that
// moment with a whsec_ secret by the Svix library. It panics if the library
// refuses the secret.
func Sign(secret, id string, at time.Time, body []byte) http.Header {
	signer, err := svix.NewWebhook(secret)
	if err != nil {
		panic(fmt.Sprintf("clerktest: signing with this secret: %v", err))
	}
	signature, err := signer.Sign(id, at, body)
	if err != nil {
		panic(fmt.Sprintf("clerktest: signing: %v", err))
	}
	header := http.Header{}
	header.Set("svix-id", id)
	header.Set("svix-timestamp", strconv.FormatInt(at.Unix(), 10))
	header.Set("svix-signature", signature)
	return header
}

package backendapi

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"

	"clerksync/shared/devstack/clerkdouble/resource"
)

// createSvixApp gives the instance a Svix app and answers with a link into it.
func (a *API) createSvixApp(q *query, b []byte) []byte {
	app, made := a.instance.CreateSvixApp()
	if !made {
		return q.refuse(errSvixApp)
	}
	return appendSvixURL(b, app)
}

// createSvixURL answers with a link into the instance's Svix app.
func (a *API) createSvixURL(q *query, b []byte) []byte {
	app := a.instance.SvixApp()
	if app == "" {
		return q.refuse(errNoSvixApp)
	}
	return appendSvixURL(b, app)
}

// appendSvixURL writes a link of the shape in Svix's own material, with a key for one use.
func appendSvixURL(b []byte, app string) []byte {
	token := make([]byte, 16)
	// Never fails (crypto/rand).
	_, _ = rand.Read(token)
	key := resource.Append(nil, &struct {
		AppID string `json:"appId"`
		Token string `json:"token"`
	}{app, "appsk_" + hex.EncodeToString(token)})
	return resource.Append(b, &struct {
		URL string `json:"svix_url"`
	}{"https://app.svix.com/login#key=" + base64.StdEncoding.EncodeToString(key)})
}

package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"clerksync/shared/finding"
	"clerksync/shared/netaddr"
)

// maxAnswer is more than an endpoint's refusal takes.
const maxAnswer = 64 << 10

// checkEndpoint sends a message without a signature to the webhook's address: only the
// endpoint itself refuses it as it does. Nothing is recorded of it but a line of its log.
func checkEndpoint(ctx context.Context, x *examination) finding.Finding {
	const name = "The webhook's address was not asked"
	address := cmp.Or(x.WebhookURL, x.stack.Outputs["WebhookUrl"])
	if address == "" {
		return skip(name, "It is not known.", "Give it with --url, or name the stack with --stack.")
	}
	return ProbeEndpoint(ctx, address)
}

// ProbeEndpoint looks whether the webhook's endpoint answers at an address. The finding
// has no ID.
func ProbeEndpoint(ctx context.Context, address string) finding.Finding {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !netaddr.IsLoopback(u.Hostname())) {
		return fail("The webhook's address is not usable", "It has to be https, or http on this machine, without credentials.", "Copy the stack's output WebhookUrl.")
	}
	status, header, body, err := post(ctx, address)
	if err != nil {
		return fail("Nothing answers at the webhook's address", sentence(err), "Copy the stack's output WebhookUrl; if it is a domain of your own, look at its DNS records and certificate.")
	}
	var said struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	ours := json.Unmarshal(body, &said) == nil && said.Error.Code != ""
	answered := fmt.Sprintf("%s answered %d", u.Host, status)
	switch {
	case ours && status == http.StatusBadRequest && said.Error.Code == "missing_header":
		return pass("The webhook's endpoint answers", "%s refused a message without a signature, as it should.", u.Host)
	case ours && status == http.StatusServiceUnavailable:
		return fail("The webhook's endpoint cannot work", answered+" with "+said.Error.Code+".", "See docs/operations.md on not-configured, and the function's log.")
	case status/100 == 3:
		to := "elsewhere"
		if target, err := u.Parse(header.Get("Location")); err == nil && target.Host != "" {
			to = "to " + target.Host
		}
		return fail("The webhook's address redirects", answered+" and redirects "+to+". Svix follows no redirect.", "Register the address that it leads to in Clerk's dashboard.")
	case status == http.StatusNotFound:
		return fail("There is no endpoint at the webhook's address", answered+".", "Copy the stack's output WebhookUrl: its last segment is the stack's own.")
	default:
		return fail("Something else answers at the webhook's address", answered+", and not as the endpoint does: a login page, a firewall or another program.", "Let POST requests through to the endpoint, unchanged: docs/edge.md.")
	}
}

// post sends an empty object, and follows no redirect.
func post(ctx context.Context, address string) (status int, header http.Header, body []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader("{}"))
	if err != nil {
		return 0, nil, nil, errors.New("the request cannot be made")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "clerksync-doctor")
	client := &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext, TLSHandshakeTimeout: 3 * time.Second, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		// The error repeats the whole address, whose path is not for everybody.
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil && len(body) == 0 {
		return 0, nil, nil, errors.New("the answer broke off")
	}
	return response.StatusCode, response.Header, body, nil
}

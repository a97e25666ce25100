package keyset_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"clerksync/shared/jwtdiag/keyset"
)

const (
	// keysURL is where keys are in a network, at keysAddress.
	keysURL     = "https://clerk.example.com/.well-known/jwks.json"
	publicHost  = "8.8.4.4"
	keysAddress = publicHost + ":443"
)

// answer serves a text.
func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
}

// redirect sends elsewhere.
func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	}
}

// quiet keeps a server from logging what a test does to it.
func quiet(server *httptest.Server) {
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelWarn)
}

func gzipped(n int) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := io.CopyN(w, zeros{}, int64(n)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return packed.Bytes()
}

// zeros is an endless text of spaces, which JSON may begin with.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// patientKeys asks a new source as often as it takes to be answered within the limit of
// a fetch, which a machine under load does not always do; the limit is another test's.
func patientKeys(t *testing.T, o keyset.SourceOptions) (keyset.Set, error) {
	t.Helper()
	for {
		source, err := keyset.NewSource(o)
		if err != nil {
			t.Fatalf("NewSource(%q) = %v", o.URL, err)
		}
		set, err := source.Keys(t.Context(), "ins_1")
		var failure *keyset.FetchError
		if !errors.As(err, &failure) || failure.Reason != keyset.ReasonTimeout {
			return set, err
		}
	}
}

func TestSource_FetchesFromARealServer(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"https", "http"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			handler := http.NewServeMux()
			var agent atomic.Value
			handler.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, r *http.Request) {
				agent.Store(r.Header.Get("User-Agent"))
				// What it is called does not matter.
				w.Header().Set("Content-Type", "text/plain")
				answer(goodSet("ins_1"))(w, r)
			})
			handler.HandleFunc("GET /old", func(w http.ResponseWriter, r *http.Request) { redirect("/.well-known/jwks.json")(w, r) })
			server := httptest.NewUnstartedServer(handler)
			o := keyset.SourceOptions{}
			if scheme == "https" {
				server.StartTLS()
				o.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			for _, path := range []string{"/.well-known/jwks.json", "/old"} {
				o.URL = server.URL + path + "?token=1#fragment"
				began := time.Now()
				set, err := patientKeys(t, o)
				if err != nil || len(set.Keys) != 1 || set.Stale != nil {
					t.Fatalf("Keys from %s = %+v, %v, want one fresh key", o.URL, set, err)
				}
				if set.Source != server.URL+path || set.FetchedAt.Before(began) || set.FetchedAt.After(time.Now()) {
					t.Errorf("the set is from %q at %s, want %q and now", set.Source, set.FetchedAt, server.URL+path)
				}
			}
			if agent.Load() != "clerksync" {
				t.Errorf("User-Agent = %v, want the product", agent.Load())
			}
		})
	}
}

func TestSource_NamesTheFault(t *testing.T) {
	t.Parallel()
	bomb := gzipped(64 << 20)
	tests := []struct {
		name    string
		handler http.HandlerFunc
		reason  keyset.Reason
		status  int
		// requests are 2 where it was tried again.
		requests int
		says     string
	}{
		{"not found", http.NotFound, keyset.ReasonStatus, 404, 1, "/.well-known/jwks.json"},
		// The Backend API's key set, which wants the secret key.
		{"unauthorized", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, keyset.ReasonStatus, 401, 1, "credentials"},
		{"too many requests", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, keyset.ReasonStatus, 429, 1, "429 (Too Many Requests)"},
		{"server error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, keyset.ReasonStatus, 502, 2, "502"},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, keyset.ReasonStatus, 204, 1, "204"},
		{"nothing", answer(""), keyset.ReasonNotJSON, 200, 1, "nothing"},
		{"web page", answer("<html>hello secret</html>"), keyset.ReasonNotJSON, 200, 1, "web page"},
		{"words that claim to be JSON", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			answer("welcome")(w, r)
		}, keyset.ReasonNotJSON, 200, 1, "something else"},
		{"JSON of another kind", answer(`{"ok":true}`), keyset.ReasonNotJWKS, 200, 1, `"keys"`},
		{"empty set", answer(`{"keys":[]}`), keyset.ReasonNoKeys, 200, 1, "empty"},
		{"set of unusable keys", answer(jwks(jwk(weakKey(), "ins_1", "RS256", nil))), keyset.ReasonNoKeys, 200, 1, "1024 bits"},
		{"set of a hundred and one keys", answer(jwks(strings.Repeat("{},", keyset.MaxKeys) + "{}")), keyset.ReasonTooLarge, 200, 1, "101"},
		{"huge", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, zeros{}) }, keyset.ReasonTooLarge, 200, 1, "256 KiB"},
		{"gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}, keyset.ReasonTooLarge, 200, 1, "256 KiB"},
		{"gzip that is none", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			answer(goodSet("a"))(w, r)
		}, keyset.ReasonUnreachable, 200, 2, "headers"},
		{"huge headers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}, keyset.ReasonUnreachable, 0, 2, "broke"},
		{"breaks off before the answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, keyset.ReasonUnreachable, 0, 2, "broke"},
		{"breaks off in the answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(w, goodSet("a"))
		}, keyset.ReasonUnreachable, 200, 2, "broke off"},
		{"never answers", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, keyset.ReasonTimeout, 0, 1, "3s"},
		{"drips", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
		}, keyset.ReasonTimeout, 200, 1, "3s"},
		{"redirect to nowhere", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, keyset.ReasonRedirect, 302, 1, "nowhere"},
		{"redirect to itself", redirect("/.well-known/jwks.json"), keyset.ReasonRedirect, 0, 4, "3 redirects"},
		{"redirect to http", redirect("http://clerk.example.com/"), keyset.ReasonRedirect, 0, 1, "not https"},
		{"redirect to a file", redirect("file:///etc/passwd"), keyset.ReasonRedirect, 0, 1, "not https"},
		{"redirect with a password", redirect("https://me:secret@clerk.example.com/"), keyset.ReasonRedirect, 0, 1, "password"},
		{"redirect to this machine", redirect("https://localhost/jwks"), keyset.ReasonPrivateAddress, 0, 1, "localhost is at a loopback address"},
		{"redirect to metadata", redirect("https://169.254.169.254/latest/meta-data"), keyset.ReasonPrivateAddress, 0, 1, "metadata"},
		{"redirect to an inner name", redirect("https://inner.example.com/"), keyset.ReasonPrivateAddress, 0, 1, "inner.example.com is at a private address"},
		{"redirect to no host", redirect("https://nobody.example.com/"), keyset.ReasonUnreachable, 0, 1, "no such host"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.name("clerk.example.com", addresses(publicHost))
				n.name("localhost", addresses("127.0.0.1", "::1"))
				n.name("inner.example.com", addresses("10.0.0.7"))
				var requests atomic.Int64
				server := n.serve(t, keysAddress, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests.Add(1)
					test.handler(w, r)
				}))
				quiet(server)
				source := n.source(t, keyset.SourceOptions{URL: keysURL})
				set, err := source.Keys(t.Context(), "ins_1")

				var failure *keyset.FetchError
				if !errors.As(err, &failure) || len(set.Keys) > 0 {
					t.Fatalf("Keys = %+v, %v, want a FetchError", set, err)
				}
				if failure.Reason != test.reason || failure.Status != test.status || failure.Host != "clerk.example.com" {
					t.Errorf("Keys: reason %q with status %d at %q, want %q, %d: %v",
						failure.Reason, failure.Status, failure.Host, test.reason, test.status, err)
				}
				if text := err.Error(); !strings.Contains(text, "clerk.example.com") || !strings.Contains(text, test.says) ||
					strings.Contains(text, "secret") || len(text) > 400 {
					t.Errorf("Keys: %q, want the host, %q and nothing of what was received", text, test.says)
				}
				if got := requests.Load(); got != int64(test.requests) {
					t.Errorf("%d requests, want %d", got, test.requests)
				}
				if set.Source != keysURL {
					t.Errorf("Source = %q beside an error, want the URL", set.Source)
				}
				for _, address := range n.dialled {
					if what := keyset.NotPublic(netip.MustParseAddrPort(address).Addr()); what != "" {
						t.Errorf("dialled %s, %s", address, what)
					}
				}
			})
		})
	}
}

func TestSource_TellsOfExposedKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.name("clerk.example.com", addresses(publicHost))
		n.serve(t, keysAddress, answer(jwks(jwk(rsaKey(), "ins_1", "RS256", nil))))
		_, err := n.source(t, keyset.SourceOptions{URL: keysURL}).Keys(t.Context(), "")
		var failure *keyset.FetchError
		if !errors.As(err, &failure) || !failure.Exposed || len(failure.Unusable) != 1 || !errors.Is(err, keyset.ErrNoKeys) {
			t.Errorf("Keys of a set with a private key = %v, want a FetchError that says so", err)
		}
		var members map[string]string
		if err := json.Unmarshal([]byte(jwk(rsaKey(), "", "", nil)), &members); err != nil || members["d"] == "" || strings.Contains(fmt.Sprintf("%+v", failure), members["d"]) {
			t.Errorf("the error holds the private key: %+v", failure)
		}
	})
}

func TestSource_TriesOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.name("clerk.example.com", addresses(publicHost))
		var requests atomic.Int64
		n.serve(t, keysAddress, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			answer(goodSet("ins_1"))(w, r)
		}))
		set, err := n.source(t, keyset.SourceOptions{URL: keysURL}).Keys(t.Context(), "ins_1")
		if err != nil || len(set.Keys) != 1 || requests.Load() != 2 {
			t.Errorf("Keys after one 503 = %+v, %v with %d requests, want the key with 2", set, err, requests.Load())
		}
	})
}

func TestSource_FollowsThreeRedirects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.name("clerk.example.com", addresses(publicHost))
		n.name("moved.example.com", addresses("2606:4700::1"))
		var referers []string
		n.serve(t, keysAddress, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next := map[string]string{"/.well-known/jwks.json": "/1?token=secret", "/1": "https://clerk.example.com/2", "/2": "https://moved.example.com/3"}
			redirect(next[r.URL.Path])(w, r)
		}))
		n.serve(t, "[2606:4700::1]:443", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			referers = append(referers, r.Referer())
			answer(goodSet("ins_1"))(w, r)
		}))
		set, err := n.source(t, keyset.SourceOptions{URL: keysURL}).Keys(t.Context(), "ins_1")
		if err != nil || len(set.Keys) != 1 || set.Source != keysURL {
			t.Errorf("Keys behind three redirects = %+v, %v, want the key, from where it was configured", set, err)
		}
		if strings.Join(referers, "") != "" {
			t.Errorf("the last host was told the addresses before: %q", referers)
		}
	})
}

func TestSource_TrustsNoBadCertificate(t *testing.T) {
	t.Parallel()
	handler := answer(goodSet("ins_1"))
	tests := []struct {
		name, host string
		change     func(t *testing.T, n *network)
		says       string
	}{
		{"unknown authority", "clerk.example.com", func(t *testing.T, n *network) {
			quiet(n.serve(t, keysAddress, handler))
			n.roots = newNetwork().roots
		}, "unknown authority"},
		{"another host's", "clerk.example.org", func(t *testing.T, n *network) { quiet(n.serve(t, keysAddress, handler)) }, "not clerk.example.org"},
		{"no TLS at all", "clerk.example.com", func(t *testing.T, n *network) { n.servePlain(t, keysAddress, handler) }, "does not speak TLS"},
		{"old TLS", "clerk.example.com", func(t *testing.T, n *network) {
			server := n.prepare(t, keysAddress, handler)
			server.TLS = tls11()
			quiet(server)
			server.StartTLS()
			n.roots.AddCert(server.Certificate())
		}, "handshake"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.name(test.host, addresses(publicHost))
				test.change(t, n)
				_, err := n.source(t, keyset.SourceOptions{URL: "https://" + test.host + "/jwks"}).Keys(t.Context(), "ins_1")
				var failure *keyset.FetchError
				if !errors.As(err, &failure) || failure.Reason != keyset.ReasonTLS || !strings.Contains(err.Error(), test.says) {
					t.Errorf("Keys = %v, want reason tls that says %q", err, test.says)
				}
				if len(n.dialled) != 1 {
					t.Errorf("%d connections, want one: nothing becomes better by trying again", len(n.dialled))
				}
			})
		})
	}
}

func TestSource_CallsThePublicInternetAlone(t *testing.T) {
	t.Parallel()
	const port = ":443"
	tests := []struct {
		name      string
		addresses []string
		// dialled are the addresses that are called, none where that is refused.
		dialled []string
	}{
		{"public", []string{"8.8.4.4"}, []string{"8.8.4.4" + port}},
		{"public, both versions", []string{"2606:4700::1", "8.8.4.4"}, []string{"[2606:4700::1]" + port, "8.8.4.4" + port}},
		{"loopback", []string{"127.0.0.1"}, nil},
		{"all of loopback", []string{"127.255.0.3"}, nil},
		{"loopback, IPv6", []string{"::1"}, nil},
		{"metadata", []string{"169.254.169.254"}, nil},
		{"metadata of containers", []string{"169.254.170.2"}, nil},
		{"metadata, IPv6", []string{"fd00:ec2::254"}, nil},
		{"metadata, Azure", []string{"168.63.129.16"}, nil},
		{"private 10", []string{"10.1.2.3"}, nil},
		{"private 172", []string{"172.16.0.1"}, nil},
		{"private 192", []string{"192.168.1.1"}, nil},
		{"unique local", []string{"fd00::1"}, nil},
		{"link-local, IPv6", []string{"fe80::1"}, nil},
		{"link-local with a zone", []string{"fe80::1%eth0"}, nil},
		{"site-local", []string{"fec0::1"}, nil},
		{"provider's network", []string{"100.64.0.1"}, nil},
		{"beside the provider's network", []string{"100.128.0.1"}, []string{"100.128.0.1" + port}},
		{"this network", []string{"0.0.0.0"}, nil},
		{"unspecified, IPv6", []string{"::"}, nil},
		{"multicast", []string{"224.0.0.1", "ff02::1"}, nil},
		{"broadcast", []string{"255.255.255.255"}, nil},
		{"mapped loopback", []string{"::ffff:127.0.0.1"}, nil},
		{"mapped metadata", []string{"::ffff:169.254.169.254"}, nil},
		{"mapped public", []string{"::ffff:8.8.4.4"}, []string{"8.8.4.4" + port}},
		{"compatible loopback", []string{"::127.0.0.1"}, nil},
		// Networks without IPv4 reach it so.
		{"translated public", []string{"64:ff9b::808:404"}, []string{"[64:ff9b::808:404]" + port}},
		{"translated private", []string{"64:ff9b::10.0.0.1"}, nil},
		{"6to4 of a private address", []string{"2002:a00:1::1"}, nil},
		{"Teredo", []string{"2001:0:1::1"}, nil},
		// What is public among them is called, and nothing else.
		{"both", []string{"10.0.0.1", "8.8.4.4"}, []string{"8.8.4.4" + port}},
		{"very many", []string{"8.8.1.1", "8.8.1.2", "8.8.1.3", "8.8.1.4", "8.8.1.5"}, []string{"8.8.1.1" + port, "8.8.1.2" + port, "8.8.1.3" + port, "8.8.1.4" + port}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				targets := []string{keysURL}
				// A literal address is refused as a name is; of this machine it may be configured.
				if a := netip.MustParseAddr(test.addresses[0]); test.dialled == nil && !a.Unmap().IsLoopback() {
					targets = append(targets, "https://"+strings.ReplaceAll(netip.AddrPortFrom(a, 443).String(), "%", "%25")+"/jwks")
				}
				for _, target := range targets {
					n := newNetwork()
					n.name("clerk.example.com", addresses(test.addresses...))
					_, err := n.source(t, keyset.SourceOptions{URL: target}).Keys(t.Context(), "ins_1")
					var failure *keyset.FetchError
					if !errors.As(err, &failure) {
						t.Fatalf("Keys from %s = %v, want a FetchError: nobody is there", target, err)
					}
					if refused := failure.Reason == keyset.ReasonPrivateAddress; refused != (test.dialled == nil) {
						t.Errorf("Keys from %s at %v = %v", target, test.addresses, err)
					}
					// A fetch that finds nobody is tried again.
					want := strings.Join(append(test.dialled, test.dialled...), " ")
					if got := strings.Join(n.dialled, " "); got != want {
						t.Errorf("Keys from %s at %v dialled %q, want %q", target, test.addresses, got, want)
					}
				}
			})
		})
	}
}

func TestSource_ChecksTheAddressThatIsDialled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		// The name is public when it is looked up first, and inner from then on.
		n.name("clerk.example.com", addresses(publicHost), addresses("127.0.0.1"))
		n.serve(t, keysAddress, redirect("/again"))
		n.serve(t, "127.0.0.1:443", answer(goodSet("ins_1")))
		_, err := n.source(t, keyset.SourceOptions{URL: keysURL}).Keys(t.Context(), "ins_1")
		var failure *keyset.FetchError
		if !errors.As(err, &failure) || failure.Reason != keyset.ReasonPrivateAddress {
			t.Errorf("Keys from a name that changes its mind = %v, want reason private_address", err)
		}
		if len(n.dialled) != 1 || n.dialled[0] != keysAddress {
			t.Errorf("dialled %q, want the public address alone", n.dialled)
		}
	})
}

func TestSource_StaysOnThisMachine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, to string
		reason   keyset.Reason // "" where the keys are found
	}{
		{"to itself", "http://127.0.0.1:8787/keys", ""},
		{"to its name", "http://localhost:8787/keys", ""},
		{"to IPv6", "http://[::1]:8787/keys", ""},
		{"to a private address", "https://10.0.0.1/keys", keyset.ReasonPrivateAddress},
		{"to metadata", "https://169.254.169.254/keys", keyset.ReasonPrivateAddress},
		{"to a name in clear", "http://clerk.example.com/keys", keyset.ReasonRedirect},
		{"to metadata in clear", "http://169.254.169.254/keys", keyset.ReasonRedirect},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork()
				n.name("localhost", addresses("127.0.0.1"))
				n.name("clerk.example.com", addresses(publicHost))
				handler := http.NewServeMux()
				handler.Handle("/first", redirect(test.to))
				handler.Handle("/keys", answer(goodSet("ins_1")))
				n.servePlain(t, "127.0.0.1:8787", handler)
				n.servePlain(t, "[::1]:8787", handler)
				_, err := n.source(t, keyset.SourceOptions{URL: "http://127.0.0.1:8787/first"}).Keys(t.Context(), "")
				var failure *keyset.FetchError
				errors.As(err, &failure)
				switch {
				case test.reason == "" && err != nil:
					t.Errorf("Keys behind a redirect to %s = %v, want them", test.to, err)
				case test.reason != "" && (failure == nil || failure.Reason != test.reason):
					t.Errorf("Keys behind a redirect to %s = %v, want reason %s", test.to, err, test.reason)
				}
			})
		})
	}
}

func TestNewSource_RefusesAddresses(t *testing.T) {
	t.Parallel()
	for address, says := range map[string]string{
		"":                                  "https://",
		"clerk.example.com":                 "https://",
		"https://":                          "https://",
		"https://clerk.example.com:port/":   "https://",
		"http://clerk.example.com/jwks":     "http://",
		"http://10.0.0.1/jwks":              "http://",
		"http://localhost.example.com/jwks": "http://",
		"ftp://clerk.example.com/secret":    `"ftp:"`,
		"https://me:secret@clerk.example/":  "password",
	} {
		source, err := keyset.NewSource(keyset.SourceOptions{URL: address})
		if err == nil || source != nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("NewSource(%q) = %v, want an error that says %q and does not repeat the address", address, err, says)
		}
	}
	for _, address := range []string{"https://clerk.example.com", " HTTPS://clerk.example.com/x ", "http://localhost:1/x", "http://[::1]/x", "http://127.0.0.9/x"} {
		if _, err := keyset.NewSource(keyset.SourceOptions{URL: address}); err != nil {
			t.Errorf("NewSource(%q) = %v", address, err)
		}
	}
}

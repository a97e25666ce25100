package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	svix "github.com/svix/svix-webhooks/go"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/secret"
	"clerksync/shared/webhook"
)

const (
	otherSecret = "whsec_YW5vdGhlci1zZWNyZXQtb2YtYW5vdGhlci1lbmRwb2ludA=="
	messageID   = "msg_2harbourlights"
)

// now is the moment of every test here.
var now = time.Date(2026, time.June, 15, 9, 0, 5, 0, time.UTC)

func clock() time.Time { return now }

// message is a delivery that a test may change.
type message struct {
	header http.Header
	body   []byte
}

// validMessage returns a delivery that everything here accepts.
func validMessage() *message {
	body := clerktest.User("user_1").Email("ines@example.com").Event(clerk.UserCreated, now)
	return &message{clerktest.Sign(clerktest.Secret, messageID, now, body), body}
}

// sign signs the message again.
func (m *message) sign(secret, id string, at time.Time) {
	maps.Copy(m.header, clerktest.Sign(secret, id, at, m.body))
}

// rename moves the headers to the names of Standard Webhooks.
func (m *message) rename() {
	for _, name := range []string{"id", "timestamp", "signature"} {
		m.header.Set("webhook-"+name, m.header.Get("svix-"+name))
		m.header.Del("svix-" + name)
	}
}

// tampered are changes to a valid message, one each, that make it refused.
var tampered = []struct {
	name   string
	change func(*message)
	err    error
	status int
	code   string
}{
	{"no id", func(m *message) { m.header.Del("svix-id") }, webhook.ErrMissingHeader, 400, "missing_header"},
	{"no timestamp", func(m *message) { m.header.Del("svix-timestamp") }, webhook.ErrMissingHeader, 400, "missing_header"},
	{"no signature", func(m *message) { m.header.Del("svix-signature") }, webhook.ErrMissingHeader, 400, "missing_header"},
	{"no headers", func(m *message) { m.header = http.Header{} }, webhook.ErrMissingHeader, 400, "missing_header"},
	{"empty id", func(m *message) { m.header.Set("svix-id", "") }, webhook.ErrMissingHeader, 400, "missing_header"},
	{"empty timestamp", func(m *message) { m.header.Set("svix-timestamp", "") }, webhook.ErrMissingHeader, 400, "missing_header"},
	{"empty signature", func(m *message) { m.header.Set("svix-signature", "") }, webhook.ErrMissingHeader, 400, "missing_header"},
	// Half a set of each family is no set.
	{"families mixed", func(m *message) {
		m.header.Set("webhook-id", m.header.Get("svix-id"))
		m.header.Del("svix-id")
	}, webhook.ErrMissingHeader, 400, "missing_header"},

	{"same id twice", func(m *message) { m.header.Add("svix-id", messageID) }, webhook.ErrDuplicateHeader, 400, "duplicate_header"},
	{"another id first", func(m *message) { m.header["Svix-Id"] = []string{"msg_other", messageID} }, webhook.ErrDuplicateHeader, 400, "duplicate_header"},
	{"timestamp twice", func(m *message) { m.header.Add("svix-timestamp", m.header.Get("svix-timestamp")) }, webhook.ErrDuplicateHeader, 400, "duplicate_header"},
	{"signature twice", func(m *message) { m.header.Add("svix-signature", m.header.Get("svix-signature")) }, webhook.ErrDuplicateHeader, 400, "duplicate_header"},
	// What API Gateway makes of a header that came twice.
	{"ids joined", func(m *message) { m.header.Set("svix-id", messageID+","+messageID) }, webhook.ErrDuplicateHeader, 400, "duplicate_header"},
	{"timestamps joined", func(m *message) {
		m.header.Set("svix-timestamp", m.header.Get("svix-timestamp")+","+m.header.Get("svix-timestamp"))
	}, webhook.ErrDuplicateHeader, 400, "duplicate_header"},
	{"signatures joined", func(m *message) {
		m.header.Set("svix-signature", m.header.Get("svix-signature")+","+m.header.Get("svix-signature"))
	}, webhook.ErrDuplicateHeader, 400, "duplicate_header"},
	{"signatures joined with a space", func(m *message) {
		m.header.Set("svix-signature", m.header.Get("svix-signature")+", "+m.header.Get("svix-signature"))
	}, webhook.ErrDuplicateHeader, 400, "duplicate_header"},

	{"space in the id", func(m *message) { m.sign(clerktest.Secret, "msg 1", now) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"control character in the id", func(m *message) { m.sign(clerktest.Secret, "msg\x01", now) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"delete in the id", func(m *message) { m.sign(clerktest.Secret, "msg\x7f", now) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"letter beyond ASCII in the id", func(m *message) { m.sign(clerktest.Secret, "msg_é", now) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"id of 257 characters", func(m *message) { m.sign(clerktest.Secret, strings.Repeat("m", 257), now) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	// The signed text "a.1.2" is id "a", time 1 and body "2", and nothing else.
	{"full stop in the id", func(m *message) { m.sign(clerktest.Secret, "msg_1.1781514005", now) }, webhook.ErrMalformedHeader, 400, "malformed_header"},

	{"timestamp in words", func(m *message) { m.header.Set("svix-timestamp", "now") }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"timestamp with a plus", func(m *message) { m.header.Set("svix-timestamp", "+"+m.header.Get("svix-timestamp")) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"timestamp below zero", func(m *message) { m.header.Set("svix-timestamp", "-1") }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	// The library signs the number, so the signature matches in spite of it.
	{"timestamp with a leading zero", func(m *message) { m.header.Set("svix-timestamp", "0"+m.header.Get("svix-timestamp")) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"timestamp with a fraction", func(m *message) { m.header.Set("svix-timestamp", m.header.Get("svix-timestamp")+".0") }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"timestamp with a space", func(m *message) { m.header.Set("svix-timestamp", " "+m.header.Get("svix-timestamp")) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"timestamp in milliseconds", func(m *message) { m.header.Set("svix-timestamp", m.header.Get("svix-timestamp")+"000") }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"timestamp in other digits", func(m *message) { m.header.Set("svix-timestamp", "١٧٨١") }, webhook.ErrMalformedHeader, 400, "malformed_header"},

	{"signature without version", func(m *message) { m.header.Set("svix-signature", m.header.Get("svix-signature")[3:]) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"signature with an empty version", func(m *message) { m.header.Set("svix-signature", m.header.Get("svix-signature")[2:]) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"version alone", func(m *message) { m.header.Set("svix-signature", "v1,") }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"signature not in base64", func(m *message) { m.header.Set("svix-signature", "v1,<signature>") }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"malformed entry before the right one", func(m *message) { m.header.Set("svix-signature", "x "+m.header.Get("svix-signature")) }, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"33 signatures", func(m *message) {
		m.header.Set("svix-signature", strings.Repeat(m.header.Get("svix-signature")+" ", 33))
	}, webhook.ErrMalformedHeader, 400, "malformed_header"},
	{"endless signature", func(m *message) {
		m.header.Set("svix-signature", m.header.Get("svix-signature")+" v2,"+strings.Repeat("A", 8<<10))
	}, webhook.ErrMalformedHeader, 400, "malformed_header"},

	{"only a version we do not know", func(m *message) { m.header.Set("svix-signature", "v1a"+m.header.Get("svix-signature")[2:]) }, webhook.ErrSignature, 401, "invalid_signature"},
	{"version in another case", func(m *message) { m.header.Set("svix-signature", "V1"+m.header.Get("svix-signature")[2:]) }, webhook.ErrSignature, 401, "invalid_signature"},
	{"blank signature", func(m *message) { m.header.Set("svix-signature", " ") }, webhook.ErrSignature, 401, "invalid_signature"},
	{"signature cut short", func(m *message) { m.header.Set("svix-signature", m.header.Get("svix-signature")[:20]) }, webhook.ErrSignature, 401, "invalid_signature"},
	{"signature without padding", func(m *message) {
		m.header.Set("svix-signature", strings.TrimRight(m.header.Get("svix-signature"), "="))
	}, webhook.ErrSignature, 401, "invalid_signature"},
	{"signature of zeros", func(m *message) {
		m.header.Set("svix-signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	}, webhook.ErrSignature, 401, "invalid_signature"},
	{"signed with another secret", func(m *message) { m.sign(otherSecret, messageID, now) }, webhook.ErrSignature, 401, "invalid_signature"},
	{"another id", func(m *message) { m.header.Set("svix-id", "msg_other") }, webhook.ErrSignature, 401, "invalid_signature"},
	{"a second later", func(m *message) { m.header.Set("svix-timestamp", strconv.FormatInt(now.Unix()+1, 10)) }, webhook.ErrSignature, 401, "invalid_signature"},
	{"one letter of the body", func(m *message) { m.body = bytes.Replace(m.body, []byte("ines"), []byte("Ines"), 1) }, webhook.ErrSignature, 401, "invalid_signature"},
	{"body with a new line", func(m *message) { m.body = append(m.body, '\n') }, webhook.ErrSignature, 401, "invalid_signature"},
	{"body cut short", func(m *message) { m.body = m.body[:len(m.body)-1] }, webhook.ErrSignature, 401, "invalid_signature"},
	{"body dropped", func(m *message) { m.body = nil }, webhook.ErrSignature, 401, "invalid_signature"},
	// Svix headers count when both are there, even if the others are right.
	{"right webhook-* behind wrong svix-*", func(m *message) {
		right := m.header.Clone()
		m.rename()
		maps.Copy(m.header, right)
		m.header.Set("svix-id", "msg_other")
	}, webhook.ErrSignature, 401, "invalid_signature"},

	{"five minutes and a second old", func(m *message) { m.sign(clerktest.Secret, messageID, now.Add(-301*time.Second)) }, webhook.ErrTooOld, 401, "timestamp_too_old"},
	{"from 1970", func(m *message) { m.sign(clerktest.Secret, messageID, time.Unix(0, 0)) }, webhook.ErrTooOld, 401, "timestamp_too_old"},
	{"five minutes and a second ahead", func(m *message) { m.sign(clerktest.Secret, messageID, now.Add(301*time.Second)) }, webhook.ErrTooNew, 401, "timestamp_too_new"},
	{"from the year 33658", func(m *message) { m.sign(clerktest.Secret, messageID, time.Unix(999999999999, 0)) }, webhook.ErrTooNew, 401, "timestamp_too_new"},
	// A forgery does not learn whether the clocks agree.
	{"old and forged", func(m *message) { m.sign(otherSecret, messageID, now.Add(-time.Hour)) }, webhook.ErrSignature, 401, "invalid_signature"},
}

func newVerifier(t testing.TB, secrets ...string) *webhook.Verifier {
	t.Helper()
	verifier, err := webhook.NewVerifier(values(secrets...), clock)
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

func values(secrets ...string) []secret.Value {
	var all []secret.Value
	for _, s := range secrets {
		all = append(all, secret.New(s))
	}
	return all
}

func TestVerifier_RefusesTamperedMessages(t *testing.T) {
	t.Parallel()
	verifier := newVerifier(t, clerktest.Secret)
	for _, test := range tampered {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := validMessage()
			test.change(m)
			got, err := verifier.Verify(m.header, m.body)
			if !errors.Is(err, test.err) {
				t.Fatalf("Verify(%v, %s) = %v, %v, want error %v", m.header, m.body, got, err, test.err)
			}
			for name, values := range m.header {
				for _, value := range values {
					if len(value) > 4 && strings.Contains(err.Error(), value) {
						t.Errorf("the error repeats the value of %s: %v", name, err)
					}
				}
			}
		})
	}
}

func TestVerifier_AcceptsAuthenticMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*message)
		want   webhook.Message
	}{
		{"as it is", func(*message) {}, webhook.Message{ID: messageID, SignedAt: now}},
		{"five minutes old", func(m *message) { m.sign(clerktest.Secret, messageID, now.Add(-5*time.Minute)) }, webhook.Message{ID: messageID, SignedAt: now.Add(-5 * time.Minute)}},
		{"five minutes ahead", func(m *message) { m.sign(clerktest.Secret, messageID, now.Add(5*time.Minute)) }, webhook.Message{ID: messageID, SignedAt: now.Add(5 * time.Minute)}},
		{"names of Standard Webhooks", func(m *message) { m.rename() }, webhook.Message{ID: messageID, SignedAt: now}},
		{"both families, svix-* right", func(m *message) { m.header.Set("webhook-id", "msg_other") }, webhook.Message{ID: messageID, SignedAt: now}},
		{"svix-* incomplete, webhook-* complete", func(m *message) {
			m.rename()
			m.header.Set("svix-id", "msg_other")
		}, webhook.Message{ID: messageID, SignedAt: now}},
		// What Svix sends while a key is being rotated.
		{"right signature last", func(m *message) {
			right := m.header.Get("svix-signature")
			m.sign(otherSecret, messageID, now)
			m.header.Set("svix-signature", m.header.Get("svix-signature")+" "+right)
		}, webhook.Message{ID: messageID, SignedAt: now}},
		{"other versions around it", func(m *message) {
			m.header.Set("svix-signature", "v1a,AAAA v2,key,sig "+m.header.Get("svix-signature")+" v3,?")
		}, webhook.Message{ID: messageID, SignedAt: now}},
		{"32 signatures, spaces in plenty", func(m *message) {
			m.header.Set("svix-signature", strings.Repeat("v1,AAAA  ", 31)+m.header.Get("svix-signature")+" ")
		}, webhook.Message{ID: messageID, SignedAt: now}},
		{"id of 256 odd characters", func(m *message) { m.sign(clerktest.Secret, strings.Repeat("!~/", 85)+"x", now) }, webhook.Message{ID: strings.Repeat("!~/", 85) + "x", SignedAt: now}},
		{"second secret", func(m *message) { m.sign(otherSecret, messageID, now) }, webhook.Message{ID: messageID, SignedAt: now, Secret: 1}},
		{"empty body", func(m *message) { m.body = nil; m.sign(clerktest.Secret, messageID, now) }, webhook.Message{ID: messageID, SignedAt: now}},
		{"any bytes", func(m *message) {
			m.body = []byte("\x00\xff\r\n.%d")
			m.sign(clerktest.Secret, messageID, now)
		}, webhook.Message{ID: messageID, SignedAt: now}},
	}
	verifier := newVerifier(t, clerktest.Secret, otherSecret)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := validMessage()
			test.change(m)
			got, err := verifier.Verify(m.header, m.body)
			if err != nil {
				t.Fatalf("Verify(%v, %q) = error %v", m.header, m.body, err)
			}
			test.want.SignedWith = webhook.Fingerprint(values(clerktest.Secret, otherSecret)[test.want.Secret])
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("Verify(%v, %q): -want +got\n%s", m.header, m.body, diff)
			}
		})
	}
}

// The vector that Svix publishes with its libraries.
func TestVerifier_AcceptsSvixsPublishedVector(t *testing.T) {
	t.Parallel()
	at := time.Unix(1614265330, 0).UTC()
	secrets := values("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	verifier, err := webhook.NewVerifier(secrets, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	header.Set("svix-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set("svix-timestamp", "1614265330")
	header.Set("svix-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	got, err := verifier.Verify(header, []byte(`{"test": 2432232314}`))
	if want := (webhook.Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", SignedAt: at, SignedWith: webhook.Fingerprint(secrets[0])}); err != nil || got != want {
		t.Errorf("Verify(published vector) = %+v, %v, want %+v", got, err, want)
	}
}

func TestNewVerifier_NamesEveryBadSecretByPosition(t *testing.T) {
	t.Parallel()
	const marker = "QzXwVuTsRq"
	tests := []struct {
		name    string
		secrets []string
		want    []string // parts of the error
	}{
		{"none", nil, []string{"no webhook signing secret"}},
		{"empty", []string{""}, []string{"1 of 1"}},
		{"prefix alone", []string{"whsec_"}, []string{"1 of 1", "0 bytes"}},
		{"no prefix", []string{strings.TrimPrefix(otherSecret, "whsec_")}, []string{"1 of 1", "whsec_"}},
		{"Backend API key", []string{"sk_live_" + marker}, []string{"1 of 1", "whsec_"}},
		{"not base64", []string{"whsec_" + marker + "!"}, []string{"1 of 1", "base64"}},
		{"short", []string{"whsec_" + base64.StdEncoding.EncodeToString([]byte(marker))}, []string{"1 of 1", "10 bytes"}},
		{"two bad ones of three", []string{"whsec_!" + marker, otherSecret, marker}, []string{"1 of 3", "3 of 3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			verifier, err := webhook.NewVerifier(values(test.secrets...), clock)
			if err == nil {
				t.Fatalf("NewVerifier(%q) = %v, want an error", test.secrets, verifier)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("NewVerifier(%q) = error %q, want it to name %q", test.secrets, err, part)
				}
			}
			if strings.Contains(err.Error(), marker) || strings.Contains(err.Error(), "2 of 3") {
				t.Errorf("NewVerifier(%q) = error %q, which names too much", test.secrets, err)
			}
		})
	}
}

func TestNewVerifier_DefaultsToTheWallClock(t *testing.T) {
	t.Parallel()
	verifier, err := webhook.NewVerifier(values(clerktest.Secret), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := validMessage()
	m.sign(clerktest.Secret, messageID, time.Now())
	if _, err := verifier.Verify(m.header, m.body); err != nil {
		t.Errorf("Verify of a message signed just now = error %v", err)
	}
}

// FuzzVerify: what is accepted carries, in the headers that count, a v1 entry
// that is the HMAC of exactly these bytes, and the library agrees.
func FuzzVerify(f *testing.F) {
	for _, test := range tampered {
		m := validMessage()
		test.change(m)
		f.Add(m.header.Get("svix-id"), m.header.Get("svix-timestamp"), m.header.Get("svix-signature"), m.header.Get("webhook-id"), m.body, false)
	}
	m := validMessage()
	f.Add(messageID, m.header.Get("svix-timestamp"), m.header.Get("svix-signature"), "", m.body, true)
	verifier := newVerifier(f, clerktest.Secret)
	library, err := svix.NewWebhook(clerktest.Secret)
	if err != nil {
		f.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(clerktest.Secret, "whsec_"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, timestamp, signature, otherID string, body []byte, sign bool) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		right := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if sign {
			signature += " " + right
		}
		header := http.Header{}
		header.Set("svix-id", id)
		header.Set("svix-timestamp", timestamp)
		header.Set("svix-signature", signature)
		header.Set("webhook-id", otherID)
		got, err := verifier.Verify(header, body)
		if err != nil {
			return
		}
		if got.ID != id {
			t.Errorf("Verify(%v, %q).ID = %q, want %q", header, body, got.ID, id)
		}
		if !slices.Contains(strings.Fields(signature), right) {
			t.Errorf("Verify(%v, %q) accepts without the signature %s", header, body, right)
		}
		if off := got.SignedAt.Sub(now).Abs(); off > webhook.Tolerance {
			t.Errorf("Verify(%v, %q) accepts a message signed %v away", header, body, off)
		}
		if err := library.VerifyIgnoringTimestamp(body, header); err != nil {
			t.Errorf("Verify(%v, %q) accepts what the Svix library refuses: %v", header, body, err)
		}
	})
}

func TestFingerprint_TellsSecretsApartAndNothingElse(t *testing.T) {
	t.Parallel()
	one, two := secret.New("whsec_"+strings.Repeat("A", 32)), secret.New("whsec_"+strings.Repeat("A", 31)+"B")
	if a, b := webhook.Fingerprint(one), webhook.Fingerprint(two); a == b || len(a) != 8 || a != webhook.Fingerprint(one) || strings.Contains(one.Reveal(), a) {
		t.Errorf("fingerprints %q and %q", a, b)
	}
}

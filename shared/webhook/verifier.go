package webhook

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	svix "github.com/svix/svix-webhooks/go"

	"clerksync/shared/secret"
)

// The reasons why a message is refused. Errors that wrap them name headers and
// limits, never values.
var (
	// ErrMissingHeader says that one of the three headers is absent or empty.
	ErrMissingHeader = errors.New("missing header")
	// ErrDuplicateHeader says that a header came more than once, which leaves
	// open which of its values was signed.
	ErrDuplicateHeader = errors.New("duplicate header")
	// ErrMalformedHeader says that a header cannot be what Svix sends.
	ErrMalformedHeader = errors.New("malformed header")
	// ErrSignature says that no v1 signature matches any of the secrets.
	ErrSignature = errors.New("no matching signature")
	// ErrTooOld says that the signature is right and its timestamp lies further
	// back than Tolerance: a replayed request, or a clock that runs fast here.
	ErrTooOld = errors.New("timestamp too old")
	// ErrTooNew says that the signature is right and its timestamp lies further
	// ahead than Tolerance: a clock that runs slow here.
	ErrTooNew = errors.New("timestamp too new")
)

// Tolerance is how far a message's timestamp may be from now, both ways. Svix
// signs every attempt anew, so that late retries stay within it.
const Tolerance = 5 * time.Minute

const (
	maxIDLen = 256
	// Twelve digits of seconds reach beyond the year 30000; thirteen are
	// milliseconds, which no signature is over.
	maxTimestampLen = 12
	// Svix signs with the current key and at most ten old ones.
	maxSignatures   = 32
	maxSignatureLen = 8 << 10
	// Svix's own lower bound for a signing key (its API's EndpointSecret).
	minKeyLen = 24

	secretPrefix     = "whsec_"
	signatureVersion = "v1"
)

// Message is what a verified signature covers besides the body.
type Message struct {
	// ID is the message id: the same on every attempt and at every endpoint.
	ID string
	// SignedAt is when this attempt was signed, to the second.
	SignedAt time.Time
	// Secret is the position of the secret that matched, from 0.
	Secret int
	// SignedWith is its [Fingerprint].
	SignedWith string
}

// Fingerprint tells signing secrets apart, in eight hexadecimal digits, and tells nothing
// else of a secret, which is a random key of 24 bytes at least.
func Fingerprint(s secret.Value) string {
	sum := sha256.Sum256([]byte("clerksync signing secret\n" + s.Reveal()))
	return hex.EncodeToString(sum[:4])
}

// Verifier verifies messages against any of several signing secrets. It is safe
// for concurrent use. The zero value verifies nothing.
type Verifier struct {
	keys         []*svix.Webhook
	fingerprints []string
	now          func() time.Time
}

// NewVerifier returns a Verifier for the given secrets, each whsec_ and base64
// of a key of at least 24 bytes. Several are live at once while one is being
// rotated. A nil now means time.Now. It refuses an empty list and names every
// bad secret by its position.
func NewVerifier(secrets []secret.Value, now func() time.Time) (*Verifier, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no webhook signing secret is set")
	}
	if now == nil {
		now = time.Now
	}
	v := &Verifier{now: now}
	var problems []error
	for i, s := range secrets {
		key, err := newKey(s)
		if err != nil {
			problems = append(problems, fmt.Errorf("webhook signing secret %d of %d: %w", i+1, len(secrets), err))
			continue
		}
		v.keys = append(v.keys, key)
		v.fingerprints = append(v.fingerprints, Fingerprint(s))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return v, nil
}

func newKey(s secret.Value) (*svix.Webhook, error) {
	encoded, ok := strings.CutPrefix(s.Reveal(), secretPrefix)
	if !ok {
		return nil, errors.New("it does not begin with whsec_")
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		// The decoder's error says where, which is a hint to the content.
		return nil, errors.New("it is not base64 after whsec_")
	}
	if len(key) < minKeyLen {
		return nil, fmt.Errorf("its key has %d bytes, fewer than %d", len(key), minKeyLen)
	}
	return svix.NewWebhookRaw(key)
}

// Verify checks the headers and the signature over body, and only then the
// timestamp, so that ErrTooOld and ErrTooNew speak of authentic messages. It
// takes the svix-* headers or, where these are incomplete, the webhook-*
// headers of Standard Webhooks.
func (v *Verifier) Verify(header http.Header, body []byte) (Message, error) {
	s, err := parseSigned(header)
	if err != nil {
		return Message{}, err
	}
	return v.verify(s, body)
}

func (v *Verifier) verify(s signed, body []byte) (Message, error) {
	if s.signatures == "" {
		return Message{}, fmt.Errorf("%w: none of version %s", ErrSignature, signatureVersion)
	}
	// Built anew, so that the library sees only what was checked.
	header := http.Header{}
	header.Set("svix-id", s.id)
	header.Set("svix-timestamp", s.timestamp)
	header.Set("svix-signature", s.signatures)
	for i, key := range v.keys {
		if key.VerifyIgnoringTimestamp(body, header) != nil {
			continue
		}
		now := v.now()
		switch {
		case s.at.Before(now.Add(-Tolerance)):
			return Message{}, fmt.Errorf("%w: signed %d s before this machine's time, and the limit is %d s: the clock here runs fast, or somebody sends an old request again",
				ErrTooOld, int64(now.Sub(s.at)/time.Second), int64(Tolerance/time.Second))
		case s.at.After(now.Add(Tolerance)):
			return Message{}, fmt.Errorf("%w: signed %d s after this machine's time, and the limit is %d s: the clock here runs slow",
				ErrTooNew, int64(s.at.Sub(now)/time.Second), int64(Tolerance/time.Second))
		}
		return Message{ID: s.id, SignedAt: s.at, Secret: i, SignedWith: v.fingerprints[i]}, nil
	}
	return Message{}, fmt.Errorf("%w: tried %d signing secrets", ErrSignature, len(v.keys))
}

// signed is what the headers of a message say, checked for form.
type signed struct {
	id        string
	timestamp string // as sent, which is what is signed
	at        time.Time
	// signatures holds the entries of version v1, separated by spaces.
	signatures string
}

// parseSigned reads the first complete set of headers.
func parseSigned(header http.Header) (signed, error) {
	prefix := "svix-"
	if !complete(header, prefix) {
		if !complete(header, "webhook-") {
			return signed{}, missing(header)
		}
		prefix = "webhook-"
	}
	var s signed
	var err error
	if s.id, err = parseID(header, prefix+"id"); err != nil {
		return signed{}, err
	}
	if s.timestamp, s.at, err = parseTimestamp(header, prefix+"timestamp"); err != nil {
		return signed{}, err
	}
	if s.signatures, err = parseSignatures(header, prefix+"signature"); err != nil {
		return signed{}, err
	}
	return s, nil
}

var headerNames = []string{"id", "timestamp", "signature"}

func complete(header http.Header, prefix string) bool {
	for _, name := range headerNames {
		if header.Get(prefix+name) == "" {
			return false
		}
	}
	return true
}

// missing names the absent svix-* headers, since these are what Clerk sends.
func missing(header http.Header) error {
	var absent []string
	for _, name := range headerNames {
		if header.Get("svix-"+name) == "" {
			absent = append(absent, "svix-"+name)
		}
	}
	return fmt.Errorf("%w: %s", ErrMissingHeader, strings.Join(absent, ", "))
}

// single returns the only value of a header.
func single(header http.Header, name string) (string, error) {
	values := header.Values(name)
	if len(values) != 1 {
		return "", fmt.Errorf("%w: %s came %d times", ErrDuplicateHeader, name, len(values))
	}
	return values[0], nil
}

// unjoined returns the only value of a header that holds no comma by its
// nature. API Gateway's HTTP API joins a repeated header with commas.
func unjoined(header http.Header, name string) (string, error) {
	value, err := single(header, name)
	if err == nil && strings.Contains(value, ",") {
		err = fmt.Errorf("%w: %s holds several values", ErrDuplicateHeader, name)
	}
	return value, err
}

// parseID takes printable ASCII only, and no full stop: that ends the id within
// the signed text, and an id with one could lend its signature to another split
// of the same text.
func parseID(header http.Header, name string) (string, error) {
	id, err := unjoined(header, name)
	if err != nil {
		return "", err
	}
	if len(id) > maxIDLen {
		return "", fmt.Errorf("%w: %s is longer than %d characters", ErrMalformedHeader, name, maxIDLen)
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '.' {
			return "", fmt.Errorf("%w: %s holds a character that no message id has", ErrMalformedHeader, name)
		}
	}
	return id, nil
}

func parseTimestamp(header http.Header, name string) (string, time.Time, error) {
	text, err := unjoined(header, name)
	if err != nil {
		return "", time.Time{}, err
	}
	if len(text) > maxTimestampLen {
		return "", time.Time{}, fmt.Errorf("%w: %s has more digits than a time in seconds", ErrMalformedHeader, name)
	}
	// Only digits, and not by way of a parser that also takes a sign: the
	// library signs the number and not the text, so the text must be canonical.
	seconds, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strconv.FormatUint(seconds, 10) != text {
		return "", time.Time{}, fmt.Errorf("%w: %s is not a time in seconds", ErrMalformedHeader, name)
	}
	return text, time.Unix(int64(seconds), 0).UTC(), nil
}

// parseSignatures returns the v1 entries of a list "version,base64 …". Other
// versions, such as the asymmetric v1a, are skipped whatever they look like.
func parseSignatures(header http.Header, name string) (string, error) {
	list, err := single(header, name)
	if err != nil {
		return "", err
	}
	if len(list) > maxSignatureLen {
		return "", fmt.Errorf("%w: %s is longer than %d bytes", ErrMalformedHeader, name, maxSignatureLen)
	}
	var known []string
	for n, entry := range strings.FieldsFunc(list, func(c rune) bool { return c == ' ' }) {
		if n == maxSignatures {
			return "", fmt.Errorf("%w: %s holds more than %d signatures", ErrMalformedHeader, name, maxSignatures)
		}
		version, signature, ok := strings.Cut(entry, ",")
		if !ok || version == "" {
			return "", fmt.Errorf("%w: %s is not a list of version,signature", ErrMalformedHeader, name)
		}
		if version != signatureVersion {
			continue
		}
		if strings.Contains(signature, ",") {
			return "", fmt.Errorf("%w: %s holds several values", ErrDuplicateHeader, name)
		}
		if signature == "" || strings.Trim(signature, base64Alphabet) != "" {
			return "", fmt.Errorf("%w: a %s signature in %s is not base64", ErrMalformedHeader, version, name)
		}
		known = append(known, entry)
	}
	return strings.Join(known, " "), nil
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

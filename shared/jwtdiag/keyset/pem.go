package keyset

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxPEM bounds the text of FromPEM; a certificate chain has a few kilobytes.
const maxPEM = 64 << 10

// The ways in which PEM text is refused.
var (
	ErrNotPEM = errors.New("not a public key as PEM text")
	// ErrPrivateKey says that the text is, or holds, a private key.
	ErrPrivateKey = errors.New("this is a private key: whoever has it can sign tokens, so keep it out of here, and rotate it if it was shown to anybody")
)

// block is one part of PEM text. White space of any kind may stand in it: an environment variable often has a single
// line.
var block = regexp.MustCompile(`-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END ([A-Z0-9 ]{1,40})-----`)

// FromPEM reads public keys as PEM text: "PUBLIC KEY" (PKIX), "RSA PUBLIC KEY" (PKCS #1) and "CERTIFICATE", of which
// the first counts and the rest are taken for its chain. A literal \n stands for a line break, line breaks may be
// missing altogether, and so may the lines around a single PKIX key, as in Clerk's own libraries. The keys have no id.
//
// Errors wrap [ErrPrivateKey], [ErrNotPEM] or, for keys that are too weak or of an unknown kind, [ErrNoKeys]; none of
// them repeats the text.
func FromPEM(text []byte) (Set, error) {
	if len(text) > maxPEM {
		return Set{}, fmt.Errorf("%w: it has %d bytes, and at most %d are read", ErrNotPEM, len(text), maxPEM)
	}
	s := strings.NewReplacer(`\r`, "\n", `\n`, "\n").Replace(string(text))
	// Also in a block that is broken, or that stands in the middle of something else.
	if strings.Contains(s, "PRIVATE KEY") {
		return Set{}, ErrPrivateKey
	}
	blocks := block.FindAllStringSubmatch(s, -1)
	if blocks == nil {
		return fromBase64(s)
	}

	var set Set
	certificates := 0
	for i, b := range blocks {
		name := fmt.Sprintf("block %d of %d (%s)", i+1, len(blocks), b[1])
		leave := func(reason string) { set.Unusable = append(set.Unusable, name+" "+reason) }
		der, ok := unbase64(b[2])
		if !ok || b[1] != b[3] {
			leave("is damaged: it is not base64 between its BEGIN and END lines, or they differ")
			continue
		}
		if isPrivate(der) {
			return Set{}, ErrPrivateKey
		}
		var key crypto.PublicKey
		var err error
		switch b[1] {
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(der)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(der)
		case "CERTIFICATE":
			if certificates++; certificates > 1 {
				leave("is left out: only the first certificate counts, the rest are its chain")
				continue
			}
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(der); err == nil {
				key = c.PublicKey
			}
		default:
			leave("is neither a public key nor a certificate")
			continue
		}
		if err != nil {
			leave("is damaged: what is in it is not what its name says")
			continue
		}
		if err := checkKey(key, ""); err != nil {
			leave(err.Error())
			continue
		}
		set.Keys = append(set.Keys, Key{Public: key})
	}
	if len(set.Keys) == 0 {
		return set, fmt.Errorf("%w: %s", ErrNoKeys, set.Unusable[0])
	}
	return set, nil
}

// fromBase64 takes a PKIX key without the lines around it.
func fromBase64(s string) (Set, error) {
	trimmed := strings.TrimSpace(s)
	switch {
	case trimmed == "":
		return Set{}, fmt.Errorf("%w: there is nothing", ErrNotPEM)
	case strings.Contains(trimmed, "-----"):
		return Set{}, fmt.Errorf("%w: it is cut off; it goes from -----BEGIN PUBLIC KEY----- to -----END PUBLIC KEY-----", ErrNotPEM)
	case trimmed[0] == '{' || trimmed[0] == '[':
		return Set{}, fmt.Errorf("%w: it is JSON; a key set is read from its URL", ErrNotPEM)
	}
	der, ok := unbase64(trimmed)
	if !ok {
		return Set{}, fmt.Errorf("%w: it begins with -----BEGIN PUBLIC KEY-----", ErrNotPEM)
	}
	if isPrivate(der) {
		return Set{}, ErrPrivateKey
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Set{}, fmt.Errorf("%w: it begins with -----BEGIN PUBLIC KEY-----", ErrNotPEM)
	}
	if err := checkKey(key, ""); err != nil {
		reason := "the key " + err.Error()
		return Set{Unusable: []string{reason}}, fmt.Errorf("%w: %s", ErrNoKeys, reason)
	}
	return Set{Keys: []Key{{Public: key}}}, nil
}

// unbase64 decodes standard base64 with white space of any kind in it. Padding may be missing.
func unbase64(s string) ([]byte, bool) {
	s = strings.TrimRight(strings.Join(strings.Fields(s), ""), "=")
	der, err := base64.RawStdEncoding.DecodeString(s)
	return der, err == nil && len(der) > 0
}

// isPrivate recognises a private key under whichever name. The parsers check the arithmetic of what they read, which
// takes long for numbers of absurd size; the largest key in use has five kilobytes.
func isPrivate(der []byte) bool {
	const largest = 8 << 10
	return len(der) <= largest && slices.ContainsFunc([]func([]byte) error{
		func(der []byte) error { _, err := x509.ParsePKCS8PrivateKey(der); return err },
		func(der []byte) error { _, err := x509.ParsePKCS1PrivateKey(der); return err },
		func(der []byte) error { _, err := x509.ParseECPrivateKey(der); return err },
	}, func(parse func([]byte) error) bool { return parse(der) == nil })
}

package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"
)

// Refusals of bodies that read the same everywhere.
var (
	UnsupportedEncoding = Refusal{http.StatusUnsupportedMediaType, "unsupported_encoding", "The body must not be compressed."}
	UnreadableBody      = Refusal{http.StatusBadRequest, "unreadable_body", "The body did not arrive in full."}
	RequestTimeout      = Refusal{http.StatusRequestTimeout, "request_timeout", "The body took too long to arrive."}
)

// BodyTooLarge is the refusal of a body above the limit, with a message of the
// handler's own.
func BodyTooLarge(message string) Refusal {
	return Refusal{http.StatusRequestEntityTooLarge, "body_too_large", message}
}

// MediaType is the media type of a body, without parameters and in lower case.
// It is not ok where Content-Type is absent, malformed or there twice, or names
// another charset than UTF-8.
func MediaType(header http.Header) (mediaType string, ok bool) {
	values := header.Values("Content-Type")
	if len(values) != 1 {
		return "", false
	}
	mediaType, parameters, err := mime.ParseMediaType(values[0])
	if err != nil {
		return "", false
	}
	if charset, named := parameters["charset"]; named && !strings.EqualFold(charset, "utf-8") {
		return "", false
	}
	return mediaType, true
}

// ReadBody reads a body to its end, as long as it has at most this many bytes
// and comes within the limit. [BodyRefusal] knows its errors.
func ReadBody(w http.ResponseWriter, r *http.Request, most int64, limit time.Duration) ([]byte, error) {
	connection := http.NewResponseController(w)
	// A gateway adapter has no connection, and the whole body in memory.
	_ = connection.SetReadDeadline(time.Now().Add(limit))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		return nil, err
	}
	// The server goes on reading, to see a client leave; a deadline that passed
	// meanwhile would cancel the request.
	_ = connection.SetReadDeadline(time.Time{})
	return body, nil
}

// BodyRefusal is what an error of [ReadBody] is answered.
func BodyRefusal(err error, tooLarge Refusal) Refusal {
	var above *http.MaxBytesError
	switch {
	case errors.As(err, &above):
		return tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return RequestTimeout
	}
	return UnreadableBody
}

package managementdouble

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds what is read, here and from issuers, in bytes.
const maxBody = 1 << 20

// failure is an answer that is an error.
type failure struct {
	status  int
	message string
}

func (f *failure) Error() string { return fmt.Sprintf("%d: %s", f.status, f.message) }

// route answers a route that needs some permission, with success if all is well.
// Of permissions with a bar between them one is enough; "" needs none.
func (a *API) route(pattern, needed string, success int, do func(r *http.Request) (any, *failure)) {
	a.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if a.options.Latency > 0 {
			timer := time.NewTimer(a.options.Latency)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
				return
			}
		}
		status := success
		content, fail := a.answer(w.Header(), r, needed, do)
		if fail != nil {
			status, content = fail.status, map[string]string{"message": fail.message}
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(content) // a client that hung up does not need it
	})
}

func (a *API) answer(header http.Header, r *http.Request, needed string, do func(r *http.Request) (any, *failure)) (any, *failure) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	access, known := ReadWrite, token != "" && strings.EqualFold(scheme, "Bearer")
	permissions, fine := a.options.Permissions[token]
	if known && !fine && a.options.Tokens != nil {
		access, known = a.options.Tokens[token]
	}
	if !known {
		return nil, &failure{http.StatusUnauthorized, "Unauthorized"}
	}
	if fail := a.spend(header, token, r); fail != nil {
		return nil, fail
	}
	if !allowed(needed, access, permissions, fine) {
		return nil, &failure{http.StatusForbidden, "The account may not use this endpoint."}
	}
	if ref := r.PathValue("ref"); ref != "" {
		if fail := a.reach(token, ref); fail != nil {
			return nil, fail
		}
	}
	return do(r)
}

func allowed(needed string, access Access, permissions []string, fine bool) bool {
	if needed == "" {
		return true
	}
	for permission := range strings.SplitSeq(needed, "|") {
		switch {
		case fine && slices.Contains(permissions, permission),
			!fine && (access == ReadWrite || access == Read && strings.HasSuffix(permission, "_read")):
			return true
		}
	}
	return false
}

// spend takes one request out of the minute, and says in the header what is left.
func (a *API) spend(header http.Header, token string, r *http.Request) *failure {
	if a.options.Limit < 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := token + " " + r.PathValue("ref") + " " + r.Pattern
	now, win := a.options.Now(), a.windows[key]
	if !now.Before(win.ends) {
		win = window{ends: now.Add(time.Minute)}
	}
	win.used++
	a.windows[key] = win
	left := win.ends.Sub(now)
	header.Set("X-RateLimit-Limit", strconv.Itoa(a.options.Limit))
	header.Set("X-RateLimit-Remaining", strconv.Itoa(max(a.options.Limit-win.used, 0)))
	header.Set("X-RateLimit-Reset", strconv.FormatInt(int64((left+time.Second-1)/time.Second), 10))
	if win.used > a.options.Limit {
		return &failure{http.StatusTooManyRequests, "Too many requests"}
	}
	return nil
}

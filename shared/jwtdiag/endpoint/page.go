package endpoint

import (
	"crypto/sha256"
	_ "embed" // the files of the page
	"encoding/base64"
	"net/http"
	"strings"
)

var (
	//go:embed page.html
	pageHTML []byte
	//go:embed page.css
	pageCSS []byte
	//go:embed page.js
	pageJS []byte
)

// common are the headers of every answer.
var common = map[string]string{
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
}

// The content security policies. The page's icon is in its HTML, as a data URL.
var (
	pagePolicy = strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src data:",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
	// dataPolicy is for what is no page, should a browser be made to show it as one.
	dataPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
)

// permissions are the browser's powers that the page goes without; copying a
// remedy is the one it has.
const permissions = "camera=(), clipboard-read=(), clipboard-write=(self), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"

// asset is a file of the page.
type asset struct {
	name, mediaType string
	content         []byte
	// etag is empty for what is not to be kept by anybody.
	etag string
}

// assets are the files by their paths. The page names the others relative to
// itself, so that it also works below a stage's prefix.
var assets = map[string]asset{
	Path:               {name: "page", mediaType: "text/html; charset=utf-8", content: pageHTML},
	Path + "/page.css": {name: "page.css", mediaType: "text/css; charset=utf-8", content: pageCSS, etag: etag(pageCSS)},
	Path + "/page.js":  {name: "page.js", mediaType: "text/javascript; charset=utf-8", content: pageJS, etag: etag(pageJS)},
}

func etag(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`
}

// describe sets the file's headers. Style and script may be kept but must be
// asked for each time, so that they are always those of the page; the page may
// not, for a browser must not keep what somebody has typed into it.
func (a asset) describe(header http.Header) {
	header.Set("Content-Type", a.mediaType)
	if a.etag == "" {
		header.Set("Cache-Control", "no-store")
		header.Set("Content-Security-Policy", pagePolicy)
		header.Set("Permissions-Policy", permissions)
		return
	}
	header.Set("Cache-Control", "no-cache")
	header.Set("Content-Security-Policy", dataPolicy)
	header.Set("ETag", a.etag)
}

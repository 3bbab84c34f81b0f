package leadsquared

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/leadsink/leadsink/connector"
)

// maxMessage and maxType bound, in characters, what is kept of an answer.
const (
	maxMessage = 500
	maxType    = 100
)

// keys are the two keys as they are now.
type keys struct{ access, secret string }

// keys reads the keys, which may have been rotated since the last call. It reads them
// until nothing has changed meanwhile: both are of one generation.
func (c *Client) keys() (k keys, problem string) {
	const atMost = 5
	var before keys
	for range atMost {
		if k, problem = c.read(); problem != "" || k == before {
			break
		}
		before = k
	}
	return k, problem
}

func (c *Client) read() (k keys, problem string) {
	if k.access, problem = key(c.config.AccessKey); problem != "" {
		return k, "leadsquared.access_key " + problem
	}
	if k.secret, problem = key(c.config.SecretKey); problem != "" {
		return k, "leadsquared.secret_key " + problem
	}
	return k, ""
}

// redact makes the answer's texts fit to be shown: bounded, on one line,
// without the keys in any form that an echo of the request may have.
//
// Invariant 9: whatever a server, a proxy or net/http puts into a text, the keys leave it here.
func (k keys) redact(a *connector.Answer) {
	r := k.replacer()
	a.Message = tidy(r, a.Message, maxMessage)
	a.Type = tidy(r, a.Type, maxType)
	for i := range a.Verdicts {
		a.Verdicts[i].Message = tidy(r, a.Verdicts[i].Message, maxMessage)
	}
}

const redacted = "[redacted]"

// replacer replaces the keys, longer forms first.
func (k keys) replacer() *strings.Replacer {
	var pairs []string
	for _, text := range []string{k.secret, k.access} {
		quoted := appendString(nil, text)
		forms := []string{url.QueryEscape(text), url.PathEscape(text), string(quoted[1 : len(quoted)-1]), html.EscapeString(text), text}
		for _, form := range forms {
			pairs = append(pairs, form, redacted, lowerEscapes(form), redacted)
		}
	}
	return strings.NewReplacer(pairs...)
}

var escape = regexp.MustCompile(`%[0-9A-F]{2}`)

// lowerEscapes writes percent escapes with small letters, as some servers do.
func lowerEscapes(s string) string { return escape.ReplaceAllStringFunc(s, strings.ToLower) }

// A query of ours that was echoed in a form nobody thought of.
var inQuery = regexp.MustCompile(`(?i)\b(accesskey|secretkey)=[^&\s"'<>]*`)

// tidy returns text without keys, on one line, with at most limit characters.
func tidy(r *strings.Replacer, text string, limit int) string {
	if text == "" {
		return ""
	}
	text = r.Replace(strings.ToValidUTF8(text, "\ufffd"))
	text = inQuery.ReplaceAllString(text, "${1}="+redacted)
	var b strings.Builder
	n, space := 0, false
	for _, c := range text {
		if unicode.IsSpace(c) || !unicode.IsGraphic(c) {
			space = n > 0
			continue
		}
		if n >= limit || space && n+1 >= limit {
			b.WriteString("…")
			break
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		b.WriteRune(c)
		n++
	}
	return b.String()
}

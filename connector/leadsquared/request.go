package leadsquared

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/leadsink/leadsink/transform"
)

// Paths of the two bulk calls.
const (
	pathByLeadID    = "/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
	pathByLeadField = "/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadField"
)

// An endpoint is where calls go and how they are signed. It does not change.
type endpoint struct {
	url      url.URL // without keys
	byField  bool    // rows name the lead by the value of a unique field
	queryKey bool    // the keys go into the query
	marker   string  // schema name of the field for what identifies an activity; "" for none
}

func newEndpoint(c Config, host *url.URL) endpoint {
	e := endpoint{url: *host, byField: c.Target == TargetLeadField, queryKey: c.Auth == AuthQuery, marker: c.Marker}
	e.url.Path = pathByLeadID
	if e.byField {
		e.url.Path = pathByLeadField
		e.url.RawQuery = url.Values{"searchBy": {c.SearchBy}}.Encode()
	}
	return e
}

// Request returns what a call with the batch would post: to which address, without
// keys, and the body. Where the configuration has no valid host the address is
// its path alone. Nothing is sent.
func Request(c Config, batch []*transform.Activity) (address string, body []byte) {
	host, problem := parseHost(c.Host)
	if problem != "" {
		host = new(url.URL)
	}
	e := newEndpoint(c, host)
	return e.url.String(), e.encode(batch)
}

// request returns a call without its body, which attempt adds.
//
// It is put together by hand so that no error text can hold a URL with keys,
// and so that nothing can make it look replayable: no GetBody and no
// idempotency header, which LeadSquared does not know anyway.
func (e *endpoint) request(ctx context.Context, k keys) *http.Request {
	u := e.url
	header := http.Header{
		"Content-Type": {"application/json; charset=utf-8"},
		"Accept":       {"application/json"},
		"User-Agent":   {"leadsink"},
	}
	if e.queryKey {
		q := u.Query()
		q.Set("accessKey", k.access)
		q.Set("secretKey", k.secret)
		u.RawQuery = q.Encode()
	} else {
		// Spelled as in LeadSquared's documentation, for servers that compare them exactly.
		header["x-LSQ-AccessKey"] = []string{k.access}
		header["x-LSQ-SecretKey"] = []string{k.secret}
	}
	req := &http.Request{
		Method: http.MethodPost, URL: &u, Host: u.Host, Header: header,
	}
	return req.WithContext(ctx)
}

// to returns a call of another of the API's methods, without its body.
func (e *endpoint) to(ctx context.Context, k keys, method, path string, query url.Values) *http.Request {
	other := *e
	other.url.Path, other.url.RawQuery = path, query.Encode()
	req := other.request(ctx, k)
	req.Method = method
	return req
}

// encode returns the body of a call: a bare array of rows.
func (e *endpoint) encode(batch []*transform.Activity) []byte {
	size := 2
	for _, a := range batch {
		size += sizeOf(a)
	}
	// The buffer is not used again: the transport may still be reading it when
	// an early answer has come.
	body := make([]byte, 0, size)
	body = append(body, '[')
	for i, a := range batch {
		if i > 0 {
			body = append(body, ',')
		}
		body = e.appendRow(body, a)
	}
	return append(body, ']')
}

// sizeOf is how long a row is, unless much of its text needs escaping.
func sizeOf(a *transform.Activity) int {
	const members, field = 160, 32
	n := members + field + len(a.Marker) + len(a.Lead) + len(a.Note) + len(a.Owner)
	for _, f := range a.Fields {
		n += field + len(f.SchemaName) + len(f.Value)
	}
	for _, t := range a.Attributes {
		n += field + len(t.Name) + len(t.Value)
	}
	return n
}

// appendRow appends one activity as a JSON object.
func (e *endpoint) appendRow(b []byte, a *transform.Activity) []byte {
	if e.byField {
		b = append(b, `{"SearchByValue":`...)
	} else {
		b = append(b, `{"RelatedProspectId":`...)
	}
	b = appendString(b, a.Lead)
	b = append(b, `,"ActivityEvent":`...)
	b = strconv.AppendInt(b, int64(a.Code), 10)
	if a.Note != "" {
		b = append(b, `,"ActivityNote":`...)
		b = appendString(b, a.Note)
	}
	if a.Owner != "" {
		b = append(b, `,"ActivityOwnerEmail":`...)
		b = appendString(b, a.Owner)
	}
	if !a.At.IsZero() {
		b = append(b, `,"ActivityDateTime":"`...)
		b = a.At.UTC().AppendFormat(b, time.DateTime)
		b = append(b, '"')
	}
	if len(a.Fields) > 0 || e.marker != "" {
		b = append(b, `,"Fields":[`...)
		for _, f := range a.Fields {
			b = append(appendField(b, f.SchemaName, f.Value), ',')
		}
		if e.marker != "" {
			b = append(appendField(b, e.marker, a.Marker), ',')
		}
		b[len(b)-1] = ']' // in place of the last comma
	}
	for _, t := range a.Attributes {
		b = append(b, ',')
		b = appendString(b, t.Name)
		b = append(b, ':')
		b = appendString(b, t.Value)
	}
	return append(b, '}')
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, `{"SchemaName":`...)
	b = appendString(b, name)
	b = append(b, `,"Value":`...)
	b = appendString(b, value)
	return append(b, '}')
}

// appendString appends s as a JSON string. Invalid UTF-8, at which LeadSquared
// refuses the whole body, becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0 // s[start:i] needs no change
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, s[start:i]...)
				b = append(b, "\ufffd"...)
				start = i + size
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		b = appendEscaped(b, c)
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	const hex = "0123456789abcdef"
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
}

package leadsquared

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leadsink/leadsink/connector"
)

const (
	pathFind = "/v2/ProspectActivity.svc/CustomActivity/RetrieveByActivityEvent"

	// maxPage is the most that is read of a page of activities, unpacked.
	maxPage = 32 << 20
	// aside is how much is asked for before and after the wanted times: stored
	// times have fractions that whole seconds cut off, and the nodes of a service
	// have clocks of their own.
	aside = 5 * time.Second
	// astray is the same while the server's clock is not known.
	astray = 5 * time.Minute
)

var _ connector.Finder = (*Client)(nil)

// Find asks once for one page of the activities of a code that were stored
// between two times. Times are compared with those at which LeadSquared stored
// the activities (ModifiedOn), by its own clock. The page is ordered by the activities'
// ids, since an order by time is not the same for every page.
func (c *Client) Find(ctx context.Context, q connector.Query) connector.Page {
	k, problem := c.keys()
	if problem != "" {
		return connector.Page{Answer: connector.Answer{Outcome: connector.Fault, Message: problem}}
	}
	page := c.find(ctx, k, q)
	k.redact(&page.Answer)
	return page
}

func (c *Client) find(ctx context.Context, k keys, q connector.Query) connector.Page {
	req := c.endpoint.to(ctx, k, http.MethodPost, pathFind, nil)
	r, failed := c.attempt(ctx, req, c.question(q), q.WriteBy, maxPage)
	if failed != nil {
		return connector.Page{Answer: *failed}
	}
	return readPage(r, c.config.Marker)
}

// question is the body that asks for the page.
func (c *Client) question(q connector.Query) []byte {
	w := c.clock.window(q.Code, q.Page, q.From, q.To, time.Now())
	second := func(t time.Time) string { return t.UTC().Format(time.DateTime) }
	body, err := json.Marshal(map[string]any{
		"Parameter": map[string]any{
			"FromDate": second(w.serverFrom), "ToDate": second(w.serverTo),
			"ActivityEvent": q.Code, "RemoveEmptyValue": true,
		},
		"Paging":  map[string]any{"PageIndex": q.Page, "PageSize": connector.PageSize},
		"Sorting": map[string]any{"ColumnName": "ProspectActivityId", "Direction": 0},
	})
	if err != nil {
		panic(err) // our own types
	}
	return body
}

// readPage says what a response means for a question: a page, or what became of it.
func readPage(r response, marker string) connector.Page {
	var p struct {
		RecordCount json.RawMessage
		List        []object
	}
	whole := r.status == http.StatusOK && r.broken == ""
	err := json.Unmarshal(r.body, &p)
	if whole && err != nil && json.Unmarshal(r.body, &p.List) == nil {
		err = nil // a bare list, as some accounts answer
		p.RecordCount = json.RawMessage("-1")
	}
	count, notANumber := strconv.Atoi(string(p.RecordCount))
	if !whole || err != nil || notANumber != nil {
		// Nothing of a page: what a call's answer of this kind means, it means here.
		a := classify(r, 0)
		if a.Outcome == connector.Judged {
			a.Outcome = connector.Unknown
			a.Message = "the answer is no page of activities"
		}
		return connector.Page{Answer: a}
	}
	page := connector.Page{Answer: connector.Answer{Outcome: connector.Judged, Status: r.status}, Rows: len(p.List), Total: count}
	for _, o := range p.List {
		if m := o.field(marker); m != "" {
			page.Markers = append(page.Markers, m)
			page.IDs = append(page.IDs, strings.TrimSpace(o.string("ProspectActivityId")))
		}
	}
	return page
}

// field returns the value of a custom field, in any of the ways in which
// LeadSquared's reads hold them.
func (o object) field(name string) string {
	if text := o.string(name); text != "" {
		return text
	}
	var inner object
	if json.Unmarshal(o["ActivityFields"], &inner) == nil && inner.string(name) != "" {
		return inner.string(name)
	}
	for _, list := range []string{"Fields", "Data"} {
		var pairs []object
		_ = json.Unmarshal(o[list], &pairs) // what is no list holds no pairs
		for _, pair := range pairs {
			if pair.string("SchemaName") == name || pair.string("Key") == name {
				return pair.string("Value")
			}
		}
	}
	return ""
}

// wantsMarker reports what is wrong with the marker's name, "" for nothing.
func wantsMarker(name string) string {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
		default:
			return fmt.Sprintf("%q is no schema name of a field; write one like mx_Custom_5", name)
		}
	}
	return ""
}

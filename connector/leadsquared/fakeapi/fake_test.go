package fakeapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

const (
	byID    = "/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId"
	byField = "/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadField?searchBy=EmailAddress"
)

// A fake is a served one and a client of it.
type fake struct {
	*testing.T
	*fakeapi.Server
	client http.Client
	host   string
	stop   func() // serving
}

// start serves a fake over connections in memory until the test ends.
func start(t *testing.T, c fakeapi.Config) *fake {
	t.Helper()
	server, err := fakeapi.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var network kfake.VirtualNetwork
	l, err := network.Listen("tcp", "localhost:8085")
	if err != nil {
		t.Fatal(err)
	}
	wires := &http.Transport{DialContext: network.DialContext}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l, nil) }() // ends with stop
	t.Cleanup(func() {
		wires.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return &fake{T: t, Server: server, client: http.Client{Transport: wires}, host: "http://localhost:8085", stop: stop}
}

// An activity is a row as clients write it.
type activity struct {
	Lead   string  `json:"RelatedProspectId,omitempty"`
	Value  string  `json:"SearchByValue,omitempty"`
	Code   int     `json:"ActivityEvent"`
	Note   string  `json:"ActivityNote,omitempty"`
	Time   string  `json:"ActivityDateTime,omitempty"`
	Fields []field `json:"Fields,omitempty"`
	Skip   string  `json:"ValidateDropDownOptions,omitempty"`
}

type field struct{ SchemaName, Value string }

// orders are n good rows whose notes are the numbers after from.
func orders(from, n int) []activity {
	var rows []activity
	for i := range n {
		rows = append(rows, activity{Lead: fmt.Sprintf("lead-%d", from+i+1), Code: 320, Note: fmt.Sprint(from + i + 1)})
	}
	return rows
}

// An answer is what came back, or the error instead of it.
type answer struct {
	status int
	text   string
	err    error
}

// A created row, or a refused one.
type answerRow struct {
	ProspectActivityID string `json:"ProspectActivityId"`
	RowNumber          int
	ActivityCreated    bool
	ExceptionType      string
	ExceptionMessage   string
}

func (a answer) rows(t *testing.T) []answerRow {
	t.Helper()
	var body struct{ Response []answerRow }
	if err := json.Unmarshal([]byte(a.text), &body); err != nil || a.status != http.StatusOK {
		t.Fatalf("status %d, %q, %v; want rows", a.status, a.text, a.err)
	}
	return body.Response
}

func (f *fake) post(rows []activity) answer { f.Helper(); return f.postTo(byID, rows) }

func (f *fake) postTo(path string, body any) answer {
	f.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		f.Fatal(err)
	}
	return f.do(http.MethodPost, path, bytes.NewReader(text), nil)
}

func (f *fake) get(path string) answer { f.Helper(); return f.do(http.MethodGet, path, nil, nil) }

func (f *fake) do(method, path string, body io.Reader, header map[string]string) answer {
	f.Helper()
	r, err := http.NewRequestWithContext(f.Context(), method, f.host+path, body)
	if err != nil {
		f.Fatal(err)
	}
	r.GetBody = nil // send once
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := f.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, string(text), err}
}

// must fails the test unless the answer has the status and says the words.
func (f *fake) must(a answer, status int, words ...string) {
	f.Helper()
	if a.err != nil || a.status != status {
		f.Errorf("status %d, %q, %v; want status %d", a.status, a.text, a.err, status)
	}
	for _, w := range words {
		if !strings.Contains(a.text, w) {
			f.Errorf("%q lacks %q", a.text, w)
		}
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestTheFakeAPIsArgumentsAreCheckedBeforeItListens(t *testing.T) {
	account := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(account, []byte(`{"typs":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ flag, value, says string }{
		{"--limit", "25", "--limit: \"25\" is not a limit; write CALLS/WINDOW"},
		{"--reading", "h3", "--reading: there is no reading \"h3\"; choose among h1, h2, h2-before, h2-mixed"},
		{"--fault", "slw=0.1", "--fault: there is no fault \"slw\"; choose among "},
		{"--fault", "slow", "--fault: \"slow\" is not NAME=RATE; write for instance slow=0.02"},
		{"--fault", "slow=2", "2 is not a rate of slow; write a number from 0 to 1"},
		{"--poison", "word=fial", "--poison: there is no poison \"fial\"; choose among failed, "},
		{"--poison", "=hang", "a poison needs a word"},
		{"--refuse", "2", "2 is not a part of rows to refuse; write a number from 0 to 1"},
		{"--account", account, "typs"},
		{"--account", account + ".none", "no such file"},
	} {
		code, stdout, stderr := command(t, "fake-api", "--listen", "127.0.0.1:0", row.flag, row.value)
		if code != exitWrong || stdout != "" || !strings.Contains(stderr, row.says) {
			t.Errorf("%s %s: exit %d, stdout %q, stderr %q; want exit 2 and %q", row.flag, row.value, code, stdout, stderr, row.says)
		}
	}
	if code, _, stderr := command(t, "fake-api", "--listen", "127.0.0.1:notaport"); code != exitSurroundings || !strings.Contains(stderr, "--listen") {
		t.Errorf("an address that cannot be listened on: exit %d, stderr %q; want exit 3", code, stderr)
	}
}

func TestTheFakeAPISaysWhatToPutIntoTheDocumentAndServesIt(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	for _, row := range []struct {
		name string
		args []string
	}{
		{"plain", nil},
		{"TLS", []string{"--tls", "--ca-out", ca}},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			out, stdout := io.Pipe()
			var stderr bytes.Buffer // read once the command has ended
			ended := make(chan int, 1)
			go func() { // ends with stop
				args := append([]string{"fake-api", "--listen", "127.0.0.1:0", "--access-key", "a", "--secret-key", "CANARY", "--limit", "1/h"}, row.args...)
				ended <- run(ctx, args, strings.NewReader(""), stdout, &stderr)
				_ = stdout.Close()
			}()
			host, caFile := said(t, out, len(row.args) > 0)
			client := clientOf(t, caFile)
			defer client.CloseIdleConnections()
			for _, want := range []int{http.StatusOK, http.StatusTooManyRequests} {
				if got := postOrder(t, client, host); got != want {
					t.Errorf("status %d, want %d", got, want)
				}
			}
			stop()
			if code := <-ended; code != exitFine {
				t.Errorf("exit %d", code)
			}
			if log := stderr.String(); !strings.Contains(log, "calls=2 created=1 refused=0 violations=1") || strings.Contains(log, "CANARY") {
				t.Errorf("the log is %s", log)
			}
		})
	}
}

// said reads what the command prints when it listens.
func said(t *testing.T, out io.Reader, withCA bool) (host, caFile string) {
	t.Helper()
	var text []byte
	lines := 2
	if withCA {
		lines = 3
	}
	for one := make([]byte, 1); bytes.Count(text, []byte("\n")) < lines; text = append(text, one...) {
		if _, err := out.Read(one); err != nil {
			t.Fatalf("%v after %q", err, text)
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the command
	var document struct {
		LeadSquared struct {
			Host   string `yaml:"host"`
			CAFile string `yaml:"ca_file"`
		} `yaml:"leadsquared"`
	}
	if err := yaml.UnmarshalWithOptions(text, &document, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return document.LeadSquared.Host, document.LeadSquared.CAFile
}

func clientOf(t *testing.T, caFile string) *http.Client {
	t.Helper()
	if caFile == "" {
		return &http.Client{Transport: &http.Transport{}}
	}
	text, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
}

func postOrder(t *testing.T, client *http.Client, host string) int {
	t.Helper()
	body := strings.NewReader(`[{"RelatedProspectId":"l","ActivityEvent":320}]`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, host+"/v2/ProspectActivity.svc/Bulk/CustomActivity/Add/ByLeadId", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("x-LSQ-AccessKey", "a")
	r.Header.Set("x-LSQ-SecretKey", "CANARY")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/leadsink/leadsink/config/setting"
	"github.com/leadsink/leadsink/connector"
)

// A Client asks a running connector through its admin address.
type Client struct {
	base  string
	token setting.Secret
	http  *http.Client
}

// askLimit is how long a client waits; the server answers within answerLimit.
const askLimit = 10 * time.Second

// answerBytes bounds what a client reads of an answer.
const answerBytes = 16 << 20

// NewClient returns a client for the address, http://HOST:PORT or
// https://HOST:PORT with or without a path before the admin paths, and a token,
// which may be zero. The token goes to that address alone. With a nil transport
// the client dials by itself, without proxies.
func NewClient(address string, token setting.Secret, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the admin address is none; write http://HOST:PORT, for instance http://127.0.0.1:8080")
	}
	if transport == nil {
		// A connector is asked directly: it runs here, or nearby.
		transport = &http.Transport{DisableKeepAlives: true}
	}
	return &Client{
		base:  strings.TrimRight(u.String(), "/"),
		token: token,
		http: &http.Client{
			Transport: transport,
			Timeout:   askLimit,
			// Whoever answers with a redirect is not the admin address.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Status returns what the connector is doing.
func (c *Client) Status(ctx context.Context) (connector.Status, error) {
	var status connector.Status
	body, err := c.do(ctx, http.MethodGet, "/status")
	if err != nil {
		return status, err
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return status, fmt.Errorf("read the status from %s: %w; see whether that is leadsink's admin address", c.base, err)
	}
	return status, nil
}

// Pause holds the connector until Resume.
func (c *Client) Pause(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPost, "/pause")
	return err
}

// Resume ends a pause and a halt.
func (c *Client) Resume(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPost, "/resume")
	return err
}

func (c *Client) do(ctx context.Context, method, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.base, err)
	}
	token, err := c.token.Reveal()
	if err != nil {
		return nil, fmt.Errorf("read the admin token: %w", err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the address is said below
		}
		return nil, fmt.Errorf("the connector cannot be reached at %s: %w; see whether it runs and which admin.listen it has, or give --admin", c.base, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	if err != nil {
		return nil, fmt.Errorf("read the answer from %s%s: %w", c.base, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s%s answered %s: %s", c.base, path, response.Status, brief(body))
	}
	return body, nil
}

// brief returns the beginning of an answer on one line.
func brief(body []byte) string {
	const most = 500
	text := strings.Join(strings.Fields(string(body[:min(len(body), most)])), " ")
	return strings.Map(printable, text)
}

// printable keeps what a terminal or a log line can show.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '\uFFFD'
}

package admin

import (
	"bytes"
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
	err := c.ask(ctx, http.MethodGet, "/status", nil, &status)
	return status, err
}

// Held lists the records that wait for an operator's decision.
func (c *Client) Held(ctx context.Context) ([]connector.HeldRecord, error) {
	var list HeldList
	err := c.ask(ctx, http.MethodGet, "/held", nil, &list)
	return list.Held, err
}

// SettleHeld carries a decision about some of them out, and returns how many they were.
func (c *Client) SettleHeld(ctx context.Context, order HeldOrder) (records int, err error) {
	var settled HeldSettled
	err = c.ask(ctx, http.MethodPost, "/held", order, &settled)
	return settled.Records, err
}

// ask reads a JSON answer into to.
func (c *Client) ask(ctx context.Context, method, path string, order, to any) error {
	body, err := c.do(ctx, method, path, order)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("read the answer from %s%s: %w; see whether that is leadsink's admin address", c.base, path, err)
	}
	return nil
}

// Pause holds the connector until Resume.
func (c *Client) Pause(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPost, "/pause", nil)
	return err
}

// Resume ends a pause and a halt.
func (c *Client) Resume(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodPost, "/resume", nil)
	return err
}

// do sends a request, with an order as JSON unless it is nil.
func (c *Client) do(ctx context.Context, method, path string, order any) ([]byte, error) {
	var content io.Reader
	if order != nil {
		text, err := json.Marshal(order)
		if err != nil {
			return nil, fmt.Errorf("write the order: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
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

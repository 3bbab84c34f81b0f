package leadsquared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/leadsink/leadsink/connector"
)

const (
	// pathUser tells whose keys these are; it works on every host that takes them.
	pathUser = "/v2/Authentication.svc/UserByAccessKey.Get"
	// askEvery is how long WaitAccepted waits before it asks again.
	askEvery = 5 * time.Second
)

// WaitAccepted asks whether the account takes the keys, and returns nil once it
// does. While it refuses them (they may be about to be rotated) it is asked
// again until ctx ends; the error is the last refusal then. An account that
// cannot be asked at all is no reason to wait: that is for the breaker.
func WaitAccepted(ctx context.Context, c Config, s Settings) error {
	client, err := New(c, s)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		refusal := client.Refused(ctx)
		if refusal == nil {
			return nil
		}
		timer := time.NewTimer(askEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return refusal
		case <-timer.C:
		}
	}
}

// Refused asks once, and returns why the keys are refused; nil if they are
// taken or nobody can tell.
func (c *Client) Refused(ctx context.Context) error {
	k, problem := c.keys()
	if problem != "" {
		return errors.New(problem)
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	conn, err := c.conns.dial(ctx)
	if err != nil {
		return nil //nolint:nilerr // unreachable is not refused
	}
	defer c.conns.put(conn)
	conn.wire.arm(time.Time{})
	resp, err := conn.RoundTrip(c.endpoint.to(ctx, k, http.MethodGet, pathUser, nil))
	if err != nil {
		return nil //nolint:nilerr // as above
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	r := &response{status: resp.StatusCode, body: body}
	answer := connector.Answer{Message: r.say(r.read(), "")}
	k.redact(&answer)
	return fmt.Errorf("%s refuses the keys (HTTP %d): %s; check leadsquared.host, access_key and secret_key", c.endpoint.url.Host, resp.StatusCode, answer.Message)
}

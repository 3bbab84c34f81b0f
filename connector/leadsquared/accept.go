package leadsquared

import (
	"context"
	"errors"
	"fmt"
	"net"
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
// does. While it refuses them (they may be about to be rotated), or its host's name
// leads nowhere, it is asked again until ctx ends; the error is the last reason then.
// A host that has an address and cannot be asked is no reason to wait: that is for
// the breaker, and reached is false.
func WaitAccepted(ctx context.Context, c Config, s Settings) (reached bool, err error) {
	client, err := New(c, s)
	if err != nil {
		return false, err
	}
	defer client.Close()
	for {
		there, why := client.accepted(ctx)
		if why == nil && ctx.Err() != nil {
			return reached, err // this one was cut short: the one before tells
		}
		if reached, err = there, why; err == nil {
			return reached, nil
		}
		if s.Failed != nil {
			s.Failed(err)
		}
		timer := time.NewTimer(askEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return reached, err
		case <-timer.C:
		}
	}
}

// Refused asks once, and returns why the keys are refused; nil if they are
// taken or nobody can tell.
func (c *Client) Refused(ctx context.Context) error {
	reached, err := c.accepted(ctx)
	if _, nameless := errors.AsType[*net.DNSError](err); nameless && !reached {
		return nil
	}
	return err
}

// accepted asks once. It reports whether anybody answered, and why the account cannot
// be used: its keys are refused, or its name leads nowhere.
func (c *Client) accepted(ctx context.Context) (reached bool, err error) {
	k, problem := c.keys()
	if problem != "" {
		return false, errors.New(problem)
	}
	conn, err := c.conns.dial(ctx)
	if err != nil {
		if _, nameless := errors.AsType[*net.DNSError](err); nameless {
			return false, fmt.Errorf("%s has no address: %w; check leadsquared.host, leadsquared.proxy and the name servers", c.endpoint.url.Host, err)
		}
		return false, nil // to be reached later
	}
	c.conns.put(conn) // for the call
	r, failed := c.attempt(ctx, c.endpoint.to(ctx, k, http.MethodGet, pathUser, nil), nil, time.Time{}, maxAnswer)
	if failed != nil {
		return false, nil
	}
	if r.status != http.StatusUnauthorized && r.status != http.StatusForbidden {
		return true, nil
	}
	b := r.read()
	answer := connector.Answer{Message: r.say(b, "")}
	format := "%s refuses the keys (HTTP %d): %s; check leadsquared.host, access_key and secret_key"
	if r.foreign(b) {
		answer.Message = r.say(b, r.advice(true))
		format = "%s cannot be asked (HTTP %d): %s"
	}
	k.redact(&answer)
	return true, fmt.Errorf(format, c.endpoint.url.Host, r.status, answer.Message)
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// oneInSampled is how many records have one that is traced.
const oneInSampled = 100

// traceparent is the context of the i-th event's producer.
func traceparent(i int) []byte {
	flags := 0
	if i%oneInSampled == 0 {
		flags = 1
	}
	return fmt.Appendf(nil, "00-%032x-%016x-%02x", i+1, i+1, flags)
}

// spans is an address that takes spans and forgets them. It is part of this
// process: what a real collector does with them happens on another machine.
type spans struct {
	address string
	bytes   atomic.Int64 // that arrived
	server  *http.Server
}

func takeSpans(ctx context.Context) (*spans, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &spans{address: l.Addr().String()}
	s.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body) // what does not arrive whole is sent again
		s.bytes.Add(n)
	})}
	go func() { _ = s.server.Serve(l) }() // ends with close
	return s, nil
}

func (s *spans) close() { _ = s.server.Close() }

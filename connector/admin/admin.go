// Package admin serves a connector to people and probes over HTTP: whether it
// works, what it is doing, and a way to pause it.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/leadsink/leadsink/connector"
)

// A Control is the connector that is served. *connector.Connector is one.
type Control interface {
	// Status returns what the connector is doing, once its loop turns.
	Status(ctx context.Context) (connector.Status, error)
	// Pause stops sending until Resume.
	Pause(ctx context.Context) error
	// Resume ends a pause and a halt.
	Resume(ctx context.Context) error
	// Held lists the records that wait for an operator's decision.
	Held(ctx context.Context) ([]connector.HeldRecord, error)
	// SettleHeld carries a decision about some of them out, and returns how many they were.
	SettleHeld(ctx context.Context, d connector.HeldDecision, choice connector.HeldChoice) (int, error)
}

// Settings are the parts that a server is made of. All are needed.
type Settings struct {
	Config  Config // valid
	Control Control
	Metrics http.Handler // what /metrics answers
	Log     *slog.Logger
}

// answerLimit is how long the loop may take to answer before it counts as stuck.
const answerLimit = 2 * time.Second

// closeLimit is how long requests may take to finish once the server ends.
const closeLimit = 5 * time.Second

// A Server answers requests about one connector. Safe for concurrent use.
type Server struct {
	settings Settings
	history  history
	cross    *http.CrossOriginProtection
}

// New returns a server, which Listen and Serve set going.
func New(s Settings) *Server {
	return &Server{settings: s, cross: http.NewCrossOriginProtection()}
}

// Listen opens the configured address, so that a port in use is known before
// anything else starts. The error says which address and what to do.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.settings.Config.Listen)
	if err != nil {
		return nil, fmt.Errorf("open the admin address: %w; free the port, or set admin.listen to another", err)
	}
	return l, nil
}

// Serve answers on l until ctx ends, lets requests under way finish for a few
// seconds and returns nil; l is closed then. Every request is answered within
// seconds. Whether l listens on loopback decides who may pause and resume.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.handler(onLoopback(l.Addr())),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.settings.Log.Handler(), slog.LevelDebug),
	}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks.Go(func() { s.follow(ctx) }) // ends with ctx
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // ends with Shutdown, Close or l
	select {
	case err := <-served:
		return fmt.Errorf("serve the admin address: %w", err)
	case <-ctx.Done():
	}
	patience, giveUp := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer giveUp()
	err := server.Shutdown(patience)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // a request that still hangs is not worth waiting for
	}
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	if err != nil {
		return fmt.Errorf("close the admin address: %w", err)
	}
	return nil
}

func (s *Server) handler(loopback bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", s.settings.Metrics)
	mux.HandleFunc("GET /status", s.status)
	mux.HandleFunc("GET /{$}", s.page)
	for _, name := range []string{"page.css", "page.js", "icon.svg"} {
		mux.HandleFunc("GET /"+name, part(name))
	}
	mux.HandleFunc("POST /pause", s.command("paused", s.settings.Control.Pause))
	mux.HandleFunc("POST /resume", s.command("resumed", s.settings.Control.Resume))
	mux.HandleFunc("GET /held", s.held)
	mux.HandleFunc("POST /held", s.settleHeld)
	return s.guard(loopback, mux)
}

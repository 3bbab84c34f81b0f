package connector

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/leadsink/leadsink/connector/budget"
)

// A Config is what the engine takes from the document.
type Config struct {
	Name  string
	Group string // of consumers, for traces
	BatchConfig
	DeliveryConfig
	HaltWhen Proportion    // dead_letters.halt_when; zero never halts
	Timeout  time.Duration // of one call, leadsquared.timeout
	Payloads bool          // lines of level debug show what records and activities hold

	CheckEvery time.Duration // from one check of the rules against the account to the next; 0: none
}

// Settings are the parts that a connector is made of. Source, Sink, Mapper and
// Budget are needed.
type Settings struct {
	Config          Config
	Source          Source
	Sink            Sink
	Finder          Finder      // nil: activities carry no marker, so nobody can ask for them
	Letters         DeadLetters // nil: a dead record halts the connector
	Receipts        Receipts    // nil: none are wanted
	Checker         Checker     // nil: nobody checks the rules against the account
	Mapper          Mapper
	Budget          *budget.Budget // handed over: Run owns it
	Metrics         *Metrics       // nil: none
	Tracer          trace.Tracer   // nil: none
	ProducersDecide bool           // the tracer follows no record whose producer declined, so it need not be asked
	Log             *slog.Logger   // nil: none
	Rand            *rand.Rand     // for jitter; nil: seeded by the system
}

// A Connector delivers records from a Source to a Sink. Its methods are safe
// for concurrent use.
type Connector struct {
	settings Settings
	asks     chan func(*engine)
	over     chan struct{} // closed when Run has returned
}

// ErrOver is returned by questions to a connector whose Run has returned.
var ErrOver = errors.New("the connector has stopped")

// New returns a connector. Run makes it work.
func New(s Settings) *Connector {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Rand == nil {
		s.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &Connector{settings: s, asks: make(chan func(*engine)), over: make(chan struct{})}
}

// Run delivers until ctx ends, then drains: it waits for the calls in flight,
// commits and lets go, for the drain timeout at most. It returns nil after a
// complete drain, else an error that says what was left. It must be called once.
//
// The path of a record, from poll to commit, is the loop below: every piece of
// state belongs to this goroutine, and it blocks nowhere but in its select.
func (c *Connector) Run(ctx context.Context) error {
	e := newEngine(ctx, c.settings)
	defer close(c.over)
	defer e.join()
	stop := ctx.Done()
	for {
		e.awake()
		e.grant()    // credits free: the intake polls, decodes and maps
		e.send()     // rows, a slot, the breaker's leave: one call goes out
		e.issue()    // created activities: their receipts
		e.bury()     // records that are dead: to the dead-letter topic
		e.commit()   // records with a fate: their positions
		e.endDrain() // ownerships with nothing under way: let go
		if e.finished() {
			return e.leftover()
		}
		e.setWake()
		// Invariant 8: this is the only place where the loop waits.
		select {
		case taken := <-e.intake.taken:
			e.awake().take(taken)
		case o := <-e.outcomes:
			e.awake().receive(o)
		case p := <-e.pages:
			e.awake().read(p)
		case k := <-e.checked:
			e.awake().checkAnswered(k)
		case r := <-e.source.Rebalances():
			e.awake().rebalance(r)
		case err := <-e.committed:
			e.awake().commitAcknowledged(err)
		case errs := <-e.buried:
			e.awake().buriedAcknowledged(errs)
		case errs := <-e.issued:
			e.awake().issuedAcknowledged(errs)
		case ask := <-c.asks:
			ask(e.awake())
		case <-e.wake.C:
		case <-stop:
			stop = nil
			e.awake().stop()
		}
	}
}

// ask runs a question on the loop.
func (c *Connector) ask(ctx context.Context, question func(*engine)) error {
	done := make(chan struct{})
	select {
	case c.asks <- func(e *engine) { question(e); close(done) }:
		<-done // the loop answers without waiting for anything
		return nil
	case <-c.over:
		return ErrOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Status returns what the connector is doing. It waits for the loop to turn.
func (c *Connector) Status(ctx context.Context) (s Status, err error) {
	err = c.ask(ctx, func(e *engine) { s = e.status() })
	return s, err
}

// Pause stops sending until Resume. Ownerships, commits and heartbeats go on.
func (c *Connector) Pause(ctx context.Context) error {
	return c.ask(ctx, func(e *engine) { e.pause() })
}

// Resume ends a pause and a halt: what halted is tried again. What was lost is taken
// as seen. It returns an error if only a restart with another document can help.
func (c *Connector) Resume(ctx context.Context) (err error) {
	if asked := c.ask(ctx, func(e *engine) { err = e.resume() }); asked != nil {
		return asked
	}
	return err
}

// Held lists the records whose activities wait for an operator's decision, since
// nobody can tell whether LeadSquared created them (delivery.on_unknown: hold).
func (c *Connector) Held(ctx context.Context) (held []HeldRecord, err error) {
	err = c.ask(ctx, func(e *engine) { held = e.heldRecords() })
	return held, err
}

// SettleHeld carries out an operator's decision about the held records that
// are chosen, and returns how many there were.
func (c *Connector) SettleHeld(ctx context.Context, d HeldDecision, choice HeldChoice) (records int, err error) {
	err = c.ask(ctx, func(e *engine) { records = e.settleHeld(d, choice) })
	return records, err
}

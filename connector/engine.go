package connector

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/leadsink/leadsink/connector/budget"
)

const (
	// recent is how old the last accepted commit may be when a call goes out:
	// a member that was expelled learns of it by its commit's error code.
	recent = 5 * time.Second
	// commitTimeout bounds one commit, and one write to the dead-letter topic.
	commitTimeout = 15 * time.Second
	// tryAgain is how long the loop waits before it repeats a failed commit,
	// dead letter or poll.
	tryAgain = time.Second
)

// An engine is the state of a running connector. Everything in it is owned by
// Run; other goroutines only send to its channels.
type engine struct {
	cfg      Config
	source   Source
	sink     Sink
	finder   Finder
	letters  DeadLetters
	receipts Receipts
	budget   *budget.Budget
	metrics  *Metrics
	log      *slog.Logger
	rand     *rand.Rand
	tracer   trace.Tracer // nil without traces

	producersDecide bool

	now     time.Time // of this step; the select may have waited since the one before
	started time.Time
	wake    *time.Timer

	intake   *intake
	granted  bool       // the intake holds a grant
	nextSize int64      // of the record that the intake holds back for want of room
	pollAt   time.Time  // not before, after a failed poll or with a record that is unready
	unready  *unready   // why the intake waits, or nil
	prepares int        // how often it has tried in vain
	gone     *Ownership // that ended while the intake waited with a record of it

	ledgers   map[*Ownership]*ledger
	unsettled int   // records without a fate
	bytes     int64 // and their bytes
	queue     queue
	parts     []*part

	calling     context.Context // of calls, commits and burials: outlives ctx until the drain ends
	hangUp      context.CancelFunc
	outcomes    chan outcome
	sending     int // calls sent without an outcome
	isolating   int // those of them that have a suspected row
	proofs      proofs
	closed      proofs    // when the breaker closed last
	excused     int       // failures that were not reported to the breaker, since the last proof
	foreign     uint64    // calls with proof when the last foreign fault came, and one
	unrecorded  []place   // of calls whose outcome no accepted commit records yet
	kinds       kinds     // of refusals
	sameWords   sameWords // the last ones of single rows
	maxRows     int       // rows in a call, lower after one that was too large
	breaker     *breaker
	readLast    bool      // the last slot of the calls was used by a page
	proveAt     time.Time // when a commit should prove membership, for the next slot
	throttledAt time.Time // when the last throttling answer came
	trouble     string    // the last thing that was wrong with a call
	troubledAt  time.Time // when that was
	next        choice    // what may be sent, as of this turn: nothing, and why
	stalls      int64     // turns that would have slept on work with nothing to wake the loop
	stalled     bool      // the last turn would have
	hindered    hindrance // how long that has held rows back

	doubts []*doubt  // rows that may have been created, not yet asked for
	unread unread    // codes whose activities could not be read
	search *search   // that asks for some, or nil
	pages  chan Page // of capacity 1: one page at a time is asked for
	held   []*row    // rows that wait for an operator

	checks  checks     // of the rules against the account
	checked chan Check // of capacity 1: one question at a time is asked

	changes     uint64       // count of changes of any ledger
	committing  []committing // what the commit under way records, and lets be sent
	committed   chan []error
	commitBegan time.Time // of the commit under way, zero without one
	lastCommit  time.Time // when the last accepted one began
	touch       bool      // a commit is wanted only to prove membership

	slips   []slip // receipts that are not under way
	issuing []slip // and those that are
	issued  chan []error
	issueAt time.Time // not before, after a failed one; zero after a good one

	graves   []*entry // dead records whose letters are not under way
	burying  []*entry // and those that are
	buried   chan []error
	buryAt   time.Time
	fill     fill
	deaths   deaths
	placed   uint64 // records taken in
	rowed    uint64 // rows made of them
	obituary []DeadLetterStatus
	losses   []LossStatus // that no operator has seen

	renumbering bool // turns are not known, since partitions were added

	joined   bool // the group has answered once, with partitions or without
	drains   []*drain
	stopping bool
	stopBy   time.Time
	paused   bool
	pausedAt time.Time
	halts    halts

	counts struct {
		records    RecordCounts
		activities ActivityCounts
		calls      CallCounts
		rows       int64
		reads      int64
	}
}

func newEngine(ctx context.Context, s Settings) *engine {
	e := &engine{
		cfg: s.Config, source: s.Source, sink: s.Sink, finder: s.Finder, letters: s.Letters, receipts: s.Receipts, budget: s.Budget,
		metrics: s.Metrics, log: s.Log, rand: s.Rand, tracer: s.Tracer, producersDecide: s.ProducersDecide,
		now: time.Now(), started: time.Now(), wake: time.NewTimer(time.Hour),
		ledgers:   map[*Ownership]*ledger{},
		queue:     newQueue(),
		outcomes:  make(chan outcome, s.Config.InFlight), // one per call in flight: a sender never blocks
		pages:     make(chan Page, 1),
		checks:    checks{by: s.Checker},
		checked:   make(chan Check, 1),
		committed: make(chan []error, 1),
		buried:    make(chan []error, 1),
		issued:    make(chan []error, 1),
		kinds:     kinds{},
		unread:    unread{},
		maxRows:   s.Config.Batch,
		breaker:   newBreaker(s.Config.Breaker),
		deaths:    deaths{limit: s.Config.HaltWhen},
	}
	e.calling, e.hangUp = context.WithCancel(context.WithoutCancel(ctx))
	e.intake = startIntake(ctx, s.Source, s.Mapper)
	e.budget.Own(nil, 1, false, e.now)
	return e
}

// awake takes the time anew.
func (e *engine) awake() *engine {
	now := time.Now()
	e.hinder(now.Sub(e.now))
	e.now = now
	return e
}

// stop begins the last drain: of everything.
func (e *engine) stop() {
	e.stopping = true
	e.stopBy = e.now.Add(e.cfg.DrainTimeout)
	e.drain(e.owned(), func() {})
	e.log.Info("stopping", "calls in flight", e.sending, "drain timeout", e.cfg.DrainTimeout)
}

// finished reports whether Run has nothing more to do.
func (e *engine) finished() bool {
	return e.stopping && len(e.drains) == 0 && len(e.ledgers) == 0
}

// leftover says what a drain that ran out of time left behind.
func (e *engine) leftover() error {
	if n := e.answered(); n > 0 {
		return fmt.Errorf("%d calls created activities whose receipts could not be stored within the drain timeout of %s; without a marker they will be created again", n, e.cfg.DrainTimeout)
	}
	if e.sending > 0 {
		return fmt.Errorf("%d calls had no answer within the drain timeout of %s; their activities will be sent again", e.sending, e.cfg.DrainTimeout)
	}
	return nil
}

// join ends what the engine started and waits for it.
func (e *engine) join() {
	// Invariant 8: no goroutine outlives Run.
	e.wake.Stop()
	e.intake.stop()
	e.hangUp()
	e.sending -= e.answered() // their outcomes are here
	for ; e.sending > 0; e.sending-- {
		(<-e.outcomes).call.returned(Unknown)
	}
	if len(e.issuing) > 0 {
		<-e.issued
	}
	if e.search != nil && e.search.under {
		<-e.pages
	}
	if e.checks.asking {
		<-e.checked
	}
	if !e.commitBegan.IsZero() {
		<-e.committed // too late to matter: what it stored will be found, or sent again
	}
	if len(e.burying) > 0 {
		<-e.buried
	}
	for _, d := range e.drains {
		d.done()
	}
}

// setWake arms the one timer for the earliest moment at which the loop may do
// something that no event announces.
func (e *engine) setWake() {
	at := e.wakeAt()
	if at.IsZero() {
		at = e.watch()
	} else {
		e.stalled = false
	}
	if at.IsZero() {
		e.wake.Stop()
		return
	}
	e.wake.Reset(at.Sub(e.now))
}

// wakeAt is that moment, zero if every one of them is an event.
func (e *engine) wakeAt() (at time.Time) {
	earliest := func(t time.Time) {
		// A moment that has come was this turn's: what it waits for now is an event.
		if t.After(e.now) && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	earliest(e.next.until)
	earliest(e.proveAt)
	for _, l := range e.ledgers {
		if l.unrecorded() || e.touch || e.budget.Rationed() {
			earliest(l.retryAt)
		}
	}
	if len(e.graves) > 0 {
		earliest(e.buryAt)
	}
	if len(e.slips) > 0 {
		earliest(e.issueAt)
	}
	if !e.granted {
		earliest(e.pollAt)
	}
	for _, d := range e.drains {
		earliest(d.deadline)
	}
	return at
}

// changedNow notes that a ledger's progress is not recorded yet.
func (e *engine) changedNow(l *ledger) {
	e.changes++
	l.changed = e.changes
}

// backoff is how long the nth wait lasts: doubling from the initial to max,
// with full jitter in its upper half.
func (e *engine) backoff(n int, most time.Duration) time.Duration {
	d := min(most, e.cfg.Backoff.Max)
	if doubled := e.cfg.Backoff.Initial << min(n, 30); doubled > 0 && doubled < d {
		d = doubled
	}
	return d/2 + time.Duration(e.rand.Int64N(int64(d/2)+1))
}

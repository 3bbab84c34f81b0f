package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"

	"github.com/leadsink/leadsink/connector"
)

const (
	clientID = "leadsink"

	// Sizes as sent: JSON compresses to a fifth and less, and kgo keeps one
	// uncompressed answer of every broker, outside the engine's credits.
	fetchBytes          = 512 << 10 // of one answer to a fetch, unless one batch is larger
	fetchPartitionBytes = 128 << 10 // of one partition therein, likewise

	rebuildFirst = time.Second      // wait before a new client after a lost lease, doubling
	rebuildMost  = 30 * time.Second // to this
	fencedMost   = 15 * time.Minute // the longest wait, doubling, of one whose name was taken over
)

var (
	// ErrClosed is returned by a Source that was closed.
	ErrClosed = errors.New("the kafka source is closed")
	// ErrNotOwned is returned by Commit for positions of ownerships that have ended.
	ErrNotOwned = errors.New("the partition is not owned any more")
)

// Settings are what a Source, DeadLetters or Receipts is made of. Config is needed.
type Settings struct {
	Config Config
	Log    *slog.Logger         // nil: none
	Meters metric.MeterProvider // for the client library's own metrics; nil: none

	// Dial connects to a broker; nil is TCP. For tests and demonstrations over
	// in-memory connections. TLS comes on top where Config wants it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Failed is told each try of WaitReady that was in vain. Nil: nobody is.
	Failed func(error)
	// Options are added to the client library's last.
	Options []kgo.Opt
}

// A Source is a member of a consumer group. It implements connector.Source.
// Its methods are safe for concurrent use, except that only one Poll and one
// Commit run at a time.
//
// It goes through sessions: each has its own client and lease. When a lease
// ends, everything that was owned under it is lost and a new session begins.
type Source struct {
	settings   Settings
	log        *slog.Logger
	rebalances chan connector.Rebalance
	speak      chan struct{} // of capacity 1: held while a rebalance is told and answered

	base     context.Context // of all sessions
	abort    context.CancelFunc
	closing  chan struct{} // closed by Close
	close    func()
	detached chan struct{} // closed by Detach
	detach   func()
	joined   chan struct{} // closed when the group was first joined
	join     func()
	done     chan struct{} // closed when run has returned

	current atomic.Pointer[session] // never nil while run goes

	mu         sync.Mutex      // guards what follows
	changed    chan struct{}   // closed and replaced when current changes
	trouble    error           // the last thing that kept the member from the group
	troubledAt time.Time       // when it began: the first after the last proof of membership
	anew       map[string]bool // topics that were given up: whatever has the name now is read from its beginning
	first      map[string]int  // topics at the first look, with their partitions, -1 if not known; nil before it
}

// New returns a source that begins to join the group at once, in the
// background. The values of ctx are kept; its end is not heeded, since a drain
// outlives it: Close ends the source. The error says what is wrong with files
// that the configuration names.
func New(ctx context.Context, s Settings) (*Source, error) {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	src := &Source{
		settings: s, log: s.Log,
		rebalances: make(chan connector.Rebalance), speak: make(chan struct{}, 1),
		closing: make(chan struct{}), detached: make(chan struct{}),
		joined: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}),
		anew: map[string]bool{},
	}
	src.close = sync.OnceFunc(func() { close(src.closing) })
	src.detach = sync.OnceFunc(func() { close(src.detached) })
	src.join = sync.OnceFunc(func() { close(src.joined) })
	src.base, src.abort = context.WithCancel(context.WithoutCancel(ctx))
	first, err := newSession(src)
	if err != nil {
		src.abort()
		return nil, fmt.Errorf("set up the kafka client: %w", err)
	}
	src.use(first)
	go src.run(first) // ends after Close; Close waits for it
	return src, nil
}

// run replaces a session whose lease has ended by a new one, until Close.
func (s *Source) run(c *session) {
	defer close(s.done)
	wait, fenced := rebuildFirst, rebuildMost
	for {
		began := time.Now()
		ended := c.watch(s.closing)
		if ended == nil {
			c.leave()
			return
		}
		s.log.Error("membership lost; everything in progress is given up and the group is joined anew", "reason", ended)
		s.troubled(ended)
		c.lose()
		switch {
		case errors.Is(ended, kerr.FencedInstanceID):
			if time.Since(began) > 2*fencedMost {
				fenced = rebuildMost
			}
			// Two of one name expel each other; longer and longer waits let one of them work.
			s.log.Error("another member has the same kafka.instance_id and has taken the partitions over; stop one of the two, or give each a name of its own",
				"instance id", s.settings.Config.InstanceID, "joins again in", fenced.String())
			wait, fenced = fenced, min(2*fenced, fencedMost)
		case time.Since(began) > rebuildMost:
			wait = rebuildFirst
		}
		if c = s.renew(wait); c == nil {
			return
		}
		wait = min(2*wait, rebuildMost)
	}
}

// renew makes a new session the present one, after the wait, and longer ones if
// it cannot be set up. It returns nil when Close came first.
func (s *Source) renew(wait time.Duration) *session {
	for {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-s.closing:
			timer.Stop()
			return nil
		}
		c, err := newSession(s)
		if err == nil {
			s.use(c)
			return c
		}
		s.log.Error("the kafka client cannot be set up", "error", err)
		wait = min(2*wait, rebuildMost)
	}
}

func (s *Source) use(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Store(c)
	close(s.changed)
	s.changed = make(chan struct{})
}

// next waits until there is another session than this one.
func (s *Source) next(ctx context.Context, than *session) error {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if s.current.Load() != than {
			return nil
		}
		select {
		case <-changed:
		case <-s.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Poll implements connector.Source.
func (s *Source) Poll(ctx context.Context, limit int) ([]connector.Record, error) {
	if limit < 1 {
		return nil, fmt.Errorf("a poll for %d records: the client library takes that for no limit at all", limit)
	}
	for {
		c := s.current.Load()
		records, err := c.poll(ctx, limit)
		switch {
		case len(records) > 0:
			return records, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, errOver):
			if err := s.next(ctx, c); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		}
	}
}

// Rebalances implements connector.Source.
func (s *Source) Rebalances() <-chan connector.Rebalance { return s.rebalances }

// Gate returns nil while the group coordinator vouches for this member, else
// why it does not. What may be sent only by the owner of a partition is to be
// held up by it at the last moment, which is the write to the connection. It is
// cheap and safe for concurrent use.
func (s *Source) Gate() error { return s.current.Load().gate() }

// Lease returns the Gate of the present membership, which does not let anything through
// under a later one: partitions may have had another owner in between.
func (s *Source) Lease() (gate func() error) { return s.current.Load().gate }

// Joined returns a channel that is closed when the group was first joined.
func (s *Source) Joined() <-chan struct{} { return s.joined }

// Detach tells that nobody receives from Rebalances any more, since the
// engine's Run has returned: from now on the source answers itself.
func (s *Source) Detach() { s.detach() }

// Close leaves the group and closes the connections. Ownerships that are left
// are revoked first, so the engine drains them. Where no engine runs, not yet or
// no more, Detach comes before Close, which would wait for it otherwise. When
// ctx ends before that is over, Close gives it up: the group finds out by the
// session timeout. It returns ctx's error then.
func (s *Source) Close(ctx context.Context) error {
	s.close()
	select {
	case <-s.done:
		s.abort()
		return nil
	case <-ctx.Done():
		s.detach()
		s.abort()
		<-s.done
		return ctx.Err()
	}
}

// madeAnew notes that the topic of the name is not the one that the group began with.
func (s *Source) madeAnew(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.anew[topic] = true
}

func (s *Source) isAnew(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.anew[topic]
}

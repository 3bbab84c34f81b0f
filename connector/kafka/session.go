package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/plugin/kotel"

	"github.com/leadsink/leadsink/connector"
)

var errOver = errors.New("the session is over")

// A session is one client in the consumer group, for as long as its lease runs.
type session struct {
	source *Source
	log    *slog.Logger
	client *kgo.Client
	lease  *lease
	ctx    context.Context // ends when the session is given up
	cancel context.CancelFunc

	pollable context.Context // ends when no more polls may begin
	noPolls  context.CancelFunc
	nudge    chan struct{} // of capacity 1: topics and end offsets are to be looked at now
	tasks    sync.WaitGroup

	announced bool // the engine knows that the group was joined; owned by kgo's callback

	begins map[partition]kgo.Offset // where partitions begin; owned by kgo's callbacks

	polling chan struct{} // of capacity 1: held during a poll; a closed client is never polled

	members atomic.Pointer[[]connector.MemberStatus] // of the group; nil before they are known

	fetched fetched // what no poll has returned yet

	room atomic.Int32 // bytes of metadata that the brokers take with a commit, as far as known

	mu      sync.Mutex // guards what follows
	owned   map[partition]owned
	known   map[string]kadm.TopicDetail // topics as they were last described
	unread  map[partition]error         // assigned ones that the client library does not read: it got no position for them
	began   map[string]kadm.TopicID     // of topics, as the client library reads them
	plights map[partition]plight
	polled  time.Time // when the last poll returned
	start   time.Time // when the group began to read, zero if that is not known
}

type partition struct {
	topic string
	index int32
}

// owned is a partition that the engine was given and has not let go.
type owned struct {
	*connector.Ownership
	topicID [16]byte
	next    int64           // the offset after the last record that was polled; -1 before the first
	judged  connector.Range // of what was not polled here it is known that it is gone
	turn    connector.Turn
	ended   bool // nothing more may be committed for it
}

func newSession(s *Source) (*session, error) {
	cfg := s.settings.Config
	c := &session{
		source: s, log: s.log, lease: newLease(cfg.SessionTimeout, cfg.RebalanceTimeout),
		nudge: make(chan struct{}, 1), polling: make(chan struct{}, 1),
		owned: map[partition]owned{}, known: map[string]kadm.TopicDetail{},
		fetched: fetched{of: map[partition]waiting{}},
		begins:  map[partition]kgo.Offset{}, began: map[string]kadm.TopicID{}, unread: map[partition]error{}, plights: map[partition]plight{},
	}
	c.room.Store(metadataMost)
	c.ctx, c.cancel = context.WithCancel(s.base)
	c.pollable, c.noPolls = context.WithCancel(c.ctx)
	options, err := c.options()
	if err == nil {
		c.client, err = kgo.NewClient(options...)
	}
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.tasks.Go(c.followEnds)  // ends with c.ctx
	c.tasks.Go(c.followGroup) // likewise
	return c, nil
}

// common are the options of every client.
func (s Settings) common(dial dialFunc) ([]kgo.Opt, error) {
	cfg := s.Config
	if cfg.TLS.Enabled {
		if _, err := cfg.TLS.config(); err != nil {
			return nil, err
		}
	}
	options := []kgo.Opt{
		kgo.ClientID(clientID),
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.Dialer(patient(dial)),
		kgo.WithLogger(kgoLog{s.Log}),
		kgo.DisableClientMetrics(),
	}
	if s.Meters != nil {
		options = append(options, kgo.WithHooks(kotel.NewMeter(kotel.MeterProvider(s.Meters), kotel.WithMergedConnectsMeter())))
	}
	if m := cfg.SASL.mechanism(); m != nil {
		options = append(options, kgo.SASL(m))
	}
	return options, nil
}

// failedDial is how long a failed dial takes at least.
const failedDial = 100 * time.Millisecond

// patient keeps failed dials from being repeated in a tight loop, as kgo's
// producer does without a pause while it has no producer id.
func patient(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			timer := time.NewTimer(failedDial)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		return c, err
	}
}

func (c *session) options() ([]kgo.Opt, error) {
	s := c.source.settings
	cfg := s.Config
	options, err := s.common(observe(cfg.TLS.dialer(s.Dial), c.lease))
	if err != nil {
		return nil, err
	}
	start, err := cfg.startOffset()
	if err != nil {
		return nil, err
	}
	options = append(options,
		kgo.WithContext(c.ctx),
		kgo.WithHooks(trouble{c.source}, &c.fetched),
		kgo.ConsumerGroup(cfg.Group),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.RebalanceTimeout(cfg.RebalanceTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, cfg.SessionTimeout/10)),
		kgo.ConsumeStartOffset(start),
		// Where the brokers lost records: rather a minute twice than all that is left, or nothing.
		kgo.ConsumeResetOffset(kgo.RewindOffset(time.Minute)),
		// Or the client asks for a deleted topic without a pause: it strips the error that
		// the brokers answer at once, and a topic made anew stays in the brokers' sessions.
		kgo.KeepRetryableFetchErrors(),
		kgo.DisableFetchSessions(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(fetchBytes),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytes),
		kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(c.onAssigned),
		kgo.OnOffsetsFetched(c.onOffsets),
		kgo.AdjustFetchOffsetsFn(c.adjust),
		kgo.OnPartitionsRevoked(c.onRevoked),
		kgo.OnPartitionsLost(c.onLost),
	)
	if cfg.TopicsRegex != "" {
		options = append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(cfg.wholeRegex()))
	} else {
		options = append(options, kgo.ConsumeTopics(cfg.Topics...))
	}
	if cfg.InstanceID != "" {
		options = append(options, kgo.InstanceID(cfg.InstanceID))
	}
	switch {
	case cfg.Protocol == "kip848":
		options = append(options, kgo.ServerSideBalancer())
	case cfg.Single():
		options = append(options, kgo.Balancers(newSingle()))
	default:
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	return append(options, s.Options...), nil
}

// watch waits until the lease has ended and returns why; nil if stop came first.
func (c *session) watch(stop <-chan struct{}) error {
	const look = time.Second // how late a suspended machine may notice
	timer := time.NewTimer(look)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-c.lease.over:
		case <-timer.C:
		}
		left, begun, err := c.lease.left()
		switch {
		case err != nil:
			return err
		case begun:
			timer.Reset(min(left, look))
		default:
			timer.Reset(look)
		}
	}
}

// gate returns nil while the lease runs.
func (c *session) gate() error {
	_, begun, err := c.lease.left()
	if err == nil && !begun {
		return errNotMember
	}
	return err
}

// leave ends the session in good order: what is owned is revoked, then the
// group is left.
func (c *session) leave() {
	c.noPolls()
	c.polling <- struct{}{}
	stop := context.AfterFunc(c.source.base, c.cancel)
	c.client.CloseAllowingRebalance()
	stop()
	c.lease.end(ErrClosed)
	c.cancel()
	c.tasks.Wait()
}

// lose gives the session up after the end of its lease: nothing more is told
// or answered but that everything is lost.
func (c *session) lose() {
	// Callbacks that wait for the engine return; those to come do nothing. A
	// rebalance told by one of them precedes the loss.
	c.cancel()
	c.source.speak <- struct{}{}
	if lost := c.disownAll(); len(lost) > 0 {
		c.source.tell(c.source.base, connector.Lost, lost)
	}
	<-c.source.speak
	c.polling <- struct{}{}
	c.client.CloseAllowingRebalance()
	c.tasks.Wait()
}

// either returns a context that ends with the first of two.
func either(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}

// poll returns records stamped with their ownerships, none after trouble that
// passes by itself.
func (c *session) poll(ctx context.Context, limit int) ([]connector.Record, error) {
	select {
	case c.polling <- struct{}{}:
		defer func() { <-c.polling }()
	case <-c.pollable.Done():
		return nil, errOver
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.pollable.Err() != nil {
		return nil, errOver
	}
	ctx, cancel := either(ctx, c.pollable)
	defer cancel()
	fetches := c.client.PollRecords(ctx, limit)
	records := c.stamp(fetches)
	// After every poll, failed ones too, or the group waits for ever.
	c.client.AllowRebalance()
	if c.ctx.Err() != nil {
		return nil, errOver
	}
	c.mu.Lock()
	c.polled = time.Now()
	c.mu.Unlock()
	if c.hear(fetches) && len(records) == 0 {
		rest(ctx, afterErrors)
	}
	return records, nil
}

// askTimeout learns the session timeout, which is the brokers' to decide with
// KIP-848, before any ownership begins under it.
func (c *session) askTimeout(ctx context.Context, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	session, err := sessionTimeout(ctx, client, c.source.settings.Config.Group)
	if err != nil {
		c.log.Warn("the brokers do not tell the session timeout; kafka.session_timeout is taken for it, so it must not be longer than theirs", "error", err)
		return
	}
	c.lease.last(session)
}

func sessionTimeout(ctx context.Context, client *kgo.Client, group string) (time.Duration, error) {
	const key = "consumer.session.timeout.ms"
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType = kmsg.ConfigResourceTypeGroupConfig
	resource.ResourceName = group
	resource.ConfigNames = []string{key}
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.Resources = append(request.Resources, resource)
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	for _, r := range answer.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return 0, err
		}
		for _, c := range r.Configs {
			if c.Name != key || c.Value == nil {
				continue
			}
			ms, err := strconv.Atoi(*c.Value)
			if err != nil || ms <= 0 {
				return 0, fmt.Errorf("%s is %q", key, *c.Value)
			}
			return time.Duration(ms) * time.Millisecond, nil
		}
	}
	return 0, errors.New("the answer leaves " + key + " out")
}

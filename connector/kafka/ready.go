package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	probeEvery      = time.Second
	missingPatience = 10 * time.Second // for topics that are about to be made
	probeTimeout    = 15 * time.Second // of one broker's answer, connection included
)

// WaitReady returns nil once the group was joined and the topics are there, or,
// after a while, some of them: one that was deleted must not stop the others at the
// next restart. Before, it tries the brokers, the credentials and the topics again and again;
// when ctx ends its error is the last reason why it did not come to that, with
// the address where there is one.
func (s *Source) WaitReady(ctx context.Context) error {
	var last error
	for began := time.Now(); ; {
		err := s.settings.probe(ctx)
		var some missingTopics
		if errors.As(err, &some) && some.there > 0 && time.Since(began) >= missingPatience {
			s.log.Error("topics are missing; the others are read", "error", err)
			err = nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // else only the end of ctx
		}
		joined := s.joined
		if last != nil {
			joined = nil // a group can be joined for topics that are not there
			if s.settings.Failed != nil && ctx.Err() == nil {
				s.settings.Failed(last)
			}
		}
		timer := time.NewTimer(probeEvery)
		select {
		case <-joined:
			timer.Stop()
			return nil
		case <-s.done:
			timer.Stop()
			return ErrClosed
		case <-ctx.Done():
			timer.Stop()
			return s.notReady(last)
		case <-timer.C:
		}
	}
}

func (s *Source) notReady(last error) error {
	if last != nil {
		return last
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	group := s.settings.Config.Group
	if s.trouble != nil {
		return fmt.Errorf("join the consumer group %q: %w", group, s.trouble)
	}
	return fmt.Errorf("join the consumer group %q: its coordinator did not answer in time", group)
}

// probe asks the brokers for the topics.
func (s Settings) probe(ctx context.Context) error {
	answer, err := probe(ctx, s, append([]string{}, s.Config.Topics...))
	if err != nil {
		return err
	}
	var all []error
	for _, t := range answer.Topics {
		if err := topicError(t, "correct kafka.topics"); err != nil {
			all = append(all, err)
		}
	}
	if len(all) > 0 {
		return missingTopics{errors.Join(all...), len(answer.Topics) - len(all)}
	}
	return nil
}

// missingTopics says which topics cannot be read, and how many others there are.
type missingTopics struct {
	error
	there int
}

func (m missingTopics) Unwrap() error { return m.error }

// probe asks the brokers for topics, nil for all, by a client of its own that retries
// nothing, so that the first reason is the one reported.
func probe(ctx context.Context, settings Settings, topics []string) (*kmsg.MetadataResponse, error) {
	cfg := settings.Config
	settings.Log = slog.New(slog.DiscardHandler)
	var dialled lastDial
	options, err := settings.common(dialled.note(cfg.TLS.dialer(settings.Dial)))
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(options, kgo.WithContext(ctx), kgo.RequestRetries(0))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	request := kmsg.NewPtrMetadataRequest()
	request.AllowAutoTopicCreation = false
	if topics != nil {
		request.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, t := range topics {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = new(t)
		request.Topics = append(request.Topics, topic)
	}
	var all []error
	for i, broker := range client.SeedBrokers() {
		answer, err := ask(ctx, broker, request)
		if err == nil {
			return answer, nil
		}
		all = append(all, fmt.Errorf("broker %s: %w", cfg.Brokers[i], dialled.cause(err)))
	}
	return nil, errors.Join(all...)
}

// A lastDial remembers why the last connection failed: the client library
// tries twice, and may have only the end of its patience to tell.
type lastDial struct {
	mu  sync.Mutex // guards err
	err error
}

func (l *lastDial) note(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err = err
		return c, err
	}
}

// cause returns what people can act on instead of err.
func (l *lastDial) cause(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, context.DeadlineExceeded) && l.err != nil:
		return l.err
	case l.err == nil:
		return hungUp(err)
	}
	return err
}

// hungUp says what it may mean when a broker ends a connection that was made.
func hungUp(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("it closed the connection; see whether kafka.tls and kafka.sasl are what it wants: %w", err)
	}
	return err
}

func ask(ctx context.Context, broker *kgo.Broker, request *kmsg.MetadataRequest) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	answer, err := broker.Request(ctx, request)
	if err != nil {
		return nil, err
	}
	return answer.(*kmsg.MetadataResponse), nil
}

// topicError says why a topic cannot be read, nil if it can; otherwise is what can
// be done instead of creating it.
func topicError(t kmsg.MetadataResponseTopic, otherwise string) error {
	return explained(nameOf(t), kerr.ErrorForCode(t.ErrorCode), otherwise)
}

func explained(name string, err error, otherwise string) error {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("topic %q does not exist; create it, or %s: %w", name, otherwise, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("topic %q may not be read; allow Describe and Read on it: %w", name, err)
	case err != nil:
		return fmt.Errorf("topic %q: %w", name, err)
	}
	return nil
}

func nameOf(t kmsg.MetadataResponseTopic) string {
	if t.Topic == nil {
		return ""
	}
	return *t.Topic
}

// trouble hears what keeps a member from joining.
type trouble struct{ source *Source }

// OnGroupManageError notes why the group could not be joined, or was lost.
func (t trouble) OnGroupManageError(err error) { t.source.troubled(err) }

// OnBrokerConnect notes connections that fail: a broker may give the others'
// addresses as ones that cannot be reached from here.
func (t trouble) OnBrokerConnect(m kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		t.source.troubled(fmt.Errorf("broker %s: %w", net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))), hungUp(err)))
	}
}

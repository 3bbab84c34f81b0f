package kafka

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/connector"
)

// refuse answers requests of the kind with the error until it is mended, to at most
// so many of them; 0 is any number.
func (w *world) refuse(kind kmsg.Key, why *kerr.Error, most int) (mend func()) {
	var mended atomic.Bool
	seen := 0
	w.ControlKey(kind.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.KeepControl()
		if seen++; mended.Load() || most > 0 && seen > most {
			return nil, nil, false
		}
		switch r := r.(type) {
		case *kmsg.InitProducerIDRequest:
			answer := r.ResponseKind().(*kmsg.InitProducerIDResponse)
			answer.ErrorCode = why.Code
			return answer, nil, true
		case *kmsg.ProduceRequest:
			answer := r.ResponseKind().(*kmsg.ProduceResponse)
			for _, t := range r.Topics {
				topic := kmsg.NewProduceResponseTopic()
				topic.Topic, topic.TopicID = t.Topic, t.TopicID
				for _, p := range t.Partitions {
					partition := kmsg.NewProduceResponseTopicPartition()
					partition.Partition, partition.ErrorCode = p.Partition, why.Code
					topic.Partitions = append(topic.Partitions, partition)
				}
				answer.Topics = append(answer.Topics, topic)
			}
			return answer, nil, true
		case *kmsg.MetadataRequest:
			answer := r.ResponseKind().(*kmsg.MetadataResponse)
			broker := kmsg.NewMetadataResponseBroker()
			host, port, _ := net.SplitHostPort(w.ListenAddrs()[0])
			number, _ := strconv.Atoi(port)
			broker.Host, broker.Port = host, int32(number)
			answer.Brokers = append(answer.Brokers, broker)
			for _, t := range r.Topics {
				topic := kmsg.NewMetadataResponseTopic()
				topic.Topic, topic.TopicID, topic.ErrorCode = t.Topic, t.TopicID, why.Code
				answer.Topics = append(answer.Topics, topic)
			}
			return answer, nil, true
		}
		return nil, nil, false
	})
	return func() { mended.Store(true) }
}

func TestLettersGoAgainOnceARefusalIsMended(t *testing.T) {
	for _, c := range []struct {
		name  string
		kind  kmsg.Key
		why   *kerr.Error
		most  int
		after bool // letters went well before
	}{
		{"a producer id, once, by an unknown error", kmsg.InitProducerID, kerr.UnknownServerError, 1, false},
		{"a producer id, once, by authorization", kmsg.InitProducerID, kerr.ClusterAuthorizationFailed, 1, false},
		{"a producer id, for a while, by authorization", kmsg.InitProducerID, kerr.ClusterAuthorizationFailed, 0, false},
		{"a producer id, for a while, by policy", kmsg.InitProducerID, kerr.PolicyViolation, 0, false},
		{"a write, by authorization", kmsg.Produce, kerr.TopicAuthorizationFailed, 0, true},
		{"a write, by policy", kmsg.Produce, kerr.PolicyViolation, 0, true},
		{"a write, by an unknown error", kmsg.Produce, kerr.UnknownServerError, 0, true},
		{"a write, as a producer id that is gone", kmsg.Produce, kerr.InvalidProducerIDMapping, 0, true},
		{"the topic, by authorization", kmsg.Metadata, kerr.TopicAuthorizationFailed, 0, false},
		{"the topic, as not there", kmsg.Metadata, kerr.UnknownTopicOrPartition, 0, false},
		{"the topic, as not valid", kmsg.Metadata, kerr.InvalidTopicException, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, kfake.SeedTopics(1, "events.dead"))
				d, _ := w.letters()
				if c.after {
					w.stored(d, time.Second)
				}
				mend := w.refuse(c.kind, c.why, c.most)
				if errs := d.Bury(t.Context(), []connector.DeadLetter{letter("1")}); errs[0] == nil && c.most == 0 {
					t.Fatal("nothing was refused")
				}
				w.tried(d, 5*time.Minute)
				mend()
				w.stored(d, time.Minute)
			})
		})
	}
}

// tried buries as the engine does, again and again for a while.
func (w *world) tried(d *DeadLetters, long time.Duration) {
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(time.Second) {
		if errs := d.Bury(w.t.Context(), []connector.DeadLetter{letter("1")}); errs[0] == nil {
			return
		}
	}
}

// stored fails the test if no letter is stored within the time.
func (w *world) stored(d *DeadLetters, within time.Duration) {
	w.t.Helper()
	begun := time.Now()
	for {
		errs := d.Bury(w.t.Context(), []connector.DeadLetter{letter("1")})
		took := time.Since(begun)
		switch {
		case errs[0] == nil && took <= within:
			return
		case took > within:
			w.t.Fatalf("after %s: %v", took, errs[0])
		}
		time.Sleep(time.Second)
	}
}

func TestLettersGoToATopicThatWasMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(3, "events.dead"))
		d, _ := w.letters()
		w.stored(d, time.Second)
		admin := kadm.NewClient(w.dial())
		for _, away := range []time.Duration{0, 5 * time.Minute} {
			if _, err := admin.DeleteTopic(t.Context(), "events.dead"); err != nil {
				t.Fatal(err)
			}
			if away > 0 {
				w.tried(d, away)
			}
			if _, err := admin.CreateTopic(t.Context(), 2, 1, nil, "events.dead"); err != nil {
				t.Fatal(err)
			}
			w.stored(d, time.Minute)
		}
	})
}

func TestManyLettersGoInBatchesThatABrokerTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.takes(4 << 20) // the broker's default is 1 MiB
		d, _ := w.letters()
		w.stored(d, time.Second)
		var sizes []int
		w.ControlKey(kmsg.Produce.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.KeepControl()
			for _, topic := range r.(*kmsg.ProduceRequest).Topics {
				for _, p := range topic.Partitions {
					sizes = append(sizes, len(p.Records))
				}
			}
			return nil, nil, false
		})
		var all []connector.DeadLetter
		for i := range 500 {
			l := letter(random(20_000))
			if i == 250 {
				l.Record.Value = []byte(random(2 << 20))
			}
			all = append(all, l)
		}
		for i, err := range d.Bury(t.Context(), all) {
			if err != nil {
				t.Fatalf("letter %d: %v", i, err)
			}
		}
		larger := 0
		for _, size := range sizes {
			if size > 1<<20 {
				larger++
			}
		}
		if larger != 1 || len(sizes) < 10 || len(sizes) > 20 {
			t.Errorf("batches of %v bytes, want about a dozen below 1 MiB, and the one large letter alone", sizes)
		}
	})
}

// random is text that cannot be compressed.
func random(n int) string {
	text := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(text) //nolint:errcheck // it cannot fail
	return string(text)
}

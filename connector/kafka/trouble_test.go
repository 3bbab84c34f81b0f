package kafka

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leadsink/leadsink/config/setting"
)

// suffers reports whether the member says within the time that it is in trouble, in
// words that hold the text.
func (m *member) suffers(text string, within time.Duration) bool {
	m.t.Helper()
	for began := time.Now(); time.Since(began) <= within; wait(time.Second) {
		if why, since := m.Trouble(); strings.Contains(why, text) && !since.IsZero() {
			return true
		}
	}
	return false
}

// well reports whether it says within the time that it is not.
func (m *member) well(within time.Duration) bool {
	for began := time.Now(); time.Since(began) <= within; wait(time.Second) {
		if why, _ := m.Trouble(); why == "" {
			return true
		}
	}
	return false
}

func TestWhatKeepsAMemberFromTheGroupIsKnownWhileItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "password")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("right")
		secret, err := setting.SecretFrom(setting.Part{File: path})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "right"), kfake.SeedTopics(1, "events"))
		m := w.join(func(s *Settings) {
			s.Config.SASL = SASLConfig{Mechanism: "PLAIN", Username: setting.NewSecret("u"), Password: secret}
		})
		if wait(20 * time.Second); !m.well(0) {
			t.Error("it is in trouble, and all is well")
		}
		write("wrong")
		m.crash()
		m.wire.mend()
		if !m.suffers("kafka.sasl", 15*time.Second) {
			why, _ := m.Trouble()
			t.Errorf("nobody can know that the password is refused: %q", why)
		}
		write("right")
		if !m.well(3 * time.Minute) {
			why, _ := m.Trouble()
			t.Errorf("it is in trouble still: %q", why)
		}
		m.crash()
		if !m.suffers("the wire is cut", 15*time.Second) {
			t.Error("nobody can know that no broker is reached")
		}
	})
}

func TestAPartitionThatCannotBeReadIsSaidOnceAndShownWhileOthersFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, kfake.SeedTopics(1, "a", "b"))
		m := w.join(of("a", "b"))
		w.produce("a", 0, 1)
		w.produce("b", 0, 1)
		m.values(2)
		var refused atomic.Bool
		refused.Store(true)
		id := w.TopicInfo("b").TopicID
		w.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.KeepControl()
			if !refused.Load() {
				return nil, nil, false
			}
			answer := req.ResponseKind().(*kmsg.FetchResponse)
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.TopicID = "b", id
			p := kmsg.NewFetchResponseTopicPartition()
			p.ErrorCode = kerr.TopicAuthorizationFailed.Code
			topic.Partitions = append(topic.Partitions, p)
			answer.Topics = append(answer.Topics, topic)
			return answer, nil, true
		})
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, _ = m.Poll(ctx, 10)
			cancel()
		}
		if why, since := m.Trouble(); !strings.Contains(why, "b[0] cannot be read") || since.IsZero() {
			t.Errorf("nobody can know what cannot be read: %q", why)
		}
		if n := m.log.count("cannot be read for now"); n != 1 {
			t.Errorf("it is said %d times, want once", n)
		}
		refused.Store(false)
		w.produce("b", 0, 1)
		m.values(1)
		if !m.well(0) || m.log.count("can be read again") != 1 {
			t.Error("nobody can know that it can be read again")
		}
	})
}

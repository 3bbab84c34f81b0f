//go:build system

package main_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A person looks at the real topic with the real credentials. Nobody else must
// be able to tell.
func TestSystemPreviewLeavesNoTrace(t *testing.T) {
	for _, l := range []listener{overPlaintext, overMutualTLS, overSCRAM} {
		t.Run(string(l), func(t *testing.T) {
			c := startKafka(t, l)
			var calls atomic.Int64
			api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
			defer api.Close()
			topic := c.createTopic(t, 3)
			began := time.Now() // what is old the broker may delete
			c.produce(t, topic, 40, func(i int) *kgo.Record {
				return &kgo.Record{Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, `{"lead":"lead-%d"}`, i), Timestamp: began.Add(time.Duration(i) * time.Millisecond)}
			})
			c.abort(t, topic, 60) // behind the last records there are some that nobody may see
			document := func(topic string) string {
				return writeFile(t, t.TempDir(), "leadsink.yaml", fmt.Sprintf(`kafka:
%s  topics: [%s]
  group: group-of-%s
transform:
  rules:
    - {lead: event.lead, activity: 320}
leadsquared: {host: %s, access_key: "${env:LEADSINK_TEST_UNSET}", secret_key: "${env:LEADSINK_TEST_UNSET}"}
dead_letters: {topic: %s.dead}
`, c.section, topic, topic, api.URL, topic))
			}
			before := c.traces(t)

			p := startProcess(t, buildBinary(t), "preview", "-c", document(topic), "--from-topic", "--last", "7", "--json")
			if code := p.wait(t, time.Minute); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			var shown struct {
				Records []struct {
					Record struct{ Key string }
					Bodies []string
				}
			}
			if err := json.Unmarshal(p.stdout.Bytes(), &shown); err != nil {
				t.Fatalf("%v in %s", err, p.stdout.String())
			}
			var keys []string
			for i, r := range shown.Records {
				keys = append(keys, r.Record.Key)
				if len(r.Bodies) != 1 || !strings.HasPrefix(r.Bodies[0], fmt.Sprintf(`[{"RelatedProspectId":"lead-%d","ActivityEvent":320,`, 33+i)) {
					t.Errorf("record %d would be posted as %q", i, r.Bodies)
				}
			}
			if diff := cmp.Diff([]string{"33", "34", "35", "36", "37", "38", "39"}, keys); diff != "" {
				t.Error(diff)
			}

			missing := topic + ".missing"
			p = startProcess(t, buildBinary(t), "preview", "-c", document(missing), "--from-topic")
			if code := p.wait(t, time.Minute); code != 3 {
				t.Errorf("exit code %d for a topic that is not there, want 3", code)
			}
			p.waitForLine(t, fmt.Sprintf("topic %q does not exist", missing), time.Second)

			if diff := cmp.Diff(before, c.traces(t)); diff != "" {
				t.Errorf("it left traces (-before +after):\n%s", diff)
			}
			if n := calls.Load(); n != 0 {
				t.Errorf("it called LeadSquared %d times", n)
			}
		})
	}
}

// abort writes n records within a transaction that is aborted.
func (c *cluster) abort(t *testing.T, topic string, n int) {
	t.Helper()
	client, err := kgo.NewClient(append(slices.Clone(c.options), kgo.TransactionalID(topic), kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		client.Produce(t.Context(), kgo.KeyStringRecord(fmt.Sprint(i), "aborted"), nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the transaction is over", func() bool {
		ends, err := c.admin.ListEndOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		stable, err := c.admin.ListCommittedOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		return cmp.Equal(ends.Offsets(), stable.Offsets())
	})
}

// traces are the topics of a cluster with their ends, and the groups with their
// committed offsets.
func (c *cluster) traces(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	topics, err := c.admin.ListTopicsWithInternal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ends, err := c.admin.ListEndOffsets(t.Context(), topics.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	for topic, partitions := range ends.Offsets() {
		if topic == "__transaction_state" {
			continue // of the test's own transaction, which is written down a little later
		}
		for index, end := range partitions {
			found[fmt.Sprintf("topic %s[%d]", topic, index)] = fmt.Sprint(end.At)
		}
	}
	groups, err := c.admin.ListGroups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		found["group "+group] = fmt.Sprint(c.committed(t, group))
	}
	return found
}

//go:build browser || collector

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leadsink/leadsink/config"
	"github.com/leadsink/leadsink/connector/leadsquared/fakeapi"
)

const stageReceipts = "crm.created"

// A stage is a running connector on loopback with a Kafka and a LeadSquared in
// the process, as in the demo, whose faults a test decides.
type stage struct {
	*testing.T
	demo    demo
	brokers []string
	url     string // of the admin address
	log     transcript
	stop    func() error // drains; the second call does nothing
}

// newStage starts one with a document that is the demo's after change.
func newStage(t *testing.T, c fakeapi.Config, change func(document string) string) *stage {
	t.Helper()
	s := &stage{T: t}
	var err error
	s.demo.api, err = fakeapi.New(c)
	s.must(err)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	s.must(err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- s.demo.api.Serve(ctx, l, nil) }() // ends with cancel
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(demoPartitions, demoTopic), kfake.SeedTopics(1, demoDeadTopic, stageReceipts))
	s.must(err)
	t.Cleanup(cluster.Close)
	s.brokers = cluster.ListenAddrs()
	s.must(s.demo.connect(cluster.ListenAddrs()))
	t.Cleanup(s.demo.kafka.Close)
	admin, err := freeAddress(t.Context())
	s.must(err)
	s.url = "http://" + admin + "/"
	limits := make([]string, len(c.Limits))
	for i, l := range c.Limits {
		limits[i] = l.String()
	}
	text := fmt.Sprintf(demoDocument, cluster.ListenAddrs()[0], "http://"+l.Addr().String(), strings.Join(limits, ", "), "", "resend", admin)
	doc, err := config.Parse("stage.yaml", []byte(change(text)))
	s.must(err)
	running, end := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- serve(running, doc, &s.log, nil) }() // ends with stop
	over := false
	s.stop = func() error {
		if end(); over {
			return nil
		}
		over = true
		return <-ended
	}
	t.Cleanup(func() { _ = s.stop() })
	s.until("the connector is ready", func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"readyz", http.NoBody)
		s.must(err)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return s
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// until waits until what is said is the case.
func (s *stage) until(what string, is func() bool) {
	s.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-patience.C:
			s.Fatalf("not within a minute: %s\n%s", what, s.log.String())
		}
	}
}

// rates sets the faults of calls.
func (s *stage) rates(rates map[fakeapi.Fault]float64) {
	s.Helper()
	s.must(s.demo.api.SetRates(rates))
}

// put writes a record.
func (s *stage) put(r *kgo.Record) {
	s.Helper()
	r.Topic = demoTopic
	s.must(s.demo.kafka.ProduceSync(s.Context(), r).FirstErr())
}

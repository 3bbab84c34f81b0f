package connector_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refusedFor refuses the commits of one partition and takes the others.
func (w *world) refusedFor(partition int32) (mend func()) {
	refuse := true
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		r := req.(*kmsg.OffsetCommitRequest)
		if !refuse {
			return nil, nil, false
		}
		resp := refusedAs(req, kerr.TopicAuthorizationFailed).(*kmsg.OffsetCommitResponse)
		for i := range r.Topics {
			for j := range resp.Topics[i].Partitions {
				if p := &resp.Topics[i].Partitions[j]; p.Partition != partition {
					p.ErrorCode = 0
				}
			}
		}
		return resp, nil, true
	})
	return func() { refuse = false }
}

func TestAPartitionWhoseCommitsAreRefusedHoldsUpNoOther(t *testing.T) {
	for _, marked := range []bool{false, true} {
		for _, after := range []time.Duration{0, 5 * time.Second} {
			t.Run(fmt.Sprintf("marked %t after %s", marked, after), func(t *testing.T) {
				inWorld(t, func(w *world) { w.commitsOfOnePartitionAreRefused(marked, after) })
			})
		}
	}
}

func (w *world) commitsOfOnePartitionAreRefused(marked bool, after time.Duration) {
	w.marked, w.config.Window = marked, 10_000
	for i := range 2000 {
		w.event(int32(i%2), fmt.Sprintf("lead-%d", i))
	}
	m := w.start()
	time.Sleep(after)
	before := w.createdOf(0)
	mend := w.refusedFor(0)
	time.Sleep(5 * time.Minute)
	s := m.status()
	if n := w.createdOf(1); n != 1000 {
		w.Errorf("%d of 1000 activities of the other partition were created, and %d of the refused one; it waits for %v", n, w.createdOf(0), s.Waiting)
	}
	if n, most := w.createdOf(0)-before, w.config.InFlight*w.config.Batch; n > most {
		w.Errorf("%d activities of the partition whose commits are refused were created since, want at most %d", n, most)
	}
	if !slices.Contains(s.Waiting, "commit") {
		w.Errorf("it waits for %v, want a commit", s.Waiting)
	}
	w.consistent()
	mend()
	w.events(partitions) // what the test said was accepted is committed with the next ones
	w.finish()
	w.account()
}

// createdOf is how many activities of a partition's records there are.
func (w *world) createdOf(partition int32) (n int) {
	for _, a := range w.api.Activities(0, 0) {
		if noted(a.Note).partition == partition {
			n++
		}
	}
	return n
}

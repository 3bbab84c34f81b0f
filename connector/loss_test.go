package connector_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector"
)

// expire writes records into the first partition that the member cannot fetch, and
// deletes all before an offset.
func (w *world) expire(m *member, written int, before int64) {
	m.kafka.cut() // so that nothing is fetched ahead
	w.writeTo(0, written)
	for at := range w.produced {
		if at.partition == 0 && at.offset < before {
			w.produced[at] = toMiss
		}
	}
	w.must(w.cluster.DeleteRecords(topic, 0, before))
	m.kafka.mend()
}

func lagOf(s connector.Status, index int32) (p connector.PartitionStatus) {
	for _, p = range s.Partitions {
		if p.Topic == topic && p.Partition == index {
			return p
		}
	}
	return connector.PartitionStatus{Lag: -1}
}

// What retention deletes under a running member is said until somebody has seen it, is
// no lag, and is passed over for good.
func TestRecordsThatRetentionDeletesAreSaidAndNoLag(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.start()
		w.writeTo(0, 5)
		w.until("five are committed", func() bool { return w.committed()[0].next == 5 })
		w.expire(m, 10, 12)
		time.Sleep(30 * time.Second)
		if s := m.status(); s.Records.Delivered != 8 || s.Lag != 0 || len(s.Losses) != 1 || s.Losses[0].Records != 7 ||
			!strings.Contains(s.Words, "at most 7 of "+topic+" since ") {
			t.Errorf("%q with %+v, %d delivered, lag %d; want 7 lost, 8 and 0", s.Words, s.Losses, s.Records.Delivered, s.Lag)
		}
		w.expire(m, 4, 19) // and nothing is left
		time.Sleep(30 * time.Second)
		if s := m.status(); s.Lag != 0 || lagOf(s, 0).Todo != 0 || len(s.Losses) != 1 || s.Losses[0].Records != 11 || s.Stalls != 0 {
			t.Errorf("%+v with %+v and %d stalls; want 11 lost, no lag and nothing to do", lagOf(s, 0), s.Losses, s.Stalls)
		}
		if at := w.committed()[0].next; at != 19 {
			t.Errorf("the position is %d, want 19: or the next owner counts the loss again", at)
		}
		w.must(m.connector.Resume(context.Background()))
		if s := m.status(); len(s.Losses) != 0 || strings.Contains(s.Words, "deleted in Kafka") {
			t.Errorf("%q although an operator has seen it", s.Words)
		}
		m.end()
		<-m.ended
		next := w.start()
		time.Sleep(30 * time.Second)
		if s := next.status(); len(s.Losses) != 0 || s.Lag != 0 {
			t.Errorf("the next owner says %q", s.Words)
		}
		w.finish()
		w.account()
	})
}

// While records before a loss wait for their fate, the position stays with them, and
// what is behind is no lag.
func TestALossIsPassedOverOnceWhatCameBeforeHasItsFate(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.start()
		time.Sleep(20 * time.Second)
		w.must(m.connector.Pause(context.Background()))
		w.writeTo(0, 5)
		w.until("five are taken in", func() bool { return m.status().Unsettled == 5 })
		w.expire(m, 10, 15)
		for p := range w.produced {
			if p.offset < 5 {
				w.produced[p] = toDeliver // they were read before
			}
		}
		time.Sleep(30 * time.Second)
		if s := m.status(); s.Lag != 5 || lagOf(s, 0).Todo != 5 || len(s.Losses) != 1 || s.Losses[0].Records != 10 || w.committed()[0].next != 0 {
			t.Errorf("%+v with %+v, position %d; want a lag of 5, 10 lost, and 0", lagOf(s, 0), s.Losses, w.committed()[0].next)
		}
		w.must(m.connector.Resume(context.Background()))
		time.Sleep(30 * time.Second)
		if s := m.status(); s.Lag != 0 || s.Records.Delivered != 5 || w.committed()[0].next != 15 {
			t.Errorf("%+v, %d delivered, position %d; want no lag, 5 and 15", lagOf(s, 0), s.Records.Delivered, w.committed()[0].next)
		}
		w.consistent()
		w.finish()
		w.account()
	})
}

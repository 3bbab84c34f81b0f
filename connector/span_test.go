package connector

import (
	"fmt"
	"testing"
	"time"

	"github.com/leadsink/leadsink/transform"
)

// A commit tells the records apart within the span, and within half of it where it
// has to tell which are held, too. What goes beyond would be sent again after a restart.
func TestNoFurtherRowOfALeadGoesBeyondWhatACommitCanDescribe(t *testing.T) {
	for held, want := range map[bool]int64{false: 400, true: 200} {
		for _, leads := range []int{1, 600} {
			t.Run(fmt.Sprintf("held %t, %d leads", held, leads), func(t *testing.T) {
				now := time.Now()
				o := &Ownership{Committed: 0}
				o.Span.Store(400)
				l := newLedger(o, now)
				l.halfSpan = held
				q := newQueue()
				for i := range int64(600) {
					en, _ := l.track(Record{})
					en.first, en.last, en.place = i, i, uint64(i)
					ln := l.lane(fmt.Sprint(int(i)%leads), true)
					ln.rows = append(ln.rows, &row{entry: en, lane: ln, place: uint64(i)})
				}
				for _, ln := range l.lanes {
					q.push(ln, now)
				}
				rows := q.take(1000, false, now)
				if int64(len(rows)) != want || rows[len(rows)-1].entry.first != want-1 {
					t.Errorf("%d rows go, want those of the first %d records", len(rows), want)
				}
			})
		}
	}
}

// To the next owner a record of a newer leader is another one than the commit speaks of.
func TestARecordOfANewerLeaderIsNotSentBeforeACommitSpeaksOfIt(t *testing.T) {
	l := newLedger(&Ownership{}, time.Now())
	l.reach, l.reachEpoch = -1, -1
	e := &engine{queue: newQueue()}
	e.reached(l, 2, 0) // of an inherited doubt, for instance
	en, _ := l.track(Record{Record: transform.Record{LeaderEpoch: 1}})
	if l.maySend(en) {
		t.Error("it may be sent, though the commit speaks of another record at its offset")
	}
	if e.reached(l, 2, 1); !l.maySend(en) {
		t.Error("it may not be sent, though a commit speaks of it")
	}
}

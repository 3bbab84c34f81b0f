package connector

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leadsink/leadsink/transform"
)

func recordAt(o *Ownership, offset int64, epoch int32) Record {
	return Record{Record: transform.Record{Topic: "t", Offset: offset, LeaderEpoch: epoch}, Owner: o}
}

// offsets lists the offsets in ranges, of those that were seen.
func offsets(ranges []Range, seen []int64) []int64 {
	var in []int64
	for _, o := range seen {
		if slices.ContainsFunc(ranges, func(r Range) bool { return r.First <= o && o <= r.Last }) {
			in = append(in, o)
		}
	}
	return in
}

func TestALedgerCommitsWhatAListOfFlagsWouldCommit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &Ownership{Committed: -1}
		l := newLedger(o, time.Now())
		var seen []int64
		settled := map[int64]bool{}
		handles := map[int64]*entry{}
		next := rapid.Int64Range(0, 50).Draw(t, "first")
		t.Repeat(map[string]func(*rapid.T){
			"track": func(t *rapid.T) {
				next += rapid.Int64Range(0, 3).Draw(t, "gap") // compaction leaves gaps
				e, finished := l.track(recordAt(o, next, 1))
				if finished {
					t.Fatalf("offset %d was finished by nobody", next)
				}
				seen = append(seen, next)
				handles[next] = e
				next++
			},
			"settle": func(t *rapid.T) {
				if len(handles) == 0 {
					t.Skip("nothing unsettled")
				}
				open := slices.DeleteFunc(slices.Clone(seen), func(o int64) bool { return settled[o] })
				at := rapid.SampledFrom(open).Draw(t, "offset")
				l.settle(handles[at])
				delete(handles, at)
				settled[at] = true
			},
			"": func(t *rapid.T) {
				p, ok := l.progress()
				if !ok {
					if len(seen) > 0 {
						t.Fatal("no progress although records were tracked")
					}
					return
				}
				var beyond []int64
				for _, o := range seen {
					if o < p.Next && !settled[o] {
						t.Fatalf("position %d commits offset %d, which has no fate", p.Next, o)
					}
					if o >= p.Next && settled[o] {
						beyond = append(beyond, o)
					}
				}
				if got := offsets(p.Finished, seen); !slices.Equal(got, beyond) {
					t.Fatalf("finished ranges hold %v, want %v", got, beyond)
				}
				if first := slices.IndexFunc(seen, func(o int64) bool { return !settled[o] }); first >= 0 {
					if p.Next > seen[first] {
						t.Fatalf("position %d is past the unsettled %d", p.Next, seen[first])
					}
					if first > 0 && p.Next <= seen[first-1] {
						t.Fatalf("position %d is behind, all before %d have their fate", p.Next, seen[first])
					}
				} else if len(seen) > 0 && p.Next != seen[len(seen)-1]+1 {
					t.Fatalf("position %d, want one past the last", p.Next)
				}
				if l.runs > l.unsettled || l.unsettled != len(handles) {
					t.Fatalf("%d runs and %d unsettled, want at most as many runs and %d unsettled", l.runs, l.unsettled, len(handles))
				}
				length := 0
				for e := l.front; e != nil; e = e.next {
					length++
				}
				if length > 2*l.unsettled {
					t.Fatalf("the ledger holds %d entries for %d unsettled records", length, l.unsettled)
				}
			},
		})
	})
}

func TestWhatAnEarlierOwnerFinishedIsNotSentAgain(t *testing.T) {
	o := &Ownership{Committed: 10, Finished: []Range{{12, 14}, {17, 20}}, FinishedEpoch: 3}
	l := newLedger(o, time.Now())

	if p, ok := l.progress(); !ok || p.Next != 10 || !slices.Equal(p.Finished, o.Finished) || p.FinishedEpoch != 3 {
		t.Errorf("before anything is polled: %+v, want what was inherited", p)
	}
	var sent []int64
	var first *entry
	for offset := int64(10); offset < 19; offset++ {
		e, finished := l.track(recordAt(o, offset, 3))
		if !finished {
			sent = append(sent, offset)
		}
		if offset == 10 {
			first = e
		}
	}
	if want := []int64{10, 11, 15, 16}; !slices.Equal(sent, want) {
		t.Errorf("sends %v, want %v", sent, want)
	}
	p, _ := l.progress()
	if want := []Range{{12, 14}, {17, 18}, {19, 20}}; p.Next != 10 || !slices.Equal(p.Finished, want) {
		t.Errorf("in between: next %d, finished %v, want 10 and %v", p.Next, p.Finished, want)
	}
	l.settle(first)
	if p, _ := l.progress(); p.Next != 11 {
		t.Errorf("next %d after the head was settled, want 11", p.Next)
	}
}

func TestARecordOfANewerLeaderIsNeverSkipped(t *testing.T) {
	o := &Ownership{Committed: 10, Finished: []Range{{12, 14}}, FinishedEpoch: 3}
	l := newLedger(o, time.Now())
	for offset, epoch := range map[int64]int32{12: 4} {
		if _, finished := l.track(recordAt(o, offset, epoch)); finished {
			t.Errorf("offset %d of epoch %d was skipped; an unclean election may have put another record there", offset, epoch)
		}
	}
}

func TestARecordHandedOutTwiceIsTrackedOnce(t *testing.T) {
	o := &Ownership{Committed: -1}
	l := newLedger(o, time.Now())
	l.track(recordAt(o, 5, 1))
	again, newer := recordAt(o, 5, 1), recordAt(o, 5, 2)
	if !l.stale(&again) || l.truncated(&again) {
		t.Error("the same record again must be dropped")
	}
	if l.stale(&newer) || !l.truncated(&newer) {
		t.Error("a newer leader's record at an old offset is another record")
	}
}

func TestSettlingTwiceIsABrokenInvariant(t *testing.T) {
	l := newLedger(&Ownership{Committed: -1}, time.Now())
	e, _ := l.track(recordAt(l.owner, 1, 1))
	l.track(recordAt(l.owner, 2, 1))
	l.settle(e)
	defer func() {
		if recover() == nil {
			t.Error("no panic: a handle was settled twice unnoticed")
		}
	}()
	l.settle(e)
}

// A record may still come that the brokers have deleted, when it was on its way.
func TestAPositionBehindALossGoesBackForARecordThatComesNevertheless(t *testing.T) {
	o := &Ownership{Committed: 5, Doubt: Doubt{Since: time.Now(), Reach: 8, Held: []Range{{7, 8}}}}
	l := newLedger(o, time.Now())
	o.Gone.Store(&Range{First: 5, Last: 11})
	if !l.skip() || l.skip() || l.next != 12 {
		t.Fatalf("the position is %d, want 12 behind the loss, at once", l.next)
	}
	if d := l.doubt(time.Now()); len(d.Held) > 0 {
		t.Errorf("%v is told as held before the position, which no commit can write", d.Held)
	}
	first, _ := l.track(recordAt(o, 9, 1))
	second, _ := l.track(recordAt(o, 10, 1))
	l.settle(second)
	if p, _ := l.progress(); p.Next != 9 || !slices.Equal(p.Finished, []Range{{10, 10}}) {
		t.Errorf("next %d, finished %v, want 9, which has no fate, and 10", p.Next, p.Finished)
	}
	l.settle(first)
	if p, _ := l.progress(); p.Next != 12 || p.Epoch != -1 {
		t.Errorf("next %d of epoch %d, want 12 again, after a record of no known epoch", p.Next, p.Epoch)
	}
}

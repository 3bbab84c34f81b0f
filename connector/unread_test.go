package connector

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/leadsink/leadsink/connector/budget"
	"github.com/leadsink/leadsink/transform"
)

// unreadableCode is an engine with rows in doubt of two codes, of which 320 cannot be read.
func unreadableCode(t *testing.T) (e *engine, absent map[int]int) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	e = &engine{
		cfg: Config{DeliveryConfig: DefaultDelivery()}, now: now, rand: rand.New(rand.NewPCG(1, 1)), log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		budget: budget.New(budget.Default(), true, now), breaker: newBreaker(DefaultDelivery().Breaker), calling: context.Background(), unread: unread{},
	}
	absent = map[int]int{}
	l := newLedger(&Ownership{}, now)
	for _, code := range []int{320, 321} {
		r := &row{activity: &transform.Activity{Code: code, Marker: string(rune(code))}, entry: &entry{ledger: l}}
		e.doubts = append(e.doubts, &doubt{rows: []*row{r}, since: now, due: now, then: func(rows []*row, _ int) { absent[code] += len(rows) }})
	}
	return e, absent
}

// ask lets so much time pass, and answers every page that is asked for meanwhile.
func (e *engine) askFor(d time.Duration, answer func(code int) Outcome) (reads map[int]int) {
	reads = map[int]int{}
	for end := e.now.Add(d); e.now.Before(end); e.now = e.now.Add(time.Second) {
		e.seek()
		if s := e.search; s != nil && !s.notBefore.After(e.now) {
			s.under, s.report = true, func(Answer) {}
			code := s.queries[0].Code
			reads[code]++
			e.read(Page{Answer: Answer{Outcome: answer(code)}})
		}
	}
	return reads
}

func TestACodeThatCannotBeReadHoldsUpNoOther(t *testing.T) {
	e, absent := unreadableCode(t)
	bad := func(code int) Outcome {
		if code == 320 {
			return Fault
		}
		return Judged
	}
	reads := e.askFor(time.Minute, bad)
	if absent[321] != 1 || absent[320] != 0 || len(e.doubts) != 1 {
		t.Errorf("after a minute %d rows of the good code and %d of the bad one are absent, %d doubts wait; want 1, 0, 1", absent[321], absent[320], len(e.doubts))
	}
	for code, n := range e.askFor(7*time.Hour, bad) {
		reads[code] += n
	}
	if reads[320] > 50 || reads[321] != 1 {
		t.Errorf("%d reads of the code that cannot be read in seven hours, and %d of the other; want few, and 1", reads[320], reads[321])
	}
	e.askFor(unreadBackoff, func(int) Outcome { return Judged })
	if absent[320] != 1 || len(e.doubts) != 0 || len(e.unread) != 0 {
		t.Errorf("once it can be read %d rows are absent and %d doubts wait, want 1 and none", absent[320], len(e.doubts))
	}
}

func TestWhatFailsForAllCodesIsAskedForWithinAMinuteOfItsEnd(t *testing.T) {
	e, absent := unreadableCode(t)
	if reads := e.askFor(time.Hour, func(int) Outcome { return Unknown }); reads[320] > 70 || reads[321] > 70 {
		t.Errorf("%v reads in an hour in which all fail, want one a minute of each", reads)
	}
	e.askFor(pageBackoff+2*time.Second, func(int) Outcome { return Judged })
	if absent[320] != 1 || absent[321] != 1 {
		t.Errorf("%v are absent a minute after reads work again, want both", absent)
	}
}

func TestACodeThatFailsOnceMoreAfterAllFailedIsAskedForSoon(t *testing.T) {
	e, absent := unreadableCode(t)
	e.askFor(time.Hour, func(int) Outcome { return Unknown })
	failed := false
	e.askFor(3*time.Minute+10*time.Second, func(code int) Outcome {
		if code == 320 && !failed {
			failed = true
			return Unknown
		}
		return Judged
	})
	if absent[320] != 1 || absent[321] != 1 {
		t.Errorf("%v are absent three minutes after reads work again but for one, want both", absent)
	}
}

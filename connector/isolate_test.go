package connector

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// What a call without proof says against a row that was alone in it follows from how
// many calls of others prove nothing.
func TestARowIsBlamedAsMuchAsTheOthersFareWell(t *testing.T) {
	for _, c := range []struct {
		judged, not uint64
		want        int
	}{
		{0, 0, 0},
		{0, 7, 0}, // an outage
		{1, 0, whole / 2},
		{7, 0, whole / 2},
		{8, 0, whole},
		{15, 1, whole / 2},
		{16, 1, whole},
		{31, 2, whole / 2},
		{32, 2, whole},
		{1, 1, whole / 3},
		{3, 1, whole / 3},
		{4, 1, whole / 2},
		{7, 2, whole / 3},
		{1, 100, whole / 3},
	} {
		e := &engine{}
		r := &row{suspicion: alone}
		e.proofs = proofs{calls: c.judged, mysteries: c.not}
		if e.suspect(&call{rows: []*row{r}}, []*row{r}, false); r.blame != c.want {
			t.Errorf("%d calls of others were judged and %d not: the blame is %d, want %d", c.judged, c.not, r.blame, c.want)
		}
	}
}

// A third of all calls fails, as it has since the row's first call; that between two of
// its calls one of others went well is luck. So is it that many did, if an outage begins.
func TestARowIsBlamedLittleIfTheOthersFaredBadlyAtAnyTime(t *testing.T) {
	for _, c := range []struct {
		says          string
		before, since proofs
	}{
		{"a third fails since its first call", proofs{6, 3}, proofs{1, 0}},
		{"an outage begins", proofs{1000, 0}, proofs{1, 1}},
	} {
		e := &engine{}
		r := &row{}
		e.suspect(&call{rows: []*row{r, {}}}, []*row{r}, false)
		e.proofs = c.before
		r.last = e.proofs
		e.proofs.calls += c.since.calls
		e.proofs.mysteries += c.since.mysteries
		if e.suspect(&call{rows: []*row{r}}, []*row{r}, false); r.blame != whole/3 {
			t.Errorf("%s: the blame is %d, want %d", c.says, r.blame, whole/3)
		}
	}
}

// Once a row is blamed, the others need not go on arriving, but none may fail.
func TestARowIsBlamedThoughNobodyFollows(t *testing.T) {
	for failed, want := range map[uint64]int{0: 2 * whole, 1: whole} {
		e := &engine{proofs: proofs{calls: 20}}
		r := &row{suspicion: alone}
		e.suspect(&call{rows: []*row{r}}, []*row{r}, false)
		e.proofs.mysteries += failed
		if e.suspect(&call{rows: []*row{r}}, []*row{r}, false); r.blame != want {
			t.Errorf("%d others failed and none was judged since: the blame is %d, want %d", failed, r.blame, want)
		}
	}
}

// The first call alone of each suspected row says how the service fares; what a row that
// is blamed spoils again says nothing, and what suspects spoil in company neither.
func TestWhichCallsWithoutProofSayHowTheServiceFares(t *testing.T) {
	before := proofs{} // what was proven when the suspects were in their last calls
	for _, c := range []struct {
		says string
		rows []*row
		want uint64
	}{
		{"unsuspected", []*row{{}, {}}, 1},
		{"suspected, in company", []*row{{suspicion: 1, last: before}, {}}, 0},
		{"suspected, alone for the first time", []*row{{suspicion: alone, last: before}}, 1},
		{"blamed", []*row{{suspicion: alone, last: before, blame: 2}}, 0},
	} {
		e := &engine{proofs: proofs{calls: 1}}
		e.learn(&call{rows: c.rows}, Answer{Outcome: Unknown})
		if e.proofs.mysteries != c.want {
			t.Errorf("%s: %d calls say something about the service, want %d", c.says, e.proofs.mysteries, c.want)
		}
	}
}

// What others met before the breaker closed says nothing of the time since.
func TestARowIsBlamedAfterAnOutage(t *testing.T) {
	e := &engine{}
	r := &row{suspicion: alone}
	e.proofs.mysteries = 1000
	e.closed, r.last = e.proofs, e.proofs
	e.proofs.calls += few
	if e.suspect(&call{rows: []*row{r}}, []*row{r}, false); r.blame != whole {
		t.Errorf("the blame is %d after an outage, want %d", r.blame, whole)
	}
}

func TestTheEndOfAnOutageIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultDelivery().Breaker
		e := &engine{breaker: newBreaker(cfg), log: slog.New(slog.DiscardHandler), proofs: proofs{7, 11}}
		call := func(a Answer) {
			report, _ := e.breaker.allow()
			e.tellBreaker(t.Context(), report, a)
		}
		for range cfg.Failures {
			call(Answer{Outcome: Unknown})
		}
		open := e.closed
		time.Sleep(cfg.OpenFor + time.Second)
		if call(Answer{Outcome: Judged}); open != (proofs{}) || e.closed != e.proofs {
			t.Errorf("%v and %v are noted as where the outage ended, want nothing while it lasts, and %v", open, e.closed, e.proofs)
		}
	})
}

// A clear fault counts only where a call of others was judged since: once they are all
// turned away, it is nobody's doing.
func TestAFaultCountsOnlyIfOthersAreJudged(t *testing.T) {
	e := &engine{}
	r := &row{suspicion: alone}
	e.proofs.calls++
	for range 2 { // others are judged before the first only
		e.suspect(&call{rows: []*row{r}}, []*row{r}, true)
	}
	if r.blame != whole {
		t.Errorf("the blame is %d, want %d", r.blame, whole)
	}
}

// However badly others fare: a row that proves nothing alone while some are judged has an end.
func TestARowThatSpoilsItsCallsHasAnEndThoughOthersFareBadly(t *testing.T) {
	e := &engine{}
	r := &row{suspicion: alone}
	for n := 1; n <= 15; n++ {
		e.proofs.mysteries += 2
		e.proofs.calls++
		if e.suspect(&call{rows: []*row{r}}, []*row{r}, false); r.spent(5) != (n == 15) {
			t.Errorf("given up after %d calls alone: %t, want it after 15", n, r.spent(5))
		}
	}
	r.acquit()
	for range 100 { // an outage: nobody is judged
		e.proofs.mysteries++
		e.suspect(&call{rows: []*row{r}}, []*row{r}, false)
	}
	if r.spent(5) {
		t.Error("it is given up in an outage")
	}
}

// A probe is of another row each time, and of none that may spoil it while there are others.
func TestAProbeTakesTheLeastSuspectedRowOfFewestCalls(t *testing.T) {
	l := newLedger(&Ownership{}, time.Now())
	for _, c := range []struct {
		name string
		rows []row // each of a lane of its own; the last is the one to take
	}{
		{"less suspected", []row{{suspicion: 2}, {suspicion: 1, calls: 9, place: 3}}},
		{"in fewer calls", []row{{calls: 2}, {calls: 1, place: 3}}},
		{"older", []row{{place: 2}, {place: 1}}},
	} {
		q := newQueue()
		var last *row
		for _, r := range c.rows {
			en, _ := l.track(Record{})
			last = &r
			last.entry, last.lane = en, l.lane("", false)
			last.lane.rows = []*row{last}
			q.push(last.lane, time.Now())
		}
		if got := q.takeProbe(); len(got) != 1 || got[0] != last {
			t.Errorf("%s: another row was taken", c.name)
		}
	}
}

// A failure that is about a row says nothing about the service; in an outage, in which
// nobody is judged, every failure does.
func TestWhatARowSpoilsIsKeptFromTheBreaker(t *testing.T) {
	for judged, want := range map[uint64]Outcome{0: Unknown, 1: Missed} {
		e := &engine{cfg: Config{DeliveryConfig: DefaultDelivery()}, breaker: newBreaker(DefaultDelivery().Breaker), proofs: proofs{calls: judged}}
		var told Answer
		c := &call{rows: []*row{{suspicion: 1}}, report: func(a Answer) { told = a }}
		e.reported(c)(Answer{Outcome: Unknown})
		if told.Outcome != want {
			t.Errorf("after %d calls of others were judged the breaker is told %s, want %s", judged, told.Outcome, want)
		}
	}
}

// Many rows are suspected when an outage begins: only a few of them hide it.
func TestSuspectedRowsHideAnOutageForAFewCallsOnly(t *testing.T) {
	e := &engine{cfg: Config{DeliveryConfig: DefaultDelivery()}, breaker: newBreaker(DefaultDelivery().Breaker), proofs: proofs{calls: 1}}
	told := 0
	fails := func() {
		e.reported(&call{rows: []*row{{suspicion: 1}}, report: func(a Answer) {
			if a.Outcome == Unknown {
				told++
			}
		}})(Answer{Outcome: Unknown})
	}
	for range e.cfg.Breaker.Failures + 3 {
		fails()
	}
	if told != 3 {
		t.Errorf("the breaker is told of %d of %d failures, want 3", told, e.cfg.Breaker.Failures+3)
	}
	e.learn(&call{}, Answer{Outcome: Refused}) // somebody is judged
	if fails(); told != 3 {
		t.Error("a failure after a proof is reported")
	}
}

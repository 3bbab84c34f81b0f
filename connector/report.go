package connector

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// status is what the engine is doing now.
func (e *engine) status() Status {
	e.lookForLosses()
	s := Status{
		Name: e.cfg.Name, State: e.state(), At: e.now, Started: e.started,
		Unsettled: e.unsettled, UnsettledBytes: e.bytes,
		InFlight: e.inFlight(), Doubtful: e.doubtful(), Held: len(e.held), Reads: e.counts.reads, Stalls: e.stalls, Stalled: e.stalled,
		Records: e.counts.records, Activities: e.counts.activities, Calls: e.counts.calls,
		Breaker: e.breaker.state(), Trouble: e.trouble, TroubledAt: e.troubledAt, Account: e.checks.last, DrainETA: -1,
		DeadLetters: slices.Clone(e.obituary),
		Losses:      slices.Clone(e.losses),
		Partitions:  []PartitionStatus{},
	}
	s.Waiting = e.waiting()
	s.Fault = e.halts.words()
	if e.paused {
		s.PausedSince = e.pausedAt
	}
	if sink, tells := e.sink.(interface{ Unreached() bool }); tells {
		s.Unreached = sink.Unreached()
	}
	if s.Breaker != "closed" {
		s.BreakerSince, s.BreakerBy = e.breaker.since, e.breaker.by
	}
	if e.unready != nil {
		s.Unready = e.unready.why.Error()
	}
	for _, l := range e.ledgers {
		p := l.status()
		s.Partitions = append(s.Partitions, p)
		s.Lag += p.Lag
		for _, lane := range l.lanes {
			s.Waits += len(lane.rows)
		}
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStatus) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition) - int(b.Partition)
	})
	if s.Calls.Total > 0 {
		s.Fill = float64(e.counts.rows) / float64(s.Calls.Total*25)
	}
	s.Budget.Configured, s.Budget.Learned, s.Budget.Share = e.budget.Pace()
	s.Budget.PausedUntil = e.budget.PausedUntil(e.now)
	for _, w := range e.budget.Spent(e.now) {
		s.Budget.Windows = append(s.Budget.Windows, WindowStatus{w.Limit.String(), w.Calls})
	}
	if l := e.budget.Learned(); !l.IsZero() {
		s.Budget.LearnedLimit = l.String()
	}
	if d := e.budget.Today(e.now); d.Quota > 0 || d.Refused {
		s.Budget.Day = &DayStatus{
			Starts: d.Start.UTC(), Ends: d.End.UTC(), Calls: d.Quota, Part: d.Part, Spent: d.Spent, Left: max(0, d.Part-d.Spent), Refused: d.Refused,
		}
	}
	e.outlook(&s)
	s.Words = inWords(s) + lossesInWords(s.Losses)
	return s
}

// parkedRows reports whether rows wait for the position to move. Those that wait
// for a commit to speak of them are no trouble.
func (e *engine) parkedRows() bool {
	for _, l := range e.ledgers {
		if len(l.beyond) > 0 && l.beyond[0].offset <= l.reach && !l.refused {
			return true
		}
	}
	return false
}

// refusedRows reports whether rows wait since commits for their partition are refused.
func (e *engine) refusedRows() bool {
	for _, l := range e.ledgers {
		if l.refused && len(l.beyond) > 0 {
			return true
		}
	}
	return false
}

// doubtful is how many rows are in doubt and will be asked for.
func (e *engine) doubtful() (n int) {
	for _, d := range e.doubts {
		n += len(d.rows)
	}
	if e.search != nil {
		for _, d := range e.search.doubts {
			n += len(d.rows)
		}
	}
	return n
}

func (l *ledger) status() PartitionStatus {
	p := PartitionStatus{
		Topic: l.owner.Topic, Partition: l.owner.Partition, Committed: l.next, End: l.owner.End.Load(),
		Unsettled: l.unsettled, Finished: l.runs, Draining: l.draining,
	}
	if l.next >= 0 {
		// What the brokers deleted is no lag, but for what was read before.
		p.Lag = max(int64(l.unsettled), p.End-max(l.next, l.owner.LogStart.Load()))
		p.Todo = l.todo()
	}
	return p
}

func (e *engine) state() State {
	switch {
	case e.stopping:
		return Stopping
	case !e.joined:
		return Starting
	case e.halts.any():
		return Halted
	case e.paused:
		return Paused
	case len(e.ledgers) > 0:
		return Active
	default:
		return StandBy
	}
}

// waiting is what holds rows back now, in the words of the metrics.
func (e *engine) waiting() []string {
	waits := slices.Clone(e.next.waits)
	if len(e.drains) > 0 && !slices.Contains(waits, "drain") {
		waits = append(waits, "drain")
	}
	if e.unsettled >= e.cfg.Window || e.bytes >= int64(e.cfg.WindowBytes) {
		waits = append(waits, "credits")
	}
	if !e.issueAt.IsZero() { // the last ones could not be stored
		waits = append(waits, "receipts")
	}
	if e.search != nil || len(e.doubts) > 0 {
		waits = append(waits, "doubt")
	}
	if e.halts.any() && !slices.Contains(waits, "halted") {
		waits = append(waits, "halted") // what comes after a record, at least
	}
	if len(e.held) > 0 {
		waits = append(waits, "held")
	}
	if e.parkedRows() {
		waits = append(waits, "position")
	}
	if e.refusedRows() && !slices.Contains(waits, "commit") {
		waits = append(waits, "commit")
	}
	if e.unready != nil {
		waits = append(waits, "schema")
	}
	return waits
}

// TellKafkaTrouble adds what keeps the member from its work with Kafka, and since
// when. That comes first in the words: a member that is cut off may not know yet
// that it has lost its partitions, or that there are any.
func (s *Status) TellKafkaTrouble(why string, since time.Time) {
	if why == "" {
		return
	}
	s.KafkaTrouble, s.KafkaTroubleSince = why, since
	told := fmt.Sprintf("Trouble with Kafka since %s: %s.", clock(since), strings.TrimSuffix(why, "."))
	if s.State == StandBy || s.State == Starting {
		s.Words = told + lossesInWords(s.Losses) // whether others have the partitions is not known
		return
	}
	s.Words = told + " " + s.Words
}

// inWords says for people what the connector does and what it waits for.
func inWords(s Status) string {
	switch s.State {
	case Stopping:
		return fmt.Sprintf("Stopping: waiting for %d calls in flight and for the last commit.", s.InFlight)
	case Halted:
		return "Halted: " + s.Fault
	case Paused:
		return "Paused by an operator since " + clock(s.PausedSince) + "; nothing is sent until leadsink resume."
	case StandBy:
		return "Standing by: another member has the partitions, or none is assigned yet." + unreached(s)
	case Starting:
		return "Starting: not yet a member of the group."
	case Active:
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "Active on %d partitions, %d records behind", len(s.Partitions), s.Lag)
	if s.DrainETA > 0 {
		fmt.Fprintf(b, ", about %s at the present pace", time.Duration(s.DrainETA*float64(time.Second)).Round(time.Second))
	}
	b.WriteString(".")
	b.WriteString(unreached(s))
	if s.Behind {
		fmt.Fprintf(b, " Will not catch up: %.1f records arrive per second, and the call budget is enough for %.1f.", s.Arrivals, s.Capacity)
	}
	if n := len(s.Account.Problems); n > 0 {
		fmt.Fprintf(b, " The rules do not fit the account in %d places, the first: %s.", n, s.Account.Problems[0])
	}
	for _, w := range s.Waiting {
		switch w {
		case "slot":
			if until := s.Budget.PausedUntil; !until.IsZero() {
				fmt.Fprintf(b, " Nothing is sent until %s: calls were throttled.", until.UTC().Format("15:04:05Z"))
				continue
			}
			b.WriteString(" Waiting for the next call slot.")
		case "day":
			if d := s.Budget.Day; d != nil {
				b.WriteString(inWordsOfDay(d, s.At))
			}
		case "breaker":
			fmt.Fprintf(b, " LeadSquared fails (%s): the breaker is open since %s, and a probe follows.", s.Trouble, clock(s.BreakerSince))
		case "backoff":
			b.WriteString(" Rows wait before they go again.")
		case "credits":
			b.WriteString(" The window is full: nothing more is taken in until records have their fate.")
		case "in_flight":
			b.WriteString(" All places in flight are taken.")
		case "commit":
			b.WriteString(" Waiting for Kafka to accept a commit.")
		case "receipts":
			b.WriteString(" Waiting for Kafka to store receipts: what they are about is not committed before.")
		case "doubt":
			fmt.Fprintf(b, " %d activities may have been created: LeadSquared is asked for them before they are sent again.", s.Doubtful)
		case "held":
			fmt.Fprintf(b, " %d activities may have been created and are held until an operator decides (leadsink held).", s.Held)
		case "position":
			b.WriteString(" Records far beyond the oldest one without a fate wait for it: a commit could not tell them apart.")
		case "schema":
			fmt.Fprintf(b, " Records wait until they can be decoded (%s).", s.Unready)
		case "drain":
			b.WriteString(" Draining partitions that another member takes over.")
		}
	}
	return b.String()
}

func unreached(s Status) string {
	if s.Unreached {
		return " LeadSquared has not been reached since the start."
	}
	return ""
}

// clock is a moment as people read it.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// inWordsOfDay says what rows wait for when it is the day's calls.
func inWordsOfDay(d *DayStatus, now time.Time) string {
	ends := d.Ends.Format("2006-01-02 15:04Z")
	switch {
	case d.Refused:
		return fmt.Sprintf(" LeadSquared says that the day's calls are spent; a call every quarter of an hour finds out when they are not, at %s at the latest.", ends)
	case d.Left == 0:
		return fmt.Sprintf(" The day's calls are spent; the next day begins at %s.", ends)
	case d.Starts.After(now), d.Ends.Sub(now) < time.Minute:
		return " Waiting for the turn of the day."
	}
	return fmt.Sprintf(" %d of the day's %d calls are left, for live records or for an even pace until %s.", d.Left, d.Part, ends)
}

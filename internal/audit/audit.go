// Package audit judges a run of leadsink by evidence from outside of it: what
// the topics hold, what LeadSquared created, what was buried and what was
// committed. It does no I/O and knows none of leadsink's own counters, so a
// fault of the engine cannot hide itself here.
package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Record is a record of a source topic that becomes exactly one activity, or
// one dead letter.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	ID        string // of its own: activities and dead letters are told apart by it
	Lead      string
	Dead      bool // LeadSquared never takes it, so it must be buried
}

// An Activity is one that LeadSquared holds.
type Activity struct {
	ID   string // of the record
	Lead string
	Seq  int // when it was created, among all; equal ones were created in the order in which they stand
}

// A Range is what is finished beyond a committed offset, both ends included.
type Range struct{ First, Last int64 }

// A Position is what a group has committed for a partition.
type Position struct {
	Topic     string
	Partition int32
	Next      int64 // everything before it is finished, and
	Finished  []Range
}

// Evidence is what was seen. Where it was gathered while the run went on, the
// positions must have been read before the activities and the letters, and the
// records last: what is committed then must be in what was read afterwards.
type Evidence struct {
	Records    []Record
	Activities []Activity
	Letters    []string // ids of the records in the dead-letter topic; one may be there several times
	Positions  []Position
	MayTwice   int // activities that may be there beyond the first of their record
}

// A Report is what the evidence shows. Its numbers count records, but for Twice,
// which counts activities beyond the first of their record.
type Report struct {
	Records, Delivered, Dead int

	Lost   int // neither created nor dead
	Twice  int
	Both   int // created and dead
	Wrong  int // dead instead of created, created instead of dead, or created for another lead
	Early  int // committed without an activity or a dead letter
	Order  int // first created before an earlier record of the same lead and partition
	Strays int // activities and letters of no record, and records that share an id

	// Findings say what is wrong, one text for each kind, with a few examples.
	Findings []string
}

// Check looks for everything. It is for the end of a run, when all must be finished.
func Check(e Evidence) Report {
	l := newLedger(e)
	l.fates(e.MayTwice)
	l.order()
	l.commits(e.Positions)
	return l.report
}

// CheckCommits looks only for commits that came too early, which can be seen
// only while a run goes on: in the end a record that was skipped for a while
// looks like any other.
func CheckCommits(e Evidence) Report {
	l := newLedger(e)
	l.commits(e.Positions)
	return l.report
}

// A ledger is the evidence by record.
type ledger struct {
	records []Record // by topic, partition and offset
	created map[string]*creations
	letters map[string]int
	report  Report
}

// creations are the activities of one record.
type creations struct {
	count int
	first int // the place of the first among all activities
	lead  string
}

func newLedger(e Evidence) *ledger {
	l := &ledger{records: slices.Clone(e.Records), created: map[string]*creations{}, letters: map[string]int{}}
	slices.SortFunc(l.records, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	activities := slices.Clone(e.Activities)
	slices.SortStableFunc(activities, func(a, b Activity) int { return cmp.Compare(a.Seq, b.Seq) })
	for i, a := range activities {
		c := l.created[a.ID]
		if c == nil {
			c = &creations{first: i, lead: a.Lead}
			l.created[a.ID] = c
		}
		c.count++
	}
	for _, id := range e.Letters {
		l.letters[id]++
	}
	l.report.Records = len(l.records)
	return l
}

// fates compares where each record ended with where it had to.
func (l *ledger) fates(mayTwice int) {
	var lost, twice, both, wrong, stray examples
	known := make(map[string]bool, len(l.records))
	for _, r := range l.records {
		if known[r.ID] {
			stray.add("%s, which is not the only record of its id", r)
			continue
		}
		known[r.ID] = true
		c, letters := l.created[r.ID], l.letters[r.ID]
		switch {
		case c == nil && letters == 0:
			lost.add("%s", r)
		case c != nil && letters > 0:
			both.add("%s", r)
		case c != nil && r.Dead:
			wrong.add("%s was created and had to be dead", r)
		case c == nil && !r.Dead:
			wrong.add("%s is dead and had to be created", r)
		case c != nil && c.lead != r.Lead:
			wrong.add("%s was created for the lead %q instead of %q", r, c.lead, r.Lead)
		case r.Dead:
			l.report.Dead++
		default:
			l.report.Delivered++
		}
		if c != nil && c.count > 1 {
			l.report.Twice += c.count - 1
			twice.add("%s %d times", r, c.count)
		}
	}
	l.strays(known, &stray)
	l.report.Lost, l.report.Both, l.report.Wrong, l.report.Strays = lost.count, both.count, wrong.count, stray.count
	l.found(&lost, "lost: %d records were neither created nor buried", lost.count)
	if l.report.Twice > mayTwice {
		l.found(&twice, "created twice: %d activities beyond the first of their record, at most %d are allowed", l.report.Twice, mayTwice)
	}
	l.found(&both, "created and dead: %d records", both.count)
	l.found(&wrong, "wrong fate: %d records", wrong.count)
	l.found(&stray, "of no single record: %d cases", stray.count)
}

// strays looks for what no record explains: evidence that does not fit together
// must not pass for a clean run.
func (l *ledger) strays(known map[string]bool, found *examples) {
	var ids []string
	for id := range l.created {
		if !known[id] {
			ids = append(ids, fmt.Sprintf("the activity %q", id))
		}
	}
	for id := range l.letters {
		if !known[id] {
			ids = append(ids, fmt.Sprintf("the dead letter %q", id))
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		found.add("%s", id)
	}
}

// order compares the first creations of each lead's records with their offsets.
// Later creations may come at any time: the order of a record is its first's.
func (l *ledger) order() {
	type lane struct {
		topic     string
		partition int32
		lead      string
	}
	last := map[lane]Record{}
	var found examples
	for _, r := range l.records {
		c := l.created[r.ID]
		if c == nil {
			continue
		}
		at := lane{r.Topic, r.Partition, r.Lead}
		before, ok := last[at]
		if ok && c.first < l.created[before.ID].first {
			found.add("%s of lead %q was created before %s", r, r.Lead, before)
			continue
		}
		last[at] = r
	}
	l.report.Order = found.count
	l.found(&found, "out of order: %d records", found.count)
}

// commits looks for records that a position says are finished, and that are not.
func (l *ledger) commits(positions []Position) {
	type partition struct {
		topic string
		index int32
	}
	of := map[partition]Position{}
	for _, p := range positions {
		of[partition{p.Topic, p.Partition}] = p
	}
	var found examples
	for _, r := range l.records {
		if l.created[r.ID] != nil || l.letters[r.ID] > 0 {
			continue
		}
		p, ok := of[partition{r.Topic, r.Partition}]
		if !ok {
			continue
		}
		if r.Offset < p.Next {
			found.add("%s lies before the committed offset %d", r, p.Next)
			continue
		}
		for _, f := range p.Finished {
			if f.First <= r.Offset && r.Offset <= f.Last {
				found.add("%s lies in the finished range %d to %d", r, f.First, f.Last)
				break
			}
		}
	}
	l.report.Early = found.count
	l.found(&found, "committed early: %d records without an activity or a dead letter", found.count)
}

// found adds a finding, if there are examples of it.
func (l *ledger) found(of *examples, format string, args ...any) {
	if of.count == 0 {
		return
	}
	text := fmt.Sprintf(format, args...) + ": " + strings.Join(of.texts, "; ")
	if more := of.count - len(of.texts); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	l.report.Findings = append(l.report.Findings, text)
}

// maxExamples bounds a finding's text, however much is wrong.
const maxExamples = 5

type examples struct {
	count int
	texts []string
}

func (x *examples) add(format string, args ...any) {
	if x.count++; len(x.texts) < maxExamples {
		x.texts = append(x.texts, fmt.Sprintf(format, args...))
	}
}

func (r Record) String() string {
	return fmt.Sprintf("%s (%s[%d] offset %d)", r.ID, r.Topic, r.Partition, r.Offset)
}

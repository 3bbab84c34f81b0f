package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/leadsink/leadsink/internal/audit"
)

// clean is a run without a fault: two partitions of four records each, of two
// leads, the last of each partition dead.
func clean() audit.Evidence {
	var e audit.Evidence
	for p := range int32(2) {
		for o := range int64(4) {
			r := audit.Record{Topic: "t", Partition: p, Offset: o, ID: fmt.Sprintf("r%d.%d", p, o), Lead: fmt.Sprintf("lead-%d", o%2), Dead: o == 3}
			e.Records = append(e.Records, r)
			if r.Dead {
				e.Letters = append(e.Letters, r.ID)
				continue
			}
			e.Activities = append(e.Activities, audit.Activity{ID: r.ID, Lead: r.Lead, Seq: len(e.Activities)})
		}
		e.Positions = append(e.Positions, audit.Position{Topic: "t", Partition: p, Next: 4})
	}
	return e
}

// drop forgets the activity and the letter of a record.
func drop(e *audit.Evidence, id string) {
	e.Activities = slices.DeleteFunc(e.Activities, func(a audit.Activity) bool { return a.ID == id })
	e.Letters = slices.DeleteFunc(e.Letters, func(l string) bool { return l == id })
}

func TestACleanRunGivesNoFindings(t *testing.T) {
	want := audit.Report{Records: 8, Delivered: 6, Dead: 2}
	if diff := cmp.Diff(want, audit.Check(clean())); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsHarmlessGivesNoFindings(t *testing.T) {
	for name, harmless := range map[string]func(*audit.Evidence){
		"evidence in any order": func(e *audit.Evidence) {
			slices.Reverse(e.Records)
			slices.Reverse(e.Activities)
			slices.Reverse(e.Positions)
		},
		"activities without numbers, in order": func(e *audit.Evidence) {
			for i := range e.Activities {
				e.Activities[i].Seq = 0
			}
		},
		"a letter that is there twice": func(e *audit.Evidence) { e.Letters = append(e.Letters, "r0.3") },
		"a repetition that is allowed, later than what followed": func(e *audit.Evidence) {
			e.Activities = append(e.Activities, audit.Activity{ID: "r0.0", Lead: "lead-0", Seq: 99})
			e.MayTwice = 1
		},
		"no order between leads": func(e *audit.Evidence) { e.Activities[0].Seq, e.Activities[1].Seq = 1, 0 },
		"no order between partitions": func(e *audit.Evidence) {
			for i := range e.Activities[:3] {
				e.Activities[i].Seq += 100
			}
		},
		"a position of a partition without records": func(e *audit.Evidence) {
			e.Positions = append(e.Positions, audit.Position{Topic: "t", Partition: 7, Next: 100})
		},
		"nothing committed": func(e *audit.Evidence) { e.Positions = nil },
	} {
		t.Run(name, func(t *testing.T) {
			e := clean()
			harmless(&e)
			if got := audit.Check(e).Findings; len(got) > 0 {
				t.Errorf("findings %q", got)
			}
		})
	}
}

func TestEveryKindOfDoctoredEvidenceIsCaught(t *testing.T) {
	for name, test := range map[string]struct {
		doctor func(*audit.Evidence)
		says   []string // phrases of the findings, one for each
		counts audit.Report
	}{
		"a lost record": {
			func(e *audit.Evidence) { drop(e, "r0.1"); e.Positions = nil },
			[]string{"lost: 1 records"},
			audit.Report{Delivered: 5, Dead: 2, Lost: 1},
		},
		"a lost dead letter": {
			func(e *audit.Evidence) { drop(e, "r1.3"); e.Positions = nil },
			[]string{"lost: 1 records"},
			audit.Report{Delivered: 6, Dead: 1, Lost: 1},
		},
		"a repetition": {
			func(e *audit.Evidence) {
				e.Activities = append(e.Activities, audit.Activity{ID: "r0.0", Lead: "lead-0", Seq: 99})
			},
			[]string{"created twice: 1 activities"},
			audit.Report{Delivered: 6, Dead: 2, Twice: 1},
		},
		"more repetitions than allowed": {
			func(e *audit.Evidence) {
				for range 3 {
					e.Activities = append(e.Activities, audit.Activity{ID: "r0.0", Lead: "lead-0", Seq: 99})
				}
				e.MayTwice = 2
			},
			[]string{"created twice: 3 activities beyond the first of their record, at most 2"},
			audit.Report{Delivered: 6, Dead: 2, Twice: 3},
		},
		"created and buried": {
			func(e *audit.Evidence) { e.Letters = append(e.Letters, "r0.0") },
			[]string{"created and dead: 1 records"},
			audit.Report{Delivered: 5, Dead: 2, Both: 1},
		},
		"created instead of buried": {
			func(e *audit.Evidence) {
				drop(e, "r0.3")
				e.Activities = append(e.Activities, audit.Activity{ID: "r0.3", Lead: "lead-1", Seq: 99})
			},
			[]string{"wrong fate: 1 records"},
			audit.Report{Delivered: 6, Dead: 1, Wrong: 1},
		},
		"buried instead of created": {
			func(e *audit.Evidence) { drop(e, "r0.0"); e.Letters = append(e.Letters, "r0.0") },
			[]string{"wrong fate: 1 records"},
			audit.Report{Delivered: 5, Dead: 2, Wrong: 1},
		},
		"created for another lead": {
			func(e *audit.Evidence) { e.Activities[0].Lead = "lead-7" },
			[]string{"wrong fate: 1 records"},
			audit.Report{Delivered: 5, Dead: 2, Wrong: 1},
		},
		"an offset committed early": {
			func(e *audit.Evidence) { drop(e, "r1.2") },
			[]string{"lost: 1 records", "committed early: 1 records"},
			audit.Report{Delivered: 5, Dead: 2, Lost: 1, Early: 1},
		},
		"a range committed early": {
			func(e *audit.Evidence) {
				drop(e, "r1.2")
				e.Positions[1] = audit.Position{Topic: "t", Partition: 1, Next: 1, Finished: []audit.Range{{First: 2, Last: 3}}}
			},
			[]string{"lost: 1 records", "committed early: 1 records"},
			audit.Report{Delivered: 5, Dead: 2, Lost: 1, Early: 1},
		},
		"records of a lead out of order": {
			func(e *audit.Evidence) { e.Activities[0].Seq, e.Activities[2].Seq = 2, 0 },
			[]string{"out of order: 1 records"},
			audit.Report{Delivered: 6, Dead: 2, Order: 1},
		},
		"an activity and a letter of no record": {
			func(e *audit.Evidence) {
				e.Activities = append(e.Activities, audit.Activity{ID: "nobody's"})
				e.Letters = append(e.Letters, "nobody's either")
			},
			[]string{"of no single record: 2 cases"},
			audit.Report{Delivered: 6, Dead: 2, Strays: 2},
		},
		"a record that was produced twice": {
			func(e *audit.Evidence) {
				again := e.Records[3]
				again.Offset = 9
				e.Records = append(e.Records, again)
			},
			[]string{"of no single record: 1 cases"},
			audit.Report{Delivered: 6, Dead: 2, Strays: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := clean()
			test.doctor(&e)
			got := audit.Check(e)
			if len(got.Findings) != len(test.says) {
				t.Fatalf("findings %q, want %d", got.Findings, len(test.says))
			}
			for i, phrase := range test.says {
				if !strings.Contains(got.Findings[i], phrase) {
					t.Errorf("finding %q does not say %q", got.Findings[i], phrase)
				}
			}
			test.counts.Records, test.counts.Findings = len(e.Records), got.Findings
			if diff := cmp.Diff(test.counts, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASampleIsJudgedByItsCommitsAlone(t *testing.T) {
	e := clean()
	// The run goes on: r1.2 and r1.3 are in flight, and nothing says otherwise.
	drop(&e, "r1.2")
	drop(&e, "r1.3")
	e.Positions[1].Next = 2
	if got := audit.CheckCommits(e); len(got.Findings) > 0 {
		t.Errorf("findings %q", got.Findings)
	}
	e.Positions[1].Finished = []audit.Range{{First: 3, Last: 3}}
	got := audit.CheckCommits(e)
	if got.Early != 1 || len(got.Findings) != 1 || !strings.Contains(got.Findings[0], "committed early: 1 records") ||
		!strings.Contains(got.Findings[0], "r1.3 (t[1] offset 3) lies in the finished range 3 to 3") {
		t.Errorf("%+v", got)
	}
}

func TestAFindingNamesAFewExamples(t *testing.T) {
	var e audit.Evidence
	for o := range int64(10_000) {
		e.Records = append(e.Records, audit.Record{Topic: "t", Offset: o, ID: fmt.Sprintf("r%d", o)})
	}
	got := audit.Check(e)
	if got.Lost != 10_000 || len(got.Findings) != 1 {
		t.Fatalf("%d lost, findings %q", got.Lost, got.Findings)
	}
	text := got.Findings[0]
	if !strings.Contains(text, "r4 (t[0] offset 4); and 9995 more") || len(text) > 300 {
		t.Errorf("the finding reads %q", text)
	}
}

//go:build breakages

package connector_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A breakage is a change of one place that breaks an invariant, and the test
// that must notice. It is put in with go test -overlay, so that the code itself
// carries no switches for it.
type breakage struct {
	name     string
	file     string // from the module's root
	old, new string // old stands exactly once in the file
	in       string // the package of the test
	test     string // the test that fails
	says     string // what its own assertion says
}

// TestEveryBreakageIsCaught is the command make breakages.
func TestEveryBreakageIsCaught(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range slices.Concat(invariantBreakages, engineBreakages, partBreakages) {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			overlay := b.overlay(t, root)
			cmd := exec.CommandContext(t.Context(), "go", "test", "-tags=synctests", "-vet=off", "-count=1", "-timeout=5m",
				"-overlay="+overlay, "-run=^"+b.test+"$", b.in)
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			said := string(out)
			switch {
			case err == nil:
				t.Errorf("%s passes although the code is broken", b.test)
			case strings.Contains(said, "[build failed]") || strings.Contains(said, "[setup failed]"):
				t.Errorf("the breakage does not compile:\n%s", said)
			case strings.Contains(said, "test timed out"):
				t.Errorf("%s ran out of time instead of failing in an assertion", b.test)
			case !strings.Contains(said, "--- FAIL: "+b.test):
				t.Errorf("something else than %s failed:\n%s", b.test, assertions(said))
			case !strings.Contains(said, b.says):
				t.Errorf("%s failed, but not in the assertion %q:\n%s", b.test, b.says, assertions(said))
			}
		})
	}
}

// assertions are the first lines that tests have said themselves.
func assertions(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		if strings.Contains(line, "_test.go:") && len(lines) < 20 {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// overlay writes the broken file and the overlay that puts it in.
func (b *breakage) overlay(t *testing.T, root string) string {
	t.Helper()
	path := filepath.Join(root, b.file)
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(code), b.old); n != 1 {
		t.Fatalf("%q stands %d times in %s, want once", b.old, n, b.file)
	}
	dir := t.TempDir()
	broken := filepath.Join(dir, filepath.Base(b.file))
	overlay := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{broken: strings.Replace(string(code), b.old, b.new, 1), overlay: string(text)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return overlay
}

const (
	ledgerModel = "TestALedgerCommitsWhatAListOfFlagsWouldCommit"
	inScenarios = "TestEngineKeepsItsInvariantsInRandomScenarios"
	inAudit     = "TestAnAuditOfMembersThatCrashAndAreCutOffFindsNothing"
)

// invariantBreakages has at least one for each invariant of the package's doc.
var invariantBreakages = []breakage{
	{
		"1 the position passes an unsettled record", "connector/ledger.go",
		"for l.front != nil && l.front.settled {", "for l.front != nil && (l.front.settled || l.front.next != nil && l.front.next.settled) {",
		"./connector", ledgerModel, "which has no fate",
	},
	{
		"1 a finished range reaches over an unsettled record", "connector/ledger.go",
		"if p := e.prev; p != nil && p.settled {", "if p := e.prev; p != nil && (p.settled || p.prev != nil && p.prev.settled) {",
		"./connector", ledgerModel, "finished ranges hold",
	},
	{
		"1 inherited ranges are lost by the first commit", "connector/ledger.go",
		"r.First <= r.Last {\n			p.Finished", "r.First > r.Last {\n			p.Finished",
		"./connector", "TestWhatAnEarlierOwnerFinishedIsNotSentAgain", "want what was inherited",
	},
	{
		"2 a letter that was not stored counts as stored", "connector/bury.go",
		"if i >= len(errs) || errs[i] != nil {", "if i >= len(errs) {",
		"./connector", "TestARecordIsDeadOnlyOnceItsLetterIsStored", "is committed although its letter is not stored",
	},
	{
		"2 a refused row counts as delivered", "connector/settle.go",
		"e.dead(r, refusalReason(r, Answer{Message: v.Message}), v.Message)", "e.finish(r)",
		"./connector", inScenarios, "invariant 2",
	},
	{
		"3 a lead has more than one lane", "connector/lane.go",
		"	if !ordered {\n", "	if true {\n",
		"./connector", inScenarios, "invariant 3",
	},
	{
		"4 more is taken in than the window has room for", "connector/intake.go",
		"e.cfg.Window - e.unsettled", "e.cfg.Window",
		"./connector", "TestTheWindowBoundsWhatIsTakenIn", "in a window of",
	},
	{
		"4 a call gives its place back before it is recorded", "connector/decide.go",
		"case e.inFlight() >= e.cfg.InFlight:", "case e.sending >= e.cfg.InFlight:",
		"./connector", "TestACallKeepsItsPlaceUntilACommitRecordsIt", "calls while no commit was accepted",
	},
	{
		"5 a draining partition goes on sending", "connector/ownership.go",
		"			l.draining = true\n", "",
		"./connector", "TestNothingNewIsSentForAPartitionThatIsRevoked", "invariant 5",
	},
	{
		"5 a bisection goes on for a partition that is revoked", "connector/bisection.go",
		"	if ending(rows) {\n		e.goAgain(rows, time.Time{}) // to those", "	if false {\n		e.goAgain(rows, time.Time{}) // to those",
		"./connector", "TestABisectionUnderWaySendsNothingMoreForAPartitionThatIsRevoked", "invariant 5",
	},
	{
		"5 an answer after the end of its ownership is taken in", "connector/ownership.go",
		"	l.gone = true\n", "",
		"./connector", inScenarios, "are charged",
	},
	{
		"6 verdicts are given to other rows", "connector/settle.go",
		"			v = a.Verdicts[i]\n", "			v = a.Verdicts[len(a.Verdicts)-1-i]\n",
		"./connector", inScenarios, "its letter is not stored",
	},
	{
		"6 rows are believed by position", "connector/leadsquared/rows.go",
		"verdicts[number-1] = o.verdict()", "verdicts[slices.Index(seen, false)%n] = o.verdict()",
		"./connector/leadsquared", "TestVerdictsGoByRowNumberNotByPosition", "answer_test.go",
	},
	{
		"7 slots stand as close as the limit says", "connector/budget/schedule.go",
		"float64(l.Window+guard)", "float64(l.Window)",
		"./connector/budget", "TestNoWindowIsExceededAndNearlyAllOfItIsUsed", "calls in a window of",
	},
	{
		"7 slots that have passed are made up for", "connector/budget/budget.go",
		"from = at.Add(-b.lateness())", "from = at.Add(-time.Minute)",
		"./connector/budget", "TestMissedSlotsAreNotMadeUpFor", "at once after three idle seconds",
	},
	{
		"7 members use the same slots", "connector/budget/schedule.go",
		"for !s.mine[int(k%int64(s.turns))] {", "for false {",
		"./connector/budget", "TestMembersThatShareTheSlotsStayUnderTheLimitTogether", "calls in 5 s",
	},
	{
		"7 a clock that is set moves the slots at once", "connector/budget/budget.go",
		"case apart > b.cfg.Guard/2:", "case apart > 1000*time.Hour:",
		"./connector/budget", "TestAStepOfTheWallClockPutsSlotsNoNearerToEachOther", "after a step of",
	},
	{
		"7 a call is written however late it is", "connector/leadsquared/conns.go",
		"	if w.late() {\n", "	if false {\n",
		"./connector", "TestACallThatIsHeldUpBetweenItsSlotAndItsConnectionIsNotSent", "want calls that missed their slot",
	},
	{
		"7 a slot is used by a connection that has to be dialled", "connector/send.go",
		"if e.budget.Limited() && !e.sink.Ready() {", "if false {",
		"./connector", "TestTrapColdConnection", "took a slot without a connection",
	},
	{
		"7 members keep the turns that they had before partitions were added", "connector/kafka/turns.go",
		"changed = changed || now[o.Ownership] != o.turn", "changed = changed && now[o.Ownership] != o.turn",
		"./connector", "TestPartitionsThatAreAddedExceedNoWindowAndLoseNoSlots", "members share",
	},
	{
		"7 what a set clock leaves behind is not translated", "connector/budget/budget.go",
		"		b.calls.shift(step)\n", "",
		"./connector/budget", "TestAStepOfTheWallClockShortensNoPauseAndForgetsNoLimit", "calls in a window of a learned",
	},
	{
		"7 a reservation that failed is not made again", "connector/budget/day.go",
		"return failed || !d.used", "return failed && false || !d.used",
		"./connector/budget", "TestAReservationThatACommitFailedToMakeIsMadeAgain", "no commit is asked for",
	},
	{
		"7 a learned limit is not kept", "connector/budget/learn.go",
		"	if l.limit.IsZero() {\n		return at\n	}\n", "	if at.Unix() > 0 {\n		return at\n	}\n",
		"./connector/budget", "TestAThrottlingAnswerThatNamesTheLimitSetsThePace", "calls in 5 s at the learned pace",
	},
	{
		"7 a pause ends with the window, not with the guard", "connector/budget/budget.go",
		"pause := max(window+b.cfg.Guard, r.RetryAfter)", "pause := max(window/2, r.RetryAfter)",
		"./connector/budget", "TestAThrottlingAnswerThatNamesTheLimitSetsThePace", "want the window and the guard",
	},
	{
		"7 what earlier owners reserved of the day is forgotten", "connector/kafka/rebalance.go",
		"o.Finished, o.FinishedEpoch, o.Doubt, o.Day = m.Finished, m.FinishedEpoch, m.Doubt, m.Day", "o.Finished, o.FinishedEpoch, o.Doubt = m.Finished, m.FinishedEpoch, m.Doubt",
		"./connector", "TestADaysQuotaIsSpentAndNeverExceededOverKills", "calls in the day",
	},
	{
		"7 calls of the day are spent before a commit reserves them", "connector/budget/day.go",
		"		r.reserved++\n", "		r.reserved++\n		r.granted++\n",
		"./connector", "TestCallsOfADayAreReservedBeforeTheyAreSpent", "calls while no commit was accepted",
	},
	{
		"7 calls are sent while the day turns", "connector/budget/day.go",
		"			return turn.Add(d.margin)\n", "			return at\n",
		"./connector/budget", "TestNothingIsSentNearTheTurnOfTheDay", "from the turn of the day",
	},
	{
		"8 calls outlive Run", "connector/engine.go",
		"for ; e.sending > 0; e.sending-- {", "for ; e.sending > 1000; e.sending-- {",
		"./connector", inScenarios, "invariant 8",
	},
	{
		"9 an answer that echoes the keys is passed on", "connector/leadsquared/keys.go",
		"text = r.Replace(strings.ToValidUTF8(text, \"\\ufffd\"))", "text = strings.ToValidUTF8(text, \"\\ufffd\")",
		"./connector/leadsquared", "TestNoMessageHoldsAKey", "client_test.go",
	},
	{
		"10 LeadSquared is asked before a late call can have been applied", "connector/doubt.go",
		"since: earliest(rows), due: e.now.Add(e.cfg.ReconcileAfter),", "since: earliest(rows), due: e.now,",
		"./connector", "TestLeadSquaredIsAskedNoSoonerThanReconcileAfter", "want none before 14 s",
	},
	{
		"10 what was found is sent again", "connector/doubt.go",
		"if !found[r.activity.Marker] {", "if true {",
		"./connector", "TestRowsInDoubtAreAskedForBeforeTheyAreSentAgain", "created twice",
	},
	{
		"10 what an earlier owner may have sent is sent at once", "connector/doubt.go",
		"	case asked: // Invariant 10\n", "	case asked && e.stopping:\n",
		"./connector", "TestACrashWithAMarkerDoublesNothing", "were created twice",
	},
	{
		"10 what a commit says of doubts is not read back", "connector/kafka/rebalance.go",
		"o.Finished, o.FinishedEpoch, o.Doubt, o.Day = m.Finished, m.FinishedEpoch, m.Doubt, m.Day", "o.Finished, o.FinishedEpoch, o.Day = m.Finished, m.FinishedEpoch, m.Day",
		"./connector", "TestACrashWithAMarkerDoublesNothing", "rows in doubt inherited",
	},
	{
		"10 records are sent that no commit speaks of", "connector/ownership.go",
		"		l.reach, l.reachEpoch = -1, -1\n", "",
		"./connector", "TestWithAMarkerNothingIsSentThatNoCommitSpeaksOf", "no commit says that it may have been",
	},
	{
		"10 pages that do not belong together are believed", "connector/search.go",
		"if p.Total != s.total || !more && s.total >= 0 && s.rows != s.total {", "if false {",
		"./connector", "TestPagesThatDoNotBelongTogetherAreReadAgain", "to be read again",
	},
	{
		"10 a refused call is split without asking what it has created", "connector/bisection.go",
		"case len(c.rows) > 1 && e.marked() && !e.kinds[a.kind()].nothing:", "case false:",
		"./connector", "TestWhatARefusedCallHasCreatedIsFoundFirst", "created twice",
	},
	{
		"2 a bisection buries the half that it has not sent", "connector/bisection.go",
		"		e.split(p.bisection, rest)\n", "		e.deadAll(p.bisection, rest)\n",
		"./connector", "TestARefusedCallFindsItsBadRowWithinNineFurtherCalls", "want 24 in 10 at most",
	},
	{
		"10 held rows are sent after a restart", "connector/doubt.go",
		"case held && e.holds():", "case held && e.stopping:",
		"./connector", "TestHeldRowsWaitForAnOperatorThroughARestart", "held and",
	},
	{
		"5 a lease does not end", "connector/kafka/lease.go",
		"if left = l.length - age(l.sent, time.Now()); left <= 0 {", "if left = l.length - age(l.sent, time.Now()); left <= -24*time.Hour {",
		"./connector/kafka", "TestALeaseRunsFromWhenTheRequestWasSentAndIsOverForGood", "lease_test.go",
	},
	{
		"2 a record is mapped though its schema cannot be had", "connector/intake.go",
		"if err := in.mapper.Prepare(ctx, &r.Record); err != nil {", "if err := in.mapper.Prepare(ctx, &r.Record); err == ctx.Err() && err != nil {",
		"./connector", "TestARegistryThatIsDownLosesNothing", "want nothing, and to wait for a schema",
	},
	{
		"a record of a lost partition is waited for", "connector/intake.go",
		"if e.unready != nil && e.ledgers[e.unready.owner] == nil {", "if e.unready != nil && e.ledgers[e.unready.owner] == nil && e.stopping {",
		"./connector", "TestARecordOfALostPartitionIsNotWaitedFor", "want the other partition to go on",
	},
	{
		"11 a receipt that was not stored counts as stored", "connector/receipt.go",
		"if len(errs) == 0 || errs[0] != nil {", "if len(errs) == 0 {",
		"./connector", "TestWhatIsCommittedHasItsReceiptAndALostTopicHoldsDeliveryUp", "is committed without its receipt",
	},
	{
		"9 a span shows the query with the keys", "connector/leadsquared/trace.go",
		"Path: req.URL.Path}", "Path: req.URL.Path, RawQuery: req.URL.RawQuery}",
		"./connector/leadsquared", "TestASpanShowsNoKeyWhateverBecomesOfTheCall", "the span shows",
	},
	{
		"the audit: a record is lost", "connector/settle.go",
		"		e.dead(r, refusalReason(r, Answer{Message: v.Message}), v.Message)\n", "		e.finish(r)\n",
		"./connector", inAudit, "lost:",
	},
	{
		"the audit: an activity is created twice", "connector/search.go",
		"			s.found[m] = true // however the pages go on\n", "",
		"./connector", inAudit, "created twice:",
	},
	{
		"the audit: a commit comes early", "connector/ledger.go",
		"for l.front != nil && l.front.settled {", "for l.front != nil && (l.front.settled || l.front.next != nil && l.front.next.settled) {",
		"./connector", inAudit, "committed early:",
	},
	{
		"the audit: a lead's order is broken", "connector/lane.go",
		"	if !ordered {\n", "	if true {\n",
		"./connector", inAudit, "out of order:",
	},
}

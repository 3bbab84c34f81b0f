//go:build breakages

package connector_test

const (
	oneSpoils     = "TestARowThatSpoilsItsCallsIsIsolatedAndItsNeighboursAreCreated/resend_failed_quiet_false"
	unreadable    = "TestACodeThatCannotBeReadHoldsUpNoOther"
	perPosition   = "TestEachPositionOfACommitIsJudgedByItself"
	withinSpan    = "TestNoFurtherRowOfALeadGoesBeyondWhatACommitCanDescribe"
	beyondSpan    = "TestNoRowIsSentBeyondWhatACommitCanDescribe"
	kindOfRefusal = "TestWhatARefusedCallStoresIsConcludedForItsKindOfRefusalOnly"
	firewall      = "TestARowThatAFirewallTurnsAwayIsFoundAndTheOthersGoOn"
	haltOfARecord = "TestAHaltForARecordStopsWhatComesAfterItAndNothingBefore"
)

// engineBreakages are of what the engine decides besides the invariants.
var engineBreakages = []breakage{
	{
		"order: the newest rows go first", "connector/lane.go",
		"return a.rows[a.out].place < b.rows[b.out].place", "return a.rows[a.out].place > b.rows[b.out].place",
		"./connector", "TestThePositionFollowsTheOldestRecordClosely", "were created beyond the positions",
	},
	{
		"span: rows are sent that no commit can describe", "connector/ledger.go",
		"near := span == 0 ||", "near := span >= 0 ||",
		"./connector", beyondSpan, "were sent, want up to",
	},
	{
		"span: a further row of a lead is sent that no commit can describe", "connector/lane.go",
		"return !next.notBefore.After(now) && l.ledger.maySend(next.entry)", "return !next.notBefore.After(now)",
		"./connector", withinSpan, "want those of the first",
	},
	{
		"span: held records are not reckoned with", "connector/ledger.go",
		"		span /= 2\n", "",
		"./connector", withinSpan, "want those of the first",
	},
	{
		"span: what waits for the position waits for ever", "connector/settle.go",
		"		e.queue.unpark(l, e.now) // the position moved, and what may be sent with it\n", "",
		"./connector", beyondSpan, "records delivered",
	},
	{
		"commits: a refused one counts as accepted", "connector/commit.go",
		"if i >= len(errs) || errs[i] != nil {", "if i >= len(errs) {",
		"./connector", perPosition, "that was refused is recorded",
	},
	{
		"commits: a refused one holds up all others", "connector/commit.go",
		"if l.next >= 0 && !l.retryAt.After(e.now) && wanted(l) {", "if !l.retryAt.IsZero() {\n			return nil\n		}\n		if l.next >= 0 && wanted(l) {",
		"./connector", perPosition, "want the other",
	},
	{
		"decision: what reads wait for wakes nobody", "connector/decide.go",
		"range []candidate{call, page, question} {", "range []candidate{call} {",
		"./connector", "TestTheLoopWakesForTheEarliestOfAllCandidates", "with rows in doubt until",
	},
	{
		"decision: a stall is slept through", "connector/decide.go",
		"	return e.now.Add(tryAgain)\n}\n\n// work says", "	return at\n}\n\n// work says",
		"./connector", "TestAStallIsCountedAndTheLoopTurnsAgain", "that nothing wakes",
	},
	{
		"start: where a partition begins is not committed", "connector/ownership.go",
		"if o.Fresh {", "if false {",
		"./connector", "TestWhereAPartitionBeginsIsCommittedAtOnce", "want 1",
	},
	{
		"isolation: a row without proof goes with as many as ever", "connector/isolate.go",
		"r.suspicion = min(r.suspicion+1, alone)", "r.suspicion = min(r.suspicion+1, 0)",
		"./connector", oneSpoils, "was created",
	},
	{
		"isolation: no end while others fare badly", "connector/isolate.go",
		"	return whole / 3\n", "	return 0\n",
		"./connector", "TestARowThatSpoilsItsCallsHasAnEndThoughOthersFareBadly", "given up after",
	},
	{
		"isolation: rows that spoil their calls excuse each other", "connector/isolate.go",
		"a.Outcome == Unknown && !c.blamed() &&", "a.Outcome == Unknown &&",
		"./connector", "TestSeveralRowsThatSpoilTheirCallsDoNotExcuseEachOtherInAQuietTopic", "want 13 at most",
	},
	{
		"isolation: a row is blamed while a third of all calls fails", "connector/isolate.go",
		"says := min(since.against(), all.against())", "says := since.against() + 0*all.against()",
		"./connector", "TestARowIsBlamedLittleIfTheOthersFaredBadlyAtAnyTime", "a third fails",
	},
	{
		"isolation: a row is blamed wholly for a few calls of others", "connector/isolate.go",
		"if all.calls < few {", "if false {",
		"./connector", "TestARowIsBlamedAsMuchAsTheOthersFareWell", "7 calls of others were judged and 0 not",
	},
	{
		"isolation: first calls alone say nothing about the service", "connector/isolate.go",
		"(len(c.rows) == 1 || !e.suspected(c))", "!e.suspected(c)",
		"./connector", "TestWhichCallsWithoutProofSayHowTheServiceFares", "alone for the first time",
	},
	{
		"doubt: a record of a newer leader is sent that no commit speaks of", "connector/ledger.go",
		" && e.epoch <= l.reachEpoch }", " }",
		"./connector", "TestARecordOfANewerLeaderIsNotSentBeforeACommitSpeaksOfIt", "speaks of another record",
	},
	{
		"isolation: an outage excuses rows for ever", "connector/isolate.go",
		"r.first.orLater(e.closed)", "r.first",
		"./connector", "TestARowIsBlamedAfterAnOutage", "the blame is",
	},
	{
		"isolation: the end of an outage is not noted", "connector/settle.go",
		"		e.closed = e.proofs\n", "",
		"./connector", "TestTheEndOfAnOutageIsNoted", "where the outage ended",
	},
	{
		"isolation: a row is blamed though all are turned away", "connector/isolate.go",
		"case clear && since.calls > 0:", "case clear:",
		"./connector", "TestAFaultCountsOnlyIfOthersAreJudged", "the blame is",
	},
	{
		"isolation: a row is blamed for an outage", "connector/isolate.go",
		"case since.calls > 0, r.blame > 0 && since == (proofs{}):", "default:",
		"./connector", "TestARowIsBlamedAsMuchAsTheOthersFareWell", "the blame is",
	},
	{
		"isolation: a row is blamed when an outage begins", "connector/isolate.go",
		"says := min(since.against(), all.against())", "says := all.against() + 0*since.against()",
		"./connector", "TestARowIsBlamedLittleIfTheOthersFaredBadlyAtAnyTime", "an outage begins",
	},
	{
		"isolation: tries count only while others arrive", "connector/isolate.go",
		"case since.calls > 0, r.blame > 0 && since == (proofs{}):", "case since.calls > 0:",
		"./connector", "TestARowThatSpoilsItsCallsIsBuriedThoughNothingFollows", "want the one that spoils its calls",
	},
	{
		"isolation: a row that spoils its calls opens the breaker", "connector/isolate.go",
		"			a.Outcome = Missed\n", "",
		"./connector", "TestWhatARowSpoilsIsKeptFromTheBreaker", "the breaker is told",
	},
	{
		"isolation: suspected rows hide an outage", "connector/isolate.go",
		" || e.excused >= e.cfg.Breaker.Failures", "",
		"./connector", "TestSuspectedRowsHideAnOutageForAFewCallsOnly", "the breaker is told of",
	},
	{
		"isolation: no failure is excused after an outage", "connector/isolate.go",
		"		e.excused = 0\n", "",
		"./connector", "TestSuspectedRowsHideAnOutageForAFewCallsOnly", "a failure after a proof is reported",
	},
	{
		"isolation: a probe takes a row that may spoil it", "connector/isolate.go",
		"return r.suspicion < other.suspicion", "return r.suspicion > other.suspicion",
		"./connector", "TestAProbeTakesTheLeastSuspectedRowOfFewestCalls", "another row was taken",
	},
	{
		"faults: one that comes back with a row halts", "connector/isolate.go",
		"theirs := e.theirs(c, a)", "theirs := e.theirs(c, a) && false",
		"./connector", firewall, "want the one that is turned away",
	},
	{
		"faults: one of the keys is taken for a row's", "connector/isolate.go",
		"theirs := e.theirs(c, a)", "theirs := e.theirs(c, a) || true",
		"./connector", "TestKeysThatComeAndGoBuryNobody", "want 1,600 and none",
	},
	{
		"refusals: one kind teaches about all", "connector/refusal.go",
		"return a.Type + \"\\x00\" + strings.Join(strings.Fields(itsOwn.ReplaceAllString(a.Message, \" \")), \" \")", "return strings.Clone(\"any\")",
		"./connector", kindOfRefusal, "although it carries a marker",
	},
	{
		"refusals: two rows of one lead halt", "connector/bisection.go",
		"again && lead != r.lane.lead && !b.created ||", "again && lead != \"\" && !b.created ||",
		"./connector", "TestTwoBadRowsAloneInACallHoldUpNobodyForLong", "after two bad rows of one lead",
	},
	{
		"refusals: a halt for them waits for people", "connector/bisection.go",
		"now and then\", probe: true, refusal: words})", "now and then\", refusal: words})",
		"./connector", "TestRefusalsOfEverythingHaltUntilSomethingIsTaken", "after it was mended",
	},
	{
		"unread: a code that cannot be read holds up the others", "connector/unread.go",
		"if s.failures < pageTries && e.unread[code] == nil {", "if true {",
		"./connector", unreadable, "after a minute",
	},
	{
		"unread: a code is asked for every minute for ever", "connector/unread.go",
		"other.alone, other.searches = true, 1", "other.searches = 1",
		"./connector", unreadable, "in seven hours",
	},
	{
		"unread: rows of a code that was not read count as absent", "connector/unread.go",
		"	if len(e.unread) == 0 {\n", "	if true {\n",
		"./connector", unreadable, "after a minute",
	},
	{
		"halts: a good probe ends all", "connector/halt.go",
		"		e.halts.end(0)\n", "		e.halts.end(2)\n",
		"./connector", "TestAHaltOfTheRulesHoldsThoughTheKeysAreTakenAgain", "want halted for the record alone",
	},
	{
		"halts: one for a record stops what came before it", "connector/halt.go",
		"return slices.ContainsFunc(h.all, func(h halt) bool { return h.from == 0 })", "return h.any()",
		"./connector", haltOfARecord, "records before the one that halts",
	},
	{
		"halts: one for a record stops nothing behind it", "connector/ledger.go",
		"&& e.place < l.before", "",
		"./connector", haltOfARecord, "calls after that, want none",
	},
	{
		"status: the end of the lag is promised while nothing is sent", "connector/eta.go",
		"case !e.sends(): // nobody knows until when", "case false:",
		"./connector", "TestNothingIsPromisedWhileNothingIsSent", "want no promise",
	},
	{
		"breaker: failures in a row open nothing", "connector/breaker.go",
		"case b.inARow >= cfg.Failures:", "case b.inARow >= 1000*cfg.Failures:",
		"./connector", "TestAnOutageAfterABusyTimeCostsAFewCallsBeforeTheFirstPause", "before the first pause",
	},
	{
		"receipts: what an operator calls created has none", "connector/held.go",
		"if d != HeldCreated || e.receipts == nil || len(rows) == 0 {", "if true {",
		"./connector", "TestWhatAnOperatorSaysIsCreatedHasAReceiptBeforeItIsSettled", "receipts of 0 records",
	},
	{
		"log: dead letters are said one by one", "connector/bury.go",
		"		delete(count, of)\n", "",
		"./connector", "TestDeadLettersAreSaidByClassAndRuleWithTheFirstPosition", "want a few",
	},
}

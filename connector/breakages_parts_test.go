//go:build breakages

package connector_test

const (
	inKafka       = "./connector/kafka"
	inLeadSquared = "./connector/leadsquared"

	oneTrouble = "TestAPartitionThatCannotBeReadIsSaidOnceAndShownWhileOthersFlow"
)

// partBreakages are of the packages that the engine stands on.
var partBreakages = []breakage{
	{
		"commits: one that is refused counts as accepted", "connector/kafka/commit.go",
		"case refused != nil:", "case refused != nil && i == 0:",
		inKafka, "TestTheCommitErrorCodeOfEachPartitionIsReported", "the commit returned",
	},
	{
		"metadata: the epoch of held records is left out", "connector/kafka/metadata.go",
		"b = binary.AppendUvarint(b, uint64(int64(m.Doubt.Epoch)+1))", "b = binary.AppendUvarint(b, 0)",
		inKafka, "TestTheEpochOfHeldRecordsIsKeptWithoutATime", "the next owner takes held records for others",
	},
	{
		"metadata: no pattern is written as a bitmap", "connector/kafka/metadata.go",
		"if size >= int64(len(runs)) {", "if true {",
		inKafka, "TestACommitWithMoreRangesThanFitKeepsTheOldest", "the metadata has 0 bytes",
	},
	{
		"metadata: that a broker takes less is not learned", "connector/kafka/commit.go",
		"	if tooLarge {\n", "	if tooLarge = false; tooLarge {\n",
		inKafka, "TestABrokerThatTakesLessMetadataIsGivenLess", "the commit is refused for ever",
	},
	{
		"metadata: the span stays where a broker takes less", "connector/kafka/commit.go",
		"		o.Span.Store(max(1, spanOf(int(room))))\n", "		_ = o\n",
		inKafka, "TestABrokerThatTakesLessMetadataIsGivenLess", "want far less than",
	},
	{
		"metadata: what has no room is in no doubt", "connector/kafka/commit.go",
		"			m.Doubt.Since = p.Begun // what is left out is asked for before it is sent again\n", "",
		inKafka, "TestWhatHasNoRoomInACommitIsInDoubt", "in doubt since",
	},
	{
		"start: latest is applied at each restart", "connector/kafka/start.go",
		"			begun = true\n", "",
		inKafka, "TestLatestIsAppliedOnceToTheGroup", "start_test.go",
	},
	{
		"start: what appears later begins at its end", "connector/kafka/start.go",
		"|| begun && (start.IsZero() || now.Sub(start) > youngFor) {", "{",
		inKafka, "TestLatestIsAppliedOnceToTheGroup", "start_test.go",
	},
	{
		"start: members of a young group disagree", "connector/kafka/start.go",
		"return beginning{atTime, start.UnixMilli()}", "return beginning{atTime, now.UnixMilli()}",
		inKafka, "TestInAYoungGroupLatestIsTheMomentWhenItBegan", "the other partition begins at",
	},
	{
		"topics: a deleted one is not given up", "connector/kafka/topics.go",
		"case !listed || topicGone(d.Err):", "case !listed:",
		inKafka, "TestATopicThatIsDeletedHoldsUpNoOther", "partitions are owned",
	},
	{
		"topics: one that was made anew is taken for the old one", "connector/kafka/topics.go",
		"case (d.Err != nil || sameTopic(d.ID, id)) && !c.stuck(name):", "case (true || sameTopic(d.ID, id)) && !c.stuck(name):",
		inKafka, "TestATopicThatIsMadeAnewIsReadFromItsBeginning", "topics_test.go",
	},
	{
		"topics: one that cannot be described leaves a member without any", "connector/kafka/topics.go",
		"			c.suffers(partition{name, wholeTopic}, explained(name, d.Err, \"correct kafka.topics\"))\n", "			return nil, d.Err\n",
		inKafka, "TestAMemberReadsWhatIsThereOfItsTopics", "topics_test.go",
	},
	{
		"trouble: what cannot be read is said again and again", "connector/kafka/trouble.go",
		"if !known || was.why.Error() != err.Error() {", "if true {",
		inKafka, oneTrouble, "want once",
	},
	{
		"trouble: what can be read again is not said", "connector/kafka/trouble.go",
		"				c.recovered(at)\n", "",
		inKafka, oneTrouble, "can be read again",
	},
	{
		"trouble: a group that cannot be reached is not said", "connector/kafka/trouble.go",
		"if trouble != nil && since.After(proven)", "if trouble != nil && proven.IsZero()",
		inKafka, "TestWhatKeepsAMemberFromTheGroupIsKnownWhileItLasts", "nobody can know",
	},
	{
		"lost records are not counted", "connector/kafka/expired.go",
		"		o.Lost.Add(lost)\n", "",
		inKafka, "TestRecordsThatExpireUnderARunningMemberAreCounted", "are counted as lost",
	},
	{
		"letters carry the time of their records", "connector/kafka/letters.go",
		"r := &kgo.Record{Topic: d.topic,", "r := &kgo.Record{Timestamp: l.Record.Timestamp, Topic: d.topic,",
		inKafka, "TestRetentionCountsFromWhenALetterWasWritten", "letters are there, want 1",
	},
	{
		"receipts carry the time of their answers", "connector/kafka/receipts.go",
		"out := &kgo.Record{Topic: w.topic,", "out := &kgo.Record{Timestamp: r.At, Topic: w.topic,",
		inKafka, "TestRetentionCountsFromWhenAReceiptWasWritten", "want the time at which it was written",
	},
	{
		"the time of a record is lost by its death", "connector/kafka/records.go",
		"Timestamp: ownTime(r),", "Timestamp: r.Timestamp,",
		inKafka, "TestTheTimeOfARecordSurvivesItsDeaths", "the second letter says",
	},
	{
		"outlet: a client that was refused goes on", "connector/kafka/outlet.go",
		"			o.renew(ctx, client)\n", "",
		inKafka, "TestLettersGoAgainOnceARefusalIsMended", "after ",
	},
	{
		"outlet: all letters go in one batch", "connector/kafka/outlet.go",
		"size+sizeOf(records[n]) <= together", "size+sizeOf(records[n]) <= storeMost",
		inKafka, "TestManyLettersGoInBatchesThatABrokerTakes", "want about a dozen below 1 MiB",
	},
	{
		"members of one name expel each other as often as ever", "connector/kafka/source.go",
		"min(2*fenced, fencedMost)", "min(fenced, fencedMost)",
		inKafka, "TestTwoMembersOfOneNameExpelEachOtherMoreAndMoreRarely", "they expelled each other",
	},
	{
		"clock: a Date is taken for a moment", "connector/leadsquared/clock.go",
		"told := span{date.Sub(c.steady(answered)), date.Add(time.Second).Sub(c.steady(sent))}", "middle := date.Sub(c.steady(sent.Add(answered.Sub(sent) / 2)))\n	told := span{middle, middle}",
		inLeadSquared, "TestWhatASlowServiceStoredIsFound", " found",
	},
	{
		"clock: pages of one question are about several times", "connector/leadsquared/clock.go",
		"there && page > 1 && w.from", "there && page > 1000 && w.from",
		inLeadSquared, "TestAPageIsAskedForByTheServersClock", "want [",
	},
	{
		"clock: how the clocks stood before is forgotten", "connector/leadsquared/clock.go",
		"			ahead = ahead.both(c.was.widened(aside))\n", "",
		inLeadSquared, "TestWhatWasStoredBeforeAClockWasSetIsFound", "of 2 found",
	},
	{
		"clock: setting this machine's moves searches", "connector/leadsquared/clock.go",
		"return c.first.Round(0).Add(t.Sub(c.first))", "return t.Round(0)",
		inLeadSquared, "TestSettingThisMachinesClockMovesNoSearch", "set by",
	},
	{
		"answers: a firewall's is taken for LeadSquared's", "connector/leadsquared/answer.go",
		"return r.status >= 400 && b.kind == \"\" && !b.envelope()", "return false",
		inLeadSquared, "TestARefusalOfSomebodyElseIsToldFromLeadSquaredsOwn", "want foreign true",
	},
	{
		"limits: words are believed against the type", "connector/leadsquared/limit.go",
		"return kind == \"\" && !aboutData", "return !aboutData",
		inLeadSquared, "TestWordsInsideTheDataAreNotBelieved", "want outcome",
	},
	{
		"limits: words are believed that are quoted", "connector/leadsquared/limit.go",
		"	words = quoted.ReplaceAllString(words, \"\")\n", "",
		inLeadSquared, "TestWordsInsideTheDataAreNotBelieved", "want outcome",
	},
	{
		"limits: anybody may make us wait for a day", "connector/leadsquared/limit.go",
		"if a.DaySpent && b.envelope() {", "if a.DaySpent {",
		inLeadSquared, "TestALongRetryAfterIsBelievedOfASpentDayOnly", "want 5m0s",
	},
	{
		"connections: one that refused a write serves another call", "connector/leadsquared/conns.go",
		"	w.spent.Store(true)\n	w.refusal.Store(&why)\n", "	w.refusal.Store(&why)\n",
		inLeadSquared, "TestAConnectionThatRefusedAWriteServesNoOtherCall", "another call may use",
	},
	{
		"connections: a busy one is used for ever", "connector/leadsquared/conns.go",
		"return age >= oldAge || c.worn && age >= wornAge", "return age >= oldAge && c.worn && age < wornAge",
		inLeadSquared, "TestABusyConnectionFollowsItsName", "calls went to the old node",
	},
	{
		"connections: certificates and the proxy are read once", "connector/leadsquared/client.go",
		"	if _, err := dialler(); err != nil {\n", "	first, err := dialler()\n	if dialler = func() (*http.Transport, error) { return first, nil }; err != nil {\n",
		inLeadSquared, "TestANewConnectionReadsTheCertificatesAndTheProxyAgain", "want outcome",
	},
	{
		"connections: what follows a 101 is read", "connector/leadsquared/client.go",
		"if resp.StatusCode != http.StatusSwitchingProtocols {", "if true {",
		inLeadSquared, "TestACallThatIsNotAnsweredIsUnknownExactlyAtTheTimeout", "after 30s",
	},
	{
		"5 a call is written under a later lease", "connector/leadsquared/client.go",
		"conn.wire.arm(writeBy, gate)", "conn.wire.arm(writeBy, c.lease())",
		inLeadSquared, "TestACallIsWrittenUnderItsOwnLeaseOnly", "client_test.go",
	},
	{
		"start: a name without an address is no reason to wait", "connector/leadsquared/accept.go",
		"nameless {\n			return false, fmt", "nameless && c == nil {\n			return false, fmt",
		inLeadSquared, "TestAStartWaitsForANameAndNotForAnAnswer", "accept_test.go",
	},
	{
		"7 shares are rounded up", "connector/budget/limit.go",
		"share+exact))", "share+0.5))",
		"./connector/budget", "TestSharesTogetherNeverExceedTheLimit", "want none too many",
	},
	{
		"secrets that belong together are read one by one", "config/setting/secret.go",
		"if slices.Equal(texts, before) {", "if before = texts; len(before) > 0 || slices.Equal(texts, before) {",
		"./config/setting", "TestSecretsThatBelongTogetherAreOfOneGeneration", "revealed as",
	},
	{
		"log: lines of the client library count as one", "connector/telemetry/summing.go",
		"case \"text\", \"class\", \"rule\":", "case \"class\", \"rule\":",
		"./connector/telemetry", "TestLinesOfALibraryAreSummedUpByWhatTheySay", "does not appear at once",
	},
}

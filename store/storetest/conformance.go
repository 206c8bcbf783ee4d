package storetest

// conformance has the tests of Run, each over a fresh store.
var conformance = []struct {
	name string
	run  func(*kit)
}{
	{"Sequences", testSequences},
	{"Records", testRecords},
	{"Times", testTimes},
	{"Versions", testVersions},
	{"ConflictsAlone", testConflictsAlone},
	{"Counter", testCounter},
	{"VisibleTogether", testVisibleTogether},
	{"RefusedWhole", testRefusedWhole},
	{"Limits", testLimits},
	{"CallersMemory", testCallersMemory},
	{"ReadersMemory", testReadersMemory},
	{"Recycle", testRecycle},

	{"Info", testInfo},
	{"State", testState},
	{"StateAtItsLimits", testStateAtItsLimits},
	{"Keys", testKeys},
	{"Streams", testStreams},
	{"Due", testDue},

	{"ReadStream", testReadStream},
	{"ReadBytes", testReadBytes},
	{"ReadLog", testReadLog},
	{"ReadLogOfLaterStreams", testReadLogOfLaterStreams},
	{"At", testAt},
	{"Back", testBack},
	{"Seek", testSeek},
	{"ManyStreams", testManyStreams},

	{"Trim", testTrim},
	{"TrimWhileAppending", testTrimWhileAppending},
	{"Drop", testDrop},
	{"DropAndMakeAnew", testDropAndMakeAnew},
	{"DropConflicts", testDropConflicts},
	{"DropAgainstCommit", testDropAgainstCommit},
	{"Removed", testRemoved},
	{"RemovedUntil", testRemovedUntil},
	{"RemovedAtRandom", testRemovedAtRandom},
	{"RemovedWhileReading", testRemovedWhileReading},

	{"Size", testSize},
	{"SizeWhileInUse", testSizeWhileInUse},

	{"Follow", testFollow},
	{"FollowStateOnly", testFollowStateOnly},
	{"FollowMany", testFollowMany},
	{"FollowSlowly", testFollowSlowly},
	{"FollowTrimmed", testFollowTrimmed},
	{"FollowWakesUp", testFollowWakesUp},
	{"FollowEnds", testFollowEnds},

	{"Contexts", testContexts},
	{"Close", testClose},
	{"CloseWhileInUse", testCloseWhileInUse},
}

package migration

// sourceState is where a source is.
//
//	New ─► Reserving ─► Offering ─► Counting ◄──────────┐
//	                       │           │  ▲             │
//	                       │ stopcopy  │  └─ Acking ◄─ Pushing
//	                       ▼           ▼                ▲
//	                     Pausing ◄─────┤ within limits  │ too much was left:
//	                       ▼           └────────────────┤ the stop is abandoned
//	                     Saving ─► LastCount ───────────┘
//	                                   ▼
//	                     Finishing ─► Preparing ─► Committed ─► Completed
//	                                   │               ▼           ▲
//	                                   │            InDoubt ───────┤
//	                      copy to file ▼               ▼           │
//	                                Sealing ───────► Unwound    (Undecided)
//
// From every state before Committed a failure leads to Unwound, with the guest
// at the source. Committed is the instant at which the commit may have left.
// Completed, Unwound and Undecided are the ends.
type sourceState uint8

//go:generate go tool stringer -type=sourceState -trimprefix=source
const (
	sourceNew       sourceState = iota
	sourceReserving             // the target builds
	sourceOffering              // blobs are sent
	sourceCounting              // dirty pages are counted; the guest runs
	sourcePushing               // a round is sent
	sourceAcking                // the target places its last pages
	sourcePausing               // the guest may run or not
	sourceSaving                // it is paused, from here on
	sourceLastCount             // the last dirty pages are counted
	sourceFinishing             // they and the state are sent
	sourcePreparing             // the target restores
	sourceCommitted             // relinquished
	sourceInDoubt               // relinquished, and the link is lost
	sourceSealing               // a copy: the guest runs on, the stream is being synced
	sourceCompleted
	sourceUnwound   // the guest is at the source, as it was
	sourceUndecided // nobody waits any more
	sourceStates    // their number
)

// sourceEvent is what happens to a source.
type sourceEvent uint8

//go:generate go tool stringer -type=sourceEvent -trimprefix=on
const (
	onStart sourceEvent = iota
	onReserved
	onRefused
	onOffered
	onCounted
	onPushed
	onRoundAck
	onPaused
	onPauseFailed
	onSaved
	onLastCounted
	onFinished
	onPrepared
	onRunning
	onSealed
	onFailed    // something here failed, or the peer broke the protocol
	onAbort     // the peer gives up
	onLinkLost  // a connection broke or was silent
	onCancel    // somebody wants the move to end
	onTimeout   // so does the clock
	onGiveUp    // nobody waits for the move any more
	onStarted   // the answer of who knows
	onUnstarted // the answer of who knows, a tombstone behind it
	onUnknown   // no answer, or none that proves anything
	onLost      // the answer of who knows: it started, and was killed
	sourceEvents
)

// sourceAction is what a source does.
type sourceAction uint8

//go:generate go tool stringer -type=sourceAction -trimprefix=do
const (
	doReserve sourceAction = iota
	doOffer
	doCount
	doPush
	doPause
	doSave
	doLastCount
	doFinish // the last pages and the state
	doCommit
	doRelease
	doAbort     // tell the peer why
	doInterrupt // what is under way, for it is in vain
	doResume
	doUntrack
	doSeal
	doAsk
	doAskAgain // after a while
	doEnd
)

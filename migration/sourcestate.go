package migration

// sourceState is where a source is.
//
//	New ─► Reserving ─► Offering ─► Counting ◄──────────┐
//	                       │           │  ▲             │
//	                       │ stopcopy  │  └─ Acking ◄─ Pushing
//	                       ▼           ▼                ▲
//	                     Pausing ◄─────┤ within limits  │ too much was left:
//	                       ▼           └────────────────┤ the stop is abandoned
//	        (Waiting) ─► Saving ─► LastCount ───────────┘
//	                                   ▼
//	                     Finishing ─► Preparing ─► Committed ─► Completed
//	                                   │               ▼           ▲
//	                                   │               ├► Draining ┤
//	                                   │               │   ▲       │
//	                                   │   pages left  ├► Pulling ─┤ (Lost)
//	                                   │               │   ▲ ▼     │
//	                                   │               │ Rejoining ┤
//	                                   │               ▼   ▲       │
//	                                   │            InDoubt ───────┤
//	                      copy to file ▼               ▼           │
//	                                Sealing ───────► Unwound    (Undecided)
//
// Waiting is passed only by a move that somebody is to continue. From every state before Committed a failure leads to Unwound, with the guest
// at the source. Committed is the instant at which the commit may have left.
// Where pages were left for the target to pull, the source serves them in Pulling, and
// after a lost link tries for ever to come back from Rejoining.
// Where packets are forwarded, that goes on beside Pulling, and Draining waits for its end.
// Completed, Unwound, Undecided and Lost are the ends.
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
	sourceWaiting               // it is paused, from here on; somebody is to let the move go on
	sourceSaving
	sourceLastCount // the last dirty pages are counted
	sourceFinishing // they and the state are sent
	sourcePreparing // the target restores
	sourceCommitted // relinquished
	sourceInDoubt   // relinquished, and the link is lost
	sourceSealing   // a copy: the guest runs on, the stream is being synced
	sourcePulling   // the guest runs at the target, which fetches the rest
	sourceRejoining // likewise, but the link is lost
	sourceDraining  // it runs there with all memory; the last packets that came for it here are forwarded
	sourceCompleted
	sourceUnwound   // the guest is at the source, as it was
	sourceUndecided // nobody waits any more
	sourceLost      // the target died with pages missing
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
	onContinue
	onSaved
	onLastCounted
	onFinished
	onPrepared
	onRunning
	onSealed
	onFailed      // something here failed, or the peer broke the protocol
	onAbort       // the peer gives up
	onLinkLost    // a connection broke or was silent
	onCancel      // somebody wants the move to end
	onTimeout     // so does the clock
	onGiveUp      // nobody waits for the move any more
	onStarted     // the answer of who knows
	onUnstarted   // the answer of who knows, a tombstone behind it
	onUnknown     // no answer, or none that proves anything
	onPulled      // the target has all pages
	onFetch       // the target wants all that is missing
	onRejoined    // there is a link again, and the source knows what is missing
	onNotJoined   // an attempt at that failed
	onLost        // the answer of who knows: it started, and was killed
	onDelivered   // the target has all packets that were forwarded
	onUndelivered // it does not say so
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
	doWait // until the move may go on
	doSave
	doLastCount
	doFinish // the last pages and the state
	doSwitch // the state, and what pages are left to pull
	doCommit
	doRelease
	doAbort     // tell the peer why
	doInterrupt // what is under way, for it is in vain
	doResume
	doUntrack
	doSeal
	doAsk
	doAskAgain // after a while
	doServe    // send what is missing
	doFetch    // likewise, where it was not to be sent by itself
	doPart     // give up the broken connections
	doRejoin
	doRejoinAgain // after a while
	doCut         // end the round that is being sent
	doForward     // begin to forward what comes for the guest
	doDrain       // the target runs the guest: forward the last of it
	doEnd
)

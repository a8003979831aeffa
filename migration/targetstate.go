package migration

// targetState is where a target is.
//
//	New ─► Building ─► Receiving ─► Restoring ─► Prepared ─► Recording ─► Starting ─► Running ─► Completed
//	                                                │            │           │    ▲
//	                                                │            │           │    ├─ Pulling ◄─► Parted
//	                                                ▼            ▼           ▼    (pages missing)
//	  before Prepared ─► Discarded ◄─────────── Fencing ◄────────┘         Lost
//	                                                ▼
//	                                             Unfenced
//
// Prepared is the instant at which the source may commit: from then on the
// target gives up only behind a tombstone (Fencing). Discarded, Completed, Lost
// and Unfenced are the ends. In Unfenced the tombstone could not be written:
// nothing is given back, for the record may say "started".
type targetState uint8

//go:generate go tool stringer -type=targetState -trimprefix=target
const (
	targetNew       targetState = iota
	targetBuilding              // and rehearsing
	targetReceiving             // pages, blobs, the state
	targetRestoring             // all is here
	targetPrepared              // the source may commit
	targetRecording             // it did; "started" is made durable
	targetStarting              // the record is durable: the guest is ours
	targetRunning               // the source may not know yet
	targetPulling               // it runs with pages missing
	targetParted                // likewise, and the link is lost
	targetFencing               // the tombstone is made durable
	targetCompleted
	targetDiscarded
	targetLost
	targetUnfenced
	targetStates // their number
)

// targetEvent is what happens to a target.
type targetEvent uint8

//go:generate go tool stringer -type=targetEvent -trimprefix=got
const (
	gotReserve     targetEvent = iota
	gotBuilt                   // by Host.Build
	gotBuildFailed             // likewise
	gotRoundEnd                // of a round that is not the last
	gotAllPages                // the end of the last round, and all blobs
	gotState
	gotRestored
	gotCommit
	gotRecorded
	gotRecordFailed
	gotStarted
	gotStartFailed
	gotTombstone
	gotTombstoneFailed
	gotRelease
	gotPulled   // no page is missing any more
	gotFetch    // somebody here wants all that is missing
	gotRejoined // there is a link again
	gotEnded    // the guest is no more: nothing is missing
	gotFrames   // packets that came for the guest at the source
	gotDrained  // there will be no more of them
	gotFailed   // something here failed, or the peer broke the protocol
	gotAbort    // the source gives up
	gotLinkLost // a connection broke or was silent
	gotCancel   // somebody here wants the move to end
	targetEvents
)

// targetAction is what a target does.
type targetAction uint8

//go:generate go tool stringer -type=targetAction -trimprefix=act
const (
	actBuild targetAction = iota
	actSayReserved
	actSayRefused
	actAckRound
	actRestore
	actSayPrepared
	actRecord
	actStart
	actSayRunning
	actSayPulled
	actSayMissing // after a rejoin: what is missing, and what the guest waits for
	actSayFetch
	actDeliver // packets to the guest
	actSayDelivered
	actPart   // give up the broken connections
	actFilled // the memory is whole: durable, and no fault is served any more
	actSayAbort
	actTombstone
	actRemoveRecord
	actDiscard
	actEnd
)

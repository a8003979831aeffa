package migration

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

// execute does one action. ok says that it had an outcome. The caller holds mu.
func (r *receiver) execute(a targetAction) (outcome targetInput, ok bool) {
	switch a {
	case actBuild:
		r.wg.Add(1)
		go r.build()
	case actSayReserved:
		return r.sayReserved()
	case actSayRefused:
		return r.say(header{Type: frameRefused}, refusalOf(r.machine.cause))
	case actAckRound:
		h := header{Type: frameRoundAck, Round: r.acked}
		r.acked++
		r.report()
		if r.ctl == nil {
			return targetInput{}, false
		}
		return lost(r.ctl.frame(h, nil))
	case actRestore:
		return r.restore()
	case actSayPrepared:
		return r.say(header{Type: framePrepared}, preparedMessage{Restore: nanoseconds(r.down.StateMS)})
	case actRecord:
		return r.record()
	case actStart:
		return r.startGuest()
	case actSayRunning:
		in, failed := r.say(header{Type: frameRunning}, runningMessage{Record: nanoseconds(r.down.CommitMS), Start: nanoseconds(r.down.ResumeMS)})
		if r.machine.state == targetPulling {
			r.link.setSilence(pullSilence)
			r.tell(PhasePull)
		}
		return in, failed
	case actSayPulled:
		return r.say(header{Type: framePulled}, pulledMessage{Faults: r.pull.faults()})
	case actSayMissing:
		return lost(r.pull.sayMissing(r.ctl))
	case actSayFetch:
		return lost(r.ctl.frame(header{Type: frameFetch}, nil))
	case actDeliver:
		r.arrivals.deliver(r.packets)
	case actSayDelivered:
		return r.say(header{Type: frameDelivered}, r.arrivals.drained())
	case actPart:
		r.part()
	case actFilled:
		r.filled()
	case actSayAbort:
		r.say(header{Type: frameAbort}, refusalOf(r.machine.cause)) // the move ends either way
	case actTombstone:
		return r.tombstone()
	case actRemoveRecord:
		if r.Record != nil {
			_ = r.Record.Remove() // a record left behind harms nobody
		}
	case actDiscard:
		r.unwanted = r.built // pages may be on their way into it: see discard
	case actEnd:
		r.stopBuilding()
		if r.Bulk != nil {
			r.Bulk.SetDeadline(time.Unix(1, 0))
		}
		r.stopBranches()
		r.pull.hangUp()
	}
	return targetInput{}, false
}

func nanoseconds(ms float64) int64 { return int64(ms * float64(time.Millisecond)) }

// say writes a message; that it failed is an outcome.
func (r *receiver) say(h header, v any) (targetInput, bool) {
	if r.ctl == nil {
		return targetInput{}, false
	}
	return lost(r.ctl.message(h, v))
}

func lost(err error) (targetInput, bool) {
	if err == nil {
		return targetInput{}, false
	}
	return targetInput{event: gotLinkLost, err: linkError(err)}, true
}

// build has the host build the guest. It runs beside the control connection's
// reader, so that a source that goes away is noticed.
func (r *receiver) build() {
	defer r.wg.Done()
	built, err := r.Host.Build(r.building, r.desc)
	var wanted *blobs
	if err == nil {
		if wanted, err = openBlobs(built, r.desc.Blobs); err != nil {
			err = errors.Join(err, built.Discard())
		}
	}
	if err != nil {
		r.post(targetInput{event: gotBuildFailed, err: err})
		return
	}
	pull, err := r.preparePull(built)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.machine.done() {
		r.unwanted, r.pull = built, pull
		return
	}
	if err != nil {
		r.unwanted = built
		r.postLocked(targetInput{event: gotBuildFailed, err: err})
		return
	}
	r.pull = pull
	if urgent := r.joining[RoleUrgent]; urgent != nil {
		delete(r.joining, RoleUrgent)
		if pull == nil {
			urgent.Close()
		} else {
			pull.join(r.link, urgent)
		}
	}
	r.built, r.blobs = built, wanted
	r.postLocked(targetInput{event: gotBuilt})
}

// discard gives back what was built and is not wanted.
//
// Precondition: the builder and the bulk reader have ended.
func (r *receiver) discard() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.unwanted == nil {
		return
	}
	if err := r.unwanted.Discard(); err != nil {
		r.machine.cause = fmt.Errorf("%w (and giving back what was built: %w)", r.machine.cause, err)
	}
}

// sayReserved tells the source that it can begin, and begins to read.
func (r *receiver) sayReserved() (targetInput, bool) {
	layout := r.desc.Layout
	if slices.Contains(r.desc.Modes, Local) {
		layout = nil // the source's guest runs in this memory: no page is placed
	}
	r.bulk.begin(r.built.Memory(), layout, r.blobs)
	if r.pull != nil {
		r.bulk.pages.pull = r.pull.memory
	}
	if r.link == nil {
		return targetInput{}, false
	}
	version, err := r.Hello.Version()
	if err != nil {
		return targetInput{event: gotFailed, err: err}, true
	}
	m := reservedMessage{
		Version:   version,
		Name:      r.built.Name(),
		Rehearsal: int64(r.built.Rehearsal()),
		Blobs:     r.blobs.ids(),
		Pull:      r.pull != nil,
	}
	if r.unpacks() {
		images := r.built.Images()
		m.Codecs = ourCodecs(images)
		r.bulk.pages.unpack = newUnpacker(r.built.Memory(), r.desc.Layout, images, r.Hello.Move)
	}
	r.wg.Add(1)
	go r.readBulk(r.link, r.Bulk) // owns bulk, and blobs with it, from here on
	return r.say(header{Type: frameReserved}, m)
}

// unpacks says whether the source may pack pages.
func (r *receiver) unpacks() bool {
	v, err := r.Hello.Version()
	return err == nil && v >= versionPacked && !slices.Contains(r.desc.Modes, Local)
}

// restore loads the state into what was built.
func (r *receiver) restore() (targetInput, bool) {
	begin := time.Now()
	err := r.beginPull()
	if err == nil {
		var missing *guestmem.Pull
		if r.machine.pull {
			missing = r.pull.memory
			defer r.pull.overdue(func() { r.restoring.give(fmt.Errorf("%w: pages that the restore waits for do not come", ErrLinkLost)) })()
		}
		broken := r.restoring.begin(missing)
		if broken == nil {
			err = r.built.Restore(r.sections)
			broken = r.restoring.end()
		}
		if broken != nil {
			return targetInput{event: gotLinkLost, err: broken}, true
		}
	}
	r.down.StateMS = milliseconds(time.Since(begin))
	if err != nil {
		return targetInput{event: gotFailed, err: fmt.Errorf("restore: %w", err)}, true
	}
	return targetInput{event: gotRestored}, true
}

// record makes durable that the guest is started here. Without a record, as
// from a file, nobody can ask.
func (r *receiver) record() (targetInput, bool) {
	if r.Record == nil {
		return targetInput{event: gotRecorded}, true
	}
	begin := time.Now()
	err := r.Record.Started()
	r.down.CommitMS = milliseconds(time.Since(begin))
	if err != nil {
		return targetInput{event: gotRecordFailed, err: fmt.Errorf("ownership record: %w", err)}, true
	}
	return targetInput{event: gotRecorded}, true
}

func (r *receiver) startGuest() (targetInput, bool) {
	begin := time.Now()
	if r.machine.frames {
		r.arrivals.hold(r.built.Network(), r.Control)
	}
	err := r.built.Start()
	r.down.ResumeMS = milliseconds(time.Since(begin))
	if err != nil {
		return targetInput{event: gotStartFailed, err: err}, true
	}
	r.arrivals.started()
	return targetInput{event: gotStarted}, true
}

// tombstone makes durable that the guest will never start here.
func (r *receiver) tombstone() (targetInput, bool) {
	if r.Record == nil {
		return targetInput{event: gotTombstone}, true
	}
	if err := r.Record.Tombstone(); err != nil {
		return targetInput{event: gotTombstoneFailed, err: fmt.Errorf("ownership record: %w", err)}, true
	}
	return targetInput{event: gotTombstone}, true
}

// report tells of a round that is in place. The caller holds mu.
func (r *receiver) report() { r.tell(PhasePush) }

// tell tells how the move is going. The caller holds mu.
func (r *receiver) tell(phase Phase) {
	if r.Progress == nil {
		return
	}
	p := Progress{
		Phase:     phase,
		Round:     int(r.acked),
		SentBytes: r.rounds.bytes,
		ElapsedMS: milliseconds(time.Since(r.begin)),
	}
	if r.machine.pull {
		p.RemainingBytes = r.pull.memory.Missing() * guestmem.PageSize
	}
	r.Progress(p)
}

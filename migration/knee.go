package migration

import "time"

const (
	// kneeSettle is how long a change in the number of channels, or a round, takes to show in what leaves.
	kneeSettle = 60 * time.Millisecond
	// kneeWatch is over what time it is then measured.
	kneeWatch = 160 * time.Millisecond
	// kneeGain is how much more must leave over one more channel for it to be kept.
	kneeGain = 1.2
)

// kneeVerdict is what is to become of the number of channels.
type kneeVerdict uint8

const (
	kneeStay   kneeVerdict = iota
	kneeGrow               // try one more
	kneeShrink             // the last one brought nothing
)

// knee finds the number of channels from which on another one brings nothing: it has one added at a time, and once that brings too little it is
// taken away, and the number stays. It is a pure value: no clock, no I/O.
type knee struct {
	most    int // channels that are tried at the most
	settled bool
	tried   bool      // a channel was added and not judged yet
	rate    float64   // what left before that, in bytes a second
	from    time.Time // nothing is measured before
	began   time.Time // of the measurement; zero: not yet
	bytes   uint64    // that had left then
}

// restart forgets a measurement under way.
func (k *knee) restart(now time.Time) { k.from, k.began = now.Add(kneeSettle), time.Time{} }

// due says whether there is something to be seen.
func (k *knee) due(now time.Time) bool {
	return !k.settled && !now.Before(k.from) && (k.began.IsZero() || now.Sub(k.began) >= kneeWatch)
}

// see takes how many bytes have left so far, over how many channels.
//
// Precondition: due.
func (k *knee) see(now time.Time, bytes uint64, channels int) kneeVerdict {
	if k.began.IsZero() {
		k.began, k.bytes = now, bytes
		return kneeStay
	}
	rate := float64(bytes-k.bytes) / now.Sub(k.began).Seconds()
	k.restart(now)
	switch {
	case k.tried && rate < kneeGain*k.rate:
		k.settled = true
		return kneeShrink
	case channels >= k.most:
		k.settled = true
		return kneeStay
	}
	k.tried, k.rate = true, rate
	return kneeGrow
}

package migration

import "time"

// ask is a page that is waited for: when that was told, and when it had been
// asked for, which is zero before.
type ask struct{ told, wrote time.Time }

// waits is how long pages were waited for, and for what.
type waits struct{ all, ask, wire, place latencies }

// add notes a page whose bytes were all there at one time, and in place at another.
func (w *waits) add(a ask, came, placed time.Time) {
	w.all.add(placed.Sub(a.told))
	if a.wrote.IsZero() || came.Before(a.wrote) {
		return // it was on its way already
	}
	w.ask.add(a.wrote.Sub(a.told))
	w.wire.add(came.Sub(a.wrote))
	w.place.add(placed.Sub(came))
}

// faults sums them up.
func (w *waits) faults() Faults {
	f := w.all.faults()
	f.AskUS, f.WireUS, f.PlaceUS = microseconds(w.ask.quantile(0.5)), microseconds(w.wire.quantile(0.5)), microseconds(w.place.quantile(0.5))
	return f
}

package mmio

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// logEvery is how often at most a line is logged: a guest can cause any number.
const logEvery = 10 * time.Second

// limitedLog is a log that a guest cannot fill.
type limitedLog struct {
	log     *slog.Logger
	next    atomic.Int64 // when a line may come, in nanoseconds since began
	omitted atomic.Int64
}

var began = time.Now()

func (l *limitedLog) warn(msg string, err error) {
	now, next := int64(time.Since(began)), l.next.Load()
	if now < next || !l.next.CompareAndSwap(next, now+int64(logEvery)) {
		l.omitted.Add(1)
		return
	}
	l.log.Warn(msg, "err", err, "omitted", l.omitted.Swap(0))
}

// Package calmlog is a log that a guest cannot fill, whatever it does how often.
package calmlog

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Log passes a line on at most once in a while, and tells with the next one how
// many it left out. It may be used from several goroutines.
type Log struct {
	Log   *slog.Logger
	Every time.Duration
	Burst int // lines that may come at once after a time of none; 0: one

	mu      sync.Mutex // guards what follows
	next    time.Time  // when a line may come, had none come early
	omitted int
}

// Warn logs what should not be.
func (l *Log) Warn(msg string, args ...any) { l.line(slog.LevelWarn, msg, args) }

// Info logs what may be.
func (l *Log) Info(msg string, args ...any) { l.line(slog.LevelInfo, msg, args) }

func (l *Log) line(level slog.Level, msg string, args []any) {
	l.mu.Lock()
	now := time.Now()
	if now.Before(l.next.Add(-l.Every * time.Duration(max(l.Burst, 1)-1))) {
		l.omitted++
		l.mu.Unlock()
		return
	}
	omitted := l.omitted
	if l.next.Before(now) {
		l.next = now
	}
	l.next, l.omitted = l.next.Add(l.Every), 0
	l.mu.Unlock()
	l.Log.Log(context.Background(), level, msg, append(args, "omitted", omitted)...)
}

package calmlog

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLinesAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		drop := func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
		l := Log{Log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: drop})), Every: time.Minute}
		l.Warn("first", "error", errors.New("x"))
		for range 3 {
			time.Sleep(10 * time.Second)
			l.Info("left out")
		}
		time.Sleep(30 * time.Second)
		l.Info("second")
		want := "level=WARN msg=first error=x omitted=0\nlevel=INFO msg=second omitted=3\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// TestBurst: after a time of none several lines may come at once, and not more in the long run.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := Log{Log: slog.New(slog.NewTextHandler(&out, nil)), Every: time.Minute, Burst: 3}
		for _, want := range []int{3, 3, 4, 7} {
			for range 5 {
				l.Warn("line")
			}
			if got := bytes.Count(out.Bytes(), []byte("line")); got != want {
				t.Errorf("got %d lines; want %d", got, want)
			}
			time.Sleep(map[int]time.Duration{3: 30 * time.Second, 4: time.Hour}[want])
		}
	})
}

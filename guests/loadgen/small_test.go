package loadgen_test

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"
)

func TestReadsEntropy(t *testing.T) {
	underEach(t, func(t *testing.T, boot boot) {
		r := boot(t, guest{rng: true, cmdline: "heartbeat=10000 verify=16 rng=1"})
		s, lines := r.until(t, "entropy", func(s stat) bool { return s["rng"] >= 1000 })
		checkNothingWrong(t, s, lines)
	})
}

func TestConsoleEchoes(t *testing.T) {
	underEach(t, func(t *testing.T, boot boot) {
		path := filepath.Join(shortDir(t), "vcon")
		r := boot(t, guest{vcon: path, cmdline: "heartbeat=10000 verify=16 vcon=1"})
		r.await(t, "READY")
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		want := noise(100_000)
		sent := make(chan error, 1)
		go func() {
			_, err := conn.Write(want)
			sent <- err
		}()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Error("got other bytes back")
		}
		s, lines := r.until(t, "all counted", func(s stat) bool { return s["vcon"] >= float64(len(want)) })
		checkNothingWrong(t, s, lines)
	})
}

func TestReportsFreePages(t *testing.T) {
	underEach(t, func(t *testing.T, boot boot) {
		r := boot(t, guest{balloon: true, cmdline: "heartbeat=10000 verify=16 balloon=1"})
		s, lines := r.until(t, "all free pages reported, and used, again", func(s stat) bool { return s["reported"] >= 3000 })
		checkNothingWrong(t, s, lines)
	})
}

func TestBalloon(t *testing.T) {
	t.Parallel()
	const memory, reserve = 64, 4 // MiB
	r := bootQEMU(t, guest{memory: memory, balloon: true, cmdline: "heartbeat=10000 verify=16 fill=16 balloon=1"})
	r.await(t, "READY")
	for _, given := range []int{1, reserve, 0, 3} {
		r.qmp.execute(t, map[string]any{"execute": "balloon", "arguments": map[string]int{"value": (memory - given) << 20}})
		s, lines := r.until(t, "the balloon as asked", func(s stat) bool { return s["balloon"] == float64(given<<20/pageSize) })
		checkNothingWrong(t, s, lines)
	}
}

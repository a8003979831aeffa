package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake answers each command with what script has for it, and returns the
// client's end.
func fake(t *testing.T, script map[string]string) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	t.Cleanup(func() { client.Close(); <-done })
	go func() {
		defer close(done)
		defer server.Close()
		fmt.Fprintln(server, `{"QMP": {"version": {"qemu": {"major": 10}}, "capabilities": []}}`)
		in := bufio.NewScanner(server)
		for in.Scan() {
			var request struct {
				Execute string
				ID      uint64
			}
			if json.Unmarshal(in.Bytes(), &request) != nil {
				return
			}
			answer, ok := script[request.Execute]
			if !ok {
				answer = `{"return": {}, "id": %d}`
			}
			if answer == "" {
				return
			}
			fmt.Fprintf(server, answer+"\n", request.ID)
		}
	}()
	return client
}

func TestMigrateTalk(t *testing.T) {
	tests := []struct {
		name, migrate string
		want          Moved
		wantErr       string
	}{
		{
			name:    "completed",
			migrate: `{"return": {}, "id": %d}{"event":"MIGRATION","data":{"status":"active"}}{"event":"STOP"}{"event":"MIGRATION","data":{"status":"completed"}}`,
			want:    Moved{Status: "completed", TotalMS: 300, DowntimeMS: 35},
		},
		{
			name:    "failed",
			migrate: `{"return": {}, "id": %d}{"event":"MIGRATION","data":{"status":"failed"}}`,
			want:    Moved{Status: "completed", TotalMS: 300, DowntimeMS: 35},
			wantErr: "qemu: the move is failed: ",
		},
		{
			name:    "refused",
			migrate: `{"error": {"class": "GenericError", "desc": "no"}, "id": %d}`,
			wantErr: "qemu: migrate: no (GenericError)",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mon, err := NewMonitor(t.Context(), fake(t, map[string]string{
				"migrate":       tt.migrate,
				"query-migrate": `{"return": {"status": "completed", "total-time": 300, "downtime": 35}, "id": %d}`,
			}))
			if err != nil {
				t.Fatal(err)
			}
			defer mon.Close()
			m := &Machine{Monitor: mon}
			got, err := m.Migrate(t.Context(), "tcp:10.77.0.2:4444", MigrateOptions{DowntimeLimit: 5, MaxBandwidth: Unlimited, Channels: 2, Postcopy: true})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("moved (-want +got):\n%s", diff)
			}
			if fmt.Sprint(err) != tt.wantErr && (err != nil || tt.wantErr != "") {
				t.Errorf("got error %v; want %s", err, tt.wantErr)
			}
		})
	}
}

func TestMonitorEnds(t *testing.T) {
	mon, err := NewMonitor(t.Context(), fake(t, map[string]string{"quit": ""}))
	if err != nil {
		t.Fatal(err)
	}
	defer mon.Close()
	if err := mon.Execute(t.Context(), "quit", nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
	if _, err := mon.WaitEvent(t.Context(), func(Event) bool { return true }); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
}

func TestWaitEventObeysContext(t *testing.T) {
	mon, err := NewMonitor(t.Context(), fake(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer mon.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := mon.WaitEvent(ctx, func(Event) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want context.Canceled", err)
	}
}

func TestParseVersion(t *testing.T) {
	tests := []struct {
		out, version string
		major        int
		fails        bool
	}{
		{"QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright", "10.0.2", 10, false},
		{"QEMU emulator version 7.2.17", "7.2.17", 7, false},
		{"qemu: command not found", "", 0, true},
		{"", "", 0, true},
	}
	for _, tt := range tests {
		version, major, err := parseVersion(tt.out)
		if version != tt.version || major != tt.major || (err != nil) != tt.fails {
			t.Errorf("parseVersion(%q): got %q, %d, %v; want %q, %d", tt.out, version, major, err, tt.version, tt.major)
		}
	}
}

func TestStartSaysWhyItFailed(t *testing.T) {
	b := Require(t)
	_, err := Start(t.Context(), Config{Binary: b, Kernel: "/nonexistent", Memory: 32, CPUs: 1})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v; want ErrClosed and QEMU's reason", err)
	}
	t.Log(err)
}

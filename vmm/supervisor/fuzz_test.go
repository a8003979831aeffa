package supervisor

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzStatus reads what a state folder says of a machine.
func FuzzStatus(f *testing.F) {
	f.Add([]byte(`{"name":"a","supervisor_pid":1,"machine_pid":2}`))
	f.Add([]byte(`{"supervisor_pid":-1}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, "a.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readStatus(dir, "a")
		if err == nil && (s.MachinePID < 0 || s.SupervisorPID < 0) {
			t.Errorf("got the processes %d and %d; want none below 0: they are to be sent signals", s.SupervisorPID, s.MachinePID)
		}
	})
}

// FuzzConsole reads what a console is to be; what was taken is read again as the same.
func FuzzConsole(f *testing.F) {
	f.Add("unix:/tmp/x")
	f.Add("file:")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConsole(text)
		if err != nil {
			return
		}
		if again, err := ParseConsole(c.String()); err != nil || again != c {
			t.Errorf("%q: got %+v, and of that %+v, %v; want the same", text, c, again, err)
		}
	})
}

package vmm

import (
	"errors"
	"strings"
	"testing"
)

func TestCPUsThatKVMAllows(t *testing.T) {
	for _, tt := range []struct {
		name    string
		want    int
		known   bool
		most    int
		refused bool
	}{
		{"fewer", 2, true, 4, false},
		{"as many", 4, true, 4, false},
		{"more", 8, true, 4, true},
		{"a host that does not say", 8, false, 0, false},
	} {
		err := checkCPUs(tt.want, tt.known, tt.most)
		if f := (*Failure)(nil); errors.As(err, &f) != tt.refused {
			t.Errorf("%s: got %v; want refused %t", tt.name, err, tt.refused)
		} else if tt.refused && (f.Code != "cpus" || !strings.Contains(f.Message, "8") || !strings.Contains(f.Remedy, "--cpus 4")) {
			t.Errorf("%s: got %+v; want code cpus, and both numbers", tt.name, f)
		}
	}
}

package abitest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := parse("sizeof struct kvm_msi 32\nKVM_RUN 0xae80\n")
	if diff := cmp.Diff(map[string]uint64{"sizeof struct kvm_msi": 32, "KVM_RUN": 0xae80}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"lonely", "name value", " \n"} {
		if got, err := parse(bad); err == nil {
			t.Errorf("%q: got %v; want an error", bad, got)
		}
	}
}

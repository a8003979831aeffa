package supervisor

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/confine"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func TestParseUser(t *testing.T) {
	for text, want := range map[string]*confine.User{
		"root":                  {},
		"0":                     {},
		"root:7":                {GID: 7},
		"4000000000:4000000001": {UID: 4000000000, GID: 4000000001}, // nobody has it
		"4000000000":            nil,                                // and so no group
		"4294967295:1":          nil,
		"root:":                 nil,
		"root:wheel":            nil,
		"":                      nil,
		"no such user":          nil,
		"-1:1":                  nil,
	} {
		got, err := ParseUser(text)
		if want == nil {
			if err == nil || api.AsError(err).Remedy == "" {
				t.Errorf("%q: got %+v, %v; want it refused with a remedy", text, got, err)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

func TestConfinedBy(t *testing.T) {
	for _, c := range []struct {
		applied *confine.Applied
		want    []string
	}{
		{nil, []string{"none"}},
		{&confine.Applied{User: confine.User{UID: 5, GID: 6}}, []string{"seccomp", "no-capabilities", "user-5-6"}},
		{&confine.Applied{Landlock: 7, EmptyRoot: true, EmptyNetwork: true}, []string{"seccomp", "no-capabilities", "user-0-0", "landlock-7", "empty-root", "empty-network"}},
	} {
		if diff := cmp.Diff(c.want, confinedBy(c.applied)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.applied, diff)
		}
	}
}

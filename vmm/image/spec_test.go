package image

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDisk(t *testing.T) {
	tests := map[string]Spec{
		"root=a.img":                   {ID: "root", Path: "a.img", Queues: 1},
		"a-b_c.9=/x/y=z.img":           {ID: "a-b_c.9", Path: "/x/y=z.img", Queues: 1},
		"d=a,ro":                       {ID: "d", Path: "a", ReadOnly: true, Queues: 1},
		"d=a,cache=none":               {ID: "d", Path: "a", Cache: CacheNone, Queues: 1},
		"d=a,cache=writeback,ro":       {ID: "d", Path: "a", ReadOnly: true, Cache: CacheWriteback, Queues: 1},
		"d=a,queues=4,ro":              {ID: "d", Path: "a", ReadOnly: true, Queues: 4},
		"12345678901234567890=/dev/sd": {ID: "12345678901234567890", Path: "/dev/sd", Queues: 1},
	}
	for text, want := range tests {
		got, err := ParseDisk(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParseDisk(%q): %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{
		"", "root", "root=", "=a", "=", "root=,ro", "a b=c", "ä=c", "123456789012345678901=x", "d=a\x00b",
		"d=a,", "d=a,,ro", "d=a,ro,", "d=a,ro,ro", "d=a,rw", "d=a,ro=1", "d=a,cache=", "d=a,cache", "d=a,cache=unsafe",
		"d=a,cache=none,cache=none", "d=a,queues=0", "d=a,queues=9", "d=a,queues=", "d=a,queues", "d=a,queues=2,queues=2", "d=a,queues=+2",
	} {
		if got, err := ParseDisk(text); !errors.Is(err, ErrSpec) {
			t.Errorf("ParseDisk(%q): got %+v, %v; want ErrSpec", text, got, err)
		}
	}
}

func TestParseMapping(t *testing.T) {
	id, path, err := ParseMapping("root=/a=b")
	if id != "root" || path != "/a=b" || err != nil {
		t.Errorf("got %q, %q, %v; want root, /a=b", id, path, err)
	}
	if _, _, err := ParseMapping("root=a,ro"); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "comma") {
		t.Errorf("a comma: got %v; want ErrSpec that says so", err)
	}
}

func FuzzParseDisk(f *testing.F) {
	f.Add("root=a.img,ro,cache=none")
	f.Add("root=a.img")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseDisk(text)
		if err != nil {
			return
		}
		again := s.ID + "=" + s.Path + ",queues=" + strconv.Itoa(s.Queues)
		if s.Cache != "" {
			again += ",cache=" + string(s.Cache)
		}
		if s.ReadOnly {
			again += ",ro"
		}
		got, err := ParseDisk(again)
		if diff := cmp.Diff(s, got); diff != "" || err != nil {
			t.Errorf("%q is %+v, but %q: %v (-want +got):\n%s", text, s, again, err, diff)
		}
	})
}

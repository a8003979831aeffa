package drive

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadGuide(t *testing.T) {
	got, err := ReadGuide("# A guide\n\n**Both hosts, as root**\n\n```sh\nmake install\n```\n\n**Host A**\n\n```sh\nvmm ps\nvmm top\n```\n\n```text\nnothing\n```\n\n" +
		"```json\n{}\n```\n\n**Host B, second terminal**\n\n```sh\nping\n```\n\n**Host B, second terminal**\n\n```text\n…\n```\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{Line: 5, Hosts: []string{"A", "B"}, Root: true, Text: "make install\n"},
		{Line: 11, Hosts: []string{"A"}, Text: "vmm ps\nvmm top\n"},
		{Line: 16, Hosts: []string{"A"}, Output: true, Text: "nothing\n"},
		{Line: 26, Hosts: []string{"B"}, Second: true, Text: "ping\n"},
		{Line: 32, Hosts: []string{"B"}, Second: true, Output: true, Text: "…\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	for _, wrong := range []string{"", "no commands\n", "```sh\nls\n```\n"} {
		if got, err := ReadGuide(wrong); err == nil {
			t.Errorf("%q: got %+v; want an error", wrong, got)
		}
	}
}

func TestPrints(t *testing.T) {
	for _, tt := range []struct {
		said, got string
		want      bool
	}{
		{"alpha", "alpha\n", true},
		{"alpha", "alpha-2\n", false},
		{"moved in 400 ms", "moved in 1.5 s\n", true},
		{"moved in 400 ms", "moved in none\n", false},
		{"…\nGuests can run here.", "ok kvm\nok cpu\nGuests can run here.\n", true},
		{"…\nGuests can run here.", "ok kvm\nSomething stands in the way\n", false},
		{"NAME   STATE\nalpha  running", "NAME STATE\nalpha running\n", true},
		{"0% packet loss", "25% packet loss", false},
		{"0% packet loss", "0% packet loss", true},
	} {
		if got := Prints(tt.said, tt.got); got != tt.want {
			t.Errorf("Prints(%q, %q): got %v; want %v", tt.said, tt.got, got, tt.want)
		}
	}
}

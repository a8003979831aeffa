package linux

import "testing"

func TestParseCandidate(t *testing.T) {
	for out, want := range map[string]string{
		"linux-source-6.1:\n  Installed: (none)\n  Candidate: 6.1.192-2\n  Version table:\n": "6.1.192-2",
		"linux-source-6.1:\n  Installed: (none)\n  Candidate: (none)\n":                      "",
		"": "",
	} {
		if got := parseCandidate(out); got != want {
			t.Errorf("%q: got %q; want %q", out, got, want)
		}
	}
}

func TestInstalledKnowsWhatIsNot(t *testing.T) {
	if got := installed(t.Context(), "ferry-no-such-package"); got != "" {
		t.Errorf("got version %q; want none", got)
	}
}

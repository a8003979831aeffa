package migration

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/migration/pack"
)

// rows are those of the table with that head in docs/format.md, their columns without blanks around them.
func rows(t *testing.T, head string) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "\n"+head+"\n")
	if !ok {
		t.Fatalf("got no table %q in docs/format.md", head)
	}
	for i, line := range strings.Split(table, "\n") {
		if !strings.HasPrefix(line, "|") {
			break
		}
		if i == 0 {
			continue // the rule under the head
		}
		columns := strings.Split(strings.Trim(line, "|"), "|")
		for j := range columns {
			columns[j] = strings.TrimSpace(columns[j])
		}
		all = append(all, columns)
	}
	return all
}

// TestFormatPage holds docs/format.md against the code.
func TestFormatPage(t *testing.T) {
	var want, got []string
	for i := range 256 {
		if limit, known := frameType(i).limit(); known {
			want = append(want, fmt.Sprintf("%d %v %d", i, frameType(i), limit))
		}
	}
	for _, r := range rows(t, "| type | name | from | payload | at most |") {
		got = append(got, fmt.Sprintf("%s %s %s", r[0], r[1], r[4]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("types of frames (-code +page):\n%s", diff)
	}

	want, got = nil, nil
	for r := RoleControl; r <= RoleProbe; r++ {
		want = append(want, fmt.Sprintf("%d %v", r, r))
	}
	for _, r := range rows(t, "| role | name | what for |") {
		got = append(got, r[0]+" "+r[1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("roles (-code +page):\n%s", diff)
	}

	want, got = []string{"0 data", "1 zeros", "2 a hole", "3 missing"}, nil
	for c := pack.Words; c < pack.Codecs; c++ {
		want = append(want, fmt.Sprintf("%d %v", wireKind(c), c))
	}
	for _, r := range rows(t, "| kind | what | bytes that follow |") {
		got = append(got, r[0]+" "+regexp.MustCompile(`[:,].*`).ReplaceAllString(r[1], ""))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds of runs (-code +page):\n%s", diff)
	}

	versions := map[string]string{}
	for _, r := range rows(t, "| what | version | older ones that are read |") {
		versions[r[0]] = r[1] + "; " + r[2]
	}
	for what, want := range map[string]string{
		"protocol":           fmt.Sprintf("%d; %d to %d", VersionMax, VersionMin, VersionMax-1),
		"file of a snapshot": fmt.Sprintf("%d; ", StreamVersion),
		"state, outermost":   fmt.Sprintf("%d; ", StateFormat),
	} {
		if versions[what] != want {
			t.Errorf("version of %s: got %q in docs/format.md; want %q", what, versions[what], want)
		}
	}

	size := 0
	for _, r := range rows(t, "| at | size | what |") { // the first: the hello's
		var at, n int
		if _, err := fmt.Sscan(r[0], &at); err != nil || at != size {
			t.Errorf("a field of the hello: got %q; want it at %d", r, size)
		}
		if _, err := fmt.Sscan(r[1], &n); err != nil {
			t.Errorf("a field of the hello: got %q: %v", r, err)
		}
		size += n
	}
	if size != HelloSize {
		t.Errorf("the hello: got %d bytes; want %d", size, HelloSize)
	}
}

package rules

import (
	"bytes"
	"go/format"
	"path"
	"strings"
	"testing"
)

// maxLines is how long a file may be.
const maxLines = 600

func TestFilesAreFormatted(t *testing.T) {
	for _, s := range sources(t) {
		want, err := format.Source(s.text)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
			continue
		}
		if !bytes.Equal(s.text, want) {
			t.Errorf("%s is not formatted; want what gofmt -w makes of it", s.path)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if got := bytes.Count(s.text, []byte("\n")); got > maxLines {
			t.Errorf("%s: got %d lines; want at most %d", s.path, got, maxLines)
		}
	}
}

// TestEachPackageIsDescribedOnce wants one comment before one package clause.
func TestEachPackageIsDescribedOnce(t *testing.T) {
	docs := make(map[string][]string)
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		dir := path.Dir(s.path)
		if docs[dir] == nil {
			docs[dir] = []string{}
		}
		if s.file.Doc == nil || len(strings.TrimSpace(s.file.Doc.Text())) == 0 {
			continue
		}
		docs[dir] = append(docs[dir], s.path)
		want := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			want = "Command " + path.Base(dir) + " "
		}
		if !strings.HasPrefix(strings.ReplaceAll(s.file.Doc.Text(), "\n", " "), want) {
			t.Errorf("%s: the package's description does not begin with %q", s.path, want)
		}
	}
	for dir, files := range docs {
		if len(files) != 1 {
			t.Errorf("%s: got its description in %v; want it in one file", dir, files)
		}
	}
}

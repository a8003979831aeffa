package api

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestReadEvents(t *testing.T) {
	const stream = ": hello\n\nevent: state\ndata: {\"kind\":\"state\",\"state\":\"running\",\"later\":1}\n\ndata:{\"kind\":\"missed\",\"missed\":3}\n\n"
	var got []Event
	var end error
	for e, err := range readEvents(strings.NewReader(stream)) {
		if end = err; err == nil {
			got = append(got, e)
		}
	}
	if len(got) != 2 || got[0].State != StateRunning || got[1].Missed != 3 {
		t.Errorf("got %+v; want both events", got)
	}
	if !errors.Is(end, io.ErrUnexpectedEOF) {
		t.Errorf("got %v at the end; want that it came without a last word", end)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("event: state\ndata: {\"kind\":\"state\"}\n\n")
	f.Add("data: {\"kind\":\"ended\",\"exit\":0}\ndata: [")
	f.Add(strings.Repeat("data: {}\n", 3) + "\r\n\x00")
	f.Fuzz(func(t *testing.T, stream string) {
		ends := 0
		for _, err := range readEvents(strings.NewReader(stream)) {
			if err != nil {
				ends++
			}
		}
		if ends != 1 {
			t.Errorf("got %d errors; want one, at the end", ends)
		}
	})
}

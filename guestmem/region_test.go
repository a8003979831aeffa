package guestmem

import "testing"

// What is data is found as far as it was asked for, across windows, and counted without a walk.
func TestDataUntil(t *testing.T) {
	m, err := New(Layout{{GPA: 0, Size: 64 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const first, end = 3, 3000 // pages of data
	if err := m.Place(first*PageSize, make([]byte, (end-first)*PageSize)); err != nil {
		t.Fatal(err)
	}
	r := m.regions[0]
	for _, c := range []struct{ from, to, want uint64 }{
		{first, end, end}, {first, end + 1, end}, {first, r.pages(), end}, {first, 2000, 2000}, {2999, 3001, end}, {end, r.pages(), end}, {0, 10, 0}, {5, 5, 5},
	} {
		if got, err := r.dataUntil(c.from, c.to); err != nil || got != c.want {
			t.Errorf("from %d to %d: got %d, %v; want %d", c.from, c.to, got, err, c.want)
		}
	}
	if n, err := m.DataBytes(); err != nil || n != (end-first)*PageSize {
		t.Errorf("got %d bytes of data, %v; want %d", n, err, (end-first)*PageSize)
	}
	if err := m.Punch(100*PageSize, 50*PageSize); err != nil {
		t.Fatal(err)
	}
	if got, err := r.dataUntil(first, end); err != nil || got != 100 {
		t.Errorf("after a punch: got %d, %v; want 100", got, err)
	}
	if n, err := m.DataBytes(); err != nil || n != (end-first-50)*PageSize {
		t.Errorf("after a punch: got %d bytes of data, %v; want %d", n, err, (end-first-50)*PageSize)
	}
}

package migration

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestThrottleRule(t *testing.T) {
	for name, tc := range map[string]struct {
		ceiling int
		fixed   time.Duration
		pages   []uint64 // pending after each round, of as many as were pending before; the first had 25600
		want    []int
	}{
		"never":             {0, 0, []uint64{25600, 25600, 25600}, []int{0, 0, 0}},
		"shrinking":         {99, 0, []uint64{12000, 5900, 2900, 1400}, []int{0, 0, 0, 0}},
		"within the limit":  {99, 0, []uint64{1000, 1000, 1000}, []int{0, 0, 0}},
		"outrun":            {99, 0, []uint64{25600, 25600, 25600, 25600, 25600}, []int{0, 75, 94, 99, 99}},
		"a little outrun":   {99, 0, []uint64{25600, 14000, 8000, 4800}, []int{0, 55, 81, 93}},
		"ceiling":           {60, 0, []uint64{25600, 25600, 25600}, []int{0, 60, 60}},
		"kept when it does": {99, 0, []uint64{25600, 25600, 6000, 2000}, []int{0, 75, 75, 75}},
		"in vain":           {99, time.Second, []uint64{25600, 25600, 25600}, []int{0, 0, 0}},
	} {
		f := at()
		f.save += tc.fixed
		th := throttle{ceiling: tc.ceiling}
		before := uint64(25600)
		var got []int
		for i, pages := range tc.pages {
			f.sent(before*4096, time.Duration(before)*time.Second/25600+time.Millisecond)
			th.next(i+1, &f, pages)
			got = append(got, th.percent)
			before = pages
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

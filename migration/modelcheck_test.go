package migration

import (
	"fmt"
	"slices"
	"testing"
)

// TestModel walks through every order in which frames, faults and decisions can
// come, up to two faults, and checks the invariants in each situation, and at
// each end where nothing more can happen.
func TestModel(t *testing.T) {
	for _, how := range []modelHow{
		{mode: Precopy, faults: 1},
		{mode: Hybrid, faults: 1},
		{mode: StopCopy, faults: 1, wait: true},
		{mode: StopCopy, faults: 2, frames: true},
		{mode: StopCopy, faults: 1, person: true},
		{mode: StopCopy, faults: 1, fence: true},
		{mode: StopCopy, faults: 1, shared: true},
		{mode: Postcopy, faults: 2},
		{mode: Postcopy, faults: 1, shared: true, person: true},
		{mode: Postcopy, faults: 1, frames: true},
	} {
		t.Run(fmt.Sprintf("%s, faults %d, wait %v, frames %v, shared %v, fence %v, person %v", how.mode, how.faults, how.wait, how.frames, how.shared, how.fence, how.person), func(t *testing.T) {
			how.faults -= spared
			situations, ends, wrong := explore(&how)
			if wrong != "" {
				t.Fatal(wrong)
			}
			t.Logf("%d situations, ends %v", situations, ends)
			if ends["source"] == 0 || ends["target"] == 0 || situations < 500 {
				t.Errorf("got %d situations, ends %v; want more", situations, ends)
			}
		})
	}
}

// TestModelFindsMistakes: an answer without a tombstone, and a person who says
// what is not so, lead to two copies.
func TestModelFindsMistakes(t *testing.T) {
	for name, how := range map[string]modelHow{
		"no tombstone":  {mode: StopCopy, faults: 1, forgetful: true},
		"a wrong word":  {mode: StopCopy, faults: 1, person: true, lies: true},
		"no dirty bits": {mode: Precopy, careless: true},
	} {
		if _, _, wrong := explore(&how); wrong == "" {
			t.Errorf("%s: got nothing wrong", name)
		} else {
			t.Logf("%s: %s", name, wrong)
		}
	}
}

// explore visits every situation. It returns how many there are, how many of
// those that last belong to whom, and what is wrong, if anything.
func explore(how *modelHow) (situations int, ends map[string]int, wrong string) {
	queue := []model{newModel(how)}
	seen := map[string]int32{queue[0].key(): 0}
	var sure [][]int32    // what happens sooner or later, by situation
	var lasts []situation // by situation
	for ; len(queue) > 0; queue = queue[1:] {
		m := &queue[0]
		if why := m.wrong(); why != "" {
			return 0, nil, fmt.Sprintf("%s after: %v", why, m.trail)
		}
		at := int32(len(sure))
		visit := func(n *model) int32 {
			k := n.key()
			id, known := seen[k]
			if !known {
				id = int32(len(seen))
				seen[k] = id
				queue = append(queue, *n)
			}
			return id
		}
		will, may := m.next()
		var to []int32
		for i := range will {
			if id := visit(&will[i]); id != at {
				to = append(to, id)
			}
		}
		for i := range may {
			visit(&may[i])
		}
		sure, lasts = append(sure, to), append(lasts, m.situation())
	}
	ends = map[string]int{}
	for _, id := range lasting(sure) {
		s := lasts[id]
		if s.wrong != "" {
			return 0, nil, fmt.Sprintf("%s (%v at the source, %v at the target) in the end after: %v", s.wrong, s.src, s.tgt, s.trail)
		}
		ends[s.owner]++
	}
	return len(sure), ends, ""
}

// situation is what is kept of a model that has been visited.
type situation struct {
	wrong, owner string // if it lasts
	src          sourceState
	tgt          targetState
	trail        *trail
}

func (m *model) situation() situation {
	s := situation{src: m.src.state, tgt: m.tgt.state, trail: m.trail}
	s.wrong, s.owner = m.end()
	return s
}

// lasting returns the nodes of a graph that are left never or come back always:
// those of its strongly connected components from which no edge leads away. The
// order of the walk is Tarjan's.
func lasting(edges [][]int32) []int32 {
	const unseen = -1
	index, low := make([]int32, len(edges)), make([]int32, len(edges))
	for i := range index {
		index[i] = unseen
	}
	type visit struct {
		node int32
		next int
	}
	on := make([]bool, len(edges)) // the stack
	left := make([]bool, len(edges))
	var stack, last []int32
	var count int32
	for root := range edges {
		if index[root] != unseen {
			continue
		}
		path := []visit{{node: int32(root)}}
		for len(path) > 0 {
			v := &path[len(path)-1]
			n := v.node
			if v.next == 0 {
				index[n], low[n] = count, count
				count++
				stack, on[n] = append(stack, n), true
			}
			if v.next < len(edges[n]) {
				to := edges[n][v.next]
				v.next++
				switch {
				case index[to] == unseen:
					path = append(path, visit{node: to})
				case on[to]:
					low[n] = min(low[n], index[to])
				default:
					left[n] = true
				}
				continue
			}
			path = path[:len(path)-1]
			if low[n] == index[n] {
				first := slices.Index(stack, n)
				whole := stack[first:]
				away := slices.ContainsFunc(whole, func(n int32) bool { return left[n] })
				for _, n := range whole {
					on[n] = false
					if !away {
						last = append(last, n)
					}
				}
				stack = stack[:first]
				if len(path) > 0 {
					left[path[len(path)-1].node] = true
				}
			} else if len(path) > 0 {
				before := path[len(path)-1].node
				low[before] = min(low[before], low[n])
			}
		}
	}
	return last
}

// waits says whether the source does nothing but wait for others.
func (m *model) waits() bool {
	return m.srcUp && (m.src.state == sourceInDoubt || m.src.state == sourceRejoining)
}

// wrong says what must not be, in any situation; "" if nothing is.
func (m *model) wrong() string {
	switch {
	case m.srcRuns && m.tgtRuns:
		return "two copies run"
	case m.srcRuns && m.started:
		return "an older copy runs again"
	case m.tgtRuns && m.own == wordTombstone:
		return "the target runs, and the source's record says that it never will"
	case m.tgtRuns && m.stale && !m.owed:
		return "the target runs with a page that is not the source's"
	case m.atSrc && m.atTgt:
		return "a packet is given to the guest twice"
	case m.log && m.stale && !m.bit && !m.owed:
		return "a dirty bit is lost"
	case m.src.done() && m.src.outcome == OutcomeCompleted && !m.started:
		return "the source says that the target started the guest, which it did not"
	}
	return ""
}

// end says who has the guest where nothing more happens, and what is wrong with that.
func (m *model) end() (wrong, owner string) {
	switch {
	case m.srcUp && !m.src.done() && !m.waits():
		return "the source is stuck", ""
	case m.tgtUp && !m.tgt.done() && m.tgt.state != targetParted:
		return "the target is stuck", ""
	case m.srcRuns && m.tgtRuns:
		return "two copies run", ""
	case m.srcRuns:
		return "", "source"
	case m.tgtRuns && m.tgt.state == targetParted && m.tgt.pull:
		// Pages are missing, and the source, or the way to it, is dead.
		if m.srcUp && m.srcSup && m.tgtSup == 1 {
			return "nobody comes back to the pull", ""
		}
		return "", "lost"
	case m.tgtRuns && m.how.frames && m.faults == m.how.faults && !m.hasty && !m.atTgt:
		return "a packet is lost", ""
	case m.tgtRuns:
		return "", "target"
	case !m.srcUp, m.src.outcome == OutcomeLost, m.src.outcome == OutcomeCompleted && !m.tgtUp:
		return "", "lost" // the only owner was killed, or the only one who could say so
	case m.waits() && !m.srcSup:
		return "", "in doubt" // until a person asks: the machine can reach nobody
	}
	return "no copy runs", ""
}

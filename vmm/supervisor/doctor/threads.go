package doctor

import "fmt"

// threads looks at how many CPUs this process may use: a guest and its move need one each.
func threads(n int) Finding {
	if n < 2 {
		return Finding{Check: "cpus", Level: Note, Text: "this process has one CPU: a guest stands still while its memory is sent",
			Remedy: "give it another (taskset, cpuset, or the size of this virtual machine)"}
	}
	return Finding{Check: "cpus", Level: OK, Text: fmt.Sprintf("%d CPUs, so that a guest runs on while it is sent", n)}
}

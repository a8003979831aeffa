// Package vcpu runs the virtual CPUs of a machine: one locked thread each, dispatch of exits, pause and resume, the CPUID that guests
// see, and the architectural state that a move carries (vCPUs, interrupt controllers, timers and clock).
//
// A vCPU is in one of these states:
//
//	            Resume                 kick, settle
//	parked ───────────────▶ running ───────────────▶ parked
//	                           │
//	                           ▼ triple fault, system event, error
//	                         ended  (Restore and SetBootState make it parked)
//
// Kick. A kick sets immediate_exit and then signals the thread, so it works wherever the thread is: inside KVM_RUN the signal ends
// it (also for a vCPU that halts or waits for its SIPI), and on the way there the flag does. Only the thread itself clears the flag
// while it runs, and it looks for a stop request after that, never before. One kick is therefore enough, and none is lost.
//
// Settle. After a port or MMIO exit the instruction is not complete: RIP and RAX change when KVM_RUN is entered again. Before a vCPU is
// reported as paused it enters KVM_RUN with immediate_exit set until that gives EINTR, else the access would be repeated at the target.
//
// Go. Threads enter KVM_RUN through the system call path that gives up the Go processor, so GOMAXPROCS should exceed the host's
// CPUs by the number of vCPUs: else a thread that returns may wait 10 ms for a busy goroutine to be preempted. SIGURG is the
// kick because the Go runtime already expects it at any time.
package vcpu

// Package seccomp tells which of the system calls that this module needs, and a
// Go program otherwise does not make, would kill the process.
//
// A hardened service has a seccomp filter. One that answers with an error does no
// harm, but many kill: SystemCallFilter=~@resources of systemd does so to whoever
// calls sched_setaffinity. A filter cannot be asked, so the calls are tried in a
// child process first. That is a fork without exec, and the child, a copy of this
// process with the one thread, does nothing but these calls, with arguments that
// the kernel refuses. It is made only where a filter is installed, once. It takes
// 0.3 ms in a small process, but 70 ms for each GiB of resident memory in OS pages
// of 4 KiB, which the kernel has to mark as shared: ask before memory fills.
//
// The child shares no memory with its parent (CLONE_VM), which would be quicker:
// until Linux 5.16 a core dump ends every process that shares the memory.
package seccomp

// Package vcpu answers "who am I?" for the running thread: on which virtual
// CPU of this process, by what right, and on which NUMA node.
//
// The kernel gives the running threads of a process small ids that no two of
// them have at the same moment (mm_cid, the concurrency id), and writes them
// where the thread can read them without a system call: into its rseq area.
// An old libc does not matter: a field is there when the kernel's feature size
// covers its end and the registered area is long enough. Where mm_cid is
// missing the kernel's CPU number serves, and where rseq itself is missing,
// forbidden or broken, the index of Go's P does.
//
// Registering with success is no proof. There are kernels that register and
// then do not abort sections (arm64, Linux 6.19 to 7.0.13), so that two threads
// are given the same block. Probe therefore tests the kernel before it trusts
// it: see selftest.go.
//
// VCPUALLOC_MODE=mm_cid|cpu_id|assigned in the environment caps the mode.
package vcpu

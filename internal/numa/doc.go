// Package numa tells which NUMA nodes this process can have memory on.
//
// What it knows comes from /sys/devices/system/node and /proc/self/status, which
// need no system call that a sandbox would kill for. Package osmem binds memory.
package numa

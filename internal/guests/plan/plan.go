// Package plan is what the runner outside a guest and /init inside it say to
// each other: a file in the initramfs one way, lines on the console the other.
package plan

// Path is where /init finds the Plan, as JSON.
const Path = "/plan.json"

// DebugExit is the emulator's exit status after /init ran to its end. On amd64
// isa-debug-exit makes 2*value+1 of the value written to its port.
const (
	DebugExitValue = 0x10
	DebugExit      = 2*DebugExitValue + 1
)

// Prefixes of the console lines that the runner reads; JSON follows, up to the
// end of the line.
const (
	ModePrefix   = "GUEST-MODE "   // a Mode, printed by a job
	JobPrefix    = "GUEST-JOB "    // a JobResult, after each job
	NotePrefix   = "GUEST-NOTE "   // a figure, as a JSON string, for the reader of the table
	ResultPrefix = "GUEST-RESULT " // the Result, last line of all
)

// Plan is the work of one guest.
type Plan struct {
	Jobs []Job
}

// Job is one program to run, after the one before it has ended.
type Job struct {
	Name    string
	Path    string // of the executable, in the guest
	Args    []string
	Env     []string // added to the environment that /init gives every job
	Dir     string   // working directory, in the guest
	Seconds int      // after which it is asked for its stacks and killed
}

// JobResult tells how one job ended. It is good if Status is 0 and Error is
// empty.
type JobResult struct {
	Name    string
	Status  int    // exit status, -1 if it did not exit by itself
	Error   string // signal, time-out, or why it did not start
	Seconds float64
}

// Result is the guest as /init found it, and how its jobs ended.
type Result struct {
	Kernel   string // uname -r
	Machine  string // uname -m
	PageSize int    // bytes of an OS page
	CPUs     int    // online
	Nodes    int    // NUMA nodes online, 0 if the kernel knows none
	Jobs     []JobResult
}

// Mode is what the kernel offers, and what package vcpu made of it.
type Mode struct {
	Mode        string // vcpu.Mode.String()
	Reason      string
	Owner       string
	KernelSize  int // AT_RSEQ_FEATURE_SIZE, bytes; 0 if the kernel gives none
	KernelAlign int // AT_RSEQ_ALIGN, bytes
	Registered  int // bytes
	Fence       bool
}

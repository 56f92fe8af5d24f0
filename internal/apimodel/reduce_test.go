package apimodel

import "time"

const (
	// reduceTries is how often a shorter list may pass before it counts as good:
	// some failures need threads to change their vCPUs.
	reduceTries = 3
	reduceTime  = 20 * time.Second
)

// reduce returns a list that fails, too, and is as short and plain as the time allows.
// The package rapid can do the same only for what fails the same way each time.
func reduce(ops []op, why error) ([]op, error) {
	end := time.Now().Add(reduceTime)
	fails := func(shorter []op) bool {
		for range reduceTries {
			if err := run(shorter); err != nil {
				ops, why = shorter, err
				return true
			}
		}
		return false
	}
	for changed := true; changed; {
		changed = false
		// The first one opens an allocator.
		for size := len(ops) / 2; size > 0; size /= 2 {
			for at := 1; at+size <= len(ops) && time.Now().Before(end); {
				if fails(append(append([]op{}, ops[:at]...), ops[at+size:]...)) {
					changed = true
				} else {
					at += size
				}
			}
		}
		for at := 1; at < len(ops) && time.Now().Before(end); at++ {
			for _, change := range plainer {
				shorter := append([]op{}, ops...)
				change(&shorter[at])
				if shorter[at] != ops[at] && fails(shorter) {
					changed = true
				}
			}
		}
		if !time.Now().Before(end) {
			break
		}
	}
	return ops, why
}

// plainer are changes after which an operation says less.
var plainer = []func(o *op){
	func(o *op) { o.thread = 0 },
	func(o *op) { o.a = 0 },
	func(o *op) { o.b = 0 },
	func(o *op) { o.m = 0 },
	func(o *op) { o.m &= 1 },
	func(o *op) { o.n = 0 },
	func(o *op) { o.n /= 2 },
	func(o *op) { o.n &^= 0xfff },
}

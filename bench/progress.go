package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress shows how far a run is: on a terminal in one line that changes,
// elsewhere in a line for each measurement.
type progress struct {
	to       io.Writer
	terminal bool
	total    int
	done     int
	begin    time.Time
}

func newProgress(to io.Writer, total int) *progress {
	p := &progress{to: to, total: total, begin: time.Now()}
	if file, ok := to.(*os.File); ok {
		status, err := file.Stat()
		p.terminal = err == nil && status.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// starting says what is measured now.
func (p *progress) starting(round, rounds int, shape, peer string) {
	if p.terminal {
		fmt.Fprintf(p.to, "\r\x1b[K%s round %d of %d: %s, %s", p.head(), round, rounds, shape, peer)
	}
}

// finished says what came out.
func (p *progress) finished(round, rounds int, shape, peer string, nanoseconds float64) {
	p.done++
	if !p.terminal {
		fmt.Fprintf(p.to, "%s round %d of %d: %s, %s: %.1f ns\n", p.head(), round, rounds, shape, peer, nanoseconds)
	}
}

// end clears the line.
func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}

// head is how much is done, and about how long the rest takes.
func (p *progress) head() string {
	left := "?"
	if p.done > 0 {
		each := time.Since(p.begin) / time.Duration(p.done)
		left = (each * time.Duration(p.total-p.done)).Round(time.Second).String()
	}
	done := fmt.Sprintf("%*d/%d, %s left", len(fmt.Sprint(p.total)), p.done, p.total, left)
	if !p.terminal {
		return "[" + done + "]"
	}
	const width = 24
	full := width * p.done / max(p.total, 1)
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "] " + done
}

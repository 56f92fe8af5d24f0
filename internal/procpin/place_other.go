//go:build !amd64 && !arm64

package procpin

// Place is where assembly finds the index of its P.
type Place struct {
	M uintptr
}

// FindPlace returns false: there is no assembly for this architecture.
func FindPlace() (Place, bool) { return Place{}, false }

//go:build !amd64 && !arm64

package regcall

import "unsafe"

const supported = false

func mixEntry() unsafe.Pointer     { return nil }
func echoEntry() unsafe.Pointer    { return nil }
func contextEntry() unsafe.Pointer { return nil }

//go:build !unix

package main

import "os"

// lock does nothing: there is no apt, and so there are no two runs.
func lock(string) (*os.File, error) { return nil, nil }

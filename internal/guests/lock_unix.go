//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lock keeps the cache folder for this process, up to its end: two runs would
// overwrite each other's programs and logs.
func lock(cache string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(cache, ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("another run uses the cache folder %s: wait for its end, or give this one a folder of its own with -cache", cache)
	}
	return file, err
}

package main

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/vcpualloc/vcpualloc/internal/guests/plan"
)

// packed is a job as it lies in the initramfs, with where its files come from.
type packed struct {
	plan.Job
	binary   string // on this machine
	testdata string // folder on this machine; empty if there is none
}

// names returns the jobs' names, which are those of the plan.
func names(jobs []packed) (all []string) {
	for _, job := range jobs {
		all = append(all, job.Name)
	}
	return all
}

// named returns the jobs that have one of the names, after the first of all, which
// tells the mode.
func named(jobs []packed, wanted []string) (some []packed) {
	for i, job := range jobs {
		if i == 0 || slices.Contains(wanted, job.Name) {
			some = append(some, job)
		}
	}
	return some
}

// writeInitramfs packs /init, the plan and the jobs into a file.
func writeInitramfs(name, initBinary string, jobs []packed) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// The emulated CPU unpacks it: level 1 is quick to make and to read.
	compressed, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := packInitramfs(compressed, initBinary, jobs); err != nil {
		return err
	}
	return compressed.Close()
}

func packInitramfs(out io.Writer, initBinary string, jobs []packed) error {
	archive := newCpioWriter(out)
	for _, folder := range []string{"proc", "sys", "dev", "tmp", "bin"} {
		archive.folder(folder)
	}
	// The kernel opens it for /init before anything is mounted on /dev.
	archive.device("dev/console", 0o600, 5, 1)
	archive.device("dev/null", 0o666, 1, 3)
	if err := addFile(archive, "init", initBinary); err != nil {
		return err
	}
	var work plan.Plan
	for _, job := range jobs {
		work.Jobs = append(work.Jobs, job.Job)
		if err := addFile(archive, job.Path, job.binary); err != nil {
			return err
		}
		archive.folder(job.Dir)
		if job.testdata == "" {
			continue
		}
		if err := addFolder(archive, path.Join(job.Dir, "testdata"), job.testdata); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(work, "", "\t")
	if err != nil {
		return err
	}
	archive.file(plan.Path, 0o644, text)
	return archive.close()
}

func addFile(archive *cpioWriter, name, source string) error {
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	archive.file(name, 0o755, content)
	return nil
}

func addFolder(archive *cpioWriter, name, source string) error {
	return filepath.WalkDir(source, func(found string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		below, err := filepath.Rel(source, found)
		if err != nil {
			return err
		}
		return addFile(archive, path.Join(name, filepath.ToSlash(below)), found)
	})
}

package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// suites are those of rows.txt; one apt state per architecture knows them all.
func suites(rows []Row) []string {
	var names []string
	seen := map[string]bool{}
	for _, row := range rows {
		if !seen[row.Suite] {
			seen[row.Suite] = true
			names = append(names, row.Suite)
		}
	}
	return names
}

// kernels fetches kernel images into the cache, one at a time.
type kernels struct {
	mutex    sync.Mutex
	folder   string
	mirror   string
	suites   []string
	refresh  bool
	progress func(format string, arguments ...any)

	archives map[string]*archive    // by architecture, opened at first need
	offers   map[string][]available // by architecture
	refused  map[string]error       // by architecture: why it could not be opened
}

// image returns the path of the row's kernel image.
func (k *kernels) image(ctx context.Context, row Row) (string, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	offers, err := k.open(ctx, row.Arch)
	if err != nil {
		return "", err
	}
	// Lists name versions that a mirror may have dropped; older ones hardly help.
	const enough = 3
	found := candidates(offers, row.Suite, row.Package)
	found = found[:min(len(found), enough)]
	var failures []error
	for _, one := range found {
		image := filepath.Join(k.folder, "kernels", one.name+"_"+one.version, "vmlinuz")
		if _, err := os.Stat(image); err == nil {
			return image, nil
		}
		k.progress("%s: fetching %s", row.Name, one.name)
		if err = k.fetch(ctx, row.Arch, one, image); err == nil {
			return image, nil
		}
		k.progress("%s: %s cannot be fetched: %v", row.Name, one.name, err)
		failures = append(failures, err)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no kernel: the suite %s of %s has no package %s\nWhat to do: -refresh renews the lists; if Debian has moved on, rows.txt must follow", row.Suite, k.mirror, row.Package)
	}
	return "", fmt.Errorf("no kernel: %w\nThe lists may be old: -refresh renews them. %s", errors.Join(failures...), mirrorAdvice)
}

// open returns what the suites offer for an architecture. It asks apt at the
// first run, and again if refresh is asked for; otherwise a file in the cache
// answers.
func (k *kernels) open(ctx context.Context, arch string) ([]available, error) {
	if offers, ok := k.offers[arch]; ok {
		return offers, nil
	}
	if err := k.refused[arch]; err != nil {
		return nil, err
	}
	offers, err := k.ask(ctx, arch)
	if err != nil {
		k.refused[arch] = fmt.Errorf("no kernel: %w", err)
		return nil, k.refused[arch]
	}
	k.offers[arch] = offers
	return offers, nil
}

func (k *kernels) ask(ctx context.Context, arch string) ([]available, error) {
	state := &archive{folder: filepath.Join(k.folder, "apt", arch), arch: arch, suites: k.suites, mirror: k.mirror}
	kept := filepath.Join(state.folder, "offers")
	text, err := os.ReadFile(kept)
	if err != nil || k.refresh || !state.isOpen() {
		k.progress("%s: package lists", arch)
		if err := state.open(ctx); err != nil {
			return nil, err
		}
		fresh, err := state.offers(ctx, "^linux-(image|binary)-[0-9].*-(cloud-[a-z0-9]+|16k)$")
		if err != nil {
			return nil, err
		}
		text = []byte(fresh)
		if err := os.WriteFile(kept, text, 0o644); err != nil {
			return nil, err
		}
	}
	k.archives[arch] = state
	return parseMadison(string(text)), nil
}

func (k *kernels) fetch(ctx context.Context, arch string, one available, image string) error {
	files, err := k.archives[arch].download(ctx, []string{one.name + "=" + one.version})
	if err != nil {
		return err
	}
	defer os.Remove(files[0])
	if err := os.MkdirAll(filepath.Dir(image), 0o755); err != nil {
		return err
	}
	return extractImage(ctx, files[0], image)
}

// imageInPackage is where Debian's packages have the kernel image.
var imageInPackage = regexp.MustCompile(`^(boot/vmlinuz-[^/]+|(usr/)?lib/modules/[^/]+/vmlinuz)$`)

// extractImage writes the kernel image of a package to a path. The image gets
// its name only when it is complete.
func extractImage(ctx context.Context, file, image string) error {
	command := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	stream, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	err = copyImage(tar.NewReader(stream), image)
	// Read to the end, or dpkg-deb complains that nobody listens.
	_, _ = io.Copy(io.Discard, stream)
	if waited := command.Wait(); err == nil && waited != nil {
		err = fmt.Errorf("dpkg-deb: %w", waited)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return os.Rename(image+".part", image)
}

func copyImage(files *tar.Reader, image string) error {
	for {
		header, err := files.Next()
		if err == io.EOF {
			return errors.New("no kernel image in the package")
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean(header.Name), "./")
		if header.Typeflag != tar.TypeReg || !imageInPackage.MatchString(name) {
			continue
		}
		out, err := os.Create(image + ".part")
		if err != nil {
			return err
		}
		_, err = io.Copy(out, files)
		return errors.Join(err, out.Close())
	}
}

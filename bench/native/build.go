package native

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/vcpualloc/vcpualloc/bench/internal/result"
)

//go:embed src/*.c src/*.h
var source embed.FS

// ErrNoCompiler says that there are no native peers, since nothing can build
// them.
var ErrNoCompiler = errors.New("native peers need Linux and a C compiler named cc")

// flags of cc. Without -fno-builtin the compiler takes a malloc and its free
// for nothing and leaves both out. A call through the table that the loader has
// filled at start is the shortest one there is to a library.
var flags = []string{
	"-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread",
	"-fno-builtin-malloc", "-fno-builtin-calloc", "-fno-builtin-realloc", "-fno-builtin-free",
	"-fno-plt", "-Wl,-z,now", "-DVERSION=" + strconv.Itoa(result.Version),
}

// Programs are the files of the two builds.
type Programs struct {
	Malloc  string
	Harness string
}

// Build returns the programs, compiled if they are not in the cache.
func Build(ctx context.Context) (Programs, error) {
	compiler, err := exec.LookPath("cc")
	if err != nil || runtime.GOOS != "linux" {
		return Programs{}, ErrNoCompiler
	}
	version, err := exec.CommandContext(ctx, compiler, "--version").Output()
	if err != nil {
		return Programs{}, fmt.Errorf("%w: cc --version: %w", ErrNoCompiler, err)
	}
	key, err := fingerprint(version)
	if err != nil {
		return Programs{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	directory := filepath.Join(cache, "vcpualloc-bench", key)
	programs := Programs{Malloc: filepath.Join(directory, "malloc"), Harness: filepath.Join(directory, "harness")}
	if exist(programs.Malloc) && exist(programs.Harness) {
		return programs, nil
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return Programs{}, fmt.Errorf("native peers: %w", err)
	}
	return programs, compile(ctx, compiler, programs)
}

func exist(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fingerprint stands for all that the programs depend on.
func fingerprint(compiler []byte) (string, error) {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %s\n", flags, compiler, runtime.GOARCH)
	names, texts, err := files()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		fmt.Fprintf(sum, "%q %q\n", name, texts[name])
	}
	return hex.EncodeToString(sum.Sum(nil)[:12]), nil
}

// files returns the source, and its names in order.
func files() (names []string, texts map[string][]byte, err error) {
	entries, err := source.ReadDir("src")
	if err != nil {
		return nil, nil, fmt.Errorf("native peers: %w", err)
	}
	texts = map[string][]byte{}
	for _, entry := range entries {
		text, err := source.ReadFile("src/" + entry.Name())
		if err != nil {
			return nil, nil, fmt.Errorf("native peers: %w", err)
		}
		names, texts[entry.Name()] = append(names, entry.Name()), text
	}
	slices.Sort(names)
	return names, texts, nil
}

// compile builds both programs beside their places and moves them there whole:
// another bench may look for them at the same time.
func compile(ctx context.Context, compiler string, to Programs) error {
	directory, err := os.MkdirTemp(filepath.Dir(to.Malloc), "build")
	if err != nil {
		return fmt.Errorf("native peers: %w", err)
	}
	defer os.RemoveAll(directory)
	names, texts, err := files()
	if err != nil {
		return err
	}
	units := []string{}
	for _, name := range names {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, texts[name], 0o644); err != nil {
			return fmt.Errorf("native peers: %w", err)
		}
		if strings.HasSuffix(name, ".c") {
			units = append(units, path)
		}
	}
	for place, more := range map[string]string{to.Malloc: "-UEMPTY", to.Harness: "-DEMPTY"} {
		built := filepath.Join(directory, filepath.Base(place))
		arguments := slices.Concat(flags, []string{more, "-o", built}, units, []string{"-ldl"})
		if complaint, err := exec.CommandContext(ctx, compiler, arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("native peers: cc: %w: %s", err, complaint)
		}
		if err := os.Rename(built, place); err != nil {
			return fmt.Errorf("native peers: %w", err)
		}
	}
	return nil
}

// Shapes returns the names of the shapes that the programs know.
func (p Programs) Shapes(ctx context.Context) ([]string, error) {
	names, err := exec.CommandContext(ctx, p.Malloc, "list").Output()
	if err != nil {
		return nil, fmt.Errorf("native peers: %w", err)
	}
	return strings.Fields(string(names)), nil
}

package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const madisonText = `linux-image-6.1.0-9-cloud-amd64 | 6.1.27-1 | http://mirror.test/debian bookworm/main amd64 Packages
linux-image-6.1.0-50-cloud-amd64 | 6.1.176-1 | http://mirror.test/debian bookworm/main amd64 Packages
linux-image-6.1.0-51-cloud-amd64-unsigned | 6.1.177-1 | http://mirror.test/debian bookworm/main amd64 Packages
linux-image-6.12.90+deb12-cloud-amd64 | 6.12.90-1 | http://mirror.test/debian bookworm-backports/main amd64 Packages
linux-image-6.12.117+deb13-cloud-amd64 | 6.12.117-1 | http://mirror.test/debian trixie/main amd64 Packages
linux-image-6.12.117+deb13-cloud-amd64 | 6.12.117-2 | http://mirror.test/debian trixie/main amd64 Packages
     linux | 6.12.117-1 | http://mirror.test/debian trixie/main Sources
`

func TestCandidates(t *testing.T) {
	all := parseMadison(madisonText)
	for _, test := range []struct{ suite, pattern, want string }{
		{"bookworm", "linux-image-6.1.*-cloud-amd64", "linux-image-6.1.0-50-cloud-amd64=6.1.176-1 linux-image-6.1.0-9-cloud-amd64=6.1.27-1"},
		{"trixie", "linux-image-6.12.*-cloud-amd64", "linux-image-6.12.117+deb13-cloud-amd64=6.12.117-2 linux-image-6.12.117+deb13-cloud-amd64=6.12.117-1"},
		{"trixie", "linux*", "linux-image-6.12.117+deb13-cloud-amd64=6.12.117-2 linux-image-6.12.117+deb13-cloud-amd64=6.12.117-1"},
		{"trixie-backports", "linux-image-6.12.*-cloud-amd64", ""},
	} {
		var got []string
		for _, one := range candidates(all, test.suite, test.pattern) {
			got = append(got, one.name+"="+one.version)
		}
		if joined := strings.Join(got, " "); joined != test.want {
			t.Errorf("candidates(%s, %s) = %q, want %q", test.suite, test.pattern, joined, test.want)
		}
	}
}

func TestOlder(t *testing.T) {
	ordered := []string{
		"5.10.0-9", "5.10.0-30", "5.10.0-32", "6.1.0-50", "6.12.9", "6.12.90+deb12", "6.12.90+deb12.1", "6.12.95+deb12",
		"6.12.107+deb13", "6.19.6+deb13", "6.19.14+deb13", "7.0.9", "7.0.10",
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := older(a, b); got != (i < j) {
				t.Errorf("older(%q, %q) = %v", a, b, got)
			}
		}
	}
	if older("6.01", "6.1") || older("6.1", "6.01") {
		t.Error("leading zeros must not matter")
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	shuffled := slices.Clone(ordered)
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, func(a, b string) int {
		if older(a, b) {
			return -1
		}
		return 1
	})
	if !slices.Equal(shuffled, ordered) {
		t.Errorf("seed %d: sorted to %q", seed, shuffled)
	}
}

func TestVersionMatches(t *testing.T) {
	for _, test := range []struct {
		version, wanted string
		want            bool
	}{
		{"6.1.0-50-cloud-amd64", "6.1", true},
		{"6.12.117+deb13-cloud-amd64", "6.1", false},
		{"6.1", "6.1", true},
		{"7.3.4+deb13-arm64-16k", "7.3", true},
		{"17.3.4", "7.3", false},
	} {
		if got := versionMatches(test.version, test.wanted); got != test.want {
			t.Errorf("versionMatches(%q, %q) = %v", test.version, test.wanted, got)
		}
	}
}

func TestInstallLine(t *testing.T) {
	text := "NOTE: a simulation\nInst libaio1 (0.3.113-4 Debian:12.15/oldstable [amd64])\n" +
		"Inst qemu-system-x86 [1:7.2+dfsg-7] (1:10.0.2+ds-2 Debian Backports:oldstable-backports [amd64]) []\nConf libaio1 (0.3.113-4 Debian [amd64])\n"
	var got []string
	for _, match := range installLine.FindAllStringSubmatch(text, -1) {
		got = append(got, match[1]+"="+match[2])
	}
	if want := []string{"libaio1=0.3.113-4", "qemu-system-x86=1:10.0.2+ds-2"}; !slices.Equal(got, want) {
		t.Errorf("packages to install are %q, want %q", got, want)
	}
}

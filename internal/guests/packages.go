package main

import (
	"path"
	"sort"
	"strings"
)

// available is one package version that a suite offers.
type available struct {
	name, version, suite string
}

// parseMadison reads the output of "apt-cache madison":
//
//	name | version | mirror suite/component architecture Packages
func parseMadison(text string) []available {
	var all []available
	for _, line := range strings.Split(text, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 3 {
			continue
		}
		source := strings.Fields(cells[2])
		if len(source) != 4 || source[3] != "Packages" {
			continue
		}
		suite, _, _ := strings.Cut(source[1], "/")
		all = append(all, available{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), suite})
	}
	return all
}

// candidates returns what the suite has for the pattern, newest first.
func candidates(all []available, suite, pattern string) []available {
	var chosen []available
	for _, one := range all {
		if ok, _ := path.Match(pattern, one.name); ok && one.suite == suite {
			chosen = append(chosen, one)
		}
	}
	sort.SliceStable(chosen, func(i, j int) bool {
		if chosen[i].name != chosen[j].name {
			return older(chosen[j].name, chosen[i].name)
		}
		return older(chosen[j].version, chosen[i].version)
	})
	return chosen
}

// older orders names that contain versions: runs of digits are compared as
// numbers, everything else as text, and a shorter text comes first.
func older(a, b string) bool {
	for a != "" && b != "" {
		var partA, partB string
		partA, a = cutPart(a)
		partB, b = cutPart(b)
		if partA == partB {
			continue
		}
		if isDigit(partA[0]) && isDigit(partB[0]) {
			partA, partB = strings.TrimLeft(partA, "0"), strings.TrimLeft(partB, "0")
			if len(partA) != len(partB) {
				return len(partA) < len(partB)
			}
			if partA == partB {
				continue
			}
		}
		return partA < partB
	}
	return a == "" && b != ""
}

// cutPart cuts the longest run of digits, or of anything else, off the front of
// a text that is not empty.
func cutPart(text string) (part, rest string) {
	end := 1
	for end < len(text) && isDigit(text[end]) == isDigit(text[0]) {
		end++
	}
	return text[:end], text[end:]
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// versionMatches reports whether a kernel's version begins with the wanted one,
// as a whole: 6.1 is wanted by 6.1.0-50-cloud-amd64 and not by 6.12.9.
func versionMatches(version, wanted string) bool {
	rest, ok := strings.CutPrefix(version, wanted)
	return ok && (rest == "" || !isDigit(rest[0]))
}

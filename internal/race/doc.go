// Package race tells the race detector of objects that are handed over through a
// section: it does not see what assembly does.
package race

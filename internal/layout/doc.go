// Package layout holds the tests of what ARCHITECTURE.md and the style say
// about the tree as a whole: which package imports which, and how long a file is.
package layout

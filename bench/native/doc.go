// Package native builds and finds the native peers of the bench: one small C
// program that does the shapes with malloc and free (src/), and the libraries
// that replace malloc in it by LD_PRELOAD.
//
// The program is compiled by the system's cc when it is first needed, once for
// each version of its source and compiler, into the user's cache folder. It is
// built twice: with malloc, and as the harness alone, which hands out the same
// bytes over and over.
package native

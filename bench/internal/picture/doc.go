// Package picture draws a run of the bench: for each shape a row of two
// panels, time on the left and memory on the right, with one line per peer.
//
// Times of one shape span three decades and are compared by ratio, so their
// scale is logarithmic, and a point stands for the median: a bar would need a
// zero to start from, which such a scale does not have. A whisker goes from the
// lowest to the highest round. All shapes share the time scale. Memory adds up,
// so it is a bar from zero; the pale part is what the program had resident
// before the peer was opened. The memory scale is that of its shape alone.
//
// The drawing is done on gonum's canvases, so that SVG and PNG come from the
// same calls.
package picture

package apimodel

// regressions are lists of operations that have failed once.
var regressions = []regression{}

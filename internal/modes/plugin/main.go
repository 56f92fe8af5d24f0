// Command plugin is probe as a plugin; pluginhost loads it.
package main

import "C"

import "github.com/vcpualloc/vcpualloc/internal/modes/report"

// Main is probe's main function.
func Main() int { return report.Main(nil) }

func main() {}

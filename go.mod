module github.com/vcpualloc/vcpualloc

go 1.25.0

require (
	github.com/dustin/go-humanize v1.0.1 // indirect
	github.com/klauspost/cpuid/v2 v2.3.0 // indirect
	golang.org/x/sys v0.42.0 // indirect
)

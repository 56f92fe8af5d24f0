module github.com/vcpualloc/vcpualloc/examples

go 1.25.0

require (
	github.com/dustin/go-humanize v1.0.1
	github.com/klauspost/cpuid/v2 v2.3.0
	github.com/vcpualloc/vcpualloc v0.0.0
	pgregory.net/rapid v1.3.0
)

require golang.org/x/sys v0.42.0 // indirect

replace github.com/vcpualloc/vcpualloc => ../

module github.com/vcpualloc/vcpualloc/internal/apimodel

go 1.25.0

require (
	github.com/vcpualloc/vcpualloc v0.0.0
	golang.org/x/sys v0.47.0
	pgregory.net/rapid v1.3.0
)

require github.com/dustin/go-humanize v1.0.1 // indirect

replace github.com/vcpualloc/vcpualloc => ../../

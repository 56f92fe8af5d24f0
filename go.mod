module github.com/vcpualloc/vcpualloc

go 1.25.0

require (
	github.com/dustin/go-humanize v1.0.1
	golang.org/x/sys v0.42.0
)

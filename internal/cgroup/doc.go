// Package cgroup tells how much memory the cgroups of the process allow, by the
// files of version 2. Where version 1 has the memory controller there is no limit
// to be found: its files have other names and meanings.
package cgroup

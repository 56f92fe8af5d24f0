package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/vcpualloc/vcpualloc/examples/respcache/resp"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

const (
	// compatibleVersion is the Redis whose replies these are; clients choose
	// what they send by it.
	compatibleVersion = "7.0.0"
	evictionPolicy    = "allkeys-lru"
)

// section is one part of INFO.
type section struct {
	name  string
	write func(s *server, w *strings.Builder)
}

var sections = []section{
	{"Server", (*server).infoServer},
	{"Clients", (*server).infoClients},
	{"Memory", (*server).infoMemory},
	{"Stats", (*server).infoStats},
	{"Keyspace", (*server).infoKeyspace},
}

// info writes the sections asked for, all without arguments, in the format of
// Redis: lines of name:value, a section's title after a #.
func (s *server) info(c *client, args resp.Args) {
	var text strings.Builder
	for _, part := range sections {
		if !wanted(part.name, args.From(1)) {
			continue
		}
		if text.Len() > 0 {
			text.WriteString("\r\n")
		}
		text.WriteString("# " + part.name + "\r\n")
		part.write(s, &text)
	}
	c.writeText(text.String())
}

func wanted(name string, words resp.Args) bool {
	name = strings.ToUpper(name)
	for i := range words.Len() {
		if word := words.At(i); is(word, name) || is(word, "ALL") || is(word, "DEFAULT") || is(word, "EVERYTHING") {
			return true
		}
	}
	return words.Len() == 0
}

func line(w *strings.Builder, name string, value any) {
	fmt.Fprintf(w, "%s:%v\r\n", name, value)
}

func (s *server) infoServer(w *strings.Builder) {
	features := vcpu.Probe()
	uptime := int64(time.Since(s.started).Seconds())
	line(w, "redis_version", compatibleVersion)
	line(w, "redis_mode", "standalone")
	line(w, "os", runtime.GOOS+" "+runtime.GOARCH)
	line(w, "process_id", os.Getpid())
	line(w, "tcp_port", s.port)
	line(w, "uptime_in_seconds", uptime)
	line(w, "go_version", runtime.Version())
	line(w, "vcpualloc_mode", features.Mode)
	line(w, "vcpualloc_reason", features.Reason)
	line(w, "vcpualloc_rseq_owner", features.Owner)
	line(w, "vcpualloc_vcpus", vcpu.Max())
}

func (s *server) infoClients(w *strings.Builder) {
	line(w, "connected_clients", s.connected())
	line(w, "maxclients", s.maxClients)
}

// infoMemory tells the allocator's figures. used_memory is what counts against
// the limit, so it includes what the allocator keeps at hand for later.
func (s *server) infoMemory(w *strings.Builder) {
	stats := s.memory.Stats()
	peak := s.notePeak(stats.Backed)
	resident := residentBytes()
	line(w, "used_memory", stats.Backed)
	line(w, "used_memory_human", humanSize(stats.Backed))
	line(w, "used_memory_rss", resident)
	line(w, "used_memory_rss_human", humanSize(resident))
	line(w, "used_memory_peak", peak)
	line(w, "used_memory_peak_human", humanSize(peak))
	line(w, "used_memory_dataset", stats.Live)
	line(w, "maxmemory", s.limit)
	line(w, "maxmemory_human", humanSize(s.limit))
	line(w, "maxmemory_policy", evictionPolicy)
	line(w, "mem_clients_normal", s.buffers.held.Load())
	line(w, "mem_allocator", "vcpualloc")
	line(w, "vcpualloc_mode", stats.Mode)
	line(w, "vcpualloc_reserved", stats.Reserved)
	line(w, "vcpualloc_backed", stats.Backed)
	line(w, "vcpualloc_live", stats.Live)
	line(w, "vcpualloc_cached_vcpu", stats.CachedVCPU)
	line(w, "vcpualloc_cached_transfer", stats.CachedTransfer)
	line(w, "vcpualloc_cached_central", stats.CachedCentral)
	line(w, "vcpualloc_tails", stats.Tails)
	line(w, "vcpualloc_page_heap_free", stats.PageHeapFree)
	line(w, "vcpualloc_retained", stats.Retained)
	line(w, "vcpualloc_gone", stats.Gone)
	line(w, "vcpualloc_released", stats.Released)
	line(w, "vcpualloc_metadata", stats.Metadata)
	line(w, "table_index_bytes", s.table.Stats().IndexBytes)
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(heap) // stops no goroutine, unlike runtime.ReadMemStats
	line(w, "go_heap_inuse", heap[0].Value.Uint64()+heap[1].Value.Uint64())
	line(w, "go_gc_cycles", heap[2].Value.Uint64())
}

func (s *server) infoStats(w *strings.Builder) {
	stats := s.table.Stats()
	line(w, "total_connections_received", s.accepted.Load())
	line(w, "rejected_connections", s.rejected.Load())
	line(w, "evicted_clients", s.evictedClients.Load())
	line(w, "total_commands_processed", s.commands.Value())
	line(w, "expired_keys", stats.Expired)
	line(w, "evicted_keys", stats.Evicted)
	line(w, "keyspace_hits", stats.Hits)
	line(w, "keyspace_misses", stats.Misses)
}

func (s *server) infoKeyspace(w *strings.Builder) {
	if stats := s.table.Stats(); stats.Keys > 0 {
		line(w, "db0", fmt.Sprintf("keys=%d,expires=%d,avg_ttl=0", stats.Keys, stats.Expiring))
	}
}

// residentBytes is the process's resident memory, 0 where there is no procfs.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		return 0
	}
	return resident * int64(os.Getpagesize())
}

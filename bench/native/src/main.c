// The command line, the meter, and the answer in JSON, which is that of a Go
// child (result.Sample).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine.h"

// VERSION is result.Version of the Go side.
#ifndef VERSION
#error "give -DVERSION=n"
#endif

static const shape *const tables[] = {shapes_micro, shapes_living, shapes_bounds, shapes_classic, NULL};

static const shape *find(const char *name) {
	for (const shape *const *table = tables; *table; table++)
		for (const shape *s = *table; s->name; s++)
			if (!strcmp(s->name, name))
				return s;
	return NULL;
}

static long field(const char *text, const char *name) {
	const char *at = strstr(text, name);
	return at ? strtol(at + strlen(name), NULL, 10) << 10 : 0;
}

// read_status reads what /proc says of the process, without the help of the allocator.
static void read_status(char text[4096]) {
	int file = open("/proc/self/status", O_RDONLY);
	ssize_t n = file < 0 ? 0 : read(file, text, 4095);
	if (file >= 0)
		close(file);
	text[n > 0 ? n : 0] = 0;
}

long data_bytes(void) {
	char text[4096];
	read_status(text);
	return field(text, "VmData:");
}

void resident_bytes(long *now, long *peak) {
	char text[4096];
	read_status(text);
	*now = field(text, "VmRSS:");
	*peak = field(text, "VmHWM:");
}

static double seconds(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

void meter_start(outcome *o) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	o->minor_faults = -u.ru_minflt;
	o->major_faults = -u.ru_majflt;
	o->cpu = -seconds(u.ru_utime) - seconds(u.ru_stime);
}

void meter_stop(outcome *o) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	o->minor_faults += u.ru_minflt;
	o->major_faults += u.ru_majflt;
	o->cpu += seconds(u.ru_utime) + seconds(u.ru_stime);
}

static struct { const char *name; double value; } figures[16];
static int figure_count;

void add_figure(const char *name, double value) {
	if (figure_count == sizeof figures / sizeof *figures)
		fail("too many figures");
	figures[figure_count].name = name;
	figures[figure_count++].value = value;
}

// library is the file that malloc comes from: it tells whether a preload took.
static const char *library(void) {
#ifdef EMPTY
	return "none";
#else
	Dl_info info;
	void *address = dlsym(RTLD_DEFAULT, "malloc");
	if (!address || !dladdr(address, &info) || !info.dli_fname)
		return "unknown";
	const char *slash = strrchr(info.dli_fname, '/');
	return slash ? slash + 1 : info.dli_fname;
#endif
}

static void list(void) {
	for (const shape *const *table = tables; *table; table++)
		for (const shape *s = *table; s->name; s++)
			puts(s->name);
}

int main(int argc, char **argv) {
	if (argc == 2 && !strcmp(argv[1], "list")) {
		list();
		return 0;
	}
	if (argc != 8) {
		fprintf(stderr, "usage: %s list | SHAPE PEER SEED WARM-NS TIME-NS SHAPES-OWN-NS CPUS\n", argv[0]);
		return 2;
	}
	const shape *chosen = find(argv[1]);
	if (!chosen)
		fail("no such shape on the native side");
	scene s = {.seed = strtoull(argv[3], NULL, 10), .warm = atof(argv[4]) / 1e9, .time = atof(argv[5]) / 1e9,
		.own = atof(argv[6]) / 1e9, .cpus = atoi(argv[7]), .parameter = chosen->parameter};
	outcome o = {0};
	long start, end, peak;
	resident_bytes(&start, &peak);
	plan p = chosen->build(&s);
	perform(&p, &s, &o);
	resident_bytes(&end, &peak);
#ifndef EMPTY
	if (atomic_load(&damage))
		fail("words of blocks in use were changed by somebody else");
#endif
	int lanes = 1;
	if (chosen->parallel) {
		long online = sysconf(_SC_NPROCESSORS_ONLN);
		lanes = p.count < s.cpus ? p.count : s.cpus;
		lanes = lanes < online ? lanes : (int)online;
	}
	printf("{\"version\":%d,\"sample\":{\"shape\":\"%s\",\"peer\":\"%s\",\"cpus\":%d,\"workers\":%d,"
		"\"operations\":%ld,\"elapsed_ns\":%.0f,\"ns_per_operation\":%.6f,\"cpu_ns_per_operation\":%.6f,"
		"\"start_bytes\":%ld,\"peak_bytes\":%ld,\"end_bytes\":%ld,\"minor_faults\":%ld,\"major_faults\":%ld,\"mode\":\"%s\"",
		VERSION, chosen->name, argv[2], s.cpus, p.count, o.operations, o.elapsed * 1e9,
		o.elapsed * 1e9 * lanes / (o.operations ? o.operations : 1),
		o.cpu * 1e9 / (o.operations ? o.operations : 1), start, peak, end, o.minor_faults, o.major_faults, library());
	for (int i = 0; i < figure_count; i++)
		printf("%s\"%s\":%.0f", i ? "," : ",\"figures\":{", figures[i].name, figures[i].value);
	printf("%s}}\n", figure_count ? "}" : "");
	return 0;
}

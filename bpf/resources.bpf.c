// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
/* What the container uses of the node, as its cgroups account for it anyway: no program runs. Each metric says
 * where it is, first of version 2, then, for hybrid hosts, of version 1. */
#include "remora.bpf.h"

struct resources {
	remora_us cpu_usage REMORA_COUNTER("processor time used")
		REMORA_CGROUP("cpu.stat usage_usec | cpuacct:cpuacct.usage / 1000");
	remora_us cpu_user REMORA_COUNTER("processor time used by programs")
		REMORA_CGROUP("cpu.stat user_usec | cpuacct:cpuacct.usage_user / 1000");
	remora_us cpu_system REMORA_COUNTER("processor time used by the kernel")
		REMORA_CGROUP("cpu.stat system_usec | cpuacct:cpuacct.usage_sys / 1000");
	__u64 cpu_periods REMORA_COUNTER("periods in which there was a quota and something to run")
		REMORA_CGROUP("cpu.stat nr_periods | cpu:cpu.stat nr_periods");
	__u64 cpu_throttled_periods REMORA_COUNTER("periods in which the quota was used up")
		REMORA_CGROUP("cpu.stat nr_throttled | cpu:cpu.stat nr_throttled");
	remora_us cpu_throttled REMORA_COUNTER("time for which it was held back by its quota")
		REMORA_CGROUP("cpu.stat throttled_usec | cpu:cpu.stat throttled_time / 1000");
	remora_us cpu_quota REMORA_GAUGE("processor time it may use in each period")
		REMORA_CGROUP("cpu.max #0 | cpu:cpu.cfs_quota_us");
	remora_us cpu_period REMORA_GAUGE("length of a period of the quota")
		REMORA_CGROUP("cpu.max #1 | cpu:cpu.cfs_period_us");
	remora_us cpu_pressure_some REMORA_COUNTER("time in which some of its tasks waited for a processor")
		REMORA_CGROUP("cpu.pressure some total");
	remora_us cpu_pressure_full REMORA_COUNTER("time in which all of its tasks waited for a processor")
		REMORA_CGROUP("cpu.pressure full total");

	remora_bytes memory_usage REMORA_GAUGE("memory in use, page cache included")
		REMORA_CGROUP("memory.current | memory:memory.usage_in_bytes");
	remora_bytes memory_peak REMORA_GAUGE("most memory that was in use")
		REMORA_CGROUP("memory.peak | memory:memory.max_usage_in_bytes");
	remora_bytes memory_limit REMORA_GAUGE("memory it may use; absent: no limit")
		REMORA_CGROUP("memory.max | memory:memory.limit_in_bytes");
	remora_bytes memory_anon REMORA_GAUGE("memory that is no file's, without swap")
		REMORA_CGROUP("memory.stat anon | memory:memory.stat total_rss");
	remora_bytes memory_file REMORA_GAUGE("page cache, shared memory included")
		REMORA_CGROUP("memory.stat file | memory:memory.stat total_cache");
	remora_bytes memory_inactive_file REMORA_GAUGE("page cache that may go; usage without it is the working set")
		REMORA_CGROUP("memory.stat inactive_file | memory:memory.stat total_inactive_file");
	remora_bytes memory_mapped_file REMORA_GAUGE("mapped files")
		REMORA_CGROUP("memory.stat file_mapped | memory:memory.stat total_mapped_file");
	remora_bytes memory_swap REMORA_GAUGE("swap in use")
		REMORA_CGROUP("memory.swap.current | memory:memory.stat total_swap");
	__u64 memory_page_faults REMORA_COUNTER("page faults")
		REMORA_CGROUP("memory.stat pgfault | memory:memory.stat total_pgfault");
	__u64 memory_major_page_faults REMORA_COUNTER("page faults that had to read")
		REMORA_CGROUP("memory.stat pgmajfault | memory:memory.stat total_pgmajfault");
	__u64 memory_limit_hits REMORA_COUNTER("times its memory reached the limit")
		REMORA_CGROUP("memory.events max | memory:memory.failcnt");
	__u64 memory_oom_kills REMORA_COUNTER("processes killed for want of memory")
		REMORA_CGROUP("memory.events oom_kill | memory:memory.oom_control oom_kill");
	remora_us memory_pressure_some REMORA_COUNTER("time in which some of its tasks waited for memory")
		REMORA_CGROUP("memory.pressure some total");
	remora_us memory_pressure_full REMORA_COUNTER("time in which all of its tasks waited for memory")
		REMORA_CGROUP("memory.pressure full total");

	remora_bytes io_read REMORA_COUNTER("bytes read from a device")
		REMORA_CGROUP("io.stat * rbytes | blkio:blkio.throttle.io_service_bytes_recursive * Read");
	remora_bytes io_written REMORA_COUNTER("bytes written to a device")
		REMORA_CGROUP("io.stat * wbytes | blkio:blkio.throttle.io_service_bytes_recursive * Write");
	__u64 io_reads REMORA_COUNTER("reads from a device")
		REMORA_CGROUP("io.stat * rios | blkio:blkio.throttle.io_serviced_recursive * Read");
	__u64 io_writes REMORA_COUNTER("writes to a device")
		REMORA_CGROUP("io.stat * wios | blkio:blkio.throttle.io_serviced_recursive * Write");
	remora_us io_pressure_some REMORA_COUNTER("time in which some of its tasks waited for a device")
		REMORA_CGROUP("io.pressure some total");
	remora_us io_pressure_full REMORA_COUNTER("time in which all of its tasks waited for a device")
		REMORA_CGROUP("io.pressure full total");

	__u64 tasks REMORA_GAUGE("processes and threads") REMORA_CGROUP("pids.current | pids:pids.current");
	__u64 tasks_limit REMORA_GAUGE("processes and threads it may have; absent: no limit")
		REMORA_CGROUP("pids.max | pids:pids.max");
};
REMORA_CGROUP_METRICS(struct resources);

REMORA_TRACER(resources, "default,performance", "processor time, memory, I/O, tasks and pressure of its cgroups");

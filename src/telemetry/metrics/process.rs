//! Metrics of the process and the build.

use std::{fmt, fs};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use rustix::process::{Resource, getrlimit};

use super::group::{Labels, encode_metric};

/// The values that Linux provides. On other systems they are not available, and the metrics are
/// omitted.
struct ProcessStats {
    resident_bytes: i64,
    threads: i64,
    cpu_seconds: f64,
    open_fds: i64,
}

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let labels: Labels<1> = [("version", env!("CARGO_PKG_VERSION"))];
    encode_metric(encoder, "build", "Version of this binary.", &Info::new(labels))?;
    let Some(stats) = read_stats() else { return Ok(()) };
    encode_metric(
        encoder,
        "process_resident_memory_bytes",
        "Resident memory of the process.",
        &ConstGauge::new(stats.resident_bytes),
    )?;
    encode_metric(
        encoder,
        "process_cpu_seconds",
        "User and system CPU time of the process.",
        &ConstCounter::new(stats.cpu_seconds),
    )?;
    encode_metric(encoder, "process_open_fds", "Open file descriptors.", &ConstGauge::new(stats.open_fds))?;
    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| i64::try_from(limit).ok());
    encode_metric(
        encoder,
        "process_max_fds",
        "Maximum number of open file descriptors; -1 if unlimited.",
        &ConstGauge::new(limit.unwrap_or(-1)),
    )?;
    encode_metric(encoder, "process_threads", "Threads of the process.", &ConstGauge::new(stats.threads))
}

fn read_stats() -> Option<ProcessStats> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| -> Option<i64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command name, in parentheses, may contain spaces. The field after it is the third.
    let mut times = stat.rsplit(')').next()?.split_whitespace().skip(11).map(str::parse::<u32>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    let ticks_per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(ProcessStats {
        resident_bytes: field("VmRSS:")? * 1024,
        threads: field("Threads:")?,
        cpu_seconds: (f64::from(user) + f64::from(system)) / f64::from(ticks_per_second),
        // Without the descriptor that reads the directory.
        open_fds: i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()? - 1,
    })
}

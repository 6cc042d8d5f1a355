//! The process itself in a scrape: what the system says of it, where it says so, and which build it is.

use std::{fmt, fs};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use rustix::process::{Resource, getrlimit};

use super::group::{Labels, write};

/// What Linux says; elsewhere there is nothing to read, and the metrics are left out.
struct Readings {
    resident_bytes: i64,
    threads: i64,
    cpu_seconds: f64,
    open_fds: i64,
}

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let labels: Labels<1> = [("version", env!("CARGO_PKG_VERSION"))];
    write(encoder, "build", "The version of this binary.", &Info::new(labels))?;
    let Some(readings) = read() else { return Ok(()) };
    write(
        encoder,
        "process_resident_memory_bytes",
        "Memory that the process holds.",
        &ConstGauge::new(readings.resident_bytes),
    )?;
    write(
        encoder,
        "process_cpu_seconds",
        "Processor time that the process has used, its own and the system's.",
        &ConstCounter::new(readings.cpu_seconds),
    )?;
    write(
        encoder,
        "process_open_fds",
        "File descriptors that are open.",
        &ConstGauge::new(readings.open_fds),
    )?;
    let most = getrlimit(Resource::Nofile).current.and_then(|most| i64::try_from(most).ok()).unwrap_or(-1);
    write(
        encoder,
        "process_max_fds",
        "File descriptors that may be open; -1 for no limit.",
        &ConstGauge::new(most),
    )?;
    write(encoder, "process_threads", "Threads.", &ConstGauge::new(readings.threads))
}

fn read() -> Option<Readings> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let field = |name: &str| -> Option<i64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name, in brackets, may hold spaces; the field after it is the third.
    let mut times = stat.rsplit(')').next()?.split_whitespace().skip(11).map(str::parse::<u32>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(Readings {
        resident_bytes: field("VmRSS:")? * 1024,
        threads: field("Threads:")?,
        cpu_seconds: (f64::from(user) + f64::from(system)) / f64::from(per_second),
        // Without the one that this is read through.
        open_fds: i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()? - 1,
    })
}

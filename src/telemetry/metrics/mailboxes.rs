//! Metrics of the mailboxes.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::group::Labels;
use crate::telemetry::histogram::LogHistogram;
use crate::telemetry::mailbox_metrics::{MailboxMetrics, MailboxRegistry};

/// The name and HELP text of a metric, and how to read its value.
struct Description<F> {
    name: &'static str,
    help: &'static str,
    read: F,
}

type ReadCount = fn(&MailboxMetrics) -> u64;

type ReadHistogram = fn(&MailboxMetrics) -> &LogHistogram;

const DEPTH: Description<ReadCount> = Description {
    name: "resume_chatbot_mailbox_depth_messages",
    help: "Messages queued in mailboxes or waiting for space in a full one.",
    read: MailboxMetrics::depth,
};

const COUNTERS: [Description<ReadCount>; 2] = [
    Description {
        name: "resume_chatbot_mailbox_enqueued_messages",
        help: "Messages sent to actors of this type.",
        read: MailboxMetrics::enqueued,
    },
    Description {
        name: "resume_chatbot_mailbox_request_timeouts",
        help: "Requests whose sender stopped waiting before the reply.",
        read: MailboxMetrics::timeouts,
    },
];

const HISTOGRAMS: [Description<ReadHistogram>; 2] = [
    Description {
        name: "resume_chatbot_mailbox_wait_seconds",
        help: "Time from sending a message to the start of its processing.",
        read: MailboxMetrics::wait_times,
    },
    Description {
        name: "resume_chatbot_mailbox_processing_seconds",
        help: "Time from the start of processing to the reply, including asynchronous work during which the actor processes other messages.",
        read: MailboxMetrics::processing_times,
    },
];

const CAPACITY: &str = "resume_chatbot_mailbox_capacity_messages";
const CAPACITY_HELP: &str = "Capacity of the mailbox of each actor of this type.";

const REJECTED: &str = "resume_chatbot_mailbox_rejected_messages";
const REJECTED_HELP: &str =
    "Messages rejected because the mailbox was full or the actor had ended, by reason.";

pub(super) fn encode(mailboxes: &MailboxRegistry, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let all = mailboxes.all();
    encode_depth(&all, encoder)?;
    encode_capacity(mailboxes, encoder)?;
    for counter in COUNTERS {
        let mut family = encoder.encode_descriptor(counter.name, counter.help, None, MetricType::Counter)?;
        for metrics in &all {
            ConstCounter::new((counter.read)(metrics)).encode(family.encode_family(&labels(metrics))?)?;
        }
    }
    encode_rejections(&all, encoder)?;
    for histogram in HISTOGRAMS {
        let mut family =
            encoder.encode_descriptor(histogram.name, histogram.help, None, MetricType::Histogram)?;
        for metrics in &all {
            (histogram.read)(metrics).encode(family.encode_family(&labels(metrics))?)?;
        }
    }
    Ok(())
}

fn labels(metrics: &MailboxMetrics) -> Labels<2> {
    [("actor", metrics.actor), ("message", metrics.message)]
}

fn encode_depth(all: &[&MailboxMetrics], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = encoder.encode_descriptor(DEPTH.name, DEPTH.help, None, MetricType::Gauge)?;
    for metrics in all {
        let depth = i64::try_from((DEPTH.read)(metrics)).unwrap_or(i64::MAX);
        ConstGauge::new(depth).encode(family.encode_family(&labels(metrics))?)?;
    }
    Ok(())
}

fn encode_capacity(mailboxes: &MailboxRegistry, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let all = mailboxes.all();
    let mut family = encoder.encode_descriptor(CAPACITY, CAPACITY_HELP, None, MetricType::Gauge)?;
    for actor in mailboxes.actors() {
        let Some(metrics) = all.iter().find(|metrics| metrics.actor == actor) else { continue };
        let capacity = i64::try_from(metrics.capacity).unwrap_or(i64::MAX);
        let labels: Labels<1> = [("actor", actor)];
        ConstGauge::new(capacity).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_rejections(all: &[&MailboxMetrics], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut family = encoder.encode_descriptor(REJECTED, REJECTED_HELP, None, MetricType::Counter)?;
    for metrics in all {
        for (reason, count) in [("full", metrics.full()), ("closed", metrics.closed())] {
            let [actor, message] = labels(metrics);
            let labels: Labels<3> = [actor, message, ("reason", reason)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

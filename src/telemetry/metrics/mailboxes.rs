//! The mailboxes of the actors in a scrape.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::group::Labels;
use crate::telemetry::mailbox_metrics::{MailboxMetrics, MailboxRegistry};

type Count = fn(&MailboxMetrics) -> u64;

/// Name, HELP and reading of what is counted of each kind of message.
const COUNTERS: [(&str, &str, Count); 2] = [
    (
        "resume_chatbot_mailbox_enqueued_messages",
        "Messages that were sent to actors of this kind, whatever became of them.",
        MailboxMetrics::enqueued,
    ),
    (
        "resume_chatbot_mailbox_ask_timeouts",
        "Askers that lost their patience before the reply came; the message may have been taken or not.",
        MailboxMetrics::timeouts,
    ),
];

const DEPTH: &str = "resume_chatbot_mailbox_depth_messages";
const DEPTH_HELP: &str = "Messages that wait in mailboxes, and those that wait for a place in a full one.";

const CAPACITY: &str = "resume_chatbot_mailbox_capacity_messages";
const CAPACITY_HELP: &str = "Messages that may wait for each actor of this kind.";

const REJECTED: &str = "resume_chatbot_mailbox_rejected_messages";
const REJECTED_HELP: &str = "Messages that found the mailbox full and could not wait, or the actor gone.";

const WAIT: &str = "resume_chatbot_mailbox_wait_seconds";
const WAIT_HELP: &str = "From sending a message to its being taken by the actor.";

const SERVICE: &str = "resume_chatbot_mailbox_service_seconds";
const SERVICE_HELP: &str = "From taking a message to its reply being ready, with all that the reply waits for; the actor takes others meanwhile.";

pub(super) fn encode(mailboxes: &MailboxRegistry, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let meters = mailboxes.meters();
    let labels =
        |meter: &MailboxMetrics| -> Labels<2> { [("actor", meter.actor), ("message", meter.message)] };
    let mut depths = encoder.encode_descriptor(DEPTH, DEPTH_HELP, None, MetricType::Gauge)?;
    for meter in &meters {
        let depth = i64::try_from(meter.depth()).unwrap_or(i64::MAX);
        ConstGauge::new(depth).encode(depths.encode_family(&labels(meter))?)?;
    }
    let mut capacities = encoder.encode_descriptor(CAPACITY, CAPACITY_HELP, None, MetricType::Gauge)?;
    for actor in mailboxes.actors() {
        let Some(meter) = meters.iter().find(|meter| meter.actor == actor) else { continue };
        let capacity = i64::try_from(meter.capacity).unwrap_or(i64::MAX);
        let labels: Labels<1> = [("actor", actor)];
        ConstGauge::new(capacity).encode(capacities.encode_family(&labels)?)?;
    }
    for (name, help, count) in COUNTERS {
        let mut counts = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for meter in &meters {
            ConstCounter::new(count(meter)).encode(counts.encode_family(&labels(meter))?)?;
        }
    }
    let mut rejections = encoder.encode_descriptor(REJECTED, REJECTED_HELP, None, MetricType::Counter)?;
    for meter in &meters {
        for (reason, count) in [("full", meter.full()), ("closed", meter.closed())] {
            let [actor, message] = labels(meter);
            let labels: Labels<3> = [actor, message, ("reason", reason)];
            ConstCounter::new(count).encode(rejections.encode_family(&labels)?)?;
        }
    }
    let mut waits = encoder.encode_descriptor(WAIT, WAIT_HELP, None, MetricType::Histogram)?;
    for meter in &meters {
        meter.waits().encode(waits.encode_family(&labels(meter))?)?;
    }
    let mut services = encoder.encode_descriptor(SERVICE, SERVICE_HELP, None, MetricType::Histogram)?;
    for meter in &meters {
        meter.services().encode(services.encode_family(&labels(meter))?)?;
    }
    Ok(())
}

//! Groups of metrics as structs. The doc comment of a field is the HELP text of the metric.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::telemetry::histogram::LogHistogram;

/// The labels of a metric: names and values that are known at compile time, never ids.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// One counter for each combination of label values.
pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// Declares a struct with the metrics of one subsystem. The name of a metric is `resume_chatbot_`,
/// the subsystem and the name of the field; the encoder appends `_total` to counters.
macro_rules! metrics {
    (
        $(#[$about:meta])*
        pub struct $group:ident in $subsystem:literal {
            $($(#[doc = $help:literal])+ $field:ident: $kind:ty = $initial:expr,)+
        }
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $group {
            $($(#[doc = $help])+ pub(crate) $field: $kind,)+
        }

        impl Default for $group {
            fn default() -> Self {
                Self { $($field: $initial),+ }
            }
        }

        impl $group {
            /// Encodes every metric of the group.
            pub(in $crate::telemetry::metrics) fn encode(
                &self,
                encoder: &mut ::prometheus_client::encoding::DescriptorEncoder<'_>,
            ) -> ::std::fmt::Result {
                $($crate::telemetry::metrics::group::encode_metric(
                    encoder,
                    concat!($subsystem, "_", stringify!($field)),
                    concat!($($help),+),
                    &self.$field,
                )?;)+
                Ok(())
            }
        }
    };
}
pub(super) use metrics;

/// Encodes one metric with the prefix `resume_chatbot_`.
pub(super) fn encode_metric(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let name = format!("resume_chatbot_{name}");
    metric.encode(encoder.encode_descriptor(&name, help.trim(), None, metric.metric_type())?)
}

/// Creates counters with one label, all at zero, so that the first event of a kind is visible as an
/// increase.
pub(super) fn zeros(label: &'static str, values: impl IntoIterator<Item = &'static str>) -> Counters<1> {
    let counters = Counters::default();
    for value in values {
        drop(counters.get_or_create(&[(label, value)]));
    }
    counters
}

impl EncodeMetric for LogHistogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        encoder.encode_histogram::<Labels<0>>(snapshot.sum, snapshot.count, &snapshot.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

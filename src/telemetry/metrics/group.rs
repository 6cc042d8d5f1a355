//! Groups of metrics as structs whose doc comments are what a scrape says of them.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::telemetry::histogram::LogHistogram;

/// Labels: names and values that are known when the program is compiled. Never an id.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// One counter for each combination of labels.
pub(super) type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// Defines a struct of metrics of one subsystem. A field's doc comment is its HELP, its name that of the metric between
/// the subsystem and the `_total` that counters end in.
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
            /// Writes every metric of the group.
            pub(in $crate::telemetry::metrics) fn encode(
                &self,
                encoder: &mut ::prometheus_client::encoding::DescriptorEncoder<'_>,
            ) -> ::std::fmt::Result {
                $($crate::telemetry::metrics::group::write(
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

/// Writes one metric under `resume_chatbot_`.
pub(super) fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let name = format!("resume_chatbot_{name}");
    metric.encode(encoder.encode_descriptor(&name, help.trim(), None, metric.metric_type())?)
}

/// Counters of one label, all at zero, so that the first of a kind is seen as an increase.
pub(super) fn zeros(label: &'static str, values: impl IntoIterator<Item = &'static str>) -> Counters<1> {
    let counters = Counters::default();
    for value in values {
        drop(counters.get_or_create(&[(label, value)]));
    }
    counters
}

impl EncodeMetric for LogHistogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let it = self.snapshot();
        encoder.encode_histogram::<Labels<0>>(it.sum, it.count, &it.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

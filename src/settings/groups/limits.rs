//! Settings that limit what visitors may ask.

use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::settings::declaration::settings_group;
use crate::settings::kind::{integer, keyword};

settings_group! {
    /// How often visitors may ask, and how suspicious questions are treated.
    pub struct LimitSettings {
        /// Maximum number of questions per session in any 60 seconds.
        pub requests_per_minute: u32 = Setting {
            name: RATE_LIMIT_REQUESTS_PER_MINUTE,
            default: "20",
            kind: integer(1..=600),
        },

        /// Maximum number of questions per client address in any 60 seconds. IPv6 addresses are
        /// counted per /64 network, and a /48 network may ask four times as many.
        pub questions_per_minute_per_address: u32 = Setting {
            name: QUESTIONS_PER_MINUTE_PER_ADDRESS,
            default: "60",
            kind: integer(1..=1_000_000),
        },

        /// Maximum number of new sessions per client address in any hour. IPv6 addresses are counted
        /// per /64 network, and a /48 network may start four times as many.
        pub sessions_per_hour_per_address: u32 = Setting {
            name: SESSIONS_PER_HOUR_PER_ADDRESS,
            default: "60",
            kind: integer(1..=1_000_000),
        },

        /// Treatment of questions that look like prompt injection. `flag` counts and logs them,
        /// without their text. `harden` also encloses them in markers and reminds the model of its
        /// task. `block` rejects them with `CONTENT_REJECTED`.
        pub suspicious_content: SuspiciousContent = Setting {
            name: SUSPICIOUS_CONTENT,
            default: "harden",
            kind: keyword(),
        },
    }
}

/// The treatment of questions that look like prompt injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum SuspiciousContent {
    /// Counted and logged, without their text.
    Flag,
    /// Also enclosed in markers, with a reminder for the model.
    Harden,
    /// Rejected.
    Block,
}

//! Settings of sessions and their connections.

use std::time::Duration;

use crate::settings::declaration::settings_group;
use crate::settings::kind::duration_up_to;
use crate::settings::reader::SettingsReader;

const THIRTY_DAYS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

settings_group! {
    /// The timeouts of sessions and their connections.
    pub struct SessionSettings {
        /// How long a session can be resumed after its last start, resumption or question.
        pub ttl: Duration = Setting {
            name: SESSION_TTL,
            default: "24h",
            kind: duration_up_to(THIRTY_DAYS),
        },

        /// How long an answer continues after its client has disconnected, and how long a finished
        /// answer stays in memory. At most `SESSION_TTL`.
        pub reconnect_grace: Duration = Setting {
            name: RECONNECT_GRACE,
            default: "60s",
            kind: duration_up_to(THIRTY_DAYS),
        },

        /// How long a connection stays open without a question.
        pub idle_timeout: Duration = Setting {
            name: IDLE_TIMEOUT,
            default: "30m",
            kind: duration_up_to(THIRTY_DAYS),
        },

        /// How long a client may leave sent data unread.
        pub slow_reader_timeout: Duration = Setting {
            name: SLOW_READER_TIMEOUT,
            default: "30s",
            kind: duration_up_to(THIRTY_DAYS),
        },

        /// Maximum time between two frames on a connection. A silent client is pinged after three
        /// quarters of it at the earliest. Must be shorter than `IDLE_TIMEOUT`.
        pub heartbeat_interval: Duration = Setting {
            name: HEARTBEAT_INTERVAL,
            default: "25s",
            kind: duration_up_to(THIRTY_DAYS),
        },

        /// How long a client may stay silent after the handshake. It is pinged after half of this
        /// time; a pong is enough.
        pub first_frame_timeout: Duration = Setting {
            name: FIRST_FRAME_TIMEOUT,
            default: "10s",
            kind: duration_up_to(THIRTY_DAYS),
        },

        /// Maximum time from the first to the last byte of a client's message.
        pub message_timeout: Duration = Setting {
            name: MESSAGE_TIMEOUT,
            default: "60s",
            kind: duration_up_to(THIRTY_DAYS),
        },
    }
}

impl SessionSettings {
    pub(in crate::settings) fn check(&self, reader: &mut SettingsReader) {
        if self.reconnect_grace > self.ttl {
            reader.conflict(RECONNECT_GRACE, SESSION_TTL, |other| {
                format!("conflicts with {other}: the grace period outlives the session")
            });
        }
        if self.heartbeat_interval >= self.idle_timeout {
            reader.conflict(HEARTBEAT_INTERVAL, IDLE_TIMEOUT, |other| {
                format!("conflicts with {other}: the connection is closed before the first heartbeat")
            });
        }
    }
}

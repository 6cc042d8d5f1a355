//! Settings of the log.

use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::settings::declaration::settings_group;
use crate::settings::kind::{Kind, keyword};
use crate::settings::values::log_levels::{self, LogLevels};

settings_group! {
    /// Which lines are logged, and in which format.
    pub struct LogSettings {
        /// Lowest level of log lines that are written, and levels for single modules. Release
        /// builds contain no `trace` lines of this program.
        pub levels: LogLevels = Setting {
            name: LOG_LEVEL,
            default: "info",
            kind: Kind::new(log_levels::ACCEPTED, log_levels::parse, log_levels::format),
        },

        /// Format of log lines: `human`, `json`, or `auto` for `human` on a terminal and `json`
        /// elsewhere.
        pub format: LogFormat = Setting {
            name: LOG_FORMAT,
            default: "auto",
            kind: keyword(),
        },
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum LogFormat {
    /// `Human` on a terminal, `Json` elsewhere.
    Auto,
    /// Text for people.
    Human,
    /// One JSON object per line.
    Json,
}

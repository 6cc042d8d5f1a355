//! Settings of the process.

use std::time::Duration;

use crate::settings::declaration::settings_group;
use crate::settings::kind::duration_up_to;

settings_group! {
    /// The process.
    pub struct ProcessSettings {
        /// How long running answers may continue after the signal to shut down.
        pub shutdown_timeout: Duration = Setting {
            name: SHUTDOWN_TIMEOUT,
            default: "30s",
            kind: duration_up_to(Duration::from_secs(60 * 60)),
        },
    }
}

//! Settings of the chat page and of the chat on other sites.

use crate::settings::declaration::settings_group;
use crate::settings::kind::{Kind, integer};
use crate::settings::values::{language, web_url};

settings_group! {
    /// The chat page, and the chat on other sites.
    pub struct PageSettings {
        /// Language of the chat: `auto` for the language of the visitor's browser, or a language
        /// tag.
        // Not named LANGUAGE, which many systems set for their own messages.
        pub language: Option<String> = Setting {
            name: CHAT_LANGUAGE,
            default: "auto",
            kind: Kind::new(
                "auto, or a language tag such as en, de or pt-BR",
                language::parse,
                language::format,
            ),
        },

        /// Page that explains to visitors how their data is processed.
        pub privacy_url: Option<String> = Setting {
            name: PRIVACY_URL,
            default: "",
            kind: Kind::new("an http:// or https:// URL", web_url::parse, String::clone).optional(),
        },

        /// Number of days after which you delete conversations, as visitors are told. The server
        /// deletes none on its own; see `conversations delete --older-than`.
        pub retention_days: Option<u32> = Setting {
            name: RETENTION_DAYS,
            default: "",
            kind: integer(1..=36_500).optional(),
        },
    }
}

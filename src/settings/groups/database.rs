//! Settings of the database.

use crate::settings::declaration::settings_group;
use crate::settings::kind::{Kind, Redaction, integer};
use crate::settings::reader::SettingsReader;
use crate::settings::values::database_url::DatabaseUrl;

settings_group! {
    /// The database that stores the conversations.
    pub struct DatabaseSettings {
        /// Database that stores the conversations. `sqlite://file.db` is relative to the working
        /// folder, `sqlite:///folder/file.db` is absolute. The URLs of Python deployments are
        /// supported; in `sqlite+aiosqlite:///file.db` three slashes are relative and four
        /// absolute.
        pub url: DatabaseUrl = Setting {
            name: DATABASE_URL,
            default: "sqlite://resume-chatbot.db",
            kind: Kind::new(
                "sqlite://file.db, sqlite:///folder/file.db, postgres://user:password@host/name or \
                 postgresql://… (also sqlite+aiosqlite://, postgresql+asyncpg://, postgresql+psycopg://)",
                DatabaseUrl::parse,
                DatabaseUrl::redacted,
            )
            .with_redaction(Redaction::UrlWithPassword),
        },

        /// Maximum number of open database connections.
        pub pool_size: u32 = Setting {
            name: DATABASE_POOL_SIZE,
            default: "8",
            kind: integer(1..=100),
        },
    }
}

impl DatabaseSettings {
    pub(in crate::settings) fn check(&self, reader: &mut SettingsReader) {
        if let Some(warning) = self.url.warning() {
            reader.warn(DATABASE_URL, &warning);
        }
    }
}

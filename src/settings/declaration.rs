//! How a setting is declared, and the two macros that turn declarations into structs.
//!
//! [`settings_group!`] declares the settings of one concern. It generates the struct that the rest
//! of the program reads, a `const` with each setting's name, and the functions that parse, list and
//! describe the settings. [`settings!`] combines the groups into `Settings`.

use super::kind::{Input, Kind, Redaction};

/// One setting whose values have the type `T`.
pub(in crate::settings) struct Setting<T> {
    /// The environment variable; the key in TOML is the same in lower case.
    pub(in crate::settings) name: &'static str,
    /// The default as it would be written in the environment; empty for an unset setting.
    pub(in crate::settings) default: &'static str,
    /// The lines of the doc comment.
    pub(in crate::settings) description: &'static [&'static str],
    /// What the setting accepts.
    pub(in crate::settings) kind: Kind<T>,
}

impl<T: 'static> Setting<T> {
    /// Returns the default; `None` if it is not valid here.
    pub(in crate::settings) fn default_value(&self) -> Option<T> {
        match self.default {
            "" => self.kind.unset(),
            text => self.kind.parse(&Input::Text(text.to_owned())).ok(),
        }
    }

    /// Returns the parts of the declaration that do not depend on the type.
    pub(in crate::settings) fn declaration(self) -> Declaration {
        let lines: Vec<&str> = self.description.iter().map(|line| line.trim()).collect();
        Declaration {
            name: self.name,
            default: self.default,
            description: lines.join(" "),
            accepted: self.kind.accepted,
            summary: self.kind.summary,
            redaction: self.kind.redaction,
        }
    }
}

/// A setting without its type: what error messages and the reference need.
pub(in crate::settings) struct Declaration {
    pub(in crate::settings) name: &'static str,
    pub(in crate::settings) default: &'static str,
    /// One or more sentences.
    pub(in crate::settings) description: String,
    /// See [`Kind::accepted`].
    pub(in crate::settings) accepted: String,
    /// See [`Kind::summary`].
    pub(in crate::settings) summary: String,
    pub(in crate::settings) redaction: Redaction,
}

/// The declarations of one group.
pub(in crate::settings) struct Group {
    /// The heading in `config/default.toml`.
    pub(in crate::settings) heading: &'static str,
    pub(in crate::settings) declarations: Vec<Declaration>,
}

/// Declares a group of settings. The doc comment of a setting is also its description in
/// `config/default.toml`, in the README and in `--help`.
macro_rules! settings_group {
    (
        $(#[doc = $group_doc:literal])+
        pub struct $Group:ident {
            $(
                $(#[doc = $doc:literal])+
                pub $field:ident: $Type:ty = Setting {
                    name: $NAME:ident,
                    default: $default:literal,
                    kind: $kind:expr $(,)?
                },
            )+
        }
    ) => {
        $(#[doc = $group_doc])+
        #[derive(Debug, Clone)]
        pub struct $Group {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nEnvironment variable: `", stringify!($NAME), "`")]
                pub $field: $Type,
            )+
        }

        $(pub(in crate::settings) const $NAME: &str = stringify!($NAME);)+

        impl $Group {
            $(
                fn $field() -> $crate::settings::declaration::Setting<$Type> {
                    $crate::settings::declaration::Setting {
                        name: $NAME,
                        default: $default,
                        description: &[$($doc),+],
                        kind: $kind,
                    }
                }
            )+

            pub(in crate::settings) fn declarations() -> Vec<$crate::settings::declaration::Declaration> {
                vec![$(Self::$field().declaration()),+]
            }

            pub(in crate::settings) fn read(
                reader: &mut $crate::settings::reader::SettingsReader,
            ) -> Option<Self> {
                // All fields are read before the first `?`, so that no error hides another.
                $(let $field = reader.read(&Self::$field());)+
                Some(Self { $($field: $field?),+ })
            }

            pub(in crate::settings) fn effective(&self) -> Vec<(&'static str, String)> {
                vec![$(($NAME, Self::$field().kind.format(&self.$field))),+]
            }
        }
    };
}

/// Combines the groups into one struct. The doc comment of a field is the group's heading in
/// `config/default.toml`.
macro_rules! settings {
    (
        $(#[doc = $doc:literal])+
        pub struct $Settings:ident {
            $(
                #[doc = $heading:literal]
                pub $field:ident: $Group:ty,
            )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub struct $Settings {
            $(
                #[doc = $heading]
                pub $field: $Group,
            )+
        }

        impl $Settings {
            pub(in crate::settings) fn groups() -> Vec<$crate::settings::declaration::Group> {
                vec![$($crate::settings::declaration::Group {
                    heading: $heading,
                    declarations: <$Group>::declarations(),
                }),+]
            }

            pub(in crate::settings) fn read(
                reader: &mut $crate::settings::reader::SettingsReader,
            ) -> Option<Self> {
                $(let $field = <$Group>::read(reader);)+
                Some(Self { $($field: $field?),+ })
            }

            /// Returns the name and the value of every setting, in the order of
            /// `config/default.toml`, for display.
            ///
            /// An unset setting has an empty value. The API key and the user, password and options
            /// of a database URL are redacted; any other value can be used as input again.
            #[must_use]
            pub fn effective(&self) -> Vec<(&'static str, String)> {
                [$(self.$field.effective()),+].concat()
            }
        }
    };
}

pub(in crate::settings) use settings;
pub(in crate::settings) use settings_group;

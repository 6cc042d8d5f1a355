//! What a visitor's text may contain, and how much it looks like an attempt to take over the model.
//!
//! Everything here is pure: no actor, no clock, no input or output. Every function takes time linear in its text, because
//! visitors choose the text.
//!
//! In reading order: [`sanitise()`] makes a text fit to be shown, stored and sent, with `char_class` as its knowledge of
//! Unicode; [`injection`] scores it; [`fence()`] puts it between marks it cannot forge.

mod char_class;
mod fence;
pub mod injection;

mod sanitize;

pub use fence::fence;
pub use sanitize::sanitise;

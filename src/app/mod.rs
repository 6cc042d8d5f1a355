//! Start-up and shutdown of the server. No other module starts actors.
//!
//! [`startup`] builds an [`Application`](startup::Application) from a `BuildContext`, with one file
//! for each part: `store`, `answers`, `sessions` and `listeners`. [`shutdown`] runs the application
//! until a signal arrives, then stops its parts in order.

mod answers;
mod api_key;
mod context;
mod discovery;
mod listeners;
mod sessions;
pub mod shutdown;
mod signals;
pub mod startup;
mod store;

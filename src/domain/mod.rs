//! Values shared by every layer. Nothing here depends on another module of the crate.

pub mod address_limit;
pub mod budget_scope;
pub mod clock;
pub mod component;
pub mod delta_offsets;
pub mod error_chain;
pub mod error_code;
pub mod failure;
pub mod ids;
pub mod limits;
pub mod turn;

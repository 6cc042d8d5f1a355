//! Documents that OpenRouter offers about the account: the credit of the API key and the cost of a
//! request.

pub mod api_key;
pub mod generation_cost;

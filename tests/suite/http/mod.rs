//! HTTP as browsers, crawlers and proxies use it.

mod caching;
mod error_responses;
mod exchange;
mod host_names;
mod methods;
mod origins;
mod page;
mod path_prefix;

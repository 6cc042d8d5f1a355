//! What an operator sees: health checks, logs, metrics, the container image.

mod container;
mod dependencies;
mod health;
mod library_regressions;
mod logs;
mod metrics;
mod project_files;

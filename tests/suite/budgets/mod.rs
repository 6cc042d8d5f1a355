//! Token and cost budgets: reserved before a request, settled after it, corrected later.

mod counted_usage;
mod daily_budget;
mod default_limits;
mod pending_costs;
mod per_client_budgets;

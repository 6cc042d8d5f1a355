//! Token and cost budgets: reserved before a request, settled after it, corrected later.

mod daily_budget;
mod default_limits;
mod pending_costs;
mod per_client_budgets;

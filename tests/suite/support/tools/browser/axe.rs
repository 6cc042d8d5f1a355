//! Accessibility checks of the page with axe-core.

use std::fs;

use serde_json::{Value, json};

use super::Browser;
use crate::support::tools::external_tools::node_modules;

impl Browser {
    /// Fails if axe-core finds violations on the page in its present state. Without axe-core it
    /// reports that they are not covered, which is allowed only outside CI.
    pub(crate) async fn assert_accessible(&self, state: &str) {
        let violations = self.axe_violations(state).await.unwrap_or_default();
        assert!(violations.is_empty(), "{state} in {}: {violations:#?}", self.kind());
    }

    /// Returns the violations that axe-core finds on the page, also inside of open shadow roots.
    /// Returns `None` without axe-core, which is allowed only outside CI.
    pub(crate) async fn axe_violations(&self, state: &str) -> Option<Vec<String>> {
        let path = node_modules(&format!("accessibility of {state}"))?.join("axe-core/axe.min.js");
        if self.evaluate("typeof window.axe").await == "undefined" {
            let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            self.evaluate(&format!("(() => {{\n{source}\n}})()")).await;
        }
        let options = json!({ "resultTypes": ["violations"] });
        let run = format!("axe.run(document, {options}).then((results) => results.violations)");
        let violations = self.evaluate(&run).await;
        Some(violations.as_array().into_iter().flatten().map(describe).collect())
    }
}

/// Describes a violation: its rule, what it asks for, and the elements that break it.
fn describe(violation: &Value) -> String {
    let text = |name: &str| violation.get(name).and_then(Value::as_str).unwrap_or_default();
    let nodes = violation.get("nodes").and_then(Value::as_array).into_iter().flatten();
    let nodes: String =
        nodes.filter_map(|node| Some(format!("\n  {} {}", node.get("target")?, node.get("html")?))).collect();
    format!("{} ({}): {}{nodes}", text("id"), text("impact"), text("help"))
}

//! The metrics of the server, read from the operator port.

use std::collections::BTreeMap;

use crate::support::client::http::get_url;
use crate::support::server::test_server::Server;

/// A parsed response of `/metrics`.
pub(crate) struct Scrape {
    /// The text of the response.
    pub(crate) text: String,
    /// The value of each series, by its name including the labels.
    pub(crate) series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Requests `/metrics` and parses the response.
    pub(crate) async fn fetch(server: &Server) -> Self {
        let response = get_url(&server.operator_url("/metrics").await).await;
        assert_eq!(response.status, 200, "{response:?}");
        let kind = response.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let lines = response.body.lines().filter(|line| !line.starts_with('#') && line.contains(' '));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no value in {line}")))
        });
        let series = series.collect();
        Self { text: response.body, series }
    }

    /// Returns the value of a series. `name` is its name without `resume_chatbot_`.
    pub(crate) fn value(&self, name: &str) -> f64 {
        let value = self.series.get(&format!("resume_chatbot_{name}"));
        *value.unwrap_or_else(|| panic!("no {name} in\n{}", self.text))
    }

    /// Returns name, type and help text of each metric family.
    pub(crate) fn families(&self) -> Vec<(String, String, String)> {
        let descriptors = |prefix: &str| -> Vec<(String, String)> {
            let lines = self.text.lines().filter_map(|line| line.strip_prefix(prefix));
            let pairs = lines.filter_map(|line| line.split_once(' '));
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let (helps, kinds) = (descriptors("# HELP "), descriptors("# TYPE "));
        assert_eq!(helps.len(), kinds.len());
        let both = helps.into_iter().zip(kinds);
        both.map(|((name, help), (kind_name, kind))| {
            assert_eq!(name, kind_name);
            (name, kind, help)
        })
        .collect()
    }
}

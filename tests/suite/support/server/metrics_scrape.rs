//! What the operator's address says of the server's metrics.

use std::collections::BTreeMap;

use crate::support::client::http::get_url;
use crate::support::server::test_server::Server;

/// A scrape: what it says, and the value of every series by its name with its labels.
pub(crate) struct Scrape {
    /// The text as it came.
    pub(crate) text: String,
    /// The value of every series, by its name with its labels.
    pub(crate) series: BTreeMap<String, f64>,
}

impl Scrape {
    /// Asks the operator's address.
    pub(crate) async fn of(server: &Server) -> Self {
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

    /// The value of a series, named without the prefix that all have.
    pub(crate) fn value(&self, name: &str) -> f64 {
        let value = self.series.get(&format!("resume_chatbot_{name}"));
        *value.unwrap_or_else(|| panic!("no {name} in\n{}", self.text))
    }

    /// Name, type and HELP of every family.
    pub(crate) fn families(&self) -> Vec<(String, String, String)> {
        let said = |word: &str| -> Vec<(String, String)> {
            let lines = self.text.lines().filter_map(|line| line.strip_prefix(word));
            lines.filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
        };
        let (helps, kinds) = (said("# HELP "), said("# TYPE "));
        assert_eq!(helps.len(), kinds.len());
        let both = helps.into_iter().zip(kinds);
        both.map(|((name, help), (same, kind))| {
            assert_eq!(name, same);
            (name, kind, help)
        })
        .collect()
    }
}

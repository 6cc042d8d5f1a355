//! `docs/embedding.md` agrees with the code, and its snippets work in a browser.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use super::embedded::{Embedded, element};
use crate::support::tools::browser::BrowserKind;
use crate::support::tools::browser::scenario::{in_browsers, in_every_browser};
use crate::support::tools::external_tools::repository_path;

const DOCUMENT: &str = "docs/embedding.md";

/// The server in the document.
const DOCUMENTED_SERVER: &str = "https://chat.example";

in_every_browser! {
    documented_policy_is_sufficient,
}

// Independent of the browser.
in_browsers!(snippets_open_a_chat_that_answers: chromium Chromium);
in_browsers!(documented_attributes_and_methods_exist: chromium Chromium);

fn read(path: &str) -> String {
    let path = repository_path(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// Returns the names and texts of the code blocks whose fence contains ` run=`.
fn snippets() -> Vec<(String, String)> {
    let document = read(DOCUMENT);
    let blocks = document.split("```").skip(1).step_by(2);
    let named =
        blocks.filter_map(|block| block.split_once('\n').filter(|(fence, _)| fence.contains(" run=")));
    named.map(|(fence, text)| (fence.split("run=").nth(1).unwrap().to_owned(), text.to_owned())).collect()
}

/// Returns the page that a snippet makes, as its framework would.
fn page_of(name: &str, snippet: &str) -> String {
    match name.rsplit('.').next().unwrap() {
        "tsx" => {
            let elements = snippet.split("<html").nth(1).and_then(|rest| rest.split("</html>").next());
            let html = format!("<!doctype html><html{}</html>", elements.unwrap());
            // JSX closes elements by themselves; the component renders a script.
            let html = html.replace("<Script", "<script").replace(" strategy=\"afterInteractive\"", "");
            html.replace(".js\" />", ".js\"></script>")
                .replace("\" />", "\"></resume-chat>")
                .replace("{children}", "<h1>Ada</h1>")
        }
        "php" => snippet.split("?>").nth(1).and_then(|rest| rest.split("<?php").next()).unwrap().to_owned(),
        _ => snippet.replace("<slot />", "<h1>Ada</h1>"),
    }
}

async fn snippets_open_a_chat_that_answers(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    let snippets = snippets();
    assert!(snippets.len() >= 10, "only {} snippets were found", snippets.len());

    for (name, snippet) in snippets {
        let html = page_of(&name, &snippet).replace(DOCUMENTED_SERVER, &page.server.http_url(""));
        assert!(html.contains("/widget.js"), "{name} does not load the widget: {html}");
        page.site.page(&format!("/{name}"), &html, &[]);
        page.browser.open(&format!("{}/{name}", page.site.origin())).await;
        page.wait_for(&format!("!!{}", element("resume-chat >>> .root"))).await;
        if name == "button.html" {
            page.browser.click("#ask").await;
            page.wait_for_chat().await;
        } else if name == "inline.html" {
            page.wait_for_chat().await;
        } else {
            page.open_chat().await;
        }
        let answer = page.ask("What is the work experience?").await;
        assert!(!answer.is_empty(), "{name}: the answer is empty");
        page.browser.evaluate("localStorage.clear(), sessionStorage.clear(), null").await;
    }
}

async fn documented_policy_is_sufficient(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    let document = read(DOCUMENT);
    let policy = document.split("```http csp\n").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let address = page.server.address().to_string();
    let policy = policy.replace(DOCUMENTED_SERVER, &page.server.http_url(""));
    let policy = policy.replace("wss://chat.example", &format!("ws://{address}"));
    assert!(policy.starts_with("default-src 'none'") && policy.contains(&address), "{policy}");
    let policy = format!("{policy}; require-trusted-types-for 'script'");

    page.publish("/", "", &[("Content-Security-Policy", &policy)]);
    page.browser.open(&format!("{}/", page.site.origin())).await;
    page.open_chat().await;
    assert!(!page.ask("What is the work experience?").await.is_empty());
    let styled = page.of("resume-chat >>> .chat", "getComputedStyle(it).display").await;
    assert_eq!(styled, "grid", "the chat has no styles");
    let violations = page.site.violations();
    let ours: Vec<_> = violations.iter().filter(|it| !it.to_string().contains("favicon")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

async fn documented_attributes_and_methods_exist(kind: BrowserKind) {
    let page = Embedded::start(kind).await;
    page.open_page("").await;
    let attributes = "[...customElements.get('resume-chat').observedAttributes].sort()";
    assert_eq!(page.browser.evaluate(attributes).await, json!(first_column("## Attributes")));

    let methods = "Object.getOwnPropertyNames(customElements.get('resume-chat').prototype).filter((name) => !/constructor|Callback$|^isOpen$/.test(name)).sort()";
    let documented: BTreeSet<String> = first_column("## Methods and events")
        .iter()
        .filter_map(|name| Some(name.split_once('(')?.0.to_owned()))
        .collect();
    assert_eq!(page.browser.evaluate(methods).await, json!(documented));
}

#[test]
fn documented_events_properties_and_parts_are_those_of_the_code() {
    let sources = |directory: &str, extension: &str| {
        let files = fs::read_dir(repository_path(directory)).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|found| found == extension));
        files.map(|path| fs::read_to_string(path).unwrap()).collect::<String>()
    };
    let styles = sources("assets/ui", "css") + &sources("assets/widget", "css");
    let properties: BTreeSet<String> =
        after_each(&styles, "var(--chat-").map(|name| format!("--chat-{name}")).collect();
    assert_eq!(first_column("## Custom properties"), properties);

    let events = sources("assets/widget", "js");
    let mut emitted: BTreeSet<String> =
        after_each(&events, "#emit(\"").map(|name| format!("resume-chat:{name}")).collect();
    assert!(
        events.contains("#emit(open ? \"open\" : \"close\")"),
        "events of the panel are emitted elsewhere"
    );
    emitted.extend(["resume-chat:open".to_owned(), "resume-chat:close".to_owned()]);
    let documented: BTreeSet<String> =
        first_column("## Methods and events").into_iter().filter(|name| !name.contains('(')).collect();
    assert_eq!(documented, emitted);

    let nodes = sources("assets/widget", "js");
    let shell = ["button(\"", "node(\"div\", \"", "node(\"p\", \"", "node(\"span\", \"", "\"dialog\", \""];
    let mut parts: BTreeSet<String> = shell.iter().flat_map(|before| after_each(&nodes, before)).collect();
    parts.extend(after_each(&sources("assets/ui", "js"), "part: \""));
    assert_eq!(first_column("## Parts"), parts);
}

/// Returns the names that follow each occurrence of a text.
fn after_each(text: &str, before: &str) -> impl Iterator<Item = String> {
    let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    let names =
        text.split(before).skip(1).map(move |rest| rest.chars().take_while(|it| is_name(*it)).collect());
    names.collect::<Vec<String>>().into_iter()
}

/// Returns the names in code font in the first columns of the tables of a section.
fn first_column(heading: &str) -> BTreeSet<String> {
    let document = read(DOCUMENT);
    let section = document.split(&format!("{heading}\n")).nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows =
        section.unwrap_or_else(|| panic!("no {heading}")).lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.trim_start_matches("| ").split(" | ").next());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

//! What crawlers, link previews and visitors without JavaScript see.

use serde_json::Value;

use crate::http::exchange::send;
use crate::support::server::config::ServerConfig;
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;

const RESUME: &str = "# Zoë \"Z\" <O'Neil> & Co\n\n- E-mail: zoe@oneil.example\n- Web: <https://oneil.example/cv>\n\n\
     ## Experience\n\nEngineer at Example, https://employer.example\n";

const ESCAPED_NAME: &str = "Zoë &quot;Z&quot; &lt;O&#39;Neil&gt; &amp; Co";

async fn start(settings: &[(&str, &str)]) -> Server {
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", "http://127.0.0.1:9/v1")
        .with_all(settings)
        .resume(RESUME);
    Server::start(config).await
}

/// Returns the text between two markers, of which the first must occur once.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    assert_eq!(text.matches(start).count(), 1, "{start} in {text}");
    text.split(start).nth(1).and_then(|rest| rest.split(end).next()).unwrap()
}

#[tokio::test]
async fn page_names_the_person_for_crawlers_and_link_previews() {
    let server = start(&[("PUBLIC_URL", "https://oneil.example/chat")]).await;
    let html = send(server.address(), "GET", "/", &[]).await.text();

    assert_eq!(between(&html, "<title>", "</title>"), format!("Ask about {ESCAPED_NAME}"));
    assert!(between(&html, "<meta name=\"description\" content=\"", "\"").contains(ESCAPED_NAME));
    assert_eq!(between(&html, "<link rel=\"canonical\" href=\"", "\""), "https://oneil.example/chat/");
    for (property, content) in [
        ("og:type", "profile".to_owned()),
        ("og:title", format!("Ask about {ESCAPED_NAME}")),
        ("og:url", "https://oneil.example/chat/".to_owned()),
    ] {
        let start = format!("<meta property=\"{property}\" content=\"");
        assert_eq!(between(&html, &start, "\""), content, "{property}");
    }
    let image = between(&html, "<meta property=\"og:image\" content=\"", "\"");
    let path = image.strip_prefix("https://oneil.example/chat").unwrap();
    let image = send(server.address(), "GET", path, &[]).await;
    assert_eq!((image.status, image.expect_header("content-type").as_str()), (200, "image/png"));

    let json = between(&html, "<script type=\"application/ld+json\">", "</script>");
    let profile: Value = serde_json::from_str(json).unwrap();
    assert_eq!(profile["@type"], "ProfilePage");
    assert_eq!(profile["url"], "https://oneil.example/chat/");
    assert_eq!(profile["mainEntity"]["@type"], "Person");
    assert_eq!(profile["mainEntity"]["name"], "Zoë \"Z\" <O'Neil> & Co");
    assert_eq!(profile["mainEntity"]["sameAs"], serde_json::json!(["https://oneil.example/cv"]));
    assert!(!html.contains("{{") && !html.contains("<O'Neil>"), "{html}");
}

#[tokio::test]
async fn page_without_javascript_has_the_name_and_the_contact() {
    let server = start(&[]).await;
    let html = send(server.address(), "GET", "/", &[]).await.text();
    let body = html.split("<body>").nth(1).unwrap();
    let text = between(body, "<noscript>", "</noscript>");

    assert!(text.contains(&format!("<h1 dir=\"auto\">{ESCAPED_NAME}</h1>")), "{text}");
    assert!(text.contains("href=\"mailto:zoe@oneil.example\""), "{text}");
    assert!(text.contains("href=\"https://oneil.example/cv\"") && !text.contains("employer"), "{text}");
    assert!(!html.contains("rel=\"canonical\""), "no public address is known");
}

#[tokio::test]
async fn owner_can_choose_the_language() {
    for (setting, expected) in [("auto", "auto"), ("pt-BR", "pt-BR")] {
        let server = start(&[("CHAT_LANGUAGE", setting)]).await;
        let response = send(server.address(), "GET", "/", &[("Accept-Language", "en")]).await;
        let html = response.text();
        let language = response.expect_header("content-language");
        let opening = format!("<html lang=\"{language}\" dir=\"ltr\" data-language=\"{expected}\">");
        assert!(html.contains(&opening), "{opening} in {html}");
    }
}

#[tokio::test]
async fn manifest_icons_and_robots_exist() {
    let server = start(&[]).await;
    let address = server.address();
    let manifest = send(address, "GET", "/manifest.webmanifest", &[]).await;
    assert_eq!(manifest.expect_header("content-type"), "application/manifest+json");
    let manifest = manifest.json();
    assert_eq!(manifest["short_name"], "Zoë \"Z\" <O'Neil> & Co");
    assert_eq!((&manifest["start_url"], &manifest["display"]), (&"./".into(), &"standalone".into()));

    let html = send(address, "GET", "/", &[]).await.text();
    let linked = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let linked = linked.filter(|link| !link.contains(':')).map(str::to_owned);
    let icons = manifest["icons"].as_array().unwrap().iter();
    let icons = icons.map(|icon| icon["src"].as_str().unwrap().to_owned());
    let all: Vec<String> = linked.chain(icons).collect();
    assert!(all.len() >= 9, "{all:?}");
    for path in all {
        assert!(!path.starts_with('/'), "{path} is not relative");
        let file = send(address, "GET", &format!("/{path}"), &[]).await;
        assert_eq!(file.status, 200, "{path}");
        if path.ends_with(".png") {
            assert!(file.body.starts_with(b"\x89PNG"), "{path}");
        }
    }
    let icon = send(address, "GET", "/favicon.ico", &[]).await;
    assert!(icon.expect_header("content-type") == "image/x-icon" && icon.body.starts_with(&[0, 0, 1, 0]));
    let robots = send(address, "GET", "/robots.txt", &[]).await.text();
    assert!(robots.starts_with("User-agent: *\n") && robots.contains("\nAllow: /\n"), "{robots}");
}

#[tokio::test]
async fn tls_is_kept_where_the_public_url_has_it() {
    for (url, expected) in
        [("https://oneil.example", Some("max-age=31536000")), ("http://oneil.example", None)]
    {
        let server = start(&[("PUBLIC_URL", url)]).await;
        for path in ["/", "/nowhere"] {
            let response = send(server.address(), "GET", path, &[]).await;
            assert_eq!(response.header("strict-transport-security").as_deref(), expected, "{url}{path}");
        }
    }
}

#[tokio::test]
async fn check_and_start_print_the_line_for_other_pages() {
    let snippet = "<script type=\"module\" src=\"https://oneil.example/chat/widget.js\"></script>";
    let server = start(&[("PUBLIC_URL", "https://oneil.example/chat")]).await;
    assert!(server.stdout().iter().any(|line| line.ends_with(snippet)), "{:?}", server.stdout());

    let resume = format!("{}/examples/resumes/sample.md", env!("CARGO_MANIFEST_DIR"));
    let settings = [
        ("PUBLIC_URL", "https://oneil.example/chat"),
        ("RESUME_PATH", resume.as_str()),
        ("LLM_BASE_URL", "http://127.0.0.1:9/v1"),
    ];
    let output = run_command(&["check"], &settings).await;
    assert!(output.stdout.contains(snippet), "{output:?}");
}

#[tokio::test]
async fn session_says_where_the_privacy_page_is_and_which_hosts_the_resume_links_to() {
    let server = start(&[("PRIVACY_URL", "https://oneil.example/privacy"), ("RETENTION_DAYS", "90")]).await;
    let mut visitor = crate::support::client::chat_client::ChatClient::connect(&server).await;
    let session = visitor.start().await.frame;
    assert_eq!(
        session["privacy"],
        serde_json::json!({ "url": "https://oneil.example/privacy", "retention_days": 90 })
    );
    assert_eq!(session["link_hosts"], serde_json::json!(["employer.example", "oneil.example"]));
    let silent = start(&[]).await;
    let mut visitor = crate::support::client::chat_client::ChatClient::connect(&silent).await;
    assert_eq!(visitor.start().await.frame.get("privacy"), None);
}

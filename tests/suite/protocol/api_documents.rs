//! The OpenAPI and AsyncAPI documents: checked by external validators and against the running
//! server.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::client::chat_client::ChatClient;
use crate::support::client::event_stream::{PATH, StreamClient};
use crate::support::client::handshake::Handshake;
use crate::support::client::http::{HttpResponse, get};
use crate::support::client::http_stream::StreamRequest;
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::tools::browser::scenario::in_browsers;
use crate::support::tools::browser::{Browser, BrowserKind};
use crate::support::tools::external_tools::{command, node_modules, python, repository_path, run_tool};

const EVENT_STREAM: &str = "text/event-stream";

async fn start_demo() -> Server {
    Server::start(ServerConfig::demo()).await
}

/// Fetches a JSON document as text.
async fn fetch_document(server: &Server, path: &str) -> String {
    let response = get(server, path).await;
    assert_eq!(response.status, 200, "{path}");
    assert_eq!(response.header("content-type"), Some("application/json"), "{path}");
    response.json().to_string()
}

fn content_type(response: &HttpResponse) -> &str {
    response.header("content-type").unwrap_or_default()
}

#[tokio::test]
async fn every_openapi_path_returns_the_documented_content_type() {
    let server = start_demo().await;

    let fetch_document = get(&server, "/openapi.json").await.json();
    assert_eq!(fetch_document["openapi"], "3.1.0");
    assert_eq!(fetch_document["info"]["version"], env!("CARGO_PKG_VERSION"));

    let paths = fetch_document["paths"].as_object().unwrap();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            for text in ["summary", "operationId"] {
                let is_missing = operation[text].as_str().unwrap_or_default().is_empty();
                assert!(!is_missing, "{method} {path} has no {text}");
            }
        }
        // An event stream has no end.
        if !item["get"].is_object() || item["get"]["responses"]["200"]["content"][EVENT_STREAM].is_object() {
            continue;
        }
        let response = get(&server, path).await;
        let described = &item["get"]["responses"][response.status.to_string()];
        assert!(described.is_object(), "{path} returns {}, which is not documented", response.status);
        let types: Vec<&String> = described["content"].as_object().unwrap().keys().collect();
        assert_eq!(types, [content_type(&response)], "{path}");
    }

    for path in [
        "/",
        "/ws/chat",
        "/sse/chat",
        "/sse/chat/{connection_id}",
        "/health",
        "/health/live",
        "/health/ready",
        "/docs",
        "/asyncapi.json",
    ] {
        assert!(paths.contains_key(path), "{path} is not documented");
    }
}

#[tokio::test]
async fn every_json_response_and_message_has_an_example() {
    let server = start_demo().await;

    let fetch_document = get(&server, "/openapi.json").await.json();
    let documents = ["/openapi.json", "/asyncapi.json"];

    for (path, item) in fetch_document["paths"].as_object().unwrap() {
        let operations = item.as_object().unwrap().values();
        let responses = operations.flat_map(|operation| operation["responses"].as_object().unwrap());
        for (status, response) in responses {
            let Some(body) = response["content"].get("application/json") else { continue };
            let has_example = body.get("example").or(body.get("examples")).is_some();
            assert!(has_example || documents.contains(&path.as_str()), "{path} {status} has no example");
        }
    }

    let schemas = fetch_document["components"]["schemas"].as_object().unwrap();
    for side in ["ClientFrame", "ServerFrame", "StreamEvent"] {
        for reference in schemas[side]["oneOf"].as_array().unwrap() {
            let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let examples = schemas[name]["examples"].as_array();
            assert!(examples.is_some_and(|all| !all.is_empty()), "{name} has no example");
            let fields = schemas[name]["properties"].as_object().unwrap();
            for (field, schema) in fields.iter().filter(|(field, _)| *field != "type") {
                assert!(schema["description"].is_string(), "{name}.{field} has no description");
            }
        }
    }
}

#[tokio::test]
async fn invalid_health_parameter_is_rejected() {
    let server = start_demo().await;

    let response = get(&server, "/health?deep=maybe").await;
    assert_eq!(response.status, 400);
    assert_eq!(response.json()["code"], "VALIDATION_ERROR");
    assert_eq!(response.json()["message"], "`deep` is `true` or `false`.");
}

#[tokio::test]
async fn every_handshake_rejection_is_documented_with_its_headers() {
    let config = ServerConfig::demo().with("MAX_CONNECTIONS_PER_ADDRESS", 1).with("MAX_CONNECTIONS", 2);
    let server = Server::start(config).await;

    let fetch_document = get(&server, "/openapi.json").await.json();
    let described = &fetch_document["paths"]["/ws/chat"]["get"]["responses"];
    let mut open = vec![ChatClient::connect_with(&server, &Handshake::new()).await];
    let mut seen = BTreeSet::from(["101".to_owned()]);

    for (handshake, status) in [
        (Handshake::new(), 429),
        (Handshake::new().with_local_address("127.0.0.3"), 503),
        (Handshake::new().origin("https://evil.example"), 403),
        (Handshake::new().version("7"), 426),
    ] {
        if status == 503 {
            let last_place = Handshake::new().with_local_address("127.0.0.2");
            open.push(ChatClient::connect_with(&server, &last_place).await);
        }
        let rejected = ChatClient::connect_with(&server, &handshake).await.err().unwrap();
        assert_eq!(rejected.status, status, "{:?}", rejected.body);
        let code = rejected.body["code"].as_str().unwrap();
        let examples = &described[status.to_string()]["content"]["application/json"]["examples"];
        assert!(examples[code].is_object(), "{status} {code} has no example: {described}");
        if let Some(after) = rejected.header("retry-after") {
            assert!(after.parse::<u64>().is_ok_and(|seconds| seconds > 0), "{after}");
            assert!(described[status.to_string()]["headers"]["Retry-After"].is_object(), "{status}");
        }
        seen.insert(status.to_string());
    }

    // 400 needs a handshake without a key, which the test client cannot send.
    seen.insert("400".to_owned());
    let all: BTreeSet<String> = described.as_object().unwrap().keys().cloned().collect();

    assert_eq!(all, seen);
}

#[tokio::test]
async fn every_rejection_of_an_event_stream_is_documented() {
    let settings = [("MAX_CONNECTIONS_PER_ADDRESS", 1), ("MAX_CONNECTIONS", 2)];
    let config = settings.iter().fold(ServerConfig::demo(), |config, (name, value)| config.with(name, value));
    let server = Server::start(config.with("MESSAGE_TIMEOUT", "1s")).await;
    let document = get(&server, "/openapi.json").await.json();
    let address = server.address();
    let elsewhere = |request: StreamRequest, address| request.with_local_address(address);
    let evil = |request: StreamRequest| request.header("Origin", "https://evil.example");
    let long = "x".repeat(20_000);

    let stream = StreamClient::open_with_get(&server).await;
    let post = format!("{PATH}/{}", stream.connection_id);
    let other = elsewhere(StreamRequest::get(PATH), "127.0.0.2");
    let ping = r#"{"type":"ping"}"#;
    for (described, request) in [
        ("POST /sse/chat", elsewhere(StreamRequest::post("/sse/chat?close=x", ""), "127.0.0.2")),
        ("POST /sse/chat", elsewhere(StreamRequest::post_bytes(PATH, b"\xff"), "127.0.0.2")),
        ("POST /sse/chat", elsewhere(StreamRequest::post(PATH, &long), "127.0.0.2")),
        ("POST /sse/chat", elsewhere(StreamRequest::unfinished_post(PATH), "127.0.0.2")),
        ("POST /sse/chat", evil(StreamRequest::post(PATH, ""))),
        ("POST /sse/chat", StreamRequest::post(PATH, "")),
        ("GET /sse/chat", evil(StreamRequest::get(PATH))),
        ("GET /sse/chat", StreamRequest::get(PATH)),
        ("GET /sse/chat", other.clone()),
        ("GET /sse/chat", elsewhere(StreamRequest::get(PATH), "127.0.0.3")),
        ("POST /sse/chat/{connection_id}", StreamRequest::post(&post, ping)),
        ("POST /sse/chat/{connection_id}", StreamRequest::post("/sse/chat/x", ping)),
        ("POST /sse/chat/{connection_id}", StreamRequest::post(&post, &long)),
        ("POST /sse/chat/{connection_id}", StreamRequest::post_bytes(&post, b"\xff")),
        ("POST /sse/chat/{connection_id}", StreamRequest::unfinished_post(&post)),
        ("POST /sse/chat/{connection_id}", evil(StreamRequest::post(&post, ping))),
    ] {
        // The second connection of the server, which stays open for the ones that follow.
        let kept = match described {
            "GET /sse/chat" => Some(other.send(address).await),
            _ => None,
        };
        let response = request.send(address).await;
        let (method, path) = described.split_once(' ').unwrap();
        let operation = &document["paths"][path][method.to_lowercase()];
        let status = response.status;
        let documented = &operation["responses"][status.to_string()];
        assert!(documented.is_object(), "{described} returns {status}, which is not documented");
        if let Some(content) = documented["content"].as_object() {
            let kind = response.header("content-type").unwrap_or_default();
            assert!(content.contains_key(kind), "{described} {status}: {kind}");
        }
        assert_eq!(
            response.header("retry-after").is_some(),
            documented["headers"]["Retry-After"].is_object()
        );
        drop(kept);
    }
}

#[tokio::test]
async fn openapi_document_is_valid() {
    let Some(python) = python("the OpenAPI document") else { return };
    let server = start_demo().await;

    let validator = command(python, &["-m", "openapi_spec_validator", "-"], &repository_path("tests"));
    let output = run_tool(validator, &fetch_document(&server, "/openapi.json").await).await;

    assert!(output.succeeded && output.stdout.contains("OK"), "{}{}", output.stdout, output.stderr);
}

#[tokio::test]
async fn asyncapi_document_and_its_examples_are_valid() {
    let Some(modules) = node_modules("the AsyncAPI document") else { return };
    let server = start_demo().await;

    // Node resolves modules relative to the script.
    let directory = modules.parent().unwrap();
    let script = std::fs::read_to_string(repository_path("tests/tools/asyncapi.mjs")).unwrap();
    let text = fetch_document(&server, "/asyncapi.json").await;
    let output =
        run_tool(command("node", &["--input-type=module", "--eval", &script], directory), &text).await;

    assert!(output.succeeded, "{}{}", output.stdout, output.stderr);

    let messages = serde_json::from_str::<Value>(&text).unwrap();
    let messages = messages["components"]["messages"].as_object().unwrap().len();
    assert!(output.stdout.contains(&format!("{messages} messages")), "{}", output.stdout);
}

#[tokio::test]
async fn server_conforms_to_its_openapi_document() {
    let Some(python) = python("the server against its OpenAPI document") else { return };
    let server = start_demo().await;

    // Wait for the first health check of the server.
    get(&server, "/health?deep=true").await;
    let directory = tempfile::tempdir().unwrap();
    let url = server.http_url("/openapi.json");
    let arguments = [
        "-m",
        "schemathesis.cli",
        "run",
        &url,
        "--seed=1",
        "--generation-deterministic",
        "--max-examples=20",
        "--max-time=20",
        "--phases=examples,coverage,fuzzing",
        // These responses end only with the conversation.
        "--exclude-path=/sse/chat",
        // A schema cannot describe a handshake; valid headers alone are rejected correctly.
        "--exclude-checks=positive_data_acceptance",
        "--no-color",
    ];
    let output = run_tool(command(python, &arguments, directory.path()), "").await;

    assert!(output.succeeded, "{}{}", output.stdout, output.stderr);

    let log = server.logs();
    // The HTTP library logs errors about invalid requests itself.
    let is_own_error = |entry: &&Value| entry["level"] == "error" && entry["from"] != "library";
    let errors: Vec<&Value> = log.iter().filter(is_own_error).collect();

    assert!(errors.is_empty(), "{errors:#?}");
}

in_browsers!(swagger_ui_shows_every_operation_without_console_errors: chromium Chromium);

async fn swagger_ui_shows_every_operation_without_console_errors(kind: BrowserKind) {
    let server = start_demo().await;

    let fetch_document = get(&server, "/openapi.json").await.json();
    let paths = fetch_document["paths"].as_object().unwrap().values();
    let operations: usize = paths.map(|item| item.as_object().unwrap().len()).sum();
    let browser = Browser::start(kind).await;
    browser.open(&server.http_url("/docs")).await;
    let shown = format!("document.querySelectorAll('.opblock').length === {operations}");
    browser.wait_until("every operation", &shown).await;
    let open = "document.querySelector('.opblock-summary-control').click() || true";
    browser.evaluate(open).await;
    let body = "document.querySelector('.opblock-body .responses-inner') !== null";
    browser.wait_until("the responses of an operation", body).await;
    let console = browser.console_problems().await;

    assert!(console.is_empty(), "console messages: {console:#?}");
}

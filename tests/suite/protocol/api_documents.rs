//! What the server says about itself: judged by the validators of others, and tried against the server.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::http::{HttpResponse, get};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::tools::external_tools::{in_repository, named_by, node_modules, program, python, run};
use crate::support::tools::webdriver::Browser;

async fn demo() -> Server {
    Server::start(ServerConfig::demo()).await
}

/// A document as text; chunked or not, it is one JSON value.
async fn document(server: &Server, path: &str) -> String {
    let response = get(server, path).await;
    assert_eq!(response.status, 200, "{path}");
    assert_eq!(response.header("content-type"), Some("application/json"), "{path}");
    response.json().to_string()
}

fn kind(response: &HttpResponse) -> &str {
    response.header("content-type").unwrap_or_default()
}

#[tokio::test]
async fn every_path_of_the_openapi_document_answers_with_the_type_it_names() {
    let server = demo().await;
    let document = get(&server, "/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let paths = document["paths"].as_object().unwrap();
    for (path, item) in paths {
        let response = get(&server, path).await;
        let described = &item["get"]["responses"][response.status.to_string()];
        assert!(described.is_object(), "{path} answers {}, which is not described", response.status);
        let types: Vec<&String> = described["content"].as_object().unwrap().keys().collect();
        assert_eq!(types, [kind(&response)], "{path}");
        let operation = &item["get"];
        for text in ["summary", "operationId"] {
            assert!(operation[text].as_str().is_some_and(|it| !it.is_empty()), "{path} has no {text}");
        }
    }
    for path in ["/", "/ws/chat", "/health", "/health/live", "/health/ready", "/docs", "/asyncapi.json"] {
        assert!(paths.contains_key(path), "{path} is not described");
    }
}

#[tokio::test]
async fn every_response_in_json_and_every_message_has_an_example() {
    let server = demo().await;
    let document = get(&server, "/openapi.json").await.json();
    let documents = ["/openapi.json", "/asyncapi.json"];
    for (path, item) in document["paths"].as_object().unwrap() {
        let responses = item["get"]["responses"].as_object().unwrap();
        for (status, response) in responses {
            let Some(body) = response["content"].get("application/json") else { continue };
            let exemplified = body.get("example").or(body.get("examples")).is_some();
            assert!(exemplified || documents.contains(&path.as_str()), "{path} {status} has no example");
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for side in ["ClientFrame", "ServerFrame"] {
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
async fn a_health_check_of_an_unknown_depth_is_refused_like_everything_else() {
    let server = demo().await;
    let response = get(&server, "/health?deep=maybe").await;
    assert_eq!(response.status, 400);
    assert_eq!(response.json()["code"], "VALIDATION_ERROR");
    assert_eq!(response.json()["message"], "`deep` is `true` or `false`.");
}

#[tokio::test]
async fn every_refusal_of_a_handshake_is_described_with_its_headers() {
    let config = ServerConfig::demo().with("MAX_CONNECTIONS_PER_ADDRESS", 1).with("MAX_CONNECTIONS", 2);
    let server = Server::start(config).await;
    let document = get(&server, "/openapi.json").await.json();
    let described = &document["paths"]["/ws/chat"]["get"]["responses"];
    let mut open = vec![ChatClient::connect_with(&server, &Handshake::new()).await];
    let mut told = BTreeSet::from(["101".to_owned()]);
    for (handshake, status) in [
        (Handshake::new(), 429),
        (Handshake::new().coming_from("127.0.0.3"), 503),
        (Handshake::new().origin("https://evil.example"), 403),
        (Handshake::new().version("7"), 426),
    ] {
        if status == 503 {
            let last_place = Handshake::new().coming_from("127.0.0.2");
            open.push(ChatClient::connect_with(&server, &last_place).await);
        }
        let refused = ChatClient::connect_with(&server, &handshake).await.err().unwrap();
        assert_eq!(refused.status, status, "{:?}", refused.body);
        let code = refused.body["code"].as_str().unwrap();
        let examples = &described[status.to_string()]["content"]["application/json"]["examples"];
        assert!(examples[code].is_object(), "{status} {code} has no example: {described}");
        if let Some(after) = refused.header("retry-after") {
            assert!(after.parse::<u64>().is_ok_and(|seconds| seconds > 0), "{after}");
            assert!(described[status.to_string()]["headers"]["Retry-After"].is_object(), "{status}");
        }
        told.insert(status.to_string());
    }
    // What is left needs a handshake without a key.
    told.insert("400".to_owned());
    let all: BTreeSet<String> = described.as_object().unwrap().keys().cloned().collect();
    assert_eq!(all, told);
}

#[tokio::test]
async fn the_openapi_document_is_valid() {
    let Some(python) = python("the OpenAPI document") else { return };
    let server = demo().await;
    let command = program(python, &["-m", "openapi_spec_validator", "-"], &in_repository("tests"));
    let ran = run(command, &document(&server, "/openapi.json").await).await;
    assert!(ran.succeeded && ran.stdout.contains("OK"), "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test]
async fn the_asyncapi_document_is_valid_with_all_its_examples() {
    let Some(modules) = node_modules("the AsyncAPI document") else { return };
    let server = demo().await;
    // Node looks for modules beside the script.
    let directory = modules.parent().unwrap();
    let script = std::fs::read_to_string(in_repository("tests/documents/asyncapi.mjs")).unwrap();
    let text = document(&server, "/asyncapi.json").await;
    let ran = run(program("node", &["--input-type=module", "--eval", &script], directory), &text).await;
    assert!(ran.succeeded, "{}{}", ran.stdout, ran.stderr);
    let messages = serde_json::from_str::<Value>(&text).unwrap();
    let messages = messages["components"]["messages"].as_object().unwrap().len();
    assert!(ran.stdout.contains(&format!("{messages} messages")), "{}", ran.stdout);
}

#[tokio::test]
async fn the_server_keeps_to_its_openapi_document_whatever_is_asked() {
    let Some(python) = python("the server against its OpenAPI document") else { return };
    let server = demo().await;
    // A server that has only just started may not have checked itself yet.
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
        // What makes a handshake is not a matter of a schema: valid headers alone are rightly refused.
        "--exclude-checks=positive_data_acceptance",
        "--no-color",
    ];
    let ran = run(program(python, &arguments, directory.path()), "").await;
    assert!(ran.succeeded, "{}{}", ran.stdout, ran.stderr);
    let log = server.logs();
    // The HTTP library complains of its own about requests that are none; that is not about what we do.
    let ours = |entry: &&Value| entry["level"] == "error" && entry["from"] != "library";
    let faults: Vec<&Value> = log.iter().filter(ours).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[tokio::test]
async fn swagger_ui_shows_every_operation_and_the_console_stays_silent() {
    let Some(chromedriver) = named_by("TEST_CHROMEDRIVER", "Swagger UI") else { return };
    let server = demo().await;
    let document = get(&server, "/openapi.json").await.json();
    let operations = document["paths"].as_object().unwrap().len();
    let browser = Browser::start(chromedriver.as_os_str()).await;
    browser.open(&server.http_url("/docs")).await;
    let shown = format!("document.querySelectorAll('.opblock').length === {operations}");
    browser.wait_until("every operation", &shown).await;
    let open = "document.querySelector('.opblock-summary-control').click() || true";
    browser.evaluate(open).await;
    let body = "document.querySelector('.opblock-body .responses-inner') !== null";
    browser.wait_until("what an operation answers", body).await;
    let console = browser.console().await;
    assert!(console.is_empty(), "the console was told: {console:#?}");
}

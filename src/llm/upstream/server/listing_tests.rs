//! Lists of models as the documentation of each server describes them.

use serde_json::{Value, json};

use super::*;

fn parse(document: &Value, asked: &[&str]) -> Listing {
    Listing::parse(document.to_string().as_bytes(), asked, None).unwrap()
}

fn facts(context: u32, prices: Option<(u64, u64)>) -> ModelFacts {
    let prices = prices.map(|(prompt, completion)| Prices { prompt, completion });
    ModelFacts { context: Some(context), prices }
}

#[test]
fn context_and_prices_are_found_in_the_fields_of_each_server() {
    // 0.15 and 0.60 dollars per million tokens.
    let prices = Some((150_000_000, 600_000_000));
    let cases: [(&str, Value, ModelFacts); 14] = [
        (
            "OpenRouter",
            json!({"data": [{"id": "m", "context_length": 128_000, "canonical_slug": "m-2024",
                "pricing": {"prompt": "0.00000015", "completion": "0.0000006", "request": "0"},
                "top_provider": {"context_length": 64_000, "max_completion_tokens": 16_384}}]}),
            facts(64_000, prices),
        ),
        (
            "OpenRouter, free",
            json!({"data": [{"id": "m", "context_length": 8192, "pricing": {"prompt": "0", "completion": "0"}}]}),
            facts(8192, Some((0, 0))),
        ),
        (
            "OpenRouter, routed",
            json!({"data": [{"id": "m", "context_length": 2_000_000,
                "pricing": {"prompt": "-1", "completion": "-1"}}]}),
            facts(2_000_000, None),
        ),
        (
            "vLLM",
            json!({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "vllm", "root": "/m",
                "max_model_len": 32_768, "permission": [{"id": "p"}]}]}),
            facts(32_768, None),
        ),
        (
            "llama.cpp",
            json!({"models": [{"name": "m", "model": "m", "type": "model"}],
                "data": [{"id": "m", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131_072, "n_params": 1}}]}),
            facts(131_072, None),
        ),
        (
            "llama.cpp, with its own window",
            json!({"data": [{"id": "m", "owned_by": "llamacpp", "meta": {"n_ctx": 4096, "n_ctx_train": 131_072}}]}),
            facts(4096, None),
        ),
        (
            "Groq",
            json!({"data": [{"id": "m", "owned_by": "Meta", "active": true, "context_window": 131_072,
                "max_completion_tokens": 32_768}]}),
            facts(131_072, None),
        ),
        (
            "Mistral",
            json!({"data": [{"id": "m-2503", "aliases": ["m"], "max_context_length": 131_072}]}),
            facts(131_072, None),
        ),
        (
            "Together",
            json!([{"id": "m", "type": "chat", "context_length": 8192,
                "pricing": {"hourly": 0, "input": 0.15, "output": 0.6, "base": 0}}]),
            facts(8192, prices),
        ),
        (
            "DeepInfra",
            json!({"data": [{"id": "m", "metadata": {"context_length": 40_960, "max_tokens": 40_960,
                "pricing": {"input_tokens": 0.15, "output_tokens": 0.6}}}]}),
            facts(40_960, prices),
        ),
        ("Fireworks", json!({"data": [{"id": "m", "context_length": 16_384}]}), facts(16_384, None)),
        (
            "LM Studio",
            json!({"data": [{"id": "m", "type": "llm", "state": "loaded", "max_context_length": 131_072,
                "loaded_context_length": 4096}]}),
            facts(4096, None),
        ),
        (
            "LiteLLM",
            json!({"data": [{"model_name": "m", "litellm_params": {"model": "openai/m"}, "model_info": {
                "id": "x", "max_tokens": 16_384, "max_input_tokens": 128_000,
                "input_cost_per_token": 1.5e-7, "output_cost_per_token": 6e-7}}]}),
            facts(128_000, prices),
        ),
        (
            "LiteLLM, a model without prices",
            json!({"data": [{"model_name": "m", "litellm_params": {}, "model_info": {
                "max_input_tokens": "4096", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0}}]}),
            facts(4096, None),
        ),
    ];
    for (server, document, expected) in cases {
        let listing = parse(&document, &["m"]);
        let (_, found) = listing.found[0].unwrap_or_else(|| panic!("{server}: not found"));
        assert_eq!(found, expected, "{server}");
    }
}

#[test]
fn servers_are_recognized_by_their_entries() {
    for (document, kind) in [
        (json!({"data": [{"id": "m", "owned_by": "vllm"}]}), Some(ServerKind::Vllm)),
        (json!({"data": [{"id": "m:latest", "owned_by": "library"}]}), Some(ServerKind::Ollama)),
        (json!({"data": [{"id": "m", "owned_by": "organization_owner"}]}), Some(ServerKind::LmStudio)),
        (json!({"data": [{"model_name": "m", "litellm_params": {}}]}), Some(ServerKind::LiteLlm)),
        (json!({"data": [{"id": "m", "owned_by": "me"}]}), None),
    ] {
        assert_eq!(parse(&document, &[]).kind, kind, "{document}");
    }
}

#[test]
fn exact_name_wins_over_an_alias_and_missing_models_are_not_found() {
    let document = json!({"data": [
        {"id": "m-2024-05-13", "context_length": 1}, {"id": "m", "context_length": 2},
        {"id": "m-2024-08-06", "context_length": 3},
    ]});
    let listing = parse(&document, &["m", "other"]);
    assert_eq!(listing.found[0].unwrap(), (Match::Exact, facts(2, None)));
    assert_eq!((listing.found[1], listing.names.len()), (None, 3));
}

#[test]
fn odd_documents_are_empty_or_refused() {
    for document in [
        json!({"object": "list", "data": null}),
        json!({"data": "none"}),
        json!({"data": 7}),
        json!({"data": {"m": {}}}),
        json!({"data": [null, 1, [], {}, {"id": 5}, {"id": ""}, {"id": "\u{1b}"}]}),
        json!([]),
    ] {
        let listing = parse(&document, &["m"]);
        assert!(listing.names.is_empty() && listing.found == [None], "{document}");
    }
    for document in ["", "<html>", "{", "null", "7", "{\"detail\": \"Not Found\"}", "[{\"id\": \"m\""] {
        assert!(Listing::parse(document.as_bytes(), &["m"], None).is_err(), "{document}");
    }
    let names = parse(&json!({"data": ["m", "n"], "has_more": true}), &["m"]);
    assert!(names.has_more && names.found[0].is_some());
}

#[test]
fn long_list_is_reduced_to_bounded_names() {
    let entries: Vec<Value> = (0..MAX_NAMES + 10).map(|number| json!({"id": format!("m{number}")})).collect();
    let last = format!("m{}", MAX_NAMES + 9);
    let listing = parse(&json!({ "data": entries }), &[&last]);
    assert_eq!(listing.names.len(), MAX_NAMES);
    assert!(listing.found[0].is_some());
}

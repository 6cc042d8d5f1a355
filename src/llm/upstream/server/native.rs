//! Documents that only one kind of server has. They name the context window with which a model
//! runs, which may be smaller than what the model was trained for.

use serde_json::Value;

use crate::llm::upstream::server::field::{at, number, tokens_at};
use crate::llm::upstream::server::kind::ServerKind;
use crate::llm::upstream::server::names;

/// What Ollama says about a model in its reply to `POST /api/show`
/// (<https://docs.ollama.com/api>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OllamaModel {
    /// The context window for which the model was trained.
    pub(crate) trained: Option<u32>,
    /// The context window of its Modelfile (`PARAMETER num_ctx`).
    pub(crate) configured: Option<u32>,
}

/// Returns the context window of one slot from the reply of llama.cpp to `GET /props`
/// (<https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md>).
pub(crate) fn llama_cpp_context(props: &Value) -> Option<u32> {
    let paths: [&[&str]; 3] = [
        &["default_generation_settings", "n_ctx"],
        &["default_generation_settings", "params", "n_ctx"],
        &["n_ctx"],
    ];
    paths.iter().find_map(|path| tokens_at(props, path))
}

/// Returns whether a document is the reply of llama.cpp to `GET /props`.
pub(crate) fn is_llama_cpp(props: &Value) -> bool {
    props.get("default_generation_settings").is_some() || llama_cpp_context(props).is_some()
}

/// Returns the context window from the reply of Text Generation Inference to `GET /info`
/// (<https://huggingface.co/docs/text-generation-inference/reference/launcher>): the prompt and the
/// answer together.
pub(crate) fn tgi_context(info: &Value) -> Option<u32> {
    info.get("model_id")?;
    tokens_at(info, &["max_total_tokens"])
}

/// Reads the reply of Ollama to `POST /api/show`.
pub(crate) fn ollama_model(shown: &Value) -> OllamaModel {
    let configured = shown.get("parameters").and_then(Value::as_str).and_then(num_ctx);
    let Some(Value::Object(info)) = shown.get("model_info") else {
        return OllamaModel { trained: None, configured };
    };
    let architecture = info.get("general.architecture").and_then(Value::as_str).unwrap_or_default();
    let own = info.get(&format!("{architecture}.context_length"));
    let any = || info.iter().find(|(key, _)| key.ends_with(".context_length")).map(|(_, value)| value);
    let trained = own.or_else(any).and_then(super::field::tokens);
    OllamaModel { trained, configured }
}

/// Returns `num_ctx` of the parameters of a Modelfile: one per line, each a name and a value.
fn num_ctx(parameters: &str) -> Option<u32> {
    parameters.lines().find_map(|line| {
        let (name, value) = line.trim().split_once(char::is_whitespace)?;
        (name == "num_ctx").then(|| super::field::tokens(&Value::from(value.trim()))).flatten()
    })
}

/// Returns the context window with which Ollama runs a model, from its reply to `GET /api/ps`;
/// `None` if the model is not loaded, or if the version of Ollama does not say it.
pub(crate) fn ollama_running_context(running: &Value, asked: &str) -> Option<u32> {
    let models = running.get("models")?.as_array()?;
    let is_asked = |model: &&Value| {
        let names = ["name", "model"].iter().filter_map(|key| model.get(key)?.as_str());
        names.into_iter().any(|name| names::compare(asked, name, ServerKind::Ollama).is_some())
    };
    models.iter().find(is_asked).and_then(|model| tokens_at(model, &["context_length"]))
}

/// Returns whether a document is the reply of Ollama to `GET /api/version`: nothing but a version.
pub(crate) fn is_ollama_version(document: &Value) -> bool {
    let version = at(document, &["version"]).and_then(Value::as_str);
    let starts_with_number =
        |text: &str| text.split('.').next().is_some_and(|part| number(&Value::from(part)).is_some());
    document.as_object().is_some_and(|fields| fields.len() == 1) && version.is_some_and(starts_with_number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn context_of_llama_cpp_is_that_of_a_slot() {
        let props = json!({
            "default_generation_settings": {"id": 0, "n_ctx": 4096, "params": {"temperature": 0.8}},
            "total_slots": 4, "model_path": "/models/qwen.gguf",
        });
        assert_eq!(llama_cpp_context(&props), Some(4096));
        assert!(is_llama_cpp(&props) && !is_llama_cpp(&json!({"status": "ok"})));
        let router = json!({"role": "router", "default_generation_settings": {"n_ctx": 0}});
        assert_eq!((llama_cpp_context(&router), is_llama_cpp(&router)), (None, true));
        for odd in [json!([]), json!("x"), json!({"default_generation_settings": "n_ctx"})] {
            assert_eq!(llama_cpp_context(&odd), None, "{odd}");
        }
    }

    #[test]
    fn context_of_ollama_is_in_the_parameters_or_the_model_info() {
        let shown = json!({
            "parameters": "stop                           \"<|eot_id|>\"\nnum_ctx                        2048",
            "model_info": {
                "general.architecture": "llama", "llama.context_length": 131_072,
                "llama.rope.scaling.original_context_length": 8192, "llama.vision.context_length": 77,
            },
        });
        assert_eq!(ollama_model(&shown), OllamaModel { trained: Some(131_072), configured: Some(2048) });
        let unnamed = json!({"model_info": {"qwen2.context_length": "32768"}});
        assert_eq!(ollama_model(&unnamed), OllamaModel { trained: Some(32_768), configured: None });
        for odd in [json!(null), json!({"model_info": [], "parameters": 7}), json!({"parameters": "num_ctx"})]
        {
            assert_eq!(ollama_model(&odd), OllamaModel::default(), "{odd}");
        }
        let running = json!({"models": [
            {"name": "other:latest", "context_length": 1},
            {"name": "llama3.2:latest", "model": "llama3.2:latest", "context_length": 4096},
        ]});
        assert_eq!(ollama_running_context(&running, "llama3.2"), Some(4096));
        assert_eq!(ollama_running_context(&running, "mistral"), None);
        assert_eq!(ollama_running_context(&json!({"models": null}), "llama3.2"), None);
    }

    #[test]
    fn other_documents_are_recognized() {
        assert!(is_ollama_version(&json!({"version": "0.12.3"})));
        assert!(!is_ollama_version(&json!({"version": "v1", "name": "gateway"})));
        assert!(!is_ollama_version(&json!({"version": "unknown"})));
        assert_eq!(tgi_context(&json!({"model_id": "x", "max_total_tokens": 4096})), Some(4096));
        assert_eq!(tgi_context(&json!({"max_total_tokens": 4096})), None);
    }
}

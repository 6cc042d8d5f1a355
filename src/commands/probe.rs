//! `probe`: asks the model server one question and reports how it answers.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use resume_chatbot::budget::Prices;
use resume_chatbot::budget::amount::dollars;
use resume_chatbot::domain::ids::SessionId;
use resume_chatbot::llm::prompt::{Prompt, PromptMessage, Speaker};
use resume_chatbot::llm::upstream::client::{CompletionRequest, UpstreamClient};
use resume_chatbot::llm::upstream::completion::{Completion, CompletionError};
use resume_chatbot::llm::upstream::error_class::UpstreamErrorKind;
use resume_chatbot::llm::upstream::server::report::{Presence, ServerReport};
use resume_chatbot::llm::upstream::streaming::sink::AnswerSink;
use resume_chatbot::settings::{Purpose, Settings};
use resume_chatbot::tokens::{MESSAGE_OVERHEAD, PROMPT_OVERHEAD, TokenCounter};
use serde::{Serialize, Serializer};

use super::output::{print, print_json, replace_control_characters};
use super::{CliError, CliResult, EXIT_CONFIG, EXIT_FAILURE, build_runtime, load_settings, model_server};

const INSTRUCTION: &str =
    "The operator of a web site checks whether you can answer. Reply with one short sentence.";

const QUESTION: &str = "Are you ready to answer questions?";

/// The maximum number of tokens of the answer. Models that think need several hundred.
const MAX_ANSWER_TOKENS: u32 = 1_000;

/// The width of the first column of the report.
const WIDTH: usize = 12;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// What the server said about itself and how it answered.
#[derive(Serialize)]
struct Report {
    url: String,
    can_answer: bool,
    server: &'static str,
    /// Why the server does not list its models.
    list_failure: Option<String>,
    model: ModelSection,
    /// The context window in tokens.
    context_tokens: Option<u32>,
    prices: Option<PriceSection>,
    answer: Option<AnswerSection>,
    /// Bytes of thinking, which visitors never see.
    thinking_bytes: usize,
    /// What refusals taught about the form of requests.
    dialect: Option<String>,
    /// The odd fields of the response, which were ignored.
    odd_fields: Option<String>,
    first_word_ms: Option<u64>,
    total_ms: u64,
    error: Option<ErrorSection>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct ModelSection {
    configured: String,
    /// Whether the server lists it; `null` if it does not say.
    found: Option<bool>,
    similar: Vec<String>,
    /// The model that answered, as the response names it.
    answered: Option<String>,
}

/// US dollars per million tokens.
#[derive(Serialize)]
struct PriceSection {
    prompt: f64,
    completion: f64,
}

#[derive(Serialize)]
struct AnswerSection {
    status: &'static str,
    characters: usize,
    /// Whether the answer arrived in more than one piece.
    streamed: bool,
    pieces: usize,
    prompt_tokens: u32,
    completion_tokens: u32,
    /// US dollars, as the server reported it.
    cost: Option<f64>,
    /// Whether the tokens are our own count, because the server did not report all of them.
    usage_estimated: bool,
}

#[derive(Serialize)]
struct ErrorSection {
    #[serde(serialize_with = "serialize_kind")]
    kind: UpstreamErrorKind,
    detail: String,
    solution: &'static str,
}

/// Records an answer.
struct Recorder {
    started_at: Instant,
    text: RefCell<String>,
    pieces: Cell<usize>,
    first_word: Cell<Option<Duration>>,
    thinking_bytes: Cell<usize>,
}

impl AnswerSink for Recorder {
    fn set_upstream_id(&self, _: &str) {}

    fn append(&self, text: &str) -> bool {
        if !text.is_empty() {
            self.pieces.set(self.pieces.get() + 1);
            self.text.borrow_mut().push_str(text);
        }
        true
    }

    fn on_first_text(&self) {
        self.first_word.set(Some(self.started_at.elapsed()));
    }

    fn on_thinking(&self, bytes: usize) {
        self.thinking_bytes.set(self.thinking_bytes.get() + bytes);
    }

    fn take_back(&self) {
        self.text.borrow_mut().clear();
        self.pieces.set(0);
        self.first_word.set(None);
    }

    fn on_reconnect(&self, _: &str) {}

    fn on_lesson(&self, _: &str) {}
}

pub(super) fn probe(arguments: &Arguments, config: Option<&Path>) -> CliResult {
    let settings = load_settings(&Purpose::Ask, config)?.settings;
    let report = build_runtime()?.block_on(ask(&settings))?;
    if arguments.json {
        print_json(&report)?;
    } else {
        print(&replace_control_characters(&report.describe(&settings)))?;
    }
    match &report.error {
        None => Ok(()),
        Some(error) => Err(CliError::new(error.exit_code(), "the model server cannot answer")),
    }
}

async fn ask(settings: &Settings) -> CliResult<Report> {
    let budget = &settings.budget;
    let prices = budget.prompt_price.zip(budget.completion_price);
    let prices = prices.map(|(prompt, completion)| Prices { prompt, completion });
    let client = UpstreamClient::new(&settings.llm).map_err(CliError::failure)?.with_max_price(prices);
    let server = client.inquire().await;
    let prompt = prompt(settings);
    let recorder = Recorder {
        started_at: Instant::now(),
        text: RefCell::default(),
        pieces: Cell::default(),
        first_word: Cell::default(),
        thinking_bytes: Cell::default(),
    };
    let request = CompletionRequest {
        prompt: &prompt,
        session: SessionId::generate(),
        model: 0,
        first_text_deadline: tokio::time::Instant::now() + settings.llm.first_word_timeout,
    };
    let result = client.stream(request, &recorder).await;
    let dialect = client.dialect_summary();
    Ok(Report { dialect, ..Report::new(settings, &server, &prompt, &recorder, &result) })
}

fn prompt(settings: &Settings) -> Prompt {
    let counter = TokenCounter::new(settings.tokens.tokenizer);
    let message = |role, text: &str| PromptMessage { role, content: text.into() };
    let texts = counter.count(INSTRUCTION) + counter.count(QUESTION);
    Prompt {
        messages: vec![message(Speaker::System, INSTRUCTION), message(Speaker::User, QUESTION)],
        question: QUESTION.into(),
        tokens: texts + 2 * MESSAGE_OVERHEAD + PROMPT_OVERHEAD,
        max_response_tokens: settings.tokens.max_response.min(MAX_ANSWER_TOKENS),
    }
}

impl Report {
    fn new(
        settings: &Settings,
        server: &ServerReport,
        prompt: &Prompt,
        recorder: &Recorder,
        result: &Result<Completion, CompletionError>,
    ) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let first_model = server.models.first();
        let (found, similar) = match first_model.map(|model| &model.presence) {
            Some(Presence::Listed) => (Some(true), Vec::new()),
            Some(Presence::Missing { nearest }) => (Some(false), nearest.clone()),
            Some(Presence::Unknown) | None => (None, Vec::new()),
        };
        let completion = result.as_ref().ok();
        let ignored = match result {
            Ok(completion) => &completion.ignored,
            Err(error) => &error.ignored,
        };
        Self {
            url: settings.llm.base_url.to_string(),
            can_answer: result.is_ok(),
            server: server.kind.as_str(),
            list_failure: server.failure.clone(),
            model: ModelSection {
                configured: settings.llm.model.clone(),
                found,
                similar,
                answered: completion.and_then(|completion| completion.model.as_deref().map(str::to_owned)),
            },
            context_tokens: server.context(),
            prices: server.prices().map(|prices| PriceSection {
                prompt: dollars(prices.prompt),
                completion: dollars(prices.completion),
            }),
            answer: completion.map(|completion| AnswerSection::new(settings, prompt, recorder, completion)),
            thinking_bytes: recorder.thinking_bytes.get(),
            dialect: None,
            odd_fields: (!ignored.is_empty()).then(|| ignored.to_string()),
            first_word_ms: recorder.first_word.get().map(millis),
            total_ms: millis(recorder.started_at.elapsed()),
            error: result.as_ref().err().map(ErrorSection::new),
            warnings: model_server::warnings(server, &settings.tokens, None),
        }
    }

    fn describe(&self, settings: &Settings) -> String {
        let mut page = String::from("Model server\n");
        let line = |page: &mut String, name: &str, value: &str| {
            let _ = writeln!(page, "  {name:<WIDTH$} {value}");
        };
        line(&mut page, "address", &self.url);
        line(&mut page, "server", self.server);
        let found = match self.model.found {
            Some(true) => "found",
            Some(false) => "not found",
            None => "the server does not list its models",
        };
        line(&mut page, "model", &format!("{} ({found})", self.model.configured));
        let context =
            self.context_tokens.map_or_else(|| "unknown".to_owned(), |tokens| format!("{tokens} tokens"));
        let configured = settings.tokens.max_context;
        line(&mut page, "context", &format!("{context} (MAX_CONTEXT_TOKENS is {configured})"));
        let prices = self.prices.as_ref().map_or_else(
            || "unknown".to_owned(),
            |PriceSection { prompt, completion }| {
                format!("${prompt} per million prompt tokens, ${completion} per million answer tokens")
            },
        );
        line(&mut page, "prices", &prices);
        page.push_str("\nOne question, which costs a few tokens\n");
        if let Some(answer) = &self.answer {
            answer.describe(&mut |name, value| line(&mut page, name, value));
        }
        if let Some(model) = &self.model.answered {
            line(&mut page, "model", model);
        }
        let thinking = match self.thinking_bytes {
            0 => "none".to_owned(),
            bytes => format!("{bytes} bytes, not shown to visitors"),
        };
        line(&mut page, "thinking", &thinking);
        line(&mut page, "dialect", self.dialect.as_deref().unwrap_or("the common one"));
        line(&mut page, "odd fields", self.odd_fields.as_deref().unwrap_or("none"));
        if let Some(first_word) = self.first_word_ms {
            line(&mut page, "first word", &format!("after {first_word} ms"));
        }
        line(&mut page, "total", &format!("{} ms", self.total_ms));
        if let Some(error) = &self.error {
            line(&mut page, "error", &format!("{}: {}", error.kind.as_str(), error.detail));
            line(&mut page, "solution", error.solution);
        }
        for warning in &self.warnings {
            let _ = writeln!(page, "  warning: {warning}");
        }
        page
    }
}

impl AnswerSection {
    fn new(settings: &Settings, prompt: &Prompt, recorder: &Recorder, completion: &Completion) -> Self {
        let text = recorder.text.borrow();
        let counter = TokenCounter::new(settings.tokens.tokenizer);
        let usage = completion.usage;
        let thinking = u32::try_from(recorder.thinking_bytes.get().div_ceil(4)).unwrap_or(u32::MAX);
        Self {
            status: completion.status.as_str(),
            characters: text.chars().count(),
            streamed: recorder.pieces.get() > 1,
            pieces: recorder.pieces.get(),
            prompt_tokens: usage.prompt_tokens.unwrap_or(prompt.tokens),
            completion_tokens: usage
                .completion_tokens
                .unwrap_or_else(|| counter.count(&text).saturating_add(thinking)),
            cost: usage.cost,
            usage_estimated: usage.prompt_tokens.is_none() || usage.completion_tokens.is_none(),
        }
    }

    fn describe(&self, line: &mut impl FnMut(&str, &str)) {
        line("answer", &format!("{}, {} characters", self.status, self.characters));
        let streaming = match self.pieces {
            0 | 1 => "no, the answer came in one piece".to_owned(),
            pieces => format!("yes, {pieces} pieces"),
        };
        line("streaming", &streaming);
        let source = if self.usage_estimated { "counted here" } else { "reported by the server" };
        let cost = self.cost.map(|cost| format!(", ${cost}")).unwrap_or_default();
        let tokens = format!("{} + {} tokens", self.prompt_tokens, self.completion_tokens);
        line("usage", &format!("{tokens}{cost}, {source}"));
    }
}

impl ErrorSection {
    fn new(error: &CompletionError) -> Self {
        Self { kind: error.kind, detail: error.detail.to_string(), solution: solution(error.kind) }
    }

    /// Returns 78 if only other settings can help, otherwise 1.
    fn exit_code(&self) -> u8 {
        use UpstreamErrorKind::{BadRequest, Forbidden, InvalidKey, NotAStream, Redirected, UnknownModel};
        match self.kind {
            BadRequest | Forbidden | InvalidKey | NotAStream | Redirected | UnknownModel => EXIT_CONFIG,
            _ => EXIT_FAILURE,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn serialize_kind<S: Serializer>(kind: &UpstreamErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

/// Returns what the owner can do about a kind of error.
fn solution(kind: UpstreamErrorKind) -> &'static str {
    match kind {
        UpstreamErrorKind::InvalidKey => "check the API key",
        UpstreamErrorKind::Forbidden => "check the permissions and the limit of the API key",
        UpstreamErrorKind::UnknownModel => "check LLM_MODEL and LLM_BASE_URL",
        UpstreamErrorKind::Redirected | UpstreamErrorKind::NotAStream => {
            "check LLM_BASE_URL: often /v1 is missing, or a proxy returns its own page"
        }
        UpstreamErrorKind::Unreachable => "check LLM_BASE_URL, and that the server runs and can be reached",
        UpstreamErrorKind::TimedOut => "raise LLM_FIRST_WORD_TIMEOUT, or look at the load of the server",
        UpstreamErrorKind::OutOfCredit => "add credit at the provider",
        UpstreamErrorKind::DailyQuotaExhausted => "wait until midnight UTC, or add credit",
        UpstreamErrorKind::RateLimited | UpstreamErrorKind::Overloaded => "try again later",
        UpstreamErrorKind::AnswerLimitUsed => {
            "the model only thinks: raise MAX_RESPONSE_TOKENS, or use a model that thinks less"
        }
        UpstreamErrorKind::PromptTooLong => "the context window of the model is too small for any resume",
        _ => "see the log of the model server; docs/upstream.md lists the errors",
    }
}

//! The kinds of value: what each accepts.

use std::time::Duration;

use super::super::groups::llm;
use super::super::values::{address, duration, host_name, language, web_origin, web_url};
use super::super::{BaseUrl, LogFormat, LogLevel, PublicUrl, Tokenizer};
use super::{Folder, TestResult, only_error_of};

#[test]
fn durations_consist_of_a_number_and_a_unit() -> TestResult {
    for (text, milliseconds) in [
        ("500ms", 500),
        ("0", 0),
        ("30", 30_000),
        ("30s", 30_000),
        ("30 s", 30_000),
        ("5m", 300_000),
        ("24h", 86_400_000),
        ("007s", 7_000),
    ] {
        assert_eq!(duration::parse(text)?, Duration::from_millis(milliseconds), "{text}");
    }
    for text in [
        "",
        "s",
        "ms",
        "1.5s",
        "-1s",
        "+1s",
        "1d",
        "1S",
        "1m30s",
        "1 000s",
        "1e3",
        "s1",
        "1s1",
        "٣s",
        "18446744073709551615h",
        "99999999999999999999s",
    ] {
        assert!(duration::parse(text).is_err(), "{text}");
    }
    Ok(())
}

#[test]
fn formatted_durations_can_be_parsed_again() -> TestResult {
    for (milliseconds, text) in [
        (0, "0s"),
        (1, "1ms"),
        (999, "999ms"),
        (1_000, "1s"),
        (61_000, "61s"),
        (60_000, "1m"),
        (90_000, "90s"),
        (3_600_000, "1h"),
        (86_400_000, "24h"),
    ] {
        assert_eq!(duration::format(Duration::from_millis(milliseconds)), text);
    }
    for milliseconds in (0..100_000).step_by(37).chain((0..u64::from(u32::MAX)).step_by(1_000_003)) {
        let duration = Duration::from_millis(milliseconds);
        assert_eq!(duration::parse(&duration::format(duration))?, duration);
    }
    Ok(())
}

#[test]
fn switches_accept_synonyms() -> TestResult {
    let folder = Folder::new()?;
    for (text, expected) in [
        ("true", true),
        ("Yes", true),
        ("ON", true),
        ("1", true),
        ("false", false),
        ("No", false),
        ("OFF", false),
        ("0", false),
    ] {
        let settings = folder.serve(None, &[("ALLOW_MISSING_ORIGIN", text)])?.settings;
        assert_eq!(settings.http.allow_missing_origin, expected, "{text}");
    }
    for text in ["y", "2", "enabled", "tru"] {
        assert!(folder.serve(None, &[("ALLOW_MISSING_ORIGIN", text)]).is_err(), "{text}");
    }
    Ok(())
}

#[test]
fn integers_outside_their_bounds_are_rejected() -> TestResult {
    let folder = Folder::new()?;
    for (name, least, most) in [
        ("PORT", 0_u64, 65_535_u64),
        ("MAX_CONNECTIONS", 1, 1_000_000),
        ("DATABASE_POOL_SIZE", 1, 100),
        ("LLM_MAX_CONCURRENCY", 1, 10_000),
        ("LLM_MAX_QUEUE", 0, 100_000),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", 1, 600),
    ] {
        for good in [least, most] {
            assert!(folder.serve(None, &[(name, &good.to_string())]).is_ok(), "{name} {good}");
        }
        let low = i128::from(least) - 1;
        for bad in [low, i128::from(most) + 1, i128::from(u64::MAX) + 1] {
            let error = only_error_of(folder.serve(None, &[(name, &bad.to_string())]))?;
            assert!(error.problem.starts_with("is too "), "{}", error.problem);
            assert!(error.accepted.contains(&format!("from {least} to {most}")), "{}", error.accepted);
        }
        for bad in ["1.0", "1e3", "ten", "0x10", "1 0", "1_0"] {
            let error = only_error_of(folder.serve(None, &[(name, bad)]))?;
            assert_eq!(error.problem, "is not a whole number");
        }
    }
    assert!(folder.serve(None, &[("MAX_CONTEXT_TOKENS", "2000000"), ("MAX_RESPONSE_TOKENS", "16")]).is_ok());
    assert!(folder.serve(None, &[("MAX_RESPONSE_TOKENS", "15")]).is_err());
    assert!(folder.serve(None, &[("MAX_CONTEXT_TOKENS", "2000001")]).is_err());
    Ok(())
}

#[test]
fn keywords_are_accepted_in_any_case() -> TestResult {
    let folder = Folder::new()?;
    for (text, level) in [
        ("trace", LogLevel::Trace),
        ("debug", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("warn", LogLevel::Warning),
        ("Warning", LogLevel::Warning),
        ("error", LogLevel::Error),
    ] {
        assert_eq!(folder.serve(None, &[("LOG_LEVEL", text)])?.settings.log.levels.level, level);
    }
    for (text, format) in [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)]
    {
        assert_eq!(folder.serve(None, &[("LOG_FORMAT", text)])?.settings.log.format, format);
    }
    let settings = folder.serve(None, &[("TOKENIZER", "o200k_base")])?.settings;
    assert_eq!(settings.tokens.tokenizer, Tokenizer::O200kBase);
    let error = only_error_of(folder.serve(None, &[("LOG_FORMAT", "xml")]))?;
    assert_eq!(error.accepted, "one of auto, human, json");
    Ok(())
}

#[test]
fn hosts_are_addresses_or_localhost() -> TestResult {
    for (text, expected) in [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("::", "::"),
        ("[::1]", "::1"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST", "127.0.0.1"),
    ] {
        assert_eq!(address::parse(text)?.to_string(), expected);
    }
    for text in ["example.com", "127.0.0.1:80", "http://127.0.0.1", "256.0.0.1", "*"] {
        assert!(address::parse(text).is_err(), "{text}");
    }
    Ok(())
}

#[test]
fn origins_are_normalized_as_browsers_send_them() -> TestResult {
    for (text, expected) in [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM/", "https://example.com"),
        ("https://example.com:443", "https://example.com"),
        ("http://example.com:80/", "http://example.com"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("capacitor://LocalHost", "capacitor://localhost"),
    ] {
        assert_eq!(web_origin::parse(text)?, expected);
    }
    for (text, expected) in [
        ("*", "wildcard"),
        ("https://*.example.com", "wildcard"),
        ("null", "sandboxed"),
        ("example.com", "no scheme"),
        ("localhost:3000", "no scheme"),
        ("https://", "not a URL"),
        ("file:///x", "no host"),
        ("https://example.com/chat", "more after"),
        ("https://example.com?x", "more after"),
        ("https://example.com#", "more after"),
        ("https://ada@example.com", "a user"),
    ] {
        let problem = web_origin::parse(text).err().unwrap_or_default();
        assert!(problem.contains(expected), "{text}: {problem:?}");
    }
    Ok(())
}

#[test]
fn names_of_models_are_printable_and_bounded() -> TestResult {
    let folder = Folder::new()?;
    let longest = "m".repeat(200);
    for name in ["Llama 3 8B Instruct", "mödel: 7b (Q4_K_M), v2", "@cf/meta/llama-3", longest.as_str()] {
        let settings = folder.serve(None, &[("LLM_MODEL", &format!("  {name} \n"))])?.settings;
        assert_eq!(settings.llm.model, name);
    }
    let fallbacks = [("LLM_FALLBACK_MODELS", " Llama 3 8B Instruct ,, openai/gpt-4o ")];
    let settings = folder.serve(None, &fallbacks)?.settings;
    assert_eq!(settings.llm.fallback_models, ["Llama 3 8B Instruct", "openai/gpt-4o"]);
    let too_long = "m".repeat(201);
    for name in ["gpt\t4", "gpt\n4", "gpt\u{1b}[2J", "gpt\u{202e}4", too_long.as_str(), "sk-proj-0123456789"]
    {
        for setting in ["LLM_MODEL", "LLM_FALLBACK_MODELS"] {
            let error = only_error_of(folder.serve(None, &[(setting, name)]))?;
            assert_eq!(error.name, setting);
        }
    }
    Ok(())
}

#[test]
fn loopback_hosts_are_recognized() -> TestResult {
    for (url, is_loopback) in [
        ("http://localhost:11434/v1", true),
        ("http://LOCALHOST./v1", true),
        ("http://ollama.localhost/v1", true),
        ("http://127.0.0.1/v1", true),
        ("http://127.8.9.10/v1", true),
        ("http://0.0.0.0:8000/v1", true),
        ("http://[::1]:8000/v1", true),
        ("http://[::ffff:127.0.0.1]/v1", true),
        ("http://[::]/v1", true),
        ("http://10.0.0.1/v1", false),
        ("http://localhost.example/v1", false),
        ("http://ollama:11434/v1", false),
        ("https://openrouter.ai/api/v1", false),
    ] {
        assert_eq!(BaseUrl::parse(url)?.is_loopback(), is_loopback, "{url}");
    }
    Ok(())
}

#[test]
fn base_urls_are_http_urls_without_the_endpoint() -> TestResult {
    let formatted = |text: &str| BaseUrl::parse(text).map(|url| url.to_string());
    assert_eq!(formatted("https://openrouter.ai/api/v1/")?, "https://openrouter.ai/api/v1");
    assert_eq!(formatted("http://LOCALHOST:11434")?, "http://localhost:11434");
    for (text, expected) in [
        ("openrouter.ai/api/v1", "not a URL"),
        ("localhost:11434/v1", "neither http"),
        ("https://", "not a URL"),
        ("https://ada:pw@host/v1", "a user"),
        ("https://host/v1?api-version=1", "query"),
        ("https://host/v1/chat/completions/", "ends in /chat/completions"),
    ] {
        let problem = formatted(text).err().unwrap_or_default();
        assert!(problem.contains(expected), "{text}: {problem:?}");
    }
    Ok(())
}

#[test]
fn plain_http_to_a_public_host_causes_a_warning() -> TestResult {
    for (url, is_warned) in [
        ("http://api.example.com/v1", true),
        ("http://8.8.8.8/v1", true),
        ("http://[2001:db8::1]/v1", true),
        ("https://api.example.com/v1", false),
        ("http://localhost:11434/v1", false),
        ("http://127.0.0.1/v1", false),
        ("http://[::1]/v1", false),
        ("http://192.168.1.5/v1", false),
        ("http://10.0.0.5/v1", false),
        ("http://[fd00::1]/v1", false),
        ("http://[::ffff:10.0.0.1]/v1", false),
        ("http://ollama:11434/v1", false),
        ("http://host.docker.internal:11434/v1", false),
    ] {
        assert_eq!(BaseUrl::parse(url)?.warning().is_some(), is_warned, "{url}");
    }
    let folder = Folder::new()?;
    let loaded = folder.serve(None, &[("LLM_BASE_URL", "http://api.example.com/v1")])?;
    assert!(loaded.warnings.iter().any(|warning| warning.starts_with("LLM_BASE_URL is plain http")));
    Ok(())
}

#[test]
fn app_url_and_title_are_valid_header_values() {
    assert_eq!(llm::parse_app_url("https://Ada.example/chat/"), Ok("https://ada.example/chat".to_owned()));
    for text in ["ada.example", "ftp://ada.example", "https://ada:secret@ada.example", ""] {
        assert!(llm::parse_app_url(text).is_err(), "{text}");
    }
    assert_eq!(llm::parse_app_title("Ask Ada (beta)"), Ok("Ask Ada (beta)".to_owned()));
    for text in ["Frag Ädä", "a\nb", "a\u{7f}"] {
        assert!(llm::parse_app_title(text).is_err(), "{text:?}");
    }
}

#[test]
fn public_urls_are_normalized_and_have_no_query() -> TestResult {
    for (text, url, origin, host, prefix) in [
        ("https://Chat.Example", "https://chat.example/", "https://chat.example", "chat.example", ""),
        (
            "https://example.com/chat",
            "https://example.com/chat/",
            "https://example.com",
            "example.com",
            "/chat",
        ),
        ("http://[::1]:8080/a/b//", "http://[::1]:8080/a/b/", "http://[::1]:8080", "[::1]", "/a/b"),
        (
            "https://bücher.example:443",
            "https://xn--bcher-kva.example/",
            "https://xn--bcher-kva.example",
            "xn--bcher-kva.example",
            "",
        ),
    ] {
        let parsed = PublicUrl::parse(text)?;
        assert_eq!(
            (parsed.as_str(), parsed.origin(), parsed.host(), parsed.path_prefix()),
            (url, origin, host, prefix)
        );
        assert_eq!(PublicUrl::parse(&parsed.to_string())?, parsed);
    }
    for text in [
        "chat.example",
        "ftp://chat.example",
        "https://a@chat.example",
        "https://chat.example/?x",
        "https://chat.example/#x",
        "https://a.example//b",
    ] {
        assert!(PublicUrl::parse(text).is_err(), "{text}");
    }
    Ok(())
}

#[test]
fn host_names_have_no_port_and_no_wildcard() {
    for (text, expected) in [
        ("Chat.Internal", "chat.internal"),
        ("chat.internal.", "chat.internal"),
        ("10.0.0.7", "10.0.0.7"),
        ("::1", "[::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("bücher.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(host_name::parse(text).as_deref(), Ok(expected));
    }
    for text in ["*.example", "https://chat.example", "chat.example/x", "chat.example:443", "[::1]:80", "a b"]
    {
        assert!(host_name::parse(text).is_err(), "{text}");
    }
}

#[test]
fn languages_are_auto_or_a_tag() {
    assert_eq!(language::parse("Auto"), Ok(None));
    for text in ["en", "pt-BR", "zh-Hant-TW", "ast"] {
        assert_eq!(language::parse(text), Ok(Some(text.to_owned())));
        assert_eq!(language::format(&Some(text.to_owned())), text);
    }
    for text in ["e", "english", "en_US", "en-", "-en", "de-\u{e4}", "en-a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q"] {
        assert!(language::parse(text).is_err(), "{text}");
    }
    assert!(web_url::parse("https://example.com/privacy?lang=en#data").is_ok());
    assert!(
        web_url::parse("javascript:alert(1)").is_err() && web_url::parse("https://a:b@c.example").is_err()
    );
}

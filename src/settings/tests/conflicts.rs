//! Settings that are valid by themselves may contradict each other.

use super::super::ValueSource;
use super::{Folder, TestResult, effective, errors_of, names, only_error_of};

#[test]
fn response_limit_must_leave_room_for_the_question() -> TestResult {
    let folder = Folder::new()?;
    let load = |context, response| {
        folder.serve(None, &[("MAX_CONTEXT_TOKENS", context), ("MAX_RESPONSE_TOKENS", response)])
    };
    assert!(load("2000", "1744").is_ok());
    let error = only_error_of(load("2000", "1745"))?;
    assert_eq!(error.name, "MAX_RESPONSE_TOKENS");
    assert!(error.problem.contains("MAX_CONTEXT_TOKENS") && error.problem.contains("256"));
    Ok(())
}

#[test]
fn conflict_names_the_setting_that_was_given() -> TestResult {
    let folder = Folder::new()?;
    let error = only_error_of(folder.serve(None, &[("MAX_CONTEXT_TOKENS", "1024")]))?;
    assert_eq!(error.name, "MAX_CONTEXT_TOKENS");
    assert_eq!(error.source, ValueSource::Environment);
    assert!(error.problem.contains("MAX_RESPONSE_TOKENS"), "{}", error.problem);
    Ok(())
}

#[test]
fn daily_limits_must_have_room_for_one_exchange() -> TestResult {
    let folder = Folder::new()?;
    let error = only_error_of(folder.serve(None, &[("DAILY_TOKEN_LIMIT", "7999")]))?;
    assert_eq!(error.name, "DAILY_TOKEN_LIMIT");
    assert!(folder.serve(None, &[("DAILY_TOKEN_LIMIT", "8000")]).is_ok());
    // 6,000 tokens of a prompt and 2,000 of an answer cost 0.0021 dollars.
    let prices = [("LLM_PRICE_PROMPT", "0.15"), ("LLM_PRICE_COMPLETION", "0.6")];
    let load = |limit| folder.serve(None, &[("DAILY_COST_LIMIT", limit), prices[0], prices[1]]);
    let error = only_error_of(load("0.002"))?;
    assert!(error.problem.contains("0.0021"), "{}", error.problem);
    assert!(load("0.0021").is_ok());
    Ok(())
}

#[test]
fn default_limits_rise_with_the_exchanges_and_are_no_conflict() -> TestResult {
    let folder = Folder::new()?;
    let limits = |settings: &[(&str, &str)]| {
        let budget = folder.serve(None, settings)?.settings.budget;
        Ok::<_, Box<dyn std::error::Error>>((
            budget.daily_tokens,
            budget.address_tokens,
            budget.daily_nanodollars,
            budget.address_nanodollars.or(budget.session_tokens).or(budget.session_nanodollars),
        ))
    };
    assert_eq!(limits(&[])?, (Some(2_000_000), Some(200_000), Some(5_000_000_000), None));
    let context = ("MAX_CONTEXT_TOKENS", "1000000");
    assert_eq!(limits(&[context])?, (Some(10_000_000), Some(4_000_000), Some(5_000_000_000), None));
    // 998,000 tokens of a prompt and 2,000 of an answer cost 10.1 dollars.
    let prices = [("LLM_PRICE_PROMPT", "10"), ("LLM_PRICE_COMPLETION", "60")];
    assert_eq!(limits(&[context, prices[0], prices[1]])?.2, Some(10_100_000_000));
    // A limit that the owner has set is not changed.
    let own = ("DAILY_TOKEN_LIMIT", "2000000");
    assert_eq!(limits(&[context, own])?.0, Some(2_000_000));
    let error = only_error_of(folder.serve(None, &[context, ("DAILY_TOKEN_LIMIT_PER_ADDRESS", "200000")]))?;
    assert_eq!(error.name, "DAILY_TOKEN_LIMIT_PER_ADDRESS");
    let errors = errors_of(folder.serve(None, &[context, prices[0], prices[1], ("DAILY_COST_LIMIT", "5")]))?;
    assert_eq!(names(&errors), ["DAILY_COST_LIMIT"]);
    Ok(())
}

#[test]
fn off_means_no_limit_and_an_empty_value_the_default() -> TestResult {
    let folder = Folder::new()?;
    let names = [
        "DAILY_TOKEN_LIMIT",
        "DAILY_COST_LIMIT",
        "DAILY_TOKEN_LIMIT_PER_ADDRESS",
        "DAILY_COST_LIMIT_PER_ADDRESS",
        "SESSION_TOKEN_LIMIT",
        "SESSION_COST_LIMIT",
    ];
    let settings = folder.serve(None, &names.map(|name| (name, "Off")))?.settings;
    let policy = settings.budget.policy();
    for limits in [policy.day, policy.address, policy.network, policy.session] {
        assert!(!limits.has_limit(), "{policy:?}");
    }
    assert!(names.iter().all(|name| effective(&settings, name) == "off"));
    let default = folder.serve(None, &[])?.settings;
    assert_eq!(folder.serve(None, &names.map(|name| (name, "")))?.settings.effective(), default.effective());
    assert_eq!(default.budget.policy().network.tokens, Some(800_000));
    for (name, expected) in
        [("DAILY_TOKEN_LIMIT", "is too small"), ("DAILY_COST_LIMIT", "off means no limit")]
    {
        let error = only_error_of(folder.serve(None, &[(name, "0")]))?;
        assert!(error.problem.contains(expected), "{}", error.problem);
        assert!(error.accepted.contains("off for no limit"), "{}", error.accepted);
    }
    Ok(())
}

#[test]
fn one_price_alone_is_ignored_with_a_warning() -> TestResult {
    let folder = Folder::new()?;
    let loaded = folder.serve(None, &[("LLM_PRICE_COMPLETION", "0.6")])?;
    let warning = "LLM_PRICE_COMPLETION is ignored, because LLM_PRICE_PROMPT is not set";
    assert_eq!(loaded.warnings, [warning]);
    assert_eq!(loaded.settings.budget.prices(), None);
    Ok(())
}

#[test]
fn cost_limit_requires_prices() -> TestResult {
    let folder = Folder::new()?;
    let errors = errors_of(folder.serve(None, &[("DAILY_COST_LIMIT", "5")]))?;
    assert_eq!(names(&errors), ["LLM_PRICE_PROMPT", "LLM_PRICE_COMPLETION"]);
    Ok(())
}

#[test]
fn heartbeat_interval_must_be_shorter_than_idle_timeout() -> TestResult {
    let folder = Folder::new()?;
    let error = only_error_of(folder.serve(None, &[("HEARTBEAT_INTERVAL", "30m")]))?;
    assert_eq!(error.name, "HEARTBEAT_INTERVAL");
    let error = only_error_of(folder.serve(None, &[("IDLE_TIMEOUT", "25s")]))?;
    assert_eq!(error.name, "IDLE_TIMEOUT");
    assert!(folder.serve(None, &[("IDLE_TIMEOUT", "26s")]).is_ok());
    Ok(())
}

#[test]
fn reconnect_grace_must_not_exceed_session_ttl() -> TestResult {
    let folder = Folder::new()?;
    let error = only_error_of(folder.serve(None, &[("SESSION_TTL", "59s")]))?;
    assert_eq!(error.name, "SESSION_TTL");
    assert!(folder.serve(None, &[("SESSION_TTL", "60s")]).is_ok());
    Ok(())
}

#[test]
fn invalid_setting_is_not_reported_as_a_conflict() -> TestResult {
    let folder = Folder::new()?;
    let errors =
        errors_of(folder.serve(None, &[("MAX_CONTEXT_TOKENS", "many"), ("MAX_RESPONSE_TOKENS", "2000000")]))?;
    assert_eq!(names(&errors), ["MAX_CONTEXT_TOKENS"]);
    Ok(())
}

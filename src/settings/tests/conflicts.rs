//! Settings that are each good in themselves must also go together.

use super::super::Source;
use super::{Folder, Outcome, faults_of, names, only_fault_of};

#[test]
fn an_answer_must_leave_room_for_the_question() -> Outcome {
    let folder = Folder::new()?;
    let load = |context, response| {
        folder.serve(None, &[("MAX_CONTEXT_TOKENS", context), ("MAX_RESPONSE_TOKENS", response)])
    };
    assert!(load("2000", "1744").is_ok());
    let fault = only_fault_of(load("2000", "1745"))?;
    assert_eq!(fault.name, "MAX_RESPONSE_TOKENS");
    assert!(fault.problem.contains("MAX_CONTEXT_TOKENS") && fault.problem.contains("256"));
    Ok(())
}

#[test]
fn of_two_settings_in_conflict_the_one_that_was_given_is_named() -> Outcome {
    let folder = Folder::new()?;
    let fault = only_fault_of(folder.serve(None, &[("MAX_CONTEXT_TOKENS", "1024")]))?;
    assert_eq!(fault.name, "MAX_CONTEXT_TOKENS");
    assert_eq!(fault.source, Source::Environment);
    assert!(fault.problem.contains("MAX_RESPONSE_TOKENS"), "{}", fault.problem);
    Ok(())
}

#[test]
fn a_day_has_room_for_one_exchange() -> Outcome {
    let folder = Folder::new()?;
    let fault = only_fault_of(folder.serve(None, &[("DAILY_TOKEN_LIMIT", "7999")]))?;
    assert_eq!(fault.name, "DAILY_TOKEN_LIMIT");
    assert!(folder.serve(None, &[("DAILY_TOKEN_LIMIT", "8000")]).is_ok());
    // 6,000 tokens of a prompt and 2,000 of an answer cost 0.0021 dollars.
    let prices = [("LLM_PRICE_PROMPT", "0.15"), ("LLM_PRICE_COMPLETION", "0.6")];
    let load = |limit| folder.serve(None, &[("DAILY_COST_LIMIT", limit), prices[0], prices[1]]);
    let fault = only_fault_of(load("0.002"))?;
    assert!(fault.problem.contains("0.0021"), "{}", fault.problem);
    assert!(load("0.0021").is_ok());
    Ok(())
}

#[test]
fn a_limit_of_money_needs_prices() -> Outcome {
    let folder = Folder::new()?;
    let faults = faults_of(folder.serve(None, &[("DAILY_COST_LIMIT", "5")]))?;
    assert_eq!(names(&faults), ["LLM_PRICE_PROMPT", "LLM_PRICE_COMPLETION"]);
    Ok(())
}

#[test]
fn the_heartbeat_comes_before_the_idle_timeout() -> Outcome {
    let folder = Folder::new()?;
    let fault = only_fault_of(folder.serve(None, &[("HEARTBEAT_INTERVAL", "30m")]))?;
    assert_eq!(fault.name, "HEARTBEAT_INTERVAL");
    let fault = only_fault_of(folder.serve(None, &[("IDLE_TIMEOUT", "25s")]))?;
    assert_eq!(fault.name, "IDLE_TIMEOUT");
    assert!(folder.serve(None, &[("IDLE_TIMEOUT", "26s")]).is_ok());
    Ok(())
}

#[test]
fn the_reconnect_grace_ends_within_the_session() -> Outcome {
    let folder = Folder::new()?;
    let fault = only_fault_of(folder.serve(None, &[("SESSION_TTL", "59s")]))?;
    assert_eq!(fault.name, "SESSION_TTL");
    assert!(folder.serve(None, &[("SESSION_TTL", "60s")]).is_ok());
    Ok(())
}

#[test]
fn a_setting_at_fault_in_itself_is_in_no_conflict() -> Outcome {
    let folder = Folder::new()?;
    let faults =
        faults_of(folder.serve(None, &[("MAX_CONTEXT_TOKENS", "many"), ("MAX_RESPONSE_TOKENS", "2000000")]))?;
    assert_eq!(names(&faults), ["MAX_CONTEXT_TOKENS"]);
    Ok(())
}

//! Money as owners write it: US dollars with at most nine decimal places.

/// Decimal places of a billionth.
const PLACES: usize = 9;

/// The most that is accepted, in billionths: a million dollars.
pub(in crate::settings) const MOST: u64 = 1_000_000_000_000_000;

/// Reads `5`, `0.15` or `.5` as billionths.
///
/// # Errors
/// What is wrong, to be read after what it is wrong with: `is not a number`.
pub(in crate::settings) fn parse(text: &str) -> Result<u64, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return Err("is not an amount such as 5 or 0.15, without a sign or a currency".to_owned());
    }
    if fraction.len() > PLACES {
        return Err(format!("has more than {PLACES} decimal places"));
    }
    let billionths = format!("{whole}{fraction:0<PLACES$}").parse().unwrap_or(u64::MAX);
    match billionths {
        0 => Err("is nothing; leave it empty for no limit".to_owned()),
        1..=MOST => Ok(billionths),
        _ => Err("is too much".to_owned()),
    }
}

/// Writes billionths with as many decimal places as they need.
pub(in crate::settings) fn written(billionths: u64) -> String {
    let digits = format!("{billionths:0>width$}", width = PLACES + 1);
    let (whole, fraction) = digits.split_at(digits.len() - PLACES);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_and_written_as_short_as_they_are() {
        for (text, billionths, again) in [
            ("5", 5_000_000_000, "5"),
            ("0.15", 150_000_000, "0.15"),
            (".5", 500_000_000, "0.5"),
            ("12.", 12_000_000_000, "12"),
            ("0.000000001", 1, "0.000000001"),
            ("1000000", MOST, "1000000"),
        ] {
            assert_eq!(parse(text), Ok(billionths), "{text}");
            assert_eq!(written(billionths), again);
        }
        for text in
            ["", ".", "0", "-1", "1e3", "$5", "1,5", "0.0000000001", "1000000.1", "99999999999999999999"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! Amounts of US dollars with up to nine decimal places, stored in billionths.

/// Decimal places of a billionth.
const DECIMAL_PLACES: usize = 9;

/// The maximum amount, in billionths: a million dollars.
pub(in crate::settings) const MAX: u64 = 1_000_000_000_000_000;

/// Parses `5`, `0.15` or `.5` as billionths.
pub(in crate::settings) fn parse(text: &str) -> Result<u64, String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return Err("is not an amount such as 5 or 0.15, without a sign or a currency".to_owned());
    }
    if fraction.len() > DECIMAL_PLACES {
        return Err(format!("has more than {DECIMAL_PLACES} decimal places"));
    }
    let billionths = format!("{whole}{fraction:0<DECIMAL_PLACES$}").parse().unwrap_or(u64::MAX);
    if billionths > MAX { Err("is too large".to_owned()) } else { Ok(billionths) }
}

/// Formats billionths with as few decimal places as possible.
pub(in crate::settings) fn format(billionths: u64) -> String {
    let digits = format!("{billionths:0>width$}", width = DECIMAL_PLACES + 1);
    let (whole, fraction) = digits.split_at(digits.len() - DECIMAL_PLACES);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_parsed_exactly_and_formatted_without_trailing_zeros() {
        for (text, billionths, formatted) in [
            ("5", 5_000_000_000, "5"),
            ("0.15", 150_000_000, "0.15"),
            (".5", 500_000_000, "0.5"),
            ("12.", 12_000_000_000, "12"),
            ("0", 0, "0"),
            ("0.000000001", 1, "0.000000001"),
            ("1000000", MAX, "1000000"),
        ] {
            assert_eq!(parse(text), Ok(billionths), "{text}");
            assert_eq!(format(billionths), formatted);
        }
        for text in ["", ".", "-1", "1e3", "$5", "1,5", "0.0000000001", "1000000.1", "99999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! Writes the schema's dates (`2021`, `2021-03`, `2021-03-05`) the way people read and ask for them.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `5 March 2021`, `March 2021` or `2021`; anything else stays as it is.
pub(super) fn date(text: &str) -> String {
    let mut parts = text.trim().split('-');
    let (year, month, day) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let month = month
        .and_then(|month| month.parse::<usize>().ok())
        .and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let year_is_plain = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    match (month, day.map(str::parse::<u8>)) {
        (Some(month), None) if year_is_plain => format!("{month} {year}"),
        (Some(month), Some(Ok(day))) if year_is_plain && parts.next().is_none() => {
            format!("{day} {month} {year}")
        }
        _ => text.trim().to_owned(),
    }
}

/// `March 2021 – present`; empty where neither end is given.
pub(super) fn span(start: &str, end: &str) -> String {
    match (start.trim().is_empty(), end.trim().is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!("until {}", date(end)),
        (false, true) => format!("{} – present", date(start)),
        (false, false) => format!("{} – {}", date(start), date(end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_out_and_other_words_stay() {
        assert_eq!(date("2021-03"), "March 2021");
        assert_eq!(date("2021-03-05"), "5 March 2021");
        assert_eq!(date("2021"), "2021");
        assert_eq!(date("2021-13"), "2021-13");
        assert_eq!(date("Present"), "Present");
        assert_eq!(span("2021-03", ""), "March 2021 – present");
        assert_eq!(span("", ""), "");
    }
}

//! Formats the dates of the schema (`2021`, `2021-03`, `2021-03-05`) as people write them.

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

/// Formats a date as `5 March 2021`, `March 2021` or `2021`. Returns any other text unchanged.
pub(super) fn format_date(text: &str) -> String {
    let mut parts = text.trim().split('-');
    let (year, month, day) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let month = month
        .and_then(|month| month.parse::<usize>().ok())
        .and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    match (month, day.map(str::parse::<u8>)) {
        (Some(month), None) if is_year => format!("{month} {year}"),
        (Some(month), Some(Ok(day))) if is_year && parts.next().is_none() => {
            format!("{day} {month} {year}")
        }
        _ => text.trim().to_owned(),
    }
}

/// Formats a range as `March 2021 – present`. Returns an empty text if both ends are blank.
pub(super) fn format_date_range(start: &str, end: &str) -> String {
    match (start.trim().is_empty(), end.trim().is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!("until {}", format_date(end)),
        (false, true) => format!("{} – present", format_date(start)),
        (false, false) => format!("{} – {}", format_date(start), format_date(end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_out_and_other_texts_are_unchanged() {
        assert_eq!(format_date("2021-03"), "March 2021");
        assert_eq!(format_date("2021-03-05"), "5 March 2021");
        assert_eq!(format_date("2021"), "2021");
        assert_eq!(format_date("2021-13"), "2021-13");
        assert_eq!(format_date("Present"), "Present");
        assert_eq!(format_date_range("2021-03", ""), "March 2021 – present");
        assert_eq!(format_date_range("", ""), "");
    }
}

//! Texts that must stay, texts that must change, and properties of all texts.

use proptest::prelude::*;

use super::*;

fn assert_unchanged(description: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(sanitize(text), *text, "{description} must stay unchanged: {}", text.escape_unicode());
        let inside = format!("Hello {text}, how are you?");
        assert_eq!(sanitize(&inside), inside, "{description} must stay unchanged inside a sentence");
    }
}

fn assert_sanitized(pairs: &[(&str, &str)]) {
    for (text, expected) in pairs {
        assert_eq!(sanitize(text), *expected, "from {}", text.escape_unicode());
    }
}

#[test]
fn joined_emoji_are_kept() {
    assert_unchanged("joined emoji", &["👩🏽‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🏴‍☠️", "❤️‍🔥", "🕵🏻‍♂️", "🧑‍🤝‍🧑", "👩‍❤️‍💋‍👨", "🐦‍⬛"]);
}

#[test]
fn skin_tones_are_kept() {
    assert_unchanged("skin tones", &["👍🏿", "🤝🏼", "🫱🏻‍🫲🏿"]);
}

#[test]
fn keycaps_are_kept() {
    assert_unchanged("keycaps", &["1️⃣", "#️⃣", "*️⃣", "1⃣"]);
}

#[test]
fn emoji_and_text_forms_are_kept() {
    assert_unchanged("forms", &["☎️", "☎︎", "©️", "✔️"]);
}

#[test]
fn country_flags_are_kept() {
    assert_unchanged("country flags", &["🇩🇪", "🇺🇳🇧🇷"]);
}

#[test]
fn region_flags_are_kept() {
    assert_unchanged("region flags", &["🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴󠁵󠁳󠁴󠁸󠁿"]);
}

#[test]
fn persian_non_joiners_are_kept() {
    assert_unchanged("Persian", &["می‌خواهم", "کتاب‌ها", "نمی‌دانم چه‌کاره"]);
}

#[test]
fn indic_joiners_are_kept() {
    assert_unchanged("Indic", &["क्‍ष", "क्‌ष", "ക്‍ഷ", "ශ්‍රී ලංකා", "র‍্য", "न्‍"]);
}

#[test]
fn arabic_is_kept() {
    assert_unchanged("Arabic", &["السِّيرَةُ الذَّاتِيَّة", "هـ", "ه‍", "٣٫١٤"]);
}

#[test]
fn hebrew_is_kept() {
    assert_unchanged("Hebrew", &["שָׁלוֹם", "בְּרֵאשִׁ֖ית", "קוֹרוֹת חַיִּים"]);
}

#[test]
fn direction_marks_next_to_punctuation_are_kept() {
    assert_unchanged("directed punctuation", &["היא יודעת C++\u{200E}", "שלום!\u{200F}", "سلام (\u{61C}C#)"]);
}

#[test]
fn accents_are_neither_composed_nor_decomposed() {
    assert_unchanged(
        "accents",
        &["café", "cafe\u{301}", "Ångström", "A\u{30A}ngstro\u{308}m", "Nguyễn", "Nguye\u{302}\u{303}n"],
    );
}

#[test]
fn east_asian_text_is_kept() {
    assert_unchanged(
        "East Asian",
        &["她在哪里工作？", "経験は何年ですか。", "경력이 몇 년입니까", "パ", "ハ\u{309A}", "한"],
    );
}

#[test]
fn ideographic_variants_are_kept() {
    assert_unchanged("ideographic variants", &["葛\u{E0100}城", "辻\u{E0101}", "㐂\u{FE00}"]);
}

#[test]
fn other_scripts_are_kept() {
    assert_unchanged("scripts", &["ไม่เป็นไร", "བོད་ཡིག ཧྐྵྨླྺྼྻྂ", "ᠮᠣᠩᠭᠣᠯ", "ស្រឡាញ់", "ဂြိုလ်", "ΑΒΓ", "Привет"]);
}

#[test]
fn control_characters_are_removed() {
    assert_sanitized(&[("a\0b\u{7}c\u{1B}[31m\u{7F}d\u{9B}e", "abc[31mde"), ("a\tb\u{B}c\u{C}d", "a b c d")]);
}

#[test]
fn invisible_characters_are_removed() {
    for invisible in "\u{200B}\u{2060}\u{AD}\u{FEFF}\u{180E}\u{FFF9}\u{FFFA}\u{FFFB}\u{2061}\u{2063}\u{206A}\u{34F}\u{115F}\u{3164}\
               \u{FFA0}\u{FFFC}\u{E0001}\u{E0041}\u{E0FFF}\u{FFF0}\u{FFFE}\u{10FFFF}\u{1D173}\u{1BCA0}\u{17B4}"
        .chars()
    {
        assert_eq!(sanitize(&format!("ig{invisible}nore")), "ignore", "without {}", invisible.escape_unicode());
    }
}

#[test]
fn joiners_and_selectors_without_effect_are_removed() {
    assert_sanitized(&[
        ("ig\u{200D}no\u{200C}re", "ignore"),
        ("a\u{FE0F}b\u{FE00}c\u{E0100}", "abc"),
        ("1\u{FE0F} of 2\u{FE0F}", "1 of 2"),
        ("😀\u{FE0F}\u{FE0F}\u{E0101}\u{E0102}\u{E0103}", "😀\u{FE0F}"),
        ("👩\u{200D}\u{200D}\u{200D}", "👩"),
        ("می\u{200C}\u{200C}\u{200D}خ", "می\u{200D}خ"),
        ("葛\u{E0100}\u{E0101}", "葛\u{E0100}"),
    ]);
}

#[test]
fn invisible_characters_do_not_break_sequences() {
    assert_sanitized(&[
        ("👩\u{200B}\u{200D}\u{FEFF}💻", "👩\u{200D}💻"),
        ("می\u{200C}\u{2060}خ", "می\u{200C}خ"),
        ("1\u{FE0F}\u{AD}\u{20E3}", "1\u{FE0F}\u{20E3}"),
    ]);
}

#[test]
fn hidden_tags_are_removed() {
    let hidden: String =
        "ignore".bytes().filter_map(|byte| char::from_u32(0xE0000 + u32::from(byte))).collect();
    assert_eq!(sanitize(&format!("Hello{hidden} there")), "Hello there");
    assert_eq!(sanitize(&format!("🏴{hidden}{hidden}")), "🏴");
    assert_eq!(sanitize(&format!("🏴{hidden}{hidden}\u{E007F}")), "🏴");
}

#[test]
fn direction_overrides_are_removed() {
    assert_sanitized(&[
        ("a\u{202E}b\u{202A}c\u{202B}d\u{202C}e\u{202D}", "abcde"),
        ("\u{2066}a\u{2067}b\u{2068}c\u{2069}", "abc"),
        ("no \u{200F}right\u{200E}-to-left\u{61C}", "no right-to-left"),
        ("של\u{200F}ום", "שלום"),
        ("שלום!\u{200F}\u{200F}\u{200E}", "שלום!\u{200E}"),
    ]);
}

#[test]
fn combining_marks_are_limited_to_eight() {
    let tower = |marks: usize| format!("Z{}a", "\u{336}".repeat(marks));
    assert_eq!(sanitize(&tower(8)), tower(8));
    assert_eq!(sanitize(&tower(500)), tower(8));
}

#[test]
fn white_space_is_normalized() {
    assert_sanitized(&[
        ("  a \u{A0}\u{2003}\u{3000}b\u{2800}\u{202F}c ", "a b c"),
        ("a\r\nb\rc\u{2028}d\u{85}e", "a\nb\nc\nd\ne"),
        ("a\r\n\r\n\r\n\nb \n \n \n c", "a\n\nb\n\nc"),
        ("\n\u{2029} \u{200B} \t", ""),
        ("a \u{200B} b", "a b"),
    ]);
}

#[test]
fn clean_text_is_not_copied() {
    assert!(matches!(sanitize("What did she do at Acme?"), Cow::Borrowed(_)));
    assert!(matches!(sanitize("Was hat sie bei Müller gemacht? 👩🏽‍💻"), Cow::Borrowed(_)));
}

/// Texts made of the characters that the rules are about, in all combinations.
fn adversarial_text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "1",
        "+",
        " ",
        "\n",
        "\r",
        "\t",
        "\u{3000}",
        "\u{200D}",
        "\u{200C}",
        "\u{FE0F}",
        "\u{FE0E}",
        "\u{FE00}",
        "\u{E0100}",
        "\u{20E3}",
        "\u{301}",
        "\u{94D}",
        "क",
        "র",
        "م",
        "ر",
        "\u{64E}",
        "ש",
        "葛",
        "≨",
        "👩",
        "🏽",
        "💻",
        "❤",
        "🏴",
        "🇩",
        "\u{E0067}",
        "\u{E0062}",
        "\u{E0065}",
        "\u{E007F}",
        "\u{200F}",
        "\u{200E}",
        "\u{61C}",
        "\u{202E}",
        "\u{200B}",
        "\u{0}",
        "\u{180B}",
        "ᠮ",
        "!",
        "\u{640}",
        "\u{600}",
        "\u{2028}",
        "\u{300}\u{301}\u{302}\u{303}\u{304}",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "한",
        "\u{1100}",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

fn check_properties(text: &str) -> Result<(), TestCaseError> {
    let once = sanitize(text);
    prop_assert_eq!(sanitize(&once), once.as_ref(), "sanitizing is idempotent");
    prop_assert!(
        once.len() <= text.len() && once.chars().count() <= text.chars().count(),
        "the result is never longer"
    );
    let class = |character: char| CharClass::from_char(character);
    prop_assert!(
        !once.chars().any(|character| class(character) == CharClass::Forbidden),
        "no forbidden character is left"
    );
    prop_assert!(!once.contains("  ") && !once.contains("\n\n\n") && once.trim() == once);
    let visible = |text: &str| {
        text.chars().filter(|character| class(*character) == CharClass::Visible).collect::<String>()
    };
    prop_assert_eq!(visible(&once), visible(text), "no visible character is lost");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn properties_hold_for_any_text(text in any::<String>()) {
        check_properties(&text)?;
    }

    #[test]
    fn properties_hold_for_adversarial_text(text in adversarial_text()) {
        check_properties(&text)?;
    }
}

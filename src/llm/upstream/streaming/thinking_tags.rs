//! Separates thinking from the answer where a server sends both as content: `<think>…</think>`.
//!
//! Thinking stands at the start of the answer. Some servers send only the closing tag, because
//! their prompt template already contains the opening one.

/// The pairs of tags in use: DeepSeek, Qwen and others; Magistral; Gemma; Seed; Kimi.
const TAGS: [(&str, &str); 8] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>thought", "<channel|>"),
];

/// The closing tags that also count without their opening tag.
const LONE_CLOSING_TAGS: [&str; 2] = ["</think>", "[/THINK]"];

/// The maximum size of the text that is held back. The thinking of real models is shorter.
const MAX_HELD_BYTES: usize = 128 * 1024;

/// What a piece of content contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Separated {
    /// The text of the answer.
    pub(crate) text: String,
    /// The bytes of thinking.
    pub(crate) thinking_bytes: usize,
    /// Whether all text so far was thinking, because a closing tag without an opening one came.
    pub(crate) takes_back: bool,
}

/// Where the content stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space and closed thinking has come.
    Start,
    /// Within the thinking that this tag closes.
    Thinking(&'static str),
    /// Text is held back until a closing tag comes.
    Waiting,
    /// Within the answer.
    Answer,
}

/// Separates the content of one response.
#[derive(Debug)]
pub(crate) struct ThinkingTags {
    state: State,
    /// Content that is not classified yet: a possible start of a tag, or text that is held back.
    held: String,
    /// Whether a closing tag may still come without an opening one.
    may_take_back: bool,
    /// Whether the text so far ends with a backquote. A tag after it is text.
    is_after_backquote: bool,
}

impl ThinkingTags {
    /// Starts a response. If `holds_back`, the model is known to send only closing tags, and text
    /// is held back until one comes.
    pub(crate) fn new(holds_back: bool) -> Self {
        let state = if holds_back { State::Waiting } else { State::Start };
        Self { state, held: String::new(), may_take_back: true, is_after_backquote: false }
    }

    /// Separates the next piece.
    pub(crate) fn push(&mut self, piece: &str) -> Separated {
        let mut separated = Separated::default();
        // The ordinary case: within the answer, and no tag in sight.
        if self.state == State::Answer && self.held.is_empty() && !piece.contains(['<', '[']) {
            piece.clone_into(&mut separated.text);
            self.is_after_backquote = piece.ends_with('`');
            return separated;
        }
        self.held.push_str(piece);
        if self.state == State::Waiting && self.held.len() > MAX_HELD_BYTES {
            self.state = State::Start;
        }
        while self.step(&mut separated) {}
        separated
    }

    /// Returns whether text is still held back, because no closing tag came.
    pub(crate) fn holds_back(&self) -> bool {
        self.state == State::Waiting
    }

    /// Ends the response. Returns the text that was held back.
    pub(crate) fn finish(&mut self) -> Separated {
        let held = std::mem::take(&mut self.held);
        let mut separated = Separated::default();
        match self.state {
            State::Thinking(_) => separated.thinking_bytes = held.len(),
            State::Start | State::Waiting | State::Answer => separated.text = held,
        }
        separated
    }

    /// Classifies a part of the held content. Returns whether there may be more to do.
    fn step(&mut self, separated: &mut Separated) -> bool {
        match self.state {
            State::Start => self.at_start(separated),
            State::Thinking(closing) => {
                let found = self.held.find(closing);
                let end = found.map_or_else(
                    || self.held.len() - partial_tag(&self.held, &[closing]),
                    |at| at + closing.len(),
                );
                separated.thinking_bytes += end;
                self.held.drain(..end);
                if found.is_some() {
                    self.state = State::Start;
                    self.may_take_back = false;
                }
                found.is_some()
            }
            State::Waiting => {
                let opens = TAGS.iter().any(|(opening, _)| self.held.trim_start().starts_with(opening));
                if opens {
                    self.state = State::Start;
                    return true;
                }
                match find_tag(&self.held, &LONE_CLOSING_TAGS, false) {
                    Some(end) => {
                        separated.thinking_bytes += end;
                        self.held.drain(..end);
                        self.state = State::Start;
                        self.may_take_back = false;
                        true
                    }
                    None => false,
                }
            }
            State::Answer => self.in_answer(separated),
        }
    }

    fn at_start(&mut self, separated: &mut Separated) -> bool {
        let text = self.held.trim_start();
        let blank = self.held.len() - text.len();
        if let Some((opening, closing)) = TAGS.iter().find(|(opening, _)| text.starts_with(opening)) {
            separated.thinking_bytes += opening.len();
            self.held.drain(..blank + opening.len());
            self.state = State::Thinking(closing);
            return true;
        }
        // White space before the first word is left out only if thinking follows or came before.
        if TAGS.iter().any(|(opening, _)| opening.starts_with(text)) {
            return false;
        }
        if !self.may_take_back {
            self.held.drain(..blank);
        }
        self.state = State::Answer;
        true
    }

    fn in_answer(&mut self, separated: &mut Separated) -> bool {
        if !self.may_take_back {
            separated.text.push_str(&std::mem::take(&mut self.held));
            return false;
        }
        if let Some(end) = find_tag(&self.held, &LONE_CLOSING_TAGS, self.is_after_backquote) {
            separated.thinking_bytes += separated.text.len() + end;
            separated.text.clear();
            separated.takes_back = true;
            self.held.drain(..end);
            self.state = State::Start;
            self.may_take_back = false;
            return true;
        }
        let end = self.held.len() - partial_tag(&self.held, &LONE_CLOSING_TAGS);
        separated.text.extend(self.held.drain(..end));
        self.is_after_backquote =
            if separated.text.is_empty() { self.is_after_backquote } else { separated.text.ends_with('`') };
        false
    }
}

/// Returns the end of the first of the tags. A tag after a backquote is text.
fn find_tag(text: &str, tags: &[&str], is_after_backquote: bool) -> Option<usize> {
    let is_quoted = |at: usize| match at {
        0 => is_after_backquote,
        at => text.get(..at).is_some_and(|before| before.ends_with('`')),
    };
    let ends = tags.iter().filter_map(|tag| {
        text.match_indices(tag).find(|(at, _)| !is_quoted(*at)).map(|(at, tag)| at + tag.len())
    });
    ends.min()
}

/// Returns the length of the longest end of the text that starts one of the tags.
fn partial_tag(text: &str, tags: &[&str]) -> usize {
    let partial = |tag: &str| {
        let lengths = tag.char_indices().map(|(at, _)| at).skip(1);
        lengths.filter(|length| tag.get(..*length).is_some_and(|start| text.ends_with(start))).max()
    };
    tags.iter().filter_map(|tag| partial(tag)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the answer and whether text was taken back.
    fn separate(pieces: &[&str], holds_back: bool) -> (String, bool) {
        let mut tags = ThinkingTags::new(holds_back);
        let (mut answer, mut took_back) = (String::new(), false);
        let mut add = |separated: Separated| {
            if separated.takes_back {
                answer.clear();
                took_back = true;
            }
            answer.push_str(&separated.text);
        };
        pieces.iter().for_each(|piece| add(tags.push(piece)));
        add(tags.finish());
        (answer, took_back)
    }

    #[test]
    fn thinking_in_tags_is_removed_however_it_is_split() {
        for (content, answer) in [
            ("<think>Hm.</think>\n\nShe builds compilers.", "She builds compilers."),
            ("\n<think>\n</think>\n\nYes.", "Yes."),
            ("[THINK]Hm.[/THINK]Yes.", "Yes."),
            ("◁think▷Hm.◁/think▷Yes.", "Yes."),
            ("<think>a</think><think>b</think>Yes.", "Yes."),
            ("<think>never closed", ""),
            ("a < b, [1], <thin>", "a < b, [1], <thin>"),
            (" She", " She"),
            ("It is `</think>`, a tag.", "It is `</think>`, a tag."),
            ("", ""),
        ] {
            assert_eq!(separate(&[content], false), (answer.to_owned(), false), "{content}");
            let pieces: Vec<String> = content.chars().map(String::from).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            assert_eq!(separate(&pieces, false), (answer.to_owned(), false), "{content}, split");
        }
    }

    #[test]
    fn lone_closing_tag_takes_the_text_before_it_back() {
        assert_eq!(separate(&["Hm, so ", "</thi", "nk>\n\nYes."], false), ("Yes.".to_owned(), true));
        assert_eq!(separate(&["Hm, so ", "</thi", "nk>\n\nYes."], true), ("Yes.".to_owned(), false));
        assert_eq!(separate(&["No thinking ", "today."], true), ("No thinking today.".to_owned(), false));
        assert_eq!(separate(&["<think>Hm.</think>", "Yes."], true), ("Yes.".to_owned(), false));
    }

    proptest! {
        #[test]
        fn text_without_tags_is_kept_as_it_is(text in "[a-z <>/\\[\\]`\n]{0,40}", cut in 1_usize..6) {
            prop_assume!(!text.contains("think"));
            let pieces: Vec<&str> = text.as_bytes().chunks(cut).map(|piece| std::str::from_utf8(piece).unwrap()).collect();
            prop_assert_eq!(separate(&pieces, false), (text.clone(), false));
            prop_assert_eq!(separate(&pieces, true), (text.clone(), false));
        }
    }
}

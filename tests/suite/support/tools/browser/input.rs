//! Keyboard and pointer input, in the form that both protocols share.

use serde_json::{Value, json};

/// A key that types no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Tab.
    Tab,
    /// Shift and Tab.
    ShiftTab,
    /// Backspace.
    Backspace,
    /// The arrow up.
    ArrowUp,
    /// The arrow down.
    ArrowDown,
    /// The arrow left.
    ArrowLeft,
    /// The arrow right.
    ArrowRight,
    /// Home.
    Home,
    /// End.
    End,
}

/// The shift key, pressed around another key.
const SHIFT: char = '\u{e008}';

impl Key {
    /// Returns the code point that WebDriver gives to the key.
    const fn code_point(self) -> char {
        match self {
            Self::Enter => '\u{e007}',
            Self::Escape => '\u{e00c}',
            Self::Tab | Self::ShiftTab => '\u{e004}',
            Self::Backspace => '\u{e003}',
            Self::ArrowUp => '\u{e013}',
            Self::ArrowDown => '\u{e015}',
            Self::ArrowLeft => '\u{e012}',
            Self::ArrowRight => '\u{e014}',
            Self::Home => '\u{e011}',
            Self::End => '\u{e010}',
        }
    }
}

/// Returns the actions that press and release a key.
pub(super) fn key_press(key: Key) -> Value {
    let code_point = key.code_point();
    let mut strokes = vec![stroke("keyDown", code_point), stroke("keyUp", code_point)];
    if key == Key::ShiftTab {
        strokes.insert(0, stroke("keyDown", SHIFT));
        strokes.push(stroke("keyUp", SHIFT));
    }
    keyboard(&strokes)
}

/// Returns the actions that type text. A line feed presses Enter.
pub(super) fn typing(text: &str) -> Value {
    let code_point = |letter| if letter == '\n' { Key::Enter.code_point() } else { letter };
    let strokes = |letter| [stroke("keyDown", letter), stroke("keyUp", letter)];
    keyboard(&text.chars().map(code_point).flat_map(strokes).collect::<Vec<_>>())
}

/// Returns the actions that click at a point of the viewport.
pub(super) fn pointer_click(x: i64, y: i64) -> Value {
    let actions = json!([
        { "type": "pointerMove", "x": x, "y": y, "origin": "viewport", "duration": 0 },
        { "type": "pointerDown", "button": 0 },
        { "type": "pointerUp", "button": 0 },
    ]);
    json!([{
        "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions,
    }])
}

fn stroke(kind: &str, letter: char) -> Value {
    json!({ "type": kind, "value": letter })
}

fn keyboard(strokes: &[Value]) -> Value {
    json!([{ "type": "key", "id": "keyboard", "actions": strokes }])
}

//! Printing of text from outside.

use std::borrow::Cow;

/// `text` on one line, without characters that control a terminal: control characters, line separators and changes of
/// direction become escapes such as `\n` or `\u{1b}`.
pub fn plain(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(acts) {
        return text.into();
    }
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if acts(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn what_a_terminal_acts_on_is_escaped_and_nothing_else() {
        assert_eq!(plain("Größe `a/b`, \\n 1.5 €"), "Größe `a/b`, \\n 1.5 €");
        assert_eq!(plain("a\nb\t\u{1b}[31m\u{7f}\u{9b}\u{202e}"), "a\\nb\\t\\u{1b}[31m\\u{7f}\\u{9b}\\u{202e}");
    }
}

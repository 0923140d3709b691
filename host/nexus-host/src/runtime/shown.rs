//! What others chose (a file's name, a name in an app's file), made fit for a terminal.

use std::path::Path;

use nexus_policy::explain::escape;

/// A path, with nothing in it that could change how a terminal shows the rest.
pub fn path(path: &Path) -> String {
    escape(&path.display().to_string())
}

/// A text as one line of at most `chars_max` characters, with nothing hidden in it. A line break is a blank.
pub fn line(text: &str, chars_max: usize) -> String {
    let shown = |c: char| match c {
        c if c.is_control() => " ".to_owned(),
        c => escape(c.encode_utf8(&mut [0; 4])),
    };
    text.chars().take(chars_max).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what could repaint the terminal is gone. Method: escapes, a line break, a turn of the writing, and more
    /// than fits.
    #[test]
    fn reject_text_that_would_repaint_the_line() {
        let odd = "g\u{1b}[31mil\n\u{202e}.wasm";
        assert_eq!(path(Path::new(odd)), "g\\u{1b}[31mil\\u{a}\\u{202e}.wasm");
        assert_eq!(line(odd, 400), "g [31mil \\u{202e}.wasm");
        assert_eq!(line("büro 東京", 400), "büro 東京");
        assert_eq!(line(&"x".repeat(401), 400).len(), 400);
    }
}

//! Where two texts differ, for a terminal.

use similar::TextDiff;

/// Lines that are shown at most. What differs altogether is not told line by line.
const LINES: usize = 40;

/// The lines that differ, with those around them: `-` of the one, `+` of the other. What a terminal would obey is
/// written out.
pub(super) fn lines(expected: &str, found: &str) -> String {
    let diff = TextDiff::from_lines(expected, found);
    let text = diff
        .unified_diff()
        .context_radius(2)
        .missing_newline_hint(true)
        .to_string();
    let mut lines = text.lines();
    let mut shown: Vec<_> = lines.by_ref().take(LINES).map(visible).collect();
    let more = lines.count();
    if more > 0 {
        shown.push(format!("... and {more} lines more"));
    }
    shown.join("\n")
}

/// A line as the policy's texts show one: nothing a terminal obeys or hides; a tab stays.
fn visible(line: &str) -> String {
    let parts: Vec<_> = line
        .split('\t')
        .map(nexus_policy::explain::escape)
        .collect();
    parts.join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_what_is_around_it() {
        let shown = lines("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nX\u{1b}[31m\ne\nf\n");
        assert_eq!(shown, "@@ -2,5 +2,5 @@\n b\n c\n-d\n+X\\u{1b}[31m\n e\n f");
    }

    #[test]
    fn lines_at_and_over_the_limit() {
        let text = |lines: usize| "x\n".repeat(lines);
        // One line of the diff is its head.
        let shown = lines("", &text(LINES - 1));
        assert_eq!(shown.lines().count(), LINES);
        let shown = lines("", &text(LINES));
        assert!(shown.ends_with("... and 1 lines more"), "{shown}");
    }
}

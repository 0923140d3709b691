//! `bench/RESULTS.md`: one page, a section for each way to measure, each renewed by itself.

use super::measured::All;
use super::targets;

/// A section of the page, and of `bench/settings.md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Section {
    /// `cargo xtask bench`
    Parts,
    /// `cargo xtask bench --peers`
    Peers,
    /// `cargo xtask bench http`
    Http,
}

impl Section {
    pub(super) const ALL: [Self; 3] = [Self::Parts, Self::Peers, Self::Http];

    /// Whose a measurement is, by its id.
    pub(super) fn of(id: &str) -> Self {
        if id.starts_with("peer_") || id.starts_with("tap_") {
            Self::Peers
        } else if id.starts_with("http_") {
            Self::Http
        } else {
            Self::Parts
        }
    }

    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Parts => "cargo xtask bench",
            Self::Peers => "cargo xtask bench --peers",
            Self::Http => "cargo xtask bench http",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Parts => "The parts",
            Self::Peers => "Beside what people would otherwise use",
            Self::Http => "HTTP, and programs as they are, beside wasmtime",
        }
    }

    /// What stands below this section's heading.
    pub(super) fn within(self, text: &str) -> Option<&str> {
        let heading = format!("\n## {}\n", self.title());
        // A heading may be the first line of a file.
        let begin = match text.strip_prefix(&heading[1..]) {
            Some(rest) => text.len() - rest.len(),
            None => text.find(&heading)? + heading.len(),
        };
        let body = &text[begin..];
        let end = body.find("\n## ").map_or(body.len(), |end| end + 1);
        Some(body[..end].trim())
    }
}

/// The page with one section renewed, the others as `old` has them.
pub(super) fn renew(old: &str, section: Section, body: &str) -> String {
    let mut page = String::from("# Measurements\n\nWritten by xtask; not by hand.\n");
    for each in Section::ALL {
        let body = if each == section {
            body.trim().to_owned()
        } else {
            match each.within(old) {
                Some(kept) => kept.to_owned(),
                None => format!("Not measured yet: `{}`.", each.verb()),
            }
        };
        page.push_str(&format!("\n## {}\n\n{body}\n", each.title()));
    }
    page
}

/// What a section says.
pub(super) fn body(
    section: Section,
    machine: &str,
    settings: &str,
    reasons: &toml::Table,
    measured: &All,
) -> String {
    let mut body = format!(
        "{machine}\n### Targets\n\n\
         | what | measured | target | |\n|---|---|---|---|\n"
    );
    for target in targets::of(section) {
        body.push_str(&target.line(reasons, measured));
    }
    if let Some(settings) = section.within(settings) {
        body.push_str(&format!("\n### Settings\n\n{settings}\n"));
    }
    body.push_str("\n### Medians\n\n| bench | median | |\n|---|---|---|\n");
    for (id, one) in measured {
        body.push_str(&format!("| {id} | {} | {} |\n", one.show(), one.note));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measured::Measured;

    /// Goal: measuring one thing does not change what was measured of the other. Method: each renewed in turn.
    #[test]
    fn renewing_one_section_keeps_the_other_as_it_was() {
        let first = renew(
            "",
            Section::Peers,
            "- commit: a\n\n### Targets\n\n| peers |\n",
        );
        assert!(first.contains("Not measured yet: `cargo xtask bench`."));
        let second = renew(
            &first,
            Section::Parts,
            "- commit: b\n\n### Targets\n\n| parts |",
        );
        assert_eq!(
            Section::Peers.within(&second),
            Section::Peers.within(&first)
        );
        assert_eq!(
            Section::Parts.within(&second),
            Some("- commit: b\n\n### Targets\n\n| parts |")
        );
        let third = renew(&second, Section::Peers, "- commit: c");
        assert!(third.contains("commit: b") && third.contains("commit: c"));
        assert!(!third.contains("commit: a"));
        assert_eq!(renew(&third, Section::Peers, "- commit: c"), third);
    }

    #[test]
    fn settings_and_measurements_are_the_sections_own() {
        let settings = "## The parts\n\n- alone\n\n## Beside what people would otherwise use\n\n- with others\n";
        let measured = [("peer_tcp_ratio".to_owned(), Measured::new(3.0, "x"))].into();
        let body = body(
            Section::Peers,
            "- commit: a\n",
            settings,
            &toml::Table::new(),
            &measured,
        );
        assert!(body.contains("- with others") && !body.contains("- alone"));
        assert!(body.contains("| peer_tcp_ratio | 3.00 |  |"));
        assert!(!body.contains("idle connections"));
    }
}

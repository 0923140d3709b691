//! "Did you mean": the closest of a few known words.

/// Longer words are not compared: the cost is the product of the lengths.
const WORD_BYTES_MAX: usize = 64;

/// The candidate closest to `text`, if it is close enough to have been meant.
pub(crate) fn closest<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if text.is_empty() || text.len() > WORD_BYTES_MAX {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            // A forgotten prefix (`tcp.listen`) is meant more surely than any typo.
            let tail = candidate
                .strip_suffix(lower.as_str())
                .is_some_and(|head| head.ends_with('.'));
            (
                if tail { 0 } else { distance(&lower, candidate) },
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance <= candidate.len().min(text.len()).div_ceil(4).min(3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Damerau-Levenshtein (optimal string alignment) over bytes: the words compared are ASCII.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            let mut best = (above[j - 1] + usize::from(a[i - 1] != b[j - 1]))
                .min(above[j] + 1)
                .min(row[j - 1] + 1);
            if swap {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = core::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_is_one() {
        for (a, b, d) in [
            ("allow", "allow", 0),
            ("alow", "allow", 1),
            ("alolw", "allow", 1),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_close_is_suggested() {
        let known = ["allow", "optional"];
        assert_eq!(closest("alow", known), Some("allow"));
        assert_eq!(closest("optionnal", known), Some("optional"));
        assert_eq!(closest("deny", known), None);
        assert_eq!(closest(&"a".repeat(10_000), known), None);
    }
}

//! Medians and spread.

/// The middle of the values; of an even number, the mean of the two in the middle. 0 of none.
pub(in crate::peers) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[upper],
        _ => f64::midpoint(sorted[upper - 1], sorted[upper]),
    }
}

/// `9 runs, 17.6 to 19.4`
pub(in crate::peers) fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{} runs, {least:.1} to {most:.1}", values.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_not_moved_by_a_stray() {
        assert!((median(&[3.0, 1.0, 1_000.0]) - 3.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 1_000.0]) - 3.0).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
        assert_eq!(spread(&[3.0, 1.0, 2.26]), "3 runs, 1.0 to 3.0");
    }
}

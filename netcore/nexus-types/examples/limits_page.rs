//! Prints the guide's page of limits: `cargo run -p nexus-types --example limits_page > docs/guide/limits.md`.

use nexus_types::limits::{Limit, TABLE};

/// The page; a test keeps the committed one equal to it.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Limits\n\n\
         Everything that comes from outside is bounded. This page is made from `nexus_types::limits`:\n\
         `cargo run -p nexus-types --example limits_page > docs/guide/limits.md`; a test keeps it true.\n\n\
         | limit | default | what it stops, and what happens at it |\n|---|---|---|\n",
    );
    for limit in TABLE {
        page.push_str(&format!(
            "| {} | {} | {} |\n",
            limit.name,
            value(limit),
            limit.stops
        ));
    }
    page
}

/// `64 MiB`, `1 GiB a node`, `4,096 connections a node`.
fn value(limit: &Limit) -> String {
    if let Some(per) = limit.unit.strip_prefix("bytes") {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if limit.value >= 1 << shift && limit.value.trailing_zeros() >= shift {
                return format!("{} {unit}{per}", limit.value >> shift);
            }
        }
    }
    if let Some(rest) = limit.unit.strip_suffix("microseconds") {
        for (each, unit) in [(1_000_000, "s"), (1_000, "ms")] {
            if limit.value >= each && limit.value.is_multiple_of(each) {
                return format!("{} {rest}{unit}", limit.value / each);
            }
        }
    }
    let digits = limit.value.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", limit.unit)
}

#[allow(
    dead_code,
    reason = "the test that compares the page includes this file for `page` alone"
)]
fn main() {
    print!("{}", page());
}

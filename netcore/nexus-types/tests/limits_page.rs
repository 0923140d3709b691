//! The guide's page of limits says what the code does.

#[path = "../examples/limits_page.rs"]
mod limits_page;

#[test]
fn the_committed_page_is_the_table() {
    let committed = include_str!("../../../docs/guide/limits.md");
    let page = limits_page::page();
    let only_in = |one: &str, other: &str| {
        one.lines()
            .filter(|line| !other.lines().any(|found| found == *line))
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
    };
    assert!(
        committed == page,
        "make it anew: cargo run -p nexus-types --example limits_page > docs/guide/limits.md\n\
         only in the page:\n{}only in the code:\n{}",
        only_in(committed, &page),
        only_in(&page, committed),
    );
}

//! The guide's page of limits says what the code does.

#[path = "../examples/limits_page.rs"]
mod limits_page;

#[test]
fn the_committed_page_is_the_table() {
    assert_eq!(
        include_str!("../../../docs/guide/limits.md"),
        limits_page::page(),
        "make it anew: cargo run -p nexus-types --example limits_page > docs/guide/limits.md"
    );
}

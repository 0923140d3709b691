//! Criterion benches and the side-by-side runs.
//!
//! `cargo xtask bench` runs them and writes `RESULTS.md`: medians from criterion, and what a bench
//! measures itself (bytes resident, ratios taken by turns) from the facts it leaves with [`fact`].

use std::fs;
use std::path::Path;

/// Leaves a measurement for `cargo xtask bench` (`bench-facts/<id>.json` in cargo's target folder),
/// and prints it. `unit`: `bytes`, `x` for a ratio, or any other word.
pub fn fact(id: &str, value: f64, unit: &str, note: &str) {
    println!("{id}: {value:.2} {unit} {note}");
    // target/release/deps/<this bench>, or target/release/<this program>
    let exe = std::env::current_exe().unwrap_or_default();
    let folder = exe.parent().unwrap_or(Path::new(""));
    let up = if folder.ends_with("deps") { 2 } else { 1 };
    let Some(target) = folder.ancestors().nth(up) else {
        return;
    };
    let folder = target.join("bench-facts");
    let quoted = |text: &str| format!("\"{}\"", text.replace(['"', '\\', '\n'], " "));
    let text = format!(
        "{{\"id\": {}, \"value\": {value}, \"unit\": {}, \"note\": {}}}\n",
        quoted(id),
        quoted(unit),
        quoted(note)
    );
    // A bench is worth running where nothing can be written, too.
    if fs::create_dir_all(&folder).is_ok() {
        let _ = fs::write(folder.join(format!("{id}.json")), text);
    }
}

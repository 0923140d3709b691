//! What `--mode` let pass, at the end of a run: what of it would have been refused.

use nexus_policy::Mode;
use nexus_policy::admission::Missing;
use serde_json::Value;

/// Kinds of acts, and imports, shown each: about a screen. The rest is counted; a report has all.
const SHOWN: usize = 20;

/// What was let pass of one app.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Passed {
    /// What was done with refusals.
    pub mode: Mode,
    /// What it could not have started without.
    pub observed: Vec<Missing>,
    /// One entry for each kind of act.
    pub listed: Value,
    /// How many more there were, of too many kinds to list.
    pub others: u64,
}

impl Passed {
    /// For a person; empty if nothing is let pass in this mode.
    pub fn summary(&self, app: &str) -> String {
        if !self.mode.lets_pass() {
            return String::new();
        }
        let mode = self.mode;
        let mut out = String::new();
        if !self.observed.is_empty() {
            let count = match self.observed.len() {
                1 => "1 import".to_owned(),
                many => format!("{many} imports"),
            };
            out.push_str(&format!(
                "{mode}  {app} would not have started: {count} missing\n"
            ));
        }
        for missing in self.observed.iter().take(SHOWN) {
            let needs: Vec<_> = missing.needs.iter().map(|c| c.as_str()).collect();
            out.push_str(&format!(
                "  {}  needs {}  [{}]\n",
                missing.what,
                needs.join(", "),
                missing.reason
            ));
        }
        if self.observed.len() > SHOWN {
            out.push_str(&format!("  and {} more\n", self.observed.len() - SHOWN));
        }

        let mut kinds: Vec<_> = self.listed.as_array().into_iter().flatten().collect();
        let count = |kind: &Value| kind["count"].as_u64().unwrap_or(0);
        // Those there are most of first; of as many, in the order of the list.
        kinds.sort_by_key(|kind| std::cmp::Reverse(count(kind)));
        let acts = kinds.iter().map(|kind| count(kind)).sum::<u64>() + self.others;
        out.push_str(&match acts {
            0 => format!("{mode}  {app}: nothing it did would have been refused\n"),
            1 => format!("{mode}  {app}: 1 act would have been refused\n"),
            many => format!("{mode}  {app}: {many} acts would have been refused\n"),
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for kind in kinds.iter().take(SHOWN) {
            out.push_str(&format!(
                "  {:>6}  {}  {}  [{}]\n",
                count(kind),
                text(&kind["capability"]),
                text(&kind["target"]),
                text(&kind["reason"])
            ));
        }
        let hidden: u64 = kinds.iter().skip(SHOWN).map(|kind| count(kind)).sum();
        if hidden > 0 {
            out.push_str(&format!(
                "  {hidden:>6}  of {} more kinds: --report FILE lists them\n",
                kinds.len() - SHOWN
            ));
        }
        if self.others > 0 {
            out.push_str(&format!(
                "  {:>6}  of kinds past the most that are told apart\n",
                self.others
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(count: usize) -> Value {
        (0..count)
            .map(|port| json!({"capability": "c", "target": format!("t:{port}"), "reason": "r", "count": port + 1}))
            .collect()
    }

    /// Goal: a screen is filled and no more, and nothing is left out of the count. Method: as many kinds as are
    /// shown, and one more.
    #[test]
    fn a_summary_is_bounded_and_counts_all() {
        let passed = |count, others| Passed {
            mode: Mode::Observe,
            listed: kinds(count),
            others,
            ..Passed::default()
        };
        let full = passed(SHOWN, 0).summary("a");
        assert_eq!(full.lines().count(), 1 + SHOWN, "{full}");
        assert!(full.starts_with("observe  a: 210 acts would"), "{full}");
        let over = passed(SHOWN + 1, 5).summary("a");
        assert_eq!(over.lines().count(), 3 + SHOWN, "{over}");
        assert!(over.contains("236 acts"), "{over}");
        assert!(over.contains("1  of 1 more kinds"), "{over}");
        assert!(passed(0, 0).summary("a").contains("nothing"));
        assert_eq!(Passed::default().summary("a"), "");
    }
}

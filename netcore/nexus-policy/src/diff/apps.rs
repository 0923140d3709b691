//! What one app would gain and lose: its admission under each of two policies, side by side.

use serde::Serialize;

use crate::admission::{Admission, Standing};
use crate::limits;

/// What changes for one app.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AppDiff {
    /// What people call it.
    pub app: String,
    /// Its digest.
    pub digest: String,
    /// Whether it would start under the first policy.
    pub started: bool,
    /// Whether it would under the second.
    pub starts: bool,
    /// What it would have and had not.
    pub gains: Vec<AppLine>,
    /// What it had and would not have.
    pub loses: Vec<AppLine>,
    /// What a person would be asked about and was not.
    pub asked: Vec<AppLine>,
}

/// One rule, folder, variable or limit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AppLine {
    /// What: `network.tcp.connect api.example.com:443`, `wasi.env LANG`, `limits memory`.
    pub what: String,
    /// How it stood.
    pub old: String,
    /// How it would stand.
    pub new: String,
    /// Whose word that would be.
    pub by: String,
}

impl AppDiff {
    /// Compares two admissions of the same app with the same manifest.
    pub fn of(old: &Admission, new: &Admission) -> Self {
        let mut diff = Self {
            app: new.app.clone(),
            digest: new.digest.to_string(),
            started: old.admitted,
            starts: new.admitted,
            gains: Vec::new(),
            loses: Vec::new(),
            asked: Vec::new(),
        };
        for (before, after) in standings(old).into_iter().zip(standings(new)) {
            diff.standing(before, after);
        }
        for key in limits::KEYS {
            let of = |admission: &Admission| (key.given)(&admission.limits).unwrap_or(u64::MAX);
            let (before, after) = (of(old), of(new));
            let show = |value: u64| match value {
                u64::MAX => "none".to_owned(),
                value => key.show(value),
            };
            let line = AppLine {
                what: format!("limits {}", key.name),
                old: show(before),
                new: show(after),
                by: "[limits]".to_owned(),
            };
            match after.cmp(&before) {
                core::cmp::Ordering::Greater => diff.gains.push(line),
                core::cmp::Ordering::Less => diff.loses.push(line),
                core::cmp::Ordering::Equal => {}
            }
        }
        diff
    }

    /// Whether the app is as it was.
    pub fn is_empty(&self) -> bool {
        self.started == self.starts
            && self.gains.is_empty()
            && self.loses.is_empty()
            && self.asked.is_empty()
    }

    fn standing(&mut self, before: Stood, after: Stood) {
        let (old, new) = (rank(before.1), rank(after.1));
        let list = match (old, new) {
            _ if new == old => return,
            (_, ASKED) if old < ASKED => &mut self.asked,
            _ if new > old => &mut self.gains,
            // What was granted and is now to be asked about is both lost and asked about.
            (_, ASKED) => &mut self.asked,
            _ => &mut self.loses,
        };
        list.push(AppLine {
            what: after.0,
            old: word(before.1).to_owned(),
            new: word(after.1).to_owned(),
            by: after.2,
        });
    }
}

/// What, how it stands, whose word that is.
type Stood = (String, Standing, String);

/// The rules, folders and variables of an admission; of the same app they are the same, in the same order.
fn standings(admission: &Admission) -> Vec<Stood> {
    let rules = admission.capabilities.iter().flat_map(|capability| {
        capability.rules.iter().map(|rule| {
            let what = format!("{} {}", capability.capability, rule.rule);
            (what, rule.standing, rule.by.clone())
        })
    });
    let wasi = [
        ("wasi.dirs", &admission.directories),
        ("wasi.env", &admission.variables),
    ];
    let wasi = wasi.into_iter().flat_map(|(name, items)| {
        items.iter().map(move |item| {
            (
                format!("{name} {}", item.item),
                item.standing,
                item.by.clone(),
            )
        })
    });
    rules.chain(wasi).collect()
}

const ASKED: u8 = 1;

const fn rank(standing: Standing) -> u8 {
    match standing {
        Standing::Granted => 3,
        Standing::Narrowed => 2,
        Standing::ConsentRequired => ASKED,
        Standing::ConsentDenied
        | Standing::OperatorDenied
        | Standing::NotGranted
        | Standing::Absent => 0,
    }
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Granted => "granted",
        Standing::Narrowed => "granted in part",
        Standing::ConsentRequired => "asked about",
        Standing::ConsentDenied
        | Standing::OperatorDenied
        | Standing::NotGranted
        | Standing::Absent => "denied",
    }
}

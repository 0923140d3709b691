//! Two policies held against each other by what they mean: what the second allows that the first
//! does not, and the reverse.
//!
//! A difference can only be about a target that some rule names which stands in one policy and not
//! in the other. So those rules are the places to look at: each is cut where any other rule has an
//! edge (ports, networks, moments of expiry), and what both policies say of a piece is compared.
//! Rules that were reordered, renamed, split or put together differ in no piece. What cannot be told
//! without a target (a name against a network) is said as "may".

mod apps;
mod limits;
mod pieces;
mod signatures;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

pub use apps::{AppDiff, AppLine};
pub use limits::LimitChange;
pub use signatures::SignatureChange;

use crate::address::{AddressClass, Topology, class_named_by};
use crate::capability::{Capability, Class};
use crate::policy::{Content, Policy, PolicyRule, Subject, Verdict};
use crate::rule::{Destination, HostPattern, Rule};
use crate::standing::{allows_all, catches_all, may_concern, wants_operator};
use crate::wall::WallTime;
use pieces::Piece;

/// Which way a difference goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The second policy lets more happen.
    Wider,
    /// It lets less happen.
    Narrower,
    /// More of some and less of other, which cannot be told apart without a target.
    Mixed,
}

impl Effect {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wider => "wider",
            Self::Narrower => "narrower",
            Self::Mixed => "wider or narrower",
        }
    }
}

/// What a policy says of a target that the app's manifest asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A written forbid.
    Forbidden,
    /// Nothing is written, and only the operator's rule, or --allow, would be enough.
    Closed,
    /// A person is asked.
    Asked,
    /// Allowed.
    Allowed,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Closed => "not allowed (only --allow lifts it)",
            Self::Asked => "asked about",
            Self::Allowed => "allowed",
        }
    }
}

/// What a policy may say of the targets of one piece: one thing, or several that only the target tells
/// apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct Outcome(BTreeSet<Level>);

impl core::fmt::Display for Outcome {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let words: Vec<_> = self.0.iter().rev().map(|level| level.as_str()).collect();
        match words.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "may be {}", many.join(" or ")),
        }
    }
}

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// For whom: one app, or every app that no rule names.
    #[serde(serialize_with = "as_text")]
    pub app: Subject,
    /// Of which capability.
    pub capability: Capability,
    /// At which targets.
    pub to: Vec<String>,
    /// What the first policy says.
    pub old: Outcome,
    /// What the second says.
    pub new: Outcome,
    /// Which way that goes.
    pub effect: Effect,
    /// Since when, if not since before now.
    #[serde(serialize_with = "as_moment")]
    pub from: Option<WallTime>,
    /// Until when, if it ends.
    #[serde(serialize_with = "as_moment")]
    pub until: Option<WallTime>,
    /// The rules of the first that speak of it, `FILE:LINE (ID)`.
    pub old_rules: BTreeSet<String>,
    /// The rules of the second.
    pub new_rules: BTreeSet<String>,
}

/// All differences of two policies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PolicyDiff {
    /// Of rules.
    pub changes: Vec<Change>,
    /// Of limits.
    pub limits: Vec<LimitChange>,
    /// Of who must have signed an app.
    pub signatures: Vec<SignatureChange>,
    /// Rules that say the same under another name: the old and the new.
    pub renamed: Vec<(String, String)>,
    /// Whether the rules of both are the same, in the same order.
    pub same_rules: bool,
}

fn as_text<S: Serializer>(app: &Subject, serializer: S) -> Result<S::Ok, S::Error> {
    match app {
        Subject::App(digest) => serializer.collect_str(digest),
        Subject::Publisher(key) => serializer.collect_str(key),
        Subject::Everyone => serializer.serialize_none(),
    }
}

fn as_moment<S: Serializer>(moment: &Option<WallTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => serializer.serialize_str(&moment.utc()),
        None => serializer.serialize_none(),
    }
}

/// One text of one rule; without a text it is about everything.
#[derive(Clone, Copy)]
struct Atom<'a> {
    rule: &'a PolicyRule,
    to: Option<&'a Rule>,
}

/// All of an atom but whose it is: what makes two the same.
type Meaning<'a> = (
    Subject,
    Capability,
    Verdict,
    Option<&'a Rule>,
    Option<WallTime>,
);

impl<'a> Atom<'a> {
    fn all(policy: &'a Policy) -> Vec<Self> {
        let atoms = policy.rules().iter().flat_map(|rule| {
            let texts: Vec<Option<&Rule>> = match &rule.to {
                None => vec![None],
                Some(to) => to.iter().map(Some).collect(),
            };
            texts.into_iter().map(move |to| Atom { rule, to })
        });
        atoms.collect()
    }

    fn meaning(&self) -> Meaning<'a> {
        let rule = self.rule;
        (
            rule.app,
            rule.capability,
            rule.verdict,
            self.to,
            rule.expires,
        )
    }

    fn holds(&self, at: WallTime) -> bool {
        self.rule.expires.is_none_or(|expires| expires > at)
    }
}

impl PolicyDiff {
    /// Compares two policies, as they would hold from `now` on.
    pub fn of(old: &Policy, new: &Policy, now: WallTime) -> Self {
        // What an address is on one node's network alone is nothing a file can say.
        let topology = Topology::default();
        let sides = [Atom::all(old), Atom::all(new)];
        let mut changes = Vec::new();
        for ((app, capability), places) in differing(&sides) {
            let concerns = |atom: &&Atom<'_>| {
                let rule = atom.rule;
                rule.capability == capability && (rule.app == Subject::Everyone || rule.app == app)
            };
            let [old_side, new_side] = sides
                .each_ref()
                .map(|side| side.iter().filter(concerns).copied().collect::<Vec<_>>());
            let context = Context {
                topology: &topology,
                capability,
                sides: [&old_side, &new_side],
                files: [old, new].map(|policy| policy.source().unwrap_or("policy.toml")),
                now,
            };
            for (place, catches) in places {
                context.compare(app, place, catches, &mut changes);
            }
        }
        Self {
            changes: together(changes),
            limits: limits::changes(old.limits(), new.limits()),
            signatures: signatures::changes(old, new),
            renamed: renamed(old, new),
            same_rules: old
                .rules()
                .iter()
                .map(Content::of)
                .eq(new.rules().iter().map(Content::of)),
        }
    }

    /// Whether nothing differs in effect.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.limits.is_empty() && self.signatures.is_empty()
    }

    /// How many differences let more happen, or may.
    pub fn wider(&self) -> usize {
        self.count(|effect| effect != Effect::Narrower)
    }

    /// How many let less happen, and nothing more.
    pub fn narrower(&self) -> usize {
        self.count(|effect| effect == Effect::Narrower)
    }

    fn count(&self, which: impl Fn(Effect) -> bool) -> usize {
        let rules = self.changes.iter().map(|change| change.effect);
        let limits = self.limits.iter().map(|change| change.effect);
        let signatures = self.signatures.iter().map(|change| change.effect);
        let all = rules.chain(limits).chain(signatures);
        all.filter(|effect| which(*effect)).count()
    }
}

/// Where to look, and whether a forbid or an ask is about it: then it is about more than an allow would be.
type Places<'a> = BTreeMap<Option<&'a Rule>, bool>;

/// The places to look at, by who and what they are about: what stands in one policy alone.
fn differing<'a>(sides: &[Vec<Atom<'a>>; 2]) -> BTreeMap<(Subject, Capability), Places<'a>> {
    let [old, new] = sides
        .each_ref()
        .map(|side| side.iter().map(Atom::meaning).collect::<BTreeSet<_>>());
    let mut places: BTreeMap<_, Places<'_>> = BTreeMap::new();
    for (app, capability, verdict, to, _) in old.symmetric_difference(&new) {
        let places = places.entry((*app, *capability)).or_default();
        *places.entry(*to).or_default() |= *verdict != Verdict::Allow;
    }
    places
}

/// One capability for one app, in both policies.
struct Context<'a> {
    topology: &'a Topology,
    capability: Capability,
    sides: [&'a [Atom<'a>]; 2],
    files: [&'a str; 2],
    now: WallTime,
}

impl<'a> Context<'a> {
    fn compare(
        &self,
        app: Subject,
        place: Option<&Rule>,
        catches: bool,
        changes: &mut Vec<Change>,
    ) {
        let caught = place.filter(|_| catches);
        let inside = caught.map(pieces::other_classes).unwrap_or_default();
        let parts = [place].into_iter().chain(inside.iter().map(Some));
        let before = changes.len();
        self.compare_parts(app, place, &parts.collect::<Vec<_>>(), changes);
        // Who connects by a caught name is caught wherever it leads, which shows only in other classes if the
        // internet is closed to it anyway.
        if changes.len() == before {
            for elsewhere in caught.into_iter().flat_map(wherever) {
                self.compare_parts(app, Some(&elsewhere), &[Some(&elsewhere)], changes);
            }
        }
    }

    /// `parts` are all of `place`.
    fn compare_parts(
        &self,
        app: Subject,
        place: Option<&Rule>,
        parts: &[Option<&Rule>],
        changes: &mut Vec<Change>,
    ) {
        let meets = |atom: &&Atom<'a>| parts.iter().any(|part| self.meets(atom, *part));
        let near: [Vec<Atom<'a>>; 2] = self
            .sides
            .map(|side| side.iter().filter(meets).copied().collect());
        let others = near.iter().flatten().filter_map(|atom| atom.to);
        let mut pieces: Vec<Piece> = Vec::new();
        for part in parts {
            pieces.extend(pieces::cut(*part, others.clone()));
        }
        // From each of these moments on, other rules hold.
        let mut moments: Vec<WallTime> = near
            .iter()
            .flatten()
            .filter_map(|atom| atom.rule.expires)
            .filter(|expires| *expires > self.now)
            .collect();
        moments.push(self.now);
        moments.sort_unstable();
        moments.dedup();
        let mut found: Vec<(Span, Seen, Vec<&Piece>)> = Vec::new();
        for piece in &pieces {
            for (span, seen) in self.over_time(piece.rule.as_ref(), &near, &moments) {
                match found.iter_mut().find(|(s, o, _)| (s, o) == (&span, &seen)) {
                    Some((_, _, same)) => same.push(piece),
                    None => found.push((span, seen, vec![piece])),
                }
            }
        }
        for (span, seen, same) in found {
            let to = if same.len() == pieces.len() {
                vec![place.map_or_else(|| "everything".to_owned(), Rule::to_string)]
            } else {
                pieces::joined(&same)
            };
            let [(old, old_rules), (new, new_rules)] = seen;
            let Some(effect) = effect(&old, &new) else {
                continue;
            };
            changes.push(Change {
                app,
                capability: self.capability,
                to,
                old,
                new,
                effect,
                from: (span.0 > self.now).then_some(span.0),
                until: span.1,
                old_rules,
                new_rules,
            });
        }
    }

    /// What both policies say of a piece from moment to moment; spans in which they say the same
    /// things on are one.
    fn over_time(
        &self,
        piece: Option<&Rule>,
        near: &[Vec<Atom<'a>>; 2],
        moments: &[WallTime],
    ) -> Vec<(Span, Seen)> {
        // The last says whether what cannot be told without a target is said by other rules on each side: then
        // the same words may be about other targets.
        let mut spans: Vec<(Span, Seen, bool)> = Vec::new();
        for (index, from) in moments.iter().enumerate() {
            let until = moments.get(index + 1).copied();
            let seen = [0, 1].map(|side| self.outcome(side, &near[side], piece, *from));
            let [old, new] = [0, 1].map(|side: usize| {
                let of = near[side].iter();
                let of = of.filter(|atom| atom.holds(*from) && self.meets(atom, piece));
                of.map(Atom::meaning).collect::<BTreeSet<_>>()
            });
            let untold = seen[0].0.0.len() > 1 && old != new;
            match spans.last_mut() {
                Some((span, before, any))
                    if before[0].0 == seen[0].0 && before[1].0 == seen[1].0 =>
                {
                    span.1 = until;
                    *any |= untold;
                }
                _ => spans.push(((*from, until), seen, untold)),
            }
        }
        spans.retain(|(_, [(old, _), (new, _)], untold)| old != new || *untold);
        spans
            .into_iter()
            .map(|(span, seen, _)| (span, seen))
            .collect()
    }

    /// What one policy says of a piece at a moment, and the rules that say it.
    fn outcome(
        &self,
        side: usize,
        near: &[Atom<'a>],
        piece: Option<&Rule>,
        at: WallTime,
    ) -> (Outcome, BTreeSet<String>) {
        let mut levels = BTreeSet::new();
        let mut rules = BTreeSet::new();
        let mut heard = |atom: &Atom<'a>, level| {
            levels.insert(level);
            let rule = atom.rule;
            rules.insert(format!("{}:{} ({})", self.files[side], rule.line, rule.id));
        };
        let of = |verdict| {
            near.iter()
                .filter(move |atom| atom.rule.verdict == verdict && atom.holds(at))
                .filter(|atom| self.meets(atom, piece))
        };
        // Nobody is asked about a metadata service that no rule of the operator names.
        let explicit = |to: Option<&Rule>| to.is_some_and(wants_operator);
        let closed = self.capability.class() == Class::System || explicit(piece);
        let whole = 'whole: {
            for atom in of(Verdict::Forbid) {
                heard(atom, Level::Forbidden);
                if self.catches(atom.to, piece) {
                    break 'whole true;
                }
            }
            // An ask that takes all of it hides every allow, but no forbid of a part.
            for atom in of(Verdict::Ask) {
                let named = !explicit(piece) || explicit(atom.to);
                heard(atom, if named { Level::Asked } else { Level::Closed });
                if self.catches(atom.to, piece) {
                    break 'whole true;
                }
            }
            for atom in of(Verdict::Allow) {
                let covers = match (atom.to, piece) {
                    (Some(allow), Some(piece)) => allows_all(allow, piece),
                    _ => false,
                };
                if !covers && other_class(atom.to, piece) {
                    continue;
                }
                heard(atom, Level::Allowed);
                if covers {
                    break 'whole true;
                }
            }
            false
        };
        if !whole {
            levels.insert(if closed { Level::Closed } else { Level::Asked });
        }
        (Outcome(levels), rules)
    }

    fn meets(&self, atom: &Atom<'a>, piece: Option<&Rule>) -> bool {
        piece.is_none_or(|piece| may_concern(self.topology, atom.rule.verdict, atom.to, piece))
    }

    fn catches(&self, rule: Option<&Rule>, piece: Option<&Rule>) -> bool {
        match piece {
            Some(piece) => catches_all(self.topology, rule, piece),
            None => rule.is_none(),
        }
    }
}

/// Of a rule for a name: the same rule for each class of addresses that it may lead to.
fn wherever(rule: &Rule) -> impl Iterator<Item = Rule> {
    let host = match rule {
        Rule::Destination(rule) => Some(&rule.host),
        Rule::Url(rule) => Some(&rule.origin.host),
        _ => None,
    };
    let named = matches!(host, Some(HostPattern::Name(_) | HostPattern::Below(_)));
    let classes = AddressClass::NAMEABLE.into_iter().filter(move |_| named);
    classes.filter_map(move |class| match rule.clone() {
        Rule::Destination(rule) => Some(Rule::Destination(Destination {
            host: HostPattern::Class(class),
            ..rule
        })),
        Rule::Url(mut rule) => {
            rule.origin.host = HostPattern::Class(class);
            Some(Rule::Url(rule))
        }
        _ => None,
    })
}

/// Whether a network that allows lies around a piece of another class than it names: it covers none of it.
fn other_class(allow: Option<&Rule>, piece: Option<&Rule>) -> bool {
    let network = |rule: Option<&Rule>| match rule {
        Some(Rule::Destination(Destination {
            host: HostPattern::Network(network),
            ..
        })) => Some(*network),
        _ => None,
    };
    match (network(allow), network(piece)) {
        (Some(allow), Some(piece)) => {
            allow.covers(piece) && class_named_by(allow) != class_named_by(piece)
        }
        _ => false,
    }
}

/// From when until when; none: for ever.
type Span = (WallTime, Option<WallTime>);
/// What each policy says, and the rules that say it.
type Seen = [(Outcome, BTreeSet<String>); 2];

/// Which way it goes from one to the other; none: nowhere.
fn effect(old: &Outcome, new: &Outcome) -> Option<Effect> {
    let most = new.0.last().cmp(&old.0.last());
    let least = new.0.first().cmp(&old.0.first());
    match (most, least) {
        _ if old == new => (old.0.len() > 1).then_some(Effect::Mixed),
        _ if most.is_ge() && least.is_ge() && (most.is_gt() || least.is_gt()) => {
            Some(Effect::Wider)
        }
        _ if most.is_le() && least.is_le() && (most.is_lt() || least.is_lt()) => {
            Some(Effect::Narrower)
        }
        _ => Some(Effect::Mixed),
    }
}

/// Differences that are the same but for their targets, as one.
fn together(changes: Vec<Change>) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    for change in changes {
        let same = |other: &&mut Change| {
            (other.app, other.capability, other.from, other.until)
                == (change.app, change.capability, change.from, change.until)
                && (&other.old, &other.new) == (&change.old, &change.new)
        };
        match all.iter_mut().find(same) {
            Some(other) => {
                other.to.extend(change.to);
                other.old_rules.extend(change.old_rules);
                other.new_rules.extend(change.new_rules);
            }
            None => all.push(change),
        }
    }
    for change in &mut all {
        change.to.sort_unstable();
        change.to.dedup();
    }
    all
}

/// Rules that say the same under another name.
fn renamed(old: &Policy, new: &Policy) -> Vec<(String, String)> {
    let names: BTreeMap<_, _> = old
        .rules()
        .iter()
        .map(|rule| (Content::of(rule), &rule.id))
        .collect();
    let pairs = new.rules().iter().filter_map(|rule| {
        let before = names.get(&Content::of(rule))?;
        (**before != rule.id).then(|| ((*before).clone(), rule.id.clone()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests;

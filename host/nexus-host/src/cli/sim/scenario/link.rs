//! `[[link]]`: how frames travel; the same words in a `[[fault]]` make it worse for a time.

use std::time::Duration;

use nexus_policy::explain::escape;
use nexus_sim::{Burst, Conditions, LinkFault, Ppm};
use toml::Spanned;

use super::{Link, file};
use crate::cli::values::{parse_duration, parse_mtu, parse_size};
use crate::cli::world::Checker;

/// What a wire carries (Ethernet).
const MTU: usize = 1_500;

/// How far past others a frame may come, unless said.
const REORDER_BY: Duration = Duration::from_millis(10);

/// Bytes that wait for a slow line, unless said.
const QUEUE: u64 = Conditions::PLAIN.queue;

impl Checker<'_> {
    pub(super) fn link(&mut self, link: &file::Link) -> Link {
        let said = link.conditions();
        let mut conditions = Conditions::PLAIN;
        if said.latency.is_some() {
            conditions.latency = Duration::ZERO;
        }
        for fault in self.conditions(&said) {
            fault.change(&mut conditions);
        }
        Link {
            name: link.name.get_ref().clone(),
            mtu: self.mtu(link.mtu.as_ref()).unwrap_or(MTU),
            conditions,
        }
    }

    pub(super) fn mtu(&mut self, mtu: Option<&Spanned<usize>>) -> Option<usize> {
        let given = mtu?;
        match parse_mtu(&given.get_ref().to_string()) {
            Ok(mtu) => Some(mtu),
            Err(wanted) => {
                self.problem(given.span(), format!("an MTU is {wanted}"));
                None
            }
        }
    }

    /// What of a link's conditions is said, one each.
    pub(super) fn conditions(&mut self, said: &file::Conditions<'_>) -> Vec<LinkFault> {
        self.lonely(
            said.reorder_by,
            said.reorder.is_some(),
            "reorder = \"...%\"",
        );
        self.lonely(said.queue, said.rate.is_some(), "rate = \"...\"");
        let queue = self.value(said.queue, parse_size).unwrap_or(QUEUE);
        let by = self.duration(said.reorder_by).unwrap_or(REORDER_BY);
        let burst = said.burst.and_then(|burst| {
            Some(Burst {
                begin: self.value(Some(&burst.begin), parse_share)?,
                end: self.value(Some(&burst.end), parse_share)?,
                loss: match &burst.loss {
                    None => Ppm::new(1_000_000),
                    loss => self.value(loss.as_ref(), parse_share)?,
                },
            })
        });
        let faults = [
            self.moment(said.latency).map(LinkFault::Latency),
            self.duration(said.jitter).map(LinkFault::Jitter),
            self.value(said.rate, parse_rate)
                .map(|rate| LinkFault::Rate { rate, queue }),
            self.value(said.loss, parse_share).map(LinkFault::Loss),
            burst.map(LinkFault::Burst),
            self.value(said.duplication, parse_share)
                .map(LinkFault::Duplication),
            self.value(said.reorder, parse_share)
                .map(|chance| LinkFault::Reorder { chance, by }),
            self.value(said.corruption, parse_share)
                .map(LinkFault::BitFlip),
            self.value(said.truncation, parse_share)
                .map(LinkFault::Truncation),
            self.value(said.replay, parse_share).map(LinkFault::Replay),
        ];
        faults.into_iter().flatten().collect()
    }

    /// A key that does nothing without another.
    fn lonely(&mut self, key: Option<&Spanned<String>>, other: bool, name: &str) {
        if let Some(key) = key
            && !other
        {
            let message = format!("without {name} this does nothing");
            self.problem(key.span(), message);
        }
    }

    pub(super) fn duration(&mut self, text: Option<&Spanned<String>>) -> Option<Duration> {
        self.value(text, parse_duration)
    }

    /// A duration that may be none at all.
    pub(super) fn moment(&mut self, text: Option<&Spanned<String>>) -> Option<Duration> {
        self.value(text, |text| match text {
            "0ns" | "0us" | "0ms" | "0s" | "0m" | "0h" => Ok(Duration::ZERO),
            _ => parse_duration(text),
        })
    }

    /// What a text says, if it is there and says it.
    pub(super) fn value<T>(
        &mut self,
        text: Option<&Spanned<String>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        match parse(text.get_ref()) {
            Ok(value) => Some(value),
            Err(wanted) => {
                let message = format!("`{}` is not {wanted}", escape(text.get_ref()));
                self.problem(text.span(), message);
                None
            }
        }
    }
}

/// `2%`, `0.05%`: parts of a million, so at most four places.
pub(super) fn parse_share(text: &str) -> Result<Ppm, String> {
    let wanted =
        || "a share from 0% to 100%, with four places at most, as in 2% or 0.05%".to_owned();
    let number = text.strip_suffix('%').ok_or_else(wanted)?;
    let (whole, places) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 3 || places.len() > 4 || !digits(whole) || !digits(places)
    {
        return Err(wanted());
    }
    let whole: u32 = whole.parse().map_err(|_| wanted())?;
    let places: u32 = format!("{places:0<4}").parse().map_err(|_| wanted())?;
    let parts = whole * 10_000 + places;
    if parts > 1_000_000 {
        return Err(wanted());
    }
    Ok(Ppm::new(parts))
}

/// A share as [`parse_share`] reads it.
pub(super) fn format_share(share: Ppm) -> String {
    let (whole, places) = (share.parts() / 10_000, share.parts() % 10_000);
    if places == 0 {
        return format!("{whole}%");
    }
    format!("{whole}.{}%", format!("{places:04}").trim_end_matches('0'))
}

/// `500kbit`, `10Mbit`, `1Gbit`: bits a second.
fn parse_rate(text: &str) -> Result<u64, String> {
    let units = [
        ("Gbit", 1_000_000_000),
        ("Mbit", 1_000_000),
        ("kbit", 1_000),
        ("bit", 1),
    ];
    units
        .iter()
        .find_map(|(name, bits)| text.strip_suffix(name).map(|number| (number, *bits)))
        .and_then(|(number, bits)| number.trim().parse::<u64>().ok()?.checked_mul(bits))
        .filter(|rate| *rate > 0)
        .ok_or_else(|| "bits a second, as in 500kbit, 10Mbit or 1Gbit".to_owned())
}

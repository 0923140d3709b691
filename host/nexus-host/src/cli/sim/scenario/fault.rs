//! `[[fault]]`: what goes wrong when, and for how long; and the same written out again.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use nexus_policy::explain::escape;
use nexus_sim::{Fault, LinkFault, MachineFault, MachineId, Planned, Span};
use nexus_types::{HostName, Instant};
use toml::Spanned;

use super::link::format_share;
use super::{Node, file};
use crate::cli::values::{format_duration, parse_duration, parse_interface_address};
use crate::cli::world::Checker;

/// Fastest and slowest a clock goes: parts of a million.
const DRIFT_MAX: i32 = nexus_sim::DRIFT_MAX;

/// The nodes, by name, once they are read.
pub(super) struct Names<'a>(pub(super) &'a [Node]);

impl Names<'_> {
    fn find(&self, name: &str) -> Option<(MachineId, usize)> {
        let name = HostName::parse(name).ok()?;
        let found = (0..).zip(self.0).find(|(_, node)| node.name == name)?;
        Some((MachineId(found.0), found.1.link))
    }
}

impl Checker<'_> {
    pub(super) fn fault(
        &mut self,
        fault: &Spanned<file::Fault>,
        names: &Names<'_>,
        until: Duration,
    ) -> Vec<Planned> {
        let (place, said) = (fault.span(), fault.get_ref());
        let problems = self.problems.len();
        let at = self.moment(said.at.as_ref()).unwrap_or_default();
        let lasts = self.duration(said.r#for.as_ref()).unwrap_or(Duration::MAX);
        if at >= until {
            let message = "this begins when the world is over";
            self.problem(
                said.at.as_ref().map_or(place.clone(), Spanned::span),
                message.into(),
            );
        }
        let links = self.link_faults(said);
        let machines = self.machine_faults(said);
        if !links.is_empty() && !machines.is_empty() {
            let message = "a fault is of a link or of a machine, not both: write two";
            self.problem(place.clone(), message.into());
        }
        let faults: Vec<_> = match &said.node {
            Some(node) => {
                let ends = said.from.is_some() || said.to.is_some() || said.between.is_some();
                if ends {
                    let message =
                        "`node` is of machine faults; `from`, `to` and `between` of a link's";
                    self.problem(node.span(), message.into());
                }
                if !links.is_empty() {
                    let message =
                        "`node` is of machine faults; a link's has `from`, `to` or `between`";
                    self.problem(node.span(), message.into());
                }
                let of = self.named(node, names).map(|(machine, _)| machine);
                let both = of.into_iter().flat_map(|of| {
                    let machines = machines.iter().cloned();
                    machines.map(move |fault| Fault::Machine(of, fault))
                });
                both.collect()
            }
            None => {
                if !machines.is_empty() {
                    self.problem(place.clone(), "which node? node = \"...\"".into());
                }
                let spans = self.spans(said, names);
                let both = spans
                    .iter()
                    .flat_map(|span| links.iter().map(|fault| Fault::Link(*span, *fault)));
                both.collect()
            }
        };
        if links.is_empty() && machines.is_empty() && self.problems.len() == problems {
            let message = "what goes wrong? As in cut = true, loss = \"20%\", or node = \"a\" with crash = true";
            self.problem(place, message.into());
        }
        let at = Instant::ZERO + at;
        let planned = faults.into_iter().map(|fault| Planned { at, lasts, fault });
        planned.collect()
    }

    fn named(&mut self, name: &Spanned<String>, names: &Names<'_>) -> Option<(MachineId, usize)> {
        let found = names.find(name.get_ref());
        if found.is_none() {
            let message = format!("there is no [[node]] called `{}`", escape(name.get_ref()));
            self.problem(name.span(), message);
        }
        found
    }

    /// The directions it is about.
    fn spans(&mut self, said: &file::Fault, names: &Names<'_>) -> Vec<Span> {
        if let Some(between) = &said.between {
            let [one, other] = between.get_ref().as_slice() else {
                self.problem(between.span(), "two nodes, as in [\"a\", \"b\"]".into());
                return Vec::new();
            };
            if said.from.is_some() || said.to.is_some() {
                let message = "`between` is both ways; `from` and `to` are one: not both";
                self.problem(between.span(), message.into());
            }
            let ends = (self.named(one, names), self.named(other, names));
            let (Some(one), Some(other)) = ends else {
                return Vec::new();
            };
            self.joined(between.span(), one, other);
            return vec![Span::between(one.0, other.0), Span::between(other.0, one.0)];
        }
        let mut end = |name: &Option<Spanned<String>>| match name {
            None => Some(None),
            Some(name) => self.named(name, names).map(Some),
        };
        let (Some(from), Some(to)) = (end(&said.from), end(&said.to)) else {
            return Vec::new();
        };
        if let (Some(from), Some(to), Some(place)) = (from, to, &said.to) {
            self.joined(place.span(), from, to);
        }
        vec![Span {
            from: from.map(|(machine, _)| machine),
            to: to.map(|(machine, _)| machine),
        }]
    }

    fn joined(&mut self, place: Range<usize>, one: (MachineId, usize), other: (MachineId, usize)) {
        if one.0 == other.0 {
            self.problem(place, "a node's word to itself is on no link".into());
        } else if one.1 != other.1 {
            self.problem(place, "no link joins these two nodes".into());
        }
    }

    fn link_faults(&mut self, said: &file::Fault) -> Vec<LinkFault> {
        let mut faults = self.conditions(&said.conditions());
        // Less than any link here carries, too: a hole in the way that says nothing (RFC 2923 section 2.1).
        faults.extend(said.mtu.as_ref().map(|mtu| LinkFault::Mtu(*mtu.get_ref())));
        faults.extend(said.cut.then_some(LinkFault::Cut));
        faults.extend(said.clog.then_some(LinkFault::Clog));
        faults
    }

    fn machine_faults(&mut self, said: &file::Fault) -> Vec<MachineFault> {
        let mut faults = Vec::new();
        faults.extend(said.crash.then_some(MachineFault::Crash));
        faults.extend(said.pause.then_some(MachineFault::Pause));
        faults.extend(said.nic_down.then_some(MachineFault::NicDown));
        let step = self.value(said.clock_step.as_ref(), parse_step);
        faults.extend(step.map(MachineFault::ClockStep));
        if let Some(drift) = &said.clock_drift {
            if drift.get_ref().unsigned_abs() > DRIFT_MAX.unsigned_abs() {
                let message = format!("parts of a million, from -{DRIFT_MAX} to {DRIFT_MAX}");
                self.problem(drift.span(), message);
            }
            faults.push(MachineFault::ClockDrift(*drift.get_ref()));
        }
        if !said.addresses.is_empty() {
            let addresses = self.parsed(&said.addresses, parse_interface_address);
            for (index, text) in said.addresses.iter().enumerate() {
                let same = |other: &Spanned<String>| other.get_ref() == text.get_ref();
                if said.addresses[..index].iter().any(same) {
                    self.problem(text.span(), "this address is there twice".into());
                }
            }
            faults.push(MachineFault::Addresses(addresses));
        }
        faults
    }
}

/// `2s`, `-500ms`: nanoseconds.
fn parse_step(text: &str) -> Result<i64, String> {
    let wanted = "a duration, forward or back, as in 2s or -500ms";
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let length = parse_duration(rest).map_err(|_| wanted.to_owned())?;
    let nanos = i64::try_from(length.as_nanos()).map_err(|_| wanted.to_owned())?;
    Ok(sign * nanos)
}

/// A plan in the words of the file.
pub(in crate::cli::sim) fn write(faults: &[Planned], nodes: &[Node]) -> String {
    let name = |machine: MachineId| nodes[machine.0 as usize].name.as_str();
    let mut text = String::new();
    for planned in faults {
        text.push_str("[[fault]]\n");
        // Writing to a string does not fail.
        if planned.at > Instant::ZERO {
            let at = format_duration(planned.at - Instant::ZERO);
            let _ = writeln!(text, "at = \"{at}\"");
        }
        if planned.lasts < Duration::MAX {
            let _ = writeln!(text, "for = \"{}\"", format_duration(planned.lasts));
        }
        match &planned.fault {
            Fault::Link(span, fault) => {
                for (key, machine) in [("from", span.from), ("to", span.to)] {
                    if let Some(machine) = machine {
                        let _ = writeln!(text, "{key} = \"{}\"", name(machine));
                    }
                }
                text.push_str(&of_link(fault));
            }
            Fault::Machine(machine, fault) => {
                let _ = writeln!(text, "node = \"{}\"", name(*machine));
                text.push_str(&of_machine(fault));
            }
        }
        text.push('\n');
    }
    text
}

fn of_link(fault: &LinkFault) -> String {
    let share = |key: &str, share| format!("{key} = \"{}\"\n", format_share(share));
    let time = |key: &str, time| format!("{key} = \"{}\"\n", format_duration(time));
    match *fault {
        LinkFault::Latency(by) => time("latency", by),
        LinkFault::Jitter(by) => time("jitter", by),
        LinkFault::Rate { rate, queue } => format!("rate = \"{rate}bit\"\nqueue = \"{queue}B\"\n"),
        LinkFault::Loss(chance) => share("loss", chance),
        LinkFault::Burst(burst) => format!(
            "burst = {{ begin = \"{}\", end = \"{}\", loss = \"{}\" }}\n",
            format_share(burst.begin),
            format_share(burst.end),
            format_share(burst.loss)
        ),
        LinkFault::Duplication(chance) => share("duplication", chance),
        LinkFault::Reorder { chance, by } => share("reorder", chance) + &time("reorder-by", by),
        LinkFault::BitFlip(chance) => share("corruption", chance),
        LinkFault::Truncation(chance) => share("truncation", chance),
        LinkFault::Mtu(mtu) => format!("mtu = {mtu}\n"),
        LinkFault::Replay(chance) => share("replay", chance),
        LinkFault::Cut => "cut = true\n".into(),
        LinkFault::Clog => "clog = true\n".into(),
    }
}

fn of_machine(fault: &MachineFault) -> String {
    match fault {
        MachineFault::Pause => "pause = true\n".into(),
        MachineFault::Crash => "crash = true\n".into(),
        MachineFault::NicDown => "nic-down = true\n".into(),
        MachineFault::ClockStep(nanos) => {
            let sign = if *nanos < 0 { "-" } else { "" };
            let length = format_duration(Duration::from_nanos(nanos.unsigned_abs()));
            format!("clock-step = \"{sign}{length}\"\n")
        }
        MachineFault::ClockDrift(parts) => format!("clock-drift = {parts}\n"),
        MachineFault::Addresses(addresses) => {
            let texts: Vec<_> = addresses
                .iter()
                .map(|one| format!("\"{}/{}\"", one.address(), one.prefix()))
                .collect();
            format!("addresses = [{}]\n", texts.join(", "))
        }
    }
}

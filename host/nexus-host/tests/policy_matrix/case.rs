//! One thing that is tried, what must come of it, and whether it did.

use std::net::IpAddr;

use nexus_policy::Recorded;

use crate::world::{self, DIGEST, Happens, Program, SECRET, Seen, Setup, digest};

/// The capabilities that are built, in the order of the lists below.
pub(crate) const CAPABILITIES: [&str; 5] = [
    "network.tcp.connect",
    "network.tcp.listen",
    "network.udp.send",
    "network.udp.bind",
    "network.http.request",
];

/// What every app of the matrix may do as well, in order to do it after a refusal.
const STILL: &str = "127.0.0.1:7000";

type Lists = [Vec<String>; 5];

/// See the module.
#[derive(Clone)]
pub(crate) struct Case {
    program: Program,
    /// What the manifest asks for, and what the operator allows.
    asked: Lists,
    allowed: Lists,
    /// What else the operator has written.
    written: String,
    names: Vec<(&'static str, Vec<IpAddr>)>,
    sockets: Option<u32>,
    acts: Vec<String>,
    happens: Vec<(u64, Happens)>,
    /// Of the last act.
    code: &'static str,
    reason: &'static str,
    /// What is allowed on the way to where the last act fails.
    allows: usize,
    /// Records of refusals.
    refusals: usize,
    /// Refusals that a terminal is told of.
    told: usize,
    /// To which no frame goes from this millisecond on.
    quiet: Vec<(IpAddr, Option<u16>, u64)>,
    peer_refused: usize,
    still: bool,
    asks_less: usize,
}

fn lists(of: [&[&str]; 5]) -> Lists {
    of.map(|list| list.iter().map(ToString::to_string).collect())
}

impl Case {
    /// Everybody may reach `FAR:443` and the two names there, and have port 8080; and ask for what is below `/v1/`
    /// there, with two methods.
    pub(crate) fn new(acts: &[&str]) -> Self {
        let far: &[&str] = &[
            "93.184.216.34:443",
            "api.example.com:443",
            "xn--bcher-kva.example.com:443",
        ];
        let own: &[&str] = &["any:8080", "loopback:7000"];
        let web: &[&str] = &[
            "GET,POST http://93.184.216.34/v1/*",
            "GET,POST http://api.example.com/v1/*",
            "GET,POST http://xn--bcher-kva.example.com/v1/*",
        ];
        let both = lists([far, own, far, own, web]);
        Self {
            program: Program::Ours,
            asked: both.clone(),
            allowed: both,
            written: String::new(),
            names: vec![("api.example.com", vec![world::FAR.parse().expect("one")])],
            sockets: None,
            acts: acts.iter().map(ToString::to_string).collect(),
            happens: Vec::new(),
            code: "ok",
            reason: "",
            allows: 0,
            refusals: 0,
            told: 0,
            quiet: Vec::new(),
            peer_refused: 0,
            still: true,
            asks_less: 0,
        }
    }

    /// Done by a program that knows nothing of us.
    pub(crate) fn wasi(acts: &[&str]) -> Self {
        Self {
            program: Program::Wasi,
            ..Self::new(acts)
        }
    }

    /// What the program says when the last act fails so.
    fn word(&self) -> &'static str {
        let asks = self.acts.last().is_some_and(|act| act.starts_with("http"));
        match (self.program, self.code, asks) {
            (Program::Wasi, "denied", true) => "ErrorCode::HttpRequestDenied",
            (Program::Wasi, "denied", false) => "access-denied",
            (_, code, _) => code,
        }
    }

    /// The last act fails with this.
    pub(crate) fn fails(mut self, code: &'static str, reason: &'static str) -> Self {
        (self.code, self.reason) = (code, reason);
        self.refusals = usize::from(code == "denied");
        self.told = self.refusals;
        self
    }

    pub(crate) fn denied(self, reason: &'static str) -> Self {
        self.fails("denied", reason)
    }

    /// The last act succeeds and says this.
    pub(crate) fn says(mut self, text: &'static str) -> Self {
        self.reason = text;
        self
    }

    pub(crate) fn grant(mut self, capability: usize, to: &[&str]) -> Self {
        let to: Vec<_> = to.iter().map(ToString::to_string).collect();
        self.asked[capability].clone_from(&to);
        self.allowed[capability] = to;
        self
    }

    /// Asked for, and nobody has said yes.
    pub(crate) fn ungranted(mut self, capability: usize) -> Self {
        self.allowed[capability].clear();
        self
    }

    /// Another rule of the operator's.
    pub(crate) fn rule(mut self, verdict: &str, capability: usize, rest: &str) -> Self {
        self.written.push_str(&rule(verdict, capability, rest));
        self
    }

    pub(crate) fn forbid(self, capability: usize, to: &str) -> Self {
        self.rule("forbid", capability, &format!("to = [\"{to}\"]"))
    }

    pub(crate) fn another_app(self, capability: usize) -> Self {
        let asked = self.asked[capability].join("\", \"");
        let rest = format!(
            "app = {{ digest = \"{}\" }}\nto = [\"{asked}\"]",
            digest(DIGEST + 1)
        );
        self.ungranted(capability).rule("allow", capability, &rest)
    }

    pub(crate) fn name(mut self, name: &'static str, to: &[IpAddr]) -> Self {
        self.names.retain(|(known, _)| *known != name);
        self.names.push((name, to.to_vec()));
        self
    }

    /// Nobody answers for the name.
    pub(crate) fn silent(mut self) -> Self {
        self.names.clear();
        self
    }

    pub(crate) fn at(mut self, millis: u64, what: Happens) -> Self {
        self.happens.push((millis, what));
        self
    }

    /// The operator forbids this, beside what is allowed, from this millisecond on.
    pub(crate) fn forbid_at(mut self, millis: u64, capability: usize, to: Option<&str>) -> Self {
        let rest = to.map(|to| format!("to = [\"{to}\"]")).unwrap_or_default();
        let text = self.policy() + &rule("forbid", capability, &rest);
        self.happens.push((millis, Happens::Policy(text)));
        self
    }

    pub(crate) fn sockets(mut self, most: u32) -> Self {
        self.sockets = Some(most);
        self.still = false;
        self
    }

    pub(crate) fn allows(mut self, count: usize) -> Self {
        self.allows = count;
        self
    }

    pub(crate) fn refusals(mut self, count: usize) -> Self {
        (self.refusals, self.told) = (count, count);
        self
    }

    /// A datagram that is not heard any more is recorded; nobody is told.
    pub(crate) fn untold(mut self) -> Self {
        self.told = 0;
        self
    }

    pub(crate) fn quiet(self, to: &str, port: Option<u16>) -> Self {
        self.quiet_from(to, port, 0)
    }

    pub(crate) fn quiet_from(mut self, to: &str, port: Option<u16>, millis: u64) -> Self {
        self.quiet
            .push((to.parse().expect("an address"), port, millis));
        self
    }

    pub(crate) fn peer_is_refused(mut self) -> Self {
        self.peer_refused = 1;
        self
    }

    /// The last act is one that was done before, and is not asked about anew.
    pub(crate) fn again(mut self) -> Self {
        self.asks_less = 1;
        self
    }

    pub(crate) fn alone(mut self) -> Self {
        self.still = false;
        self
    }

    fn policy(&self) -> String {
        let allowed = CAPABILITIES.iter().enumerate();
        let allowed = allowed.filter(|(at, _)| !self.allowed[*at].is_empty());
        let allowed: String = allowed
            .map(|(at, _)| {
                let to = self.allowed[at].join("\", \"");
                rule("allow", at, &format!("to = [\"{to}\"]"))
            })
            .collect();
        allowed + &self.written
    }

    fn manifest(&self) -> String {
        let mut text = "[app]\nid = \"org.nexus.matrix\"\nclass = \"system\"\n".to_owned();
        for (capability, asked) in CAPABILITIES.iter().zip(&self.asked) {
            let asked = asked.join("\", \"");
            text.push_str(&format!(
                "[capabilities.\"{capability}\"]\noptional = true\nallow = [\"{asked}\"]\n"
            ));
        }
        text
    }

    /// An act that nothing of what is refused is about.
    fn still(&self) -> String {
        let udp = self.acts.last().is_some_and(|act| act.starts_with("udp"));
        let verb = if udp { "tcp-listen" } else { "udp-bind" };
        format!("{verb} {STILL}")
    }

    /// Tries it. What was not as it must be.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut acts = self.acts.clone();
        if self.still {
            acts.push(self.still());
        }
        let seen = world::run(&Setup {
            program: self.program,
            manifest: self.manifest(),
            policy: self.policy(),
            names: self.names.clone(),
            sockets: self.sockets,
            acts: acts.clone(),
            happens: self.happens.clone(),
        });
        let mut problems = self.problems_of(&seen, &acts);
        if !problems.is_empty() {
            problems.push(format!(
                "acts {acts:?}\n  said {:?}\n  records {:?}\n  frames {:?}",
                seen.said, seen.records, seen.frames
            ));
        }
        problems
    }

    fn problems_of(&self, seen: &Seen, acts: &[String]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut wrong = |ok: bool, text: String| {
            if !ok {
                problems.push(text);
            }
        };
        wrong(seen.alive, "the guest does not run on".to_owned());
        wrong(
            seen.said.len() == acts.len(),
            format!("{} of {} acts were answered", seen.said.len(), acts.len()),
        );
        let judged = self.acts.len() - 1;
        for (at, said) in seen.said.iter().enumerate() {
            if at == judged {
                // A program of WASI's is told a word and no reason: that is in the record.
                let is_told = self.program == Program::Ours || self.code == "ok";
                let reason = !is_told || said.reason.starts_with(self.reason);
                wrong(
                    said.code == self.word() && reason,
                    format!("{said:?}, not {} {}", self.word(), self.reason),
                );
            } else {
                wrong(said.code == "ok", format!("on the way: {said:?}"));
            }
        }
        let counted = |recorded: &[Recorded]| {
            let records = seen.records.iter();
            records
                .filter(|record| recorded.contains(&record.verdict))
                .count()
        };
        let refusals = counted(&[Recorded::Deny, Recorded::Revoke]);
        wrong(
            refusals == self.refusals,
            format!("{refusals} records of refusals, not {}", self.refusals),
        );
        wrong(
            seen.denials.len() == self.told,
            format!("{} refusals told, not {}", seen.denials.len(), self.told),
        );
        let before = if self.code == "ok" {
            judged + 1
        } else {
            judged
        };
        let allows: usize = self.acts[..before].iter().map(|act| asks(act)).sum();
        let allows = allows + self.allows + usize::from(self.still) - self.asks_less;
        let found = counted(&[Recorded::Allow]);
        wrong(
            found == allows,
            format!("{found} records of what was allowed, not {allows}"),
        );
        let mut refused = seen.records.iter();
        let said = refused.all(|record| {
            !matches!(record.verdict, Recorded::Deny)
                || self.code != "denied"
                || record.reason == self.reason
        });
        wrong(said, "a record gives another reason".to_owned());
        for (to, port, from) in &self.quiet {
            let to_it = seen.frames.iter().find(|frame| {
                frame.to == *to
                    && port.is_none_or(|port| port == frame.port)
                    && frame.at >= *from
                    && !frame.resets
            });
            wrong(to_it.is_none(), format!("a frame went there: {to_it:?}"));
        }
        wrong(
            seen.peer_refused == self.peer_refused,
            format!(
                "{} connections to the guest were refused",
                seen.peer_refused
            ),
        );
        wrong(
            !seen.sinks.contains(SECRET),
            "what the guest sends stands where others read".to_owned(),
        );
        problems
    }
}

fn rule(verdict: &str, capability: usize, rest: &str) -> String {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!(
        "[[rule]]\nid = \"r{number}\"\ncapability = \"{}\"\nverdict = \"{verdict}\"\n{rest}\n",
        CAPABILITIES[capability]
    )
}

/// How often an act that succeeds asks the gate.
fn asks(act: &str) -> usize {
    let words: Vec<_> = act.split(' ').collect();
    match words[..] {
        ["tcp-connect" | "udp-connect", to, _] => 1 + usize::from(to.starts_with('=')),
        // The request, the name, the address.
        ["http" | "http-open", _, url, ..] => {
            let host = url.trim_start_matches("http://");
            2 + usize::from(!host.starts_with(|first: char| first.is_ascii_digit()))
        }
        // A port of the host's choosing is had without asking.
        ["tcp-bind", at] => usize::from(!at.ends_with(":0")),
        [
            "tcp-resolve" | "udp-resolve" | "resolve" | "tcp-connect" | "tcp-listen" | "udp-bind"
            | "udp-open" | "udp-send",
            _,
        ]
        | ["accept"] => 1,
        _ => 0,
    }
}

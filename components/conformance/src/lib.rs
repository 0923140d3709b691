//! What both guests have in common: what they are asked, and how they say what they saw.
//!
//! `list`, or `FAR_IP TCP_PORT UDP_PORT NAME all|FUNCTION`: where bytes and datagrams come back from, a name that
//! has that address, and what to probe. One line a probe, `ok FUNCTION` or `FAIL FUNCTION: why`.
//!
//! A function is called `interface/function` or `interface/resource.function`. A probe that must end in a trap
//! is called `FUNCTION!what`, and is run only when it is named.

mod option;

pub use option::Kind;

use std::fmt::Debug;
use std::net::IpAddr;

/// The far end.
#[derive(Clone, Debug)]
pub struct Far {
    /// Its address.
    pub ip: IpAddr,
    /// Bytes come back from this port.
    pub tcp: u16,
    /// Datagrams come back from this one.
    pub udp: u16,
    /// Its name.
    pub name: String,
}

/// What the arguments say.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The names of all probes.
    List,
    /// A run: of the probe with this name, or of all that are not to trap.
    Run(Far, Option<String>),
}

impl Asked {
    /// Reads the arguments; the error says how they should be.
    pub fn read() -> Result<Self, String> {
        let usage = || "list, or FAR_IP TCP_PORT UDP_PORT NAME all|FUNCTION".to_owned();
        let words: Vec<String> = std::env::args().skip(1).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["list"] => Ok(Self::List),
            [ip, tcp, udp, name, what] => {
                let far = Far {
                    ip: ip.parse().map_err(|_| usage())?,
                    tcp: tcp.parse().map_err(|_| usage())?,
                    udp: udp.parse().map_err(|_| usage())?,
                    name: name.to_owned(),
                };
                Ok(Self::Run(far, (what != "all").then(|| what.to_owned())))
            }
            _ => Err(usage()),
        }
    }
}

/// What came of a probe, or of a part of it: why it is not as the WIT says.
pub type Checked<T = ()> = Result<T, String>;

/// Whether this probe is to be run.
pub fn wanted(name: &str, what: Option<&str>) -> bool {
    match what {
        None => !name.contains('!'),
        Some(what) => what == name,
    }
}

/// Says what came of a probe. Whether it was as it must be.
pub fn told(name: &str, checked: Checked) -> bool {
    match &checked {
        Ok(()) => println!("ok {name}"),
        Err(why) => println!("FAIL {name}: {why}"),
    }
    checked.is_ok()
}

/// `sentence` is what the WIT says, or what follows from it.
pub fn check(holds: bool, sentence: &str) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(format!("not so: {sentence}")),
    }
}

/// It was to be this.
pub fn same<T: PartialEq + Debug>(got: T, want: T, what: &str) -> Checked {
    match got == want {
        true => Ok(()),
        false => Err(format!("{what}: {got:?}, not {want:?}")),
    }
}

/// It was to succeed.
pub fn ok<T, E: Debug>(got: Result<T, E>, what: &str) -> Checked<T> {
    got.map_err(|error| format!("{what}: {error:?}"))
}

/// It was to fail, with this.
pub fn err<T, E: Debug>(got: Result<T, E>, want: E, when: &str) -> Checked {
    match got {
        Ok(_) => Err(format!("{when}: ok, not {want:?}")),
        // The codes of 0.3 carry a text in one case and have no equality.
        Err(got) if format!("{got:?}") == format!("{want:?}") => Ok(()),
        Err(got) => Err(format!("{when}: {got:?}, not {want:?}")),
    }
}

/// Bytes no two parts of which are the same, so that lost, doubled and moved ones show.
pub fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// The same bytes came, said in few words.
pub fn same_bytes(got: &[u8], want: &[u8], what: &str) -> Checked {
    if got == want {
        return Ok(());
    }
    let at = got.iter().zip(want).take_while(|(a, b)| a == b).count();
    Err(format!(
        "{what}: {} bytes came of {}, the same up to {at}",
        got.len(),
        want.len()
    ))
}

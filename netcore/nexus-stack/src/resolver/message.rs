//! DNS messages: the question we send, and what an answer says to it.
//!
//! The codec is hickory-proto's; what is believed is decided here. Only records of the answer
//! section that belong to the chain from our name on count; all others, in whichever section,
//! are never looked at (RFC 5452 section 6), but for the SOA that says how long "no" holds.

use core::cmp::Ordering;

use hickory_proto::op::{Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use nexus_types::{Duration, HostName, IpAddr, limits};

/// One of the two questions of a lookup.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    const fn record_type(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

/// What an authentic answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Reply {
    /// The name has these addresses, at least one.
    Found {
        addresses: Vec<IpAddr>,
        ttl: Duration,
    },
    /// The name does not exist, or has no address of this family.
    Nothing { ttl: Duration },
    /// The answer did not fit a datagram (RFC 2181 section 9: what did is not to be used).
    Truncated,
    /// This server cannot or will not say.
    Failed,
    /// The chain of names has no end, or is longer than [`limits::DNS_CNAMES`].
    Endless,
}

/// The bytes are not an answer to the question: somebody else's, a forgery, or noise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stray;

/// The name as the codec has it. Every [`HostName`] is one.
pub(super) fn wire_name(name: &HostName) -> Option<Name> {
    let mut name = Name::from_ascii(name.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The question's bytes. No EDNS: an answer larger than 512 bytes comes over TCP, never in fragments,
/// the second of which an off-path attacker could write ("Fragmentation Considered Poisonous", 2012).
pub(super) fn question(id: u16, name: &Name, family: Family) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), family.record_type()));
    message.to_vec().ok()
}

/// Reads an answer to the question `id`, `name`, `family`.
pub(super) fn read(bytes: &[u8], id: u16, name: &Name, family: Family) -> Result<Reply, Stray> {
    let header = check_question(bytes, id, name, family)?;
    if header.metadata.truncation {
        return Ok(Reply::Truncated);
    }
    let message = Message::from_vec(bytes).map_err(|_| Stray)?;
    Ok(match message.metadata.response_code {
        ResponseCode::NoError => chase(&message, name, family),
        ResponseCode::NXDomain => Reply::Nothing {
            ttl: negative_ttl(&message),
        },
        _ => Reply::Failed,
    })
}

/// RFC 5452 section 9.1, as far as it is in the message: id and question are ours, and it is an answer.
fn check_question(bytes: &[u8], id: u16, name: &Name, family: Family) -> Result<Header, Stray> {
    if bytes.len() > limits::DNS_MESSAGE_BYTES as usize {
        return Err(Stray);
    }
    let mut decoder = BinDecoder::new(bytes);
    let header = Header::read(&mut decoder).map_err(|_| Stray)?;
    let is_answer = header.metadata.id == id
        && header.metadata.message_type == MessageType::Response
        && header.metadata.op_code == OpCode::Query
        && header.counts.queries == 1;
    if !is_answer {
        return Err(Stray);
    }
    let question = Query::read(&mut decoder).map_err(|_| Stray)?;
    let is_ours = question.name == *name
        && question.query_type == family.record_type()
        && question.query_class == DNSClass::IN;
    if is_ours { Ok(header) } else { Err(Stray) }
}

/// Follows the chain of CNAMEs from `name` to addresses.
fn chase(message: &Message, name: &Name, family: Family) -> Reply {
    let mut owner = name;
    let mut chain: Vec<&Name> = Vec::new();
    let mut ttl = Duration::MAX;
    loop {
        let mut addresses = Vec::new();
        let mut alias = None;
        for record in records_of(&message.answers, owner) {
            match (&record.data, family) {
                (RData::A(a), Family::V4) => push(&mut addresses, a.0.into()),
                (RData::AAAA(aaaa), Family::V6) => push(&mut addresses, aaaa.0.into()),
                (RData::CNAME(cname), _) if alias.is_none() => alias = Some(&cname.0),
                _ => continue,
            }
            ttl = ttl.min(seconds(record.ttl));
        }
        if !addresses.is_empty() {
            return Reply::Found {
                addresses,
                ttl: clamp(ttl, limits::DNS_TTL_SECS_MAX),
            };
        }
        let Some(target) = alias else {
            break;
        };
        chain.push(owner);
        if chain.len() > limits::DNS_CNAMES as usize || chain.contains(&target) {
            return Reply::Endless;
        }
        owner = target;
    }
    if is_lame(message) {
        return Reply::Failed;
    }
    Reply::Nothing {
        ttl: negative_ttl(message),
    }
}

/// A server that neither knows nor asks others points elsewhere; a stub goes to the next server.
fn is_lame(message: &Message) -> bool {
    message.answers.is_empty()
        && !message.metadata.recursion_available
        && !message.metadata.authoritative
}

fn records_of<'a>(records: &'a [Record], owner: &Name) -> impl Iterator<Item = &'a Record> {
    records
        .iter()
        .filter(move |record| record.dns_class == DNSClass::IN && record.name == *owner)
}

fn push(addresses: &mut Vec<IpAddr>, address: IpAddr) {
    if addresses.len() < limits::DNS_ANSWERS as usize && !addresses.contains(&address) {
        addresses.push(address);
    }
}

/// RFC 2308 section 5: how long "no" holds. Without a SOA, as short as may be. Which zone it is of
/// does not matter: the whole answer comes from the server we asked, and little is to gain.
fn negative_ttl(message: &Message) -> Duration {
    let ttl = message
        .authorities
        .iter()
        .filter(|record| record.dns_class == DNSClass::IN)
        .filter_map(|record| match &record.data {
            RData::SOA(soa) => Some(seconds(record.ttl).min(seconds(soa.minimum))),
            _ => None,
        })
        .min();
    clamp(ttl.unwrap_or(Duration::ZERO), limits::DNS_NEGATIVE_SECS)
}

/// RFC 2181 section 8: the highest bit set means 0.
fn seconds(ttl: u32) -> Duration {
    match ttl.cmp(&0x8000_0000) {
        Ordering::Less => Duration::from_secs(u64::from(ttl)),
        _ => Duration::ZERO,
    }
}

fn clamp(ttl: Duration, most: u64) -> Duration {
    ttl.clamp(
        Duration::from_secs(limits::DNS_TTL_SECS_MIN),
        Duration::from_secs(most),
    )
}

//! A question and what is answered to it. The codec is hickory-proto's, as in the resolver; what is said is ours.

use hickory_proto::op::{Edns, Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use nexus_types::{Duration, HostName, IpAddr};

use super::{DnsData, DnsEntry, DnsFault, DnsZone};
use crate::limits;

/// How long "no" holds, in seconds.
const NEGATIVE_TTL: u32 = 30;

/// Bytes of an answer in a datagram: without EDNS (RFC 1035 section 4.2.1), and the most with it, which fits every
/// link's packets.
const DATAGRAM: (u16, u16) = (512, 1_232);

/// What came over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Via {
    Datagram,
    Stream,
}

/// What becomes of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answered {
    /// Messages, in their order; none: it is not answered.
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) delay: Duration,
    /// What was asked and what is said, for the trace.
    pub(super) text: String,
    /// Whether it was no question as RFC 1035 has it.
    pub(super) malformed: bool,
}

impl Answered {
    /// Nothing is known of who asked what.
    fn nothing(text: &str, malformed: bool) -> Self {
        Self {
            messages: Vec::new(),
            delay: Duration::ZERO,
            text: text.to_owned(),
            malformed,
        }
    }

    fn only(message: &Message, text: String, malformed: bool) -> Self {
        Self {
            messages: message.to_vec().into_iter().collect(),
            delay: Duration::ZERO,
            text,
            malformed,
        }
    }
}

/// Answers a message that came to the server.
pub(super) fn answer(zone: &DnsZone, bytes: &[u8], via: Via) -> Answered {
    let Ok(header) = Header::read(&mut BinDecoder::new(bytes)) else {
        return Answered::nothing("no DNS message", true);
    };
    let asked = header.metadata;
    if asked.message_type != MessageType::Query {
        // Were it answered, two servers could keep each other busy for ever.
        return Answered::nothing("an answer that nobody asked for", true);
    }
    let mut message = Message::response(asked.id, asked.op_code);
    message.metadata.recursion_desired = asked.recursion_desired;
    message.metadata.recursion_available = true;
    let refuse = |mut message: Message, code, text: &str, malformed| {
        message.metadata.response_code = code;
        Answered::only(&message, format!("{text}: {code}"), malformed)
    };
    if asked.op_code != OpCode::Query {
        return refuse(message, ResponseCode::NotImp, "no question", false);
    }
    // The count before all of it is read: it says how much is made room for.
    let question = match header.counts.queries {
        1 => Message::from_vec(bytes).ok(),
        _ => None,
    };
    let Some((question, edns)) = question.and_then(|mut message| {
        let question = message.queries.pop()?;
        Some((question, message.edns))
    }) else {
        return refuse(message, ResponseCode::FormErr, "not one question", true);
    };
    message.add_query(question.clone());
    let most = match (via, &edns) {
        (Via::Stream, _) => u16::MAX,
        (Via::Datagram, None) => DATAGRAM.0,
        (Via::Datagram, Some(edns)) => edns.max_payload().clamp(DATAGRAM.0, DATAGRAM.1),
    };
    if edns.is_some() {
        // RFC 6891 section 6.1.1: who says it hears it.
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM.1);
        message.set_edns(edns);
    }
    let text = format!("{} {}", question.query_type, question.name);
    if question.query_class != DNSClass::IN {
        return refuse(message, ResponseCode::Refused, &text, false);
    }
    message.metadata.authoritative = true;
    say(zone, message, &question, &text, via, usize::from(most))
}

/// The answer to a question that is one.
fn say(
    zone: &DnsZone,
    mut message: Message,
    question: &Query,
    text: &str,
    via: Via,
    most: usize,
) -> Answered {
    // What is no host name is in no zone.
    let host = HostName::parse(&question.name.to_ascii()).ok();
    let entry = host.as_ref().and_then(|host| zone.names.get(host));
    let fault = entry.and_then(|entry| entry.fault);
    let delay = entry.map_or(Duration::ZERO, |entry| entry.delay);
    if fault == Some(DnsFault::Silent) {
        let mut nothing = Answered::nothing(text, false);
        nothing.text.push_str(": no answer");
        return nothing;
    }
    if fault == Some(DnsFault::ServFail) {
        message.metadata.response_code = ResponseCode::ServFail;
    } else {
        fill(zone, &mut message, question, host);
    }
    let (code, count) = (message.metadata.response_code, message.answers.len());
    let mut text = format!("{text}: {code}, {count} records");
    let is_datagram = via == Via::Datagram;
    let mut messages = Vec::new();
    if fault == Some(DnsFault::Spoof) && is_datagram {
        messages.extend(forged(&message, question).to_vec());
        text.push_str(", after a forged answer");
    }
    let mut bytes = message.to_vec();
    let is_long = bytes.as_ref().is_ok_and(|bytes| bytes.len() > most);
    if is_long || (fault == Some(DnsFault::Truncate) && is_datagram) {
        // RFC 2181 section 9: what did fit is not to be used; so there is none.
        message.answers.clear();
        message.authorities.clear();
        message.metadata.truncation = true;
        bytes = message.to_vec();
        text.push_str(", truncated");
    }
    messages.extend(bytes);
    Answered {
        messages,
        delay,
        text,
        malformed: false,
    }
}

/// Puts in what the zone has, along the chain of aliases.
fn fill(zone: &DnsZone, message: &mut Message, question: &Query, host: Option<HostName>) {
    let asked = question.query_type;
    let is_asked = |record| asked == record || asked == RecordType::ANY;
    let mut owner = Some(question.name.clone());
    let mut at = host;
    for _ in 0..limits::DNS_CHAIN {
        let entry = at.as_ref().and_then(|host| zone.names.get(host));
        let (Some(entry), Some(name)) = (entry, owner.take()) else {
            // RFC 6604 section 3: the code is of the last name.
            message.metadata.response_code = ResponseCode::NXDomain;
            message.add_authority(start_of_authority());
            return;
        };
        let DnsEntry { data, ttl, .. } = entry;
        match data {
            DnsData::Addresses(addresses) => {
                let before = message.answers.len();
                let records = addresses.iter().map(|address| match address {
                    IpAddr::V4(v4) => (RecordType::A, RData::A(A(*v4))),
                    IpAddr::V6(v6) => (RecordType::AAAA, RData::AAAA(AAAA(*v6))),
                });
                let records = records.filter(|(record, _)| is_asked(*record));
                let records = records.map(|(_, data)| Record::from_rdata(name.clone(), *ttl, data));
                message.add_answers(records);
                if message.answers.len() == before {
                    message.add_authority(start_of_authority());
                }
                return;
            }
            DnsData::Alias(target) => {
                let Some(alias) = wire_name(target) else {
                    return;
                };
                let data = RData::CNAME(CNAME(alias.clone()));
                message.add_answer(Record::from_rdata(name, *ttl, data));
                if is_asked(RecordType::CNAME) {
                    return;
                }
                (owner, at) = (Some(alias), Some(target.clone()));
            }
        }
    }
}

/// RFC 2308 section 3: how long "no" holds.
fn start_of_authority() -> Record {
    let soa = SOA::new(
        Name::root(),
        Name::root(),
        1,
        3_600,
        600,
        86_400,
        NEGATIVE_TTL,
    );
    Record::from_rdata(Name::root(), NEGATIVE_TTL, RData::SOA(soa))
}

/// What somebody sends who has not seen the question's id.
fn forged(message: &Message, question: &Query) -> Message {
    let mut forged = message.clone();
    forged.metadata.id = message.metadata.id.wrapping_add(1);
    forged.metadata.response_code = ResponseCode::NoError;
    forged.answers.clear();
    forged.authorities.clear();
    let data = match question.query_type {
        RecordType::AAAA => RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x66)),
        _ => RData::A(A::new(192, 0, 2, 66)),
    };
    forged.add_answer(Record::from_rdata(question.name.clone(), 300, data));
    forged
}

/// The name as the codec has it. Every [`HostName`] is one.
fn wire_name(host: &HostName) -> Option<Name> {
    let mut name = Name::from_ascii(host.as_str()).ok()?;
    name.set_fqdn(true);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn zone(names: Vec<(&str, DnsEntry)>) -> DnsZone {
        let names = names.into_iter().map(|(name, entry)| (host(name), entry));
        DnsZone::new(names.collect()).unwrap()
    }

    fn addresses(count: usize) -> DnsEntry {
        DnsEntry::addresses(vec![[192, 0, 2, 1].into(); count])
    }

    fn query(name: &str, record: RecordType) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(wire_name(&host(name)).unwrap(), record));
        message
    }

    fn read(answered: &Answered) -> Message {
        assert_eq!(answered.messages.len(), 1, "{answered:?}");
        Message::from_vec(&answered.messages[0]).unwrap()
    }

    fn ask(zone: &DnsZone, query: &Message, via: Via) -> Message {
        let answered = answer(zone, &query.to_vec().unwrap(), via);
        assert!(!answered.malformed);
        read(&answered)
    }

    /// Goal: a datagram's answer is at most 512 bytes, or what EDNS says up to 1232; a longer one is empty and says so,
    /// and a stream has it whole. Method: the most addresses that fit, and one more.
    #[test]
    fn answers_at_and_over_a_datagram() {
        let count = |message: &Message| message.answers.len();
        let asked = query("a", RecordType::A);
        // 12 of header, 7 of question, 16 a record.
        let most = (512 - 12 - 7) / 16;
        let fits = zone(vec![("a", addresses(most))]);
        let over = zone(vec![("a", addresses(most + 1))]);
        assert_eq!(count(&ask(&fits, &asked, Via::Datagram)), most);
        let cut = ask(&over, &asked, Via::Datagram);
        assert!(cut.metadata.truncation && count(&cut) == 0);
        assert_eq!(count(&ask(&over, &asked, Via::Stream)), most + 1);
        let mut extended = asked.clone();
        extended.set_edns(Edns::new().set_max_payload(4_096).clone());
        // As many, and 11 of the option record.
        let most = (1_232 - 12 - 7 - 11) / 16;
        let fits = zone(vec![("a", addresses(most))]);
        let over = zone(vec![("a", addresses(most + 1))]);
        let whole = ask(&fits, &extended, Via::Datagram);
        assert_eq!(count(&whole), most);
        assert_eq!(whole.edns.unwrap().max_payload(), 1_232);
        assert!(ask(&over, &extended, Via::Datagram).metadata.truncation);
        let largest = DnsEntry::addresses(vec![IpAddr::from([0_u16; 8]); limits::DNS_ADDRESSES]);
        let all = ask(
            &zone(vec![("a", largest)]),
            &query("a", RecordType::AAAA),
            Via::Stream,
        );
        assert_eq!(count(&all), limits::DNS_ADDRESSES);
    }

    /// Goal: a chain of aliases is followed as far as the limit, and a ring ends there. Method: the longest chain that
    /// is answered, one that is longer, and a ring.
    #[test]
    fn chains_at_and_over_the_limit() {
        let chain = |aliases: usize| {
            let mut names: Vec<_> = (0..aliases)
                .map(|n| {
                    let next = host(&format!("n{}", n + 1));
                    (host(&format!("n{n}")), DnsEntry::alias(next))
                })
                .collect();
            names.push((host(&format!("n{aliases}")), addresses(1)));
            DnsZone::new(names).unwrap()
        };
        let asked = query("n0", RecordType::A);
        let most = limits::DNS_CHAIN - 1;
        let whole = ask(&chain(most), &asked, Via::Stream);
        assert_eq!(whole.answers.len(), most + 1);
        assert_eq!(whole.answers[most].record_type(), RecordType::A);
        let cut = ask(&chain(most + 1), &asked, Via::Stream);
        assert_eq!(cut.answers.len(), limits::DNS_CHAIN);
        assert_eq!(cut.answers[most].record_type(), RecordType::CNAME);
        let ring = zone(vec![
            ("n0", DnsEntry::alias(host("n1"))),
            ("n1", DnsEntry::alias(host("n0"))),
        ]);
        let round = ask(&ring, &asked, Via::Stream);
        assert_eq!(round.answers.len(), limits::DNS_CHAIN);
    }

    /// Goal: no name, no address of the family, and an alias that leads nowhere are told apart. Method: one of each;
    /// the case of the question does not matter and comes back.
    #[test]
    fn names_and_types_that_are_not_there() {
        let zone = zone(vec![
            ("v4.x", addresses(1)),
            ("away.x", DnsEntry::alias(host("gone.x"))),
        ]);
        let say = |name, record| {
            let answer = ask(&zone, &query(name, record), Via::Datagram);
            let negative = answer.authorities.len();
            (
                answer.metadata.response_code,
                answer.answers.len(),
                negative,
            )
        };
        use ResponseCode::{NXDomain, NoError};
        assert_eq!(say("v4.x", RecordType::A), (NoError, 1, 0));
        assert_eq!(say("v4.x", RecordType::ANY), (NoError, 1, 0));
        assert_eq!(say("v4.x", RecordType::AAAA), (NoError, 0, 1));
        assert_eq!(say("v4.x", RecordType::TXT), (NoError, 0, 1));
        assert_eq!(say("gone.x", RecordType::A), (NXDomain, 0, 1));
        assert_eq!(say("x", RecordType::A), (NXDomain, 0, 1));
        assert_eq!(say("away.x", RecordType::A), (NXDomain, 1, 1));
        assert_eq!(say("away.x", RecordType::CNAME), (NoError, 1, 0));
        let mut asked = query("v4.x", RecordType::A);
        let mixed = Name::from_ascii("V4.x.").unwrap();
        asked.queries[0].set_name(mixed.clone());
        let answer = ask(&zone, &asked, Via::Datagram);
        assert!(answer.queries[0].name.eq_case(&mixed));
        assert!(answer.answers[0].name.eq_case(&mixed));
    }

    /// Goal: what is no question is answered as the RFC has it, or not at all. Method: one of each kind, and every
    /// beginning of a question.
    #[test]
    fn reject_what_is_no_question() {
        let zone = zone(vec![("a", addresses(1))]);
        let code = |bytes: &[u8]| {
            let answered = answer(&zone, bytes, Via::Datagram);
            let code = match &answered.messages[..] {
                [] => None,
                _ => Some(read(&answered).metadata.response_code),
            };
            (code, answered.malformed)
        };
        let fine = query("a", RecordType::A);
        let bytes = fine.to_vec().unwrap();
        for end in 0..bytes.len() {
            let expected = (end >= 12).then_some(ResponseCode::FormErr);
            assert_eq!(code(&bytes[..end]), (expected, true), "{end}");
        }
        let reply = Message::response(7, OpCode::Query).to_vec().unwrap();
        assert_eq!(code(&reply), (None, true));
        let mut two = fine.clone();
        two.add_query(fine.queries[0].clone());
        let two = two.to_vec().unwrap();
        assert_eq!(code(&two), (Some(ResponseCode::FormErr), true));
        let mut many = bytes.clone();
        many[4..6].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(code(&many), (Some(ResponseCode::FormErr), true));
        let mut update = fine.clone();
        update.metadata.op_code = OpCode::Notify;
        let update = update.to_vec().unwrap();
        assert_eq!(code(&update), (Some(ResponseCode::NotImp), false));
        let mut chaos = fine;
        chaos.queries[0].set_query_class(DNSClass::CH);
        let chaos = chaos.to_vec().unwrap();
        assert_eq!(code(&chaos), (Some(ResponseCode::Refused), false));
    }
}

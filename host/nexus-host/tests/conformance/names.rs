//! The answer of a name server that knows a few names (RFC 1035).

use std::net::IpAddr;

/// The answer to this question: what is known, for a minute; else that there is no such name.
pub(crate) fn answer(question: &[u8], known: &[(&str, IpAddr)]) -> Option<Vec<u8>> {
    let (mut at, mut name) = (12, String::new());
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            break;
        }
        let label = question.get(at + 1..at + 1 + length)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label).to_lowercase());
        at += 1 + length;
    }
    let asked = question.get(12..at + 5)?;
    let kind = *question.get(at + 2)?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    addresses.extend(known.iter().filter(|(of, _)| *of == name).map(|(_, ip)| ip));
    let exists = !addresses.is_empty();
    let data: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(v4) if kind == 1 => Some(v4.octets().to_vec()),
            IpAddr::V6(v6) if kind == 28 => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut out = question.get(..2)?.to_vec();
    // A response, with recursion, and whether there is such a name.
    out.extend([0x81, if exists { 0x80 } else { 0x83 }, 0, 1, 0]);
    out.extend([u8::try_from(data.len()).ok()?, 0, 0, 0, 0]);
    out.extend(asked);
    for data in data {
        out.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
        out.push(u8::try_from(data.len()).ok()?);
        out.extend(data);
    }
    Some(out)
}

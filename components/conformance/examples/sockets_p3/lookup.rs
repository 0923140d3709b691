//! `ip-name-lookup`.

use std::net::IpAddr;

use conformance::{Checked, Far, check, err, ok, same};
use wasip3::sockets::ip_name_lookup::{ErrorCode, resolve_addresses};

use crate::Probe;
use crate::ends::plain_ip;

pub(crate) const PROBES: &[Probe] = &[("ip-name-lookup/resolve-addresses", |far| {
    Box::pin(resolve(far))
})];

async fn all(name: &str) -> Result<Vec<IpAddr>, ErrorCode> {
    let all = resolve_addresses(name.to_owned()).await?;
    Ok(all.into_iter().map(plain_ip).collect())
}

async fn resolve(far: &Far) -> Checked {
    // "`name` is a syntactically invalid domain name or IP address."
    for name in ["", "a..example", "far example", "-", "[::1]", "a/b"] {
        err(
            all(name).await,
            ErrorCode::InvalidArgument,
            &format!("`{name}`"),
        )?;
    }
    // "If the input is an IP address string, the address is parsed and returned as-is."
    for name in ["192.0.2.7", "2001:db8::7", "127.0.0.1"] {
        let want: IpAddr = name.parse().expect("an address");
        same(ok(all(name).await, name)?, vec![want], name)?;
    }
    // "This function never returns IPv4-mapped IPv6 addresses."
    let got = all("::ffff:192.0.2.7").await.unwrap_or_default();
    let mapped = |ip: &IpAddr| matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    check(
        !got.iter().any(mapped),
        "never returns IPv4-mapped IPv6 addresses",
    )?;
    // "It either fails or succeeds with at least one address."
    let got = ok(all(&far.name).await, &far.name)?;
    check(got.contains(&far.ip), "a name has its address")
}

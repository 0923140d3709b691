//! Small policies made at random, from words that overlap a lot.

use std::net::SocketAddr;

use nexus_policy::parameter::url::Method;
use nexus_policy::{Act, Policy, RequestUrl};
use nexus_types::HostName;
use proptest::prelude::*;
use proptest::sample::select;

pub const TARGETS: [&str; 15] = [
    "a.example:80",
    "a.example:1-100",
    "*.example:443,80",
    "*.a.example:*",
    "10.0.0.0/8:80",
    "10.0.0.0/9:1-90",
    "10.128.0.0/9:*",
    "10.1.2.3:443",
    "93.184.216.0/24:80",
    "public:80",
    "lan:1-443",
    "0.0.0.0/0:443",
    "0.0.0.0/0:*",
    "8.0.0.0/6:80",
    "a.example:443",
];

pub const URLS: [&str; 16] = [
    "https://a.example",
    "GET https://a.example",
    "GET,POST https://a.example/v1/*",
    "POST,PUT https://a.example/v1/*",
    "https://a.example/v1/me",
    "https://a.example/v1/me/*",
    "https://*.a.example/v1/*",
    "https://b.a.example",
    "http://a.example",
    "https://a.example:80",
    "https://public/v1/*",
    "GET https://public",
    "https://lan",
    "https://93.184.216.34",
    "GET https://93.184.216.34/v1/*",
    "https://10.1.2.3/v1/*",
];

pub fn policy() -> impl Strategy<Value = Policy> {
    policy_of("network.tcp.connect", &TARGETS)
}

pub fn policy_of_requests() -> impl Strategy<Value = Policy> {
    policy_of("network.http.request", &URLS)
}

fn policy_of(
    capability: &'static str,
    targets: &'static [&'static str],
) -> impl Strategy<Value = Policy> {
    let rule = (
        select(vec!["forbid", "ask", "allow"]),
        proptest::collection::btree_set(select(targets), 1..3),
        proptest::bool::weighted(0.1),
    );
    proptest::collection::btree_set(rule, 0..5).prop_filter_map("twice the same", move |rules| {
        let mut text = String::new();
        for (index, (verdict, to, every)) in rules.iter().enumerate() {
            let to: Vec<_> = to.iter().copied().collect();
            // Without targets a rule is about everything, which an allow cannot be.
            let to: &[&str] = if *every && *verdict != "allow" {
                &[]
            } else {
                &to
            };
            text += &super::rule(&format!("r{index}"), verdict, capability, to);
        }
        Policy::parse(&text, "policy.toml").ok()
    })
}

/// Requests that the rules above tell apart, each with an address that its name has led to; of names these two.
pub struct Requests {
    urls: Vec<RequestUrl>,
}

/// Which name was answered with what.
pub const LED: [(&str, &str); 3] = [
    ("a.example", "93.184.216.34"),
    ("a.example", "10.1.2.3"),
    ("b.a.example", "1.2.3.4"),
];

impl Default for Requests {
    fn default() -> Self {
        let mut urls = Vec::new();
        for origin in [
            "https://a.example",
            "http://a.example",
            "https://a.example:80",
            "https://b.a.example",
            "https://93.184.216.34",
            "https://8.8.8.8",
            "https://10.1.2.3",
        ] {
            for path in ["/", "/v1/x", "/v1/me", "/v1/me/x", "/v2", "/v1//x"] {
                urls.push(super::url(&format!("{origin}{path}")));
            }
        }
        Self { urls }
    }
}

impl Requests {
    pub fn acts(&self) -> Vec<Act<'_>> {
        let mut acts = Vec::new();
        for (url, method) in self
            .urls
            .iter()
            .flat_map(|url| [Method::Get, Method::Post, Method::Delete].map(|method| (url, method)))
        {
            let request = super::request(method, url);
            acts.push(Act::Request(request));
            let name = url.name().map(HostName::as_str);
            for (_, address) in LED.iter().filter(|(host, _)| Some(*host) == name) {
                let remote = SocketAddr::new(super::ip(address), url.port());
                acts.push(Act::RequestConnect { request, remote });
            }
        }
        acts
    }
}

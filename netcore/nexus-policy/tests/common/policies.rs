//! Small policies made at random, from words that overlap a lot.

use nexus_policy::Policy;
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

pub fn policy() -> impl Strategy<Value = Policy> {
    let rule = (
        select(vec!["forbid", "ask", "allow"]),
        proptest::collection::btree_set(select(TARGETS.to_vec()), 1..3),
        proptest::bool::weighted(0.1),
    );
    proptest::collection::btree_set(rule, 0..5).prop_filter_map("twice the same", |rules| {
        let mut text = String::new();
        for (index, (verdict, to, every)) in rules.iter().enumerate() {
            let to: Vec<_> = to.iter().copied().collect();
            // Without targets a rule is about everything, which an allow cannot be.
            let to: &[&str] = if *every && *verdict != "allow" {
                &[]
            } else {
                &to
            };
            text += &super::rule(&format!("r{index}"), verdict, "network.tcp.connect", to);
        }
        Policy::parse(&text, "policy.toml").ok()
    })
}

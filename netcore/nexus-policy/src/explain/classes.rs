//! What each class of addresses is. The addresses themselves are in `address.rs`, with their sources.

use super::topic::Text;
use crate::address::AddressClass;

/// The text of a class.
pub(super) const fn text(class: AddressClass) -> Text {
    match class {
        AddressClass::Public => Text {
            summary: "the internet: what no registry sets apart",
            more: "A rule for a name (`api.example.com:443`, `*.example.com:443`) means addresses of this class \
                   alone. `public:443` is every one of them, and no name: names are looked up by rules that name them.",
            todo: "",
            see: &["lan", "blocked-range"],
        },
        AddressClass::Lan => Text {
            summary: "private networks: 10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7, fec0::/10",
            more: "RFC 1918, RFC 6598 (carrier NAT), RFC 4193 (unique local), site-local. Named by `lan:631`, or \
                   narrower by a network, `10.0.0.0/8:8000-8010`. A name never reaches it by its own rule.",
            todo: "",
            see: &["public", "blocked-range"],
        },
        AddressClass::LinkLocal => Text {
            summary: "this link alone: 169.254/16, fe80::/10",
            more: "RFC 3927, RFC 4291 section 2.5.6. The metadata services of clouds are set apart from it.",
            todo: "",
            see: &["metadata", "lan"],
        },
        AddressClass::Loopback => Text {
            summary: "the app's own node: 127/8, ::1, and the node's own addresses",
            more: "The node of the app, not the machine the host runs on: that one is the class `host`. What one app \
                   of a node listens on, another reaches by this class.",
            todo: "",
            see: &["host"],
        },
        AddressClass::Multicast => Text {
            summary: "groups: 224/4, ff00::/8",
            more: "RFC 5771, RFC 4291 section 2.7.",
            todo: "",
            see: &["lan"],
        },
        AddressClass::Metadata => Text {
            summary: "a cloud's metadata service, which hands out the machine's credentials",
            more: "169.254.169.254 and its like (AWS, GCP, Azure, OpenStack, Alibaba, Oracle, in IPv4 and IPv6). Who \
                   reaches it can become the machine, so a yes to a manifest is not enough, nor a rule for \
                   `link-local`: the operator's own rule must name it, or --allow for one run.",
            todo: "",
            see: &["operator-denied", "link-local"],
        },
        AddressClass::Host => Text {
            summary: "the machine the host runs on, by the name host.internal alone",
            more: "Its services trust who comes from the machine itself, so no rule for an address or a network \
                   covers it, only `host.internal:PORT`.",
            todo: "",
            see: &["loopback", "blocked-range"],
        },
        AddressClass::Infrastructure => Text {
            summary: "the node's gateway, name server and the like; no rule can name it",
            more: "The host speaks to them for the app. An app that could as well would resolve names that no rule \
                   names.",
            todo: "",
            see: &["blocked-range", "name-not-permitted"],
        },
        AddressClass::Unspecified => Text {
            summary: "0.0.0.0 and ::, which stand for no far end; no rule can name it",
            more: "Some systems take it for the machine itself, which made it a way past filters. To listen on every \
                   address of the node a rule says `any`.",
            todo: "",
            see: &["bind-not-permitted", "blocked-range"],
        },
        AddressClass::Reserved => Text {
            summary: "documentation, benchmarking, broadcast, future use; no rule can name it",
            more: "The IANA special-purpose registries (RFC 6890), and the broadcast addresses of the node's own \
                   links. Nothing an app needs is there.",
            todo: "",
            see: &["blocked-range"],
        },
    }
}

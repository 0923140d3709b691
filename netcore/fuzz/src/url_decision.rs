//! Any text as the URL of a request, under any rules: what is decided is what the URL says, in the eyes of the parser of
//! URLs that the client asks by, and in those of nobody else.
//!
//! An input is lines of text:
//! - `a RULE` the manifest asks, `f RULE` the operator forbids; `f` alone: everything;
//! - `METHOD URL`: what is tried.

use nexus_policy::denial::Fix;
use nexus_policy::parameter::url::{Method, UrlRule};
use nexus_policy::{
    Act, AppIdentity, Capability, Consent, Denial, Gate, Manifest, Policy, Request, RequestUrl,
    Rule, UrlHost, WallTime, canonical,
};
use nexus_types::{AppDigest, InstanceId, Instant};
use url::{Host, Url};

use crate::rule_vs_address::topology;
use crate::text::{list, shown};

const APP: InstanceId = InstanceId(1);
const HTTP: Capability = Capability::NetworkHttpRequest;
/// Lines of one input: each URL is tried under all of the rules.
const LINES_MAX: usize = 24;

/// Runs one input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (mut asked, mut forbidden, mut tried) = (Vec::new(), Vec::new(), Vec::new());
    let mut forbids_all = false;
    for line in text.lines().take(LINES_MAX) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rule = || Rule::parse(HTTP, rest).ok();
        match word {
            "a" => asked.extend(rule()),
            "f" if rest.is_empty() => forbids_all = true,
            "f" => forbidden.extend(rule()),
            method => tried.push((Method::parse(method), rest)),
        }
    }
    let mut gate = gate(&asked, (&forbidden, forbids_all));
    for (method, text) in tried {
        // A text is no URL's part before it is parsed, either.
        let _ = RequestUrl::new("https", text, None, text);
        let Some((parsed, url)) = parse(text) else {
            continue;
        };
        same_host(&parsed, &url);
        reads_back(&url);
        let request = Request {
            method,
            url: &url,
            redirected: false,
        };
        match gate.decide(Instant::ZERO, APP, &Act::Request(request)) {
            Ok(_permit) => {
                assert!(!forbids_all, "{url}");
                let method = method.expect("one that rules name");
                let by = |rule: &&UrlRule| covers(rule, method, &parsed, &url);
                let mut rules = asked.iter().filter_map(|rule| match rule {
                    Rule::Url(rule) => Some(rule),
                    _ => None,
                });
                assert!(rules.any(|rule| by(&rule)), "{method} {parsed} {asked:?}");
            }
            Err(denial) => {
                shown(&denial.target.full());
                mended(&denial, &request);
            }
        }
    }
}

/// As the client parses it.
fn parse(text: &str) -> Option<(Url, RequestUrl)> {
    let parsed = Url::parse(text).ok()?;
    let host = parsed.host_str()?;
    let url = RequestUrl::new(parsed.scheme(), host, parsed.port(), parsed.path()).ok()?;
    Some((parsed, url))
}

/// Both parsers name the same host, and neither reads a number as a name.
fn same_host(parsed: &Url, url: &RequestUrl) {
    match (parsed.host().expect("there is one"), url.host()) {
        (Host::Domain(domain), UrlHost::Name(name)) => {
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            assert_eq!(domain, name.as_str());
        }
        (Host::Ipv4(v4), UrlHost::Address(address)) => assert_eq!(v4, *address),
        (Host::Ipv6(v6), UrlHost::Address(address)) => assert_eq!(v6, *address),
        (host, other) => panic!("{host} is {other}"),
    }
    assert_eq!(parsed.port_or_known_default(), Some(url.port()));
}

/// What is shown of a URL is a URL, and the same one; nothing that no rule is about is in it.
fn reads_back(url: &RequestUrl) {
    let text = url.to_string();
    shown(&text);
    assert!(!text.contains(['?', '#', '"', '\\', ' ']), "{text}");
    if text.ends_with('…') {
        return;
    }
    let (_, again) = parse(&text).expect("it was one");
    // A parser takes dot parts out, and an app may have sent some.
    if url.is_plain() {
        assert_eq!(*url, again, "{text}");
    }
}

/// Whether a rule covers a URL with an address, or with a name that leads somewhere, as its text says: read by the
/// parser of URLs, its path and the rule's decoded to the end.
fn covers(rule: &UrlRule, method: Method, parsed: &Url, url: &RequestUrl) -> bool {
    let text = rule.to_string();
    let (methods, text) = text.rsplit_once(' ').unwrap_or(("", &text));
    if !methods.is_empty() && !methods.split(',').any(|word| word == method.as_str()) {
        return false;
    }
    let (scheme, rest) = text.split_once("://").expect("a scheme");
    let (authority, path) = rest.split_at(rest.find('/').expect("a path"));
    // A class or a wildcard is no host of a URL: a name stands in.
    let host = authority.split([':', '[']).next().expect("the first");
    let stand_in = match (host.strip_prefix("*."), url.host()) {
        (Some(parent), UrlHost::Name(name)) if name.as_str().ends_with(&format!(".{parent}")) => {
            Some(name.to_string())
        }
        (Some(_), _) => return false,
        (None, UrlHost::Address(address)) => {
            let class = nexus_policy::classify(&topology(), *address);
            (class.as_str() == host).then(|| url.host().to_string())
        }
        (None, UrlHost::Name(_)) => None,
    };
    let authority = match &stand_in {
        Some(host_of_url) => authority.replacen(
            if authority.starts_with("*.") {
                authority.split(':').next().expect("the first")
            } else {
                host
            },
            host_of_url,
            1,
        ),
        None => authority.to_owned(),
    };
    let rule_url = Url::parse(&format!("{scheme}://{authority}/")).expect("a rule is a URL");
    let same_port = rule_url.port_or_known_default() == parsed.port_or_known_default();
    let trimmed = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        host.strip_suffix('.').unwrap_or(host).to_owned()
    };
    let same_address = match (rule_url.host(), url.address()) {
        (Some(Host::Ipv4(v4)), Some(address)) => canonical(address).address == v4,
        (Some(Host::Ipv6(v6)), Some(address)) => canonical(address).address == v6,
        _ => false,
    };
    let same_host = same_address || trimmed(&rule_url) == trimmed(parsed);
    if rule_url.scheme() != parsed.scheme() || !same_port || !same_host {
        return false;
    }
    if path == "/*" {
        return true;
    }
    // Some server decodes once, some twice, some takes what is after a `;` away: the same folder for all of them.
    let readings = [decoded(parsed.path()), decoded(&decoded(parsed.path()))];
    readings.iter().all(|reading| {
        let odd = |part: &str| matches!(part.split(';').next(), Some("." | ".."));
        let within = match path.strip_suffix('*') {
            Some(folder) => reading.starts_with(&decoded(folder)),
            None => *reading == decoded(path),
        };
        within && !reading.contains('\\') && !reading.split('/').any(odd)
    })
}

/// Percent-decoded; bytes beyond ASCII stay apart from all others.
fn decoded(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        match after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(byte) if !after.starts_with('+') => {
                out.push(char::from(byte));
                rest = &after[2..];
            }
            _ => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// A rule that a refusal says to add to the manifest does what it says.
fn mended(denial: &Denial, request: &Request<'_>) {
    let Some(Fix::Manifest { rule, .. }) = denial.fixes.first() else {
        return;
    };
    let rule = Rule::parse(HTTP, rule).expect("a fix is a rule");
    let mut gate = gate(&[rule.clone()], (&[], false));
    // The machine is reached by its name, and metadata by the operator's own rule.
    let class = denial.class.map(|class| class.as_str());
    if !matches!(class, Some("host" | "metadata")) {
        let answer = gate.decide(Instant::ZERO, APP, &Act::Request(*request));
        assert!(answer.is_ok(), "{request}: {rule}");
    }
}

fn gate(asked: &[Rule], (forbidden, all): (&[Rule], bool)) -> Gate {
    let mut asked = asked.to_vec();
    asked.sort_unstable();
    asked.dedup();
    let mut manifest = "[app]\nid = \"fuzz\"\n".to_owned();
    if !asked.is_empty() {
        manifest += &format!("[capabilities.\"{HTTP}\"]\nallow = {}\n", list(&asked));
    }
    let mut forbidden = forbidden.to_vec();
    forbidden.sort_unstable();
    forbidden.dedup();
    let mut policy = String::new();
    let mut forbid = |id: &str, to: &str| {
        policy += &format!(
            "[[rule]]\nid = \"{id}\"\ncapability = \"{HTTP}\"\nverdict = \"forbid\"\n{to}\n"
        );
    };
    if !forbidden.is_empty() {
        forbid("some", &format!("to = {}", list(&forbidden)));
    }
    if all {
        forbid("all", "");
    }
    let manifest = Manifest::parse(&manifest, "m").expect("made of rules");
    let policy = Policy::parse(&policy, "p").expect("made of rules");
    let mut gate = Gate::new(topology());
    gate.set_policies(Instant::ZERO, WallTime(0), Policy::none(), policy);
    let app = AppIdentity {
        id: "fuzz".to_owned(),
        digest: AppDigest([7; 32]),
        publisher: None,
    };
    let consent = Consent {
        allow_manifest: true,
        ..Consent::default()
    };
    gate.admit(Instant::ZERO, APP, app, manifest, consent, &[])
        .expect("it imports nothing");
    gate
}

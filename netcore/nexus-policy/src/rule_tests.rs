//! Rule texts: what each spelling means, and what is refused with which advice.

use super::*;

const TCP: Capability = Capability::NetworkTcpConnect;
const LISTEN: Capability = Capability::NetworkTcpListen;

fn canonical_text(capability: Capability, text: &str) -> String {
    Rule::parse(capability, text)
        .unwrap_or_else(|e| panic!("{text}: {e}"))
        .to_string()
}

fn error(capability: Capability, text: &str) -> String {
    match Rule::parse(capability, text) {
        Ok(rule) => panic!("{text} was read as {rule}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn one_text_for_every_spelling_of_a_rule() {
    for (text, canonical) in [
        ("api.example.com:443", "api.example.com:443"),
        ("API.Example.COM.:443", "api.example.com:443"),
        ("bücher.example:443", "xn--bcher-kva.example:443"),
        ("BÜCHER.Example:443", "xn--bcher-kva.example:443"),
        ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
        ("例え.テスト:80", "xn--r8jz45g.xn--zckzah:80"),
        (
            "*.example.com:80,443,8000-8010",
            "*.example.com:80,443,8000-8010",
        ),
        ("*.Example.co.uk:*", "*.example.co.uk:*"),
        ("192.0.66.7:22", "192.0.66.7:22"),
        ("192.0.66.7/32:22", "192.0.66.7:22"),
        ("[2606:4700:0:0::1]:53", "[2606:4700::1]:53"),
        ("[2606:4700::1/128]:53", "[2606:4700::1]:53"),
        ("10.0.0.0/8:8000-8010", "10.0.0.0/8:8000-8010"),
        ("0.0.0.0/0:443", "0.0.0.0/0:443"),
        ("[fd00::/8]:*", "[fd00::/8]:*"),
        ("[::/0]:443", "[::/0]:443"),
        ("public:443", "public:443"),
        ("LAN:*", "lan:*"),
        ("link-local:546", "link-local:546"),
        ("metadata:80", "metadata:80"),
        ("169.254.169.254:80", "169.254.169.254:80"),
        ("host.internal:8000", "host.internal:8000"),
        ("host:8000", "host.internal:8000"),
        ("printer:631", "printer:631"),
        (
            "_service._tcp.example.com:5000",
            "_service._tcp.example.com:5000",
        ),
    ] {
        assert_eq!(canonical_text(TCP, text), canonical, "{text}");
        assert_eq!(
            canonical_text(TCP, canonical),
            canonical,
            "{canonical} reads back"
        );
    }
    for (text, canonical) in [
        ("any:8080", "any:8080"),
        ("loopback:*", "loopback:*"),
        ("10.0.2.15:80", "10.0.2.15:80"),
        ("[fd00:0::1]:80", "[fd00::1]:80"),
    ] {
        assert_eq!(canonical_text(LISTEN, text), canonical, "{text}");
    }
}

#[test]
fn reject_rules_without_a_port() {
    for text in [
        "api.example.com",
        "10.0.0.0/8",
        "[::1]",
        "public",
        "*.example.com",
    ] {
        let error = error(TCP, text);
        assert_eq!(
            error,
            format!("`{text}` has no port; write `{text}:443` for one, `{text}:*` for any")
        );
    }
    assert!(error(TCP, "api.example.com:").contains("a port is missing"));
}

#[test]
fn reject_port_0_and_65536() {
    assert!(error(TCP, "api.example.com:0").contains("port 0"));
    assert!(error(TCP, "api.example.com:65536").contains("the last port is 65535"));
    assert!(error(LISTEN, "any:0").contains("port 0"));
    assert!(error(LISTEN, "any:65536").contains("the last port is 65535"));
}

#[test]
fn reject_host_bits_and_name_the_right_network() {
    assert_eq!(
        error(TCP, "10.1.2.3/8:443"),
        "10.1.2.3/8 has host bits set; the network is 10.0.0.0/8; write `10.0.0.0/8`"
    );
    assert_eq!(
        error(TCP, "[2001:db9::1/64]:443"),
        "2001:db9::1/64 has host bits set; the network is 2001:db9::/64; write `[2001:db9::/64]`"
    );
    for text in [
        "10.0.0.0/33:443",
        "10.0.0.0/:443",
        "10.0.0.0/08:443",
        "10.0.0.0/+8:443",
        "[::/129]:443",
    ] {
        assert!(error(TCP, text).contains("no prefix length"), "{text}");
    }
}

#[test]
fn reject_wildcards_anywhere_but_in_front() {
    for text in [
        "a.*.example.com:443",
        "*a.example.com:443",
        "a*.example.com:443",
        "example.*:443",
        "**.example.com:443",
    ] {
        assert!(
            error(TCP, text).contains("a wildcard is the whole first label"),
            "{text}"
        );
    }
    for text in ["*.*.example.com:443", "*..example.com:443", "*.:443"] {
        assert!(error(TCP, text).contains("no host name"), "{text}");
    }
    for text in [
        "*.com:443",
        "*.co.uk:443",
        "*.localhost:443",
        "*.internal:443",
        "*.com.au:443",
    ] {
        assert!(error(TCP, text).contains("is everybody's"), "{text}");
    }
    assert_eq!(
        error(TCP, "*:443"),
        "no rule covers everything; name a class of addresses; write `public:443`"
    );
}

#[test]
fn reject_numeric_spellings_of_addresses() {
    for text in [
        "127.1:80",
        "0x7f000001:80",
        "2130706433:80",
        "0177.0.0.1:80",
        "127.0.0.01:80",
        "1.2.3:80",
        "１２７.0.0.1:80",
        "256.1.1.1:80",
    ] {
        assert!(
            error(TCP, text).contains("the name is a number"),
            "{text}: {}",
            error(TCP, text)
        );
    }
}

#[test]
fn reject_addresses_that_wrap_another() {
    for (text, inside) in [
        ("[::ffff:10.0.0.1]:80", "10.0.0.1"),
        ("[::10.0.0.1]:80", "10.0.0.1"),
        ("[64:ff9b::10.0.0.1]:80", "10.0.0.1"),
        ("[2002:0a00:0001::]:80", "10.0.0.1"),
    ] {
        assert!(
            error(TCP, text).ends_with(&format!("write {inside}")),
            "{text}: {}",
            error(TCP, text)
        );
    }
    for text in [
        "[64:ff9b::/96]:80",
        "[2002:0a00::/24]:80",
        "[::ffff:0:0/96]:80",
        "[2001::/32]:80",
        "[::/96]:80",
    ] {
        assert!(
            error(TCP, text).contains("write the IPv4 network"),
            "{text}: {}",
            error(TCP, text)
        );
    }
}

#[test]
fn reject_what_no_rule_can_name() {
    for text in [
        "0.0.0.0:80",
        "[::]:80",
        "255.255.255.255:80",
        "192.0.2.1:80",
        "[2001:db8::1]:80",
    ] {
        assert!(
            error(TCP, text).contains("no rule can name it"),
            "{text}: {}",
            error(TCP, text)
        );
    }
}

#[test]
fn reject_what_is_not_host_and_ports() {
    for (text, says) in [
        ("", "the rule is empty"),
        (":443", "has no host"),
        ("https://api.example.com", "without a scheme"),
        ("https://user:secret@api.example.com/x", "`api.example.com`"),
        ("user:secret@api.example.com:443", "without a user"),
        ("api.example.com/path:443", "a rule has no path"),
        ("api.example.com :443", "no blanks"),
        ("api.example.com:443\n", "no blanks"),
        ("2606:4700::1:443", "in brackets"),
        ("fd00::/8:443", "in brackets"),
        ("[::1", "bracket is not closed"),
        ("[::1]443", "after the bracket"),
        ("[fe80::1%eth0]:80", "zone"),
        ("[api.example.com]:80", "no IPv6 address"),
        ("localhost:80", "`loopback`"),
        ("private:80", "`lan:80`"),
        ("pubic:80", "`public:80`"),
        ("loopbak:80", "`loopback:80`"),
        ("-a.example:80", "no host name"),
        ("xn--a.example:80", "no host name"),
        ("a\u{202e}b.example:80", "no host name"),
    ] {
        let error = error(TCP, text);
        assert!(error.contains(says), "{text:?}: {error}");
        assert!(
            !error.contains("secret") && !error.contains('\u{202e}'),
            "{error}"
        );
    }
    for (text, says) in [
        ("*:8080", "`any:8080`"),
        ("0.0.0.0:8080", "`any:8080`"),
        ("[::]:8080", "`any:8080`"),
        ("localhost:8080", "`loopback:8080`"),
        ("8080", "has no port"),
        ("example.com:8080", "no address of the app's own"),
        ("10.0.0.0/8:8080", "no address of the app's own"),
        ("224.0.0.1:8080", "no address a node can have"),
        ("[::ffff:10.0.0.1]:8080", "in another form"),
    ] {
        assert!(
            error(LISTEN, text).contains(says),
            "{text}: {}",
            error(LISTEN, text)
        );
    }
}

#[test]
fn reject_rules_over_the_length_limit() {
    let at = format!("a.example:{}", "1,".repeat(RULE_BYTES_MAX));
    assert!(error(TCP, &at).contains("longer than"));
}

#[test]
fn a_grant_is_a_capability_and_a_rule() {
    let (capability, rule) = Rule::parse_grant("network.tcp.connect=api.example.com:443").unwrap();
    assert_eq!(
        (capability, rule.to_string()),
        (TCP, "api.example.com:443".to_owned())
    );
    let (capability, rule) = Rule::parse_grant("wasi.dirs=/srv/a=b:ro").unwrap();
    assert_eq!(
        (capability, rule.to_string()),
        (Capability::WasiDirs, "/srv/a=b:ro".to_owned())
    );
    for (text, says) in [
        ("network.tcp.connect", "is not CAPABILITY=RULE"),
        (
            "network.tcp.conect=a.example:1",
            "did you mean `network.tcp.connect`?",
        ),
        ("network.tcp.connect=a.example", "has no port"),
    ] {
        let error = Rule::parse_grant(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn what_covers_what() {
    let rule = |text: &str| Destination::parse(text).unwrap();
    for (a, b, covers) in [
        ("a.example.com:*", "a.example.com:443", true),
        ("a.example.com:443", "a.example.com:*", false),
        ("*.example.com:443", "a.b.example.com:443", true),
        ("*.example.com:443", "example.com:443", false),
        ("*.example.com:443", "*.a.example.com:443", true),
        ("public:443", "*.example.com:443", true),
        ("public:443", "host.internal:443", false),
        ("public:*", "8.8.8.8:53", true),
        ("public:*", "10.0.0.1:53", false),
        ("lan:*", "10.0.0.0/8:53", true),
        ("0.0.0.0/0:*", "10.0.0.0/8:53", false),
        ("0.0.0.0/0:*", "8.0.0.0/8:53", true),
        ("10.0.0.0/8:*", "10.1.0.0/16:53", true),
        ("169.254.0.0/16:*", "169.254.169.254:80", false),
        ("8.8.8.0/24:*", "a.example.com:443", false),
    ] {
        assert_eq!(rule(a).covers(&rule(b)), covers, "{a} covers {b}");
    }
}

/// Goal: a rule means what it is shown as. Method: class words with a dot at their end, in capitals, in wide letters.
#[test]
fn a_class_word_in_another_spelling_is_the_class() {
    let rule = |text: &str| Rule::parse(Capability::NetworkTcpConnect, text);
    for (text, plain) in [
        ("host.:80", "host.internal:80"),
        ("LAN.:80", "lan:80"),
        ("\u{ff48}\u{ff4f}\u{ff53}\u{ff54}:80", "host.internal:80"),
        ("API.Example.com.:80", "api.example.com:80"),
    ] {
        assert_eq!(rule(text).unwrap().to_string(), plain, "{text}");
        assert_eq!(rule(text), rule(plain), "{text}");
    }
    assert!(rule("localhost.:80").is_err());
    assert!(rule("private.:80").is_err());
}

/// Goal: what cannot be shown is not shown, in advice either. Method: ports that turn a line around, or begin another,
/// behind each word that gets advice (found by tests/any_text.rs, of 2,000 random texts a run).
#[test]
fn reject_advice_that_cannot_be_shown() {
    for (capability, words) in [
        (TCP, &["*", "private", "localhost", "fd00::/8", "publc"][..]),
        (LISTEN, &["*", "0.0.0.0", "localhost", "[::]"]),
    ] {
        for word in words {
            for ports in ["\u{202e}", "\u{1b}[2J", "443\n"] {
                let said = error(capability, &format!("{word}:{ports}"));
                assert!(!said.chars().any(is_hidden), "{said:?}");
            }
        }
    }
}

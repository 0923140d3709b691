//! Parts of URLs: what they make together, and what makes none.

use super::*;

fn url(host: &str, path: &str) -> Result<RequestUrl, UrlError> {
    RequestUrl::new("https", host, None, path)
}

/// Goal: one form for each host, and none for what two readers read in two ways. Method: spellings of names and
/// addresses.
#[test]
fn a_host_is_a_name_or_an_address() {
    for (host, want) in [
        ("API.Example.COM", "api.example.com"),
        ("api.example.com.", "api.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("93.184.216.34", "93.184.216.34"),
        ("[::1]", "[::1]"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
        ("host.internal", "host.internal"),
    ] {
        let url = url(host, "").unwrap_or_else(|error| panic!("{host}: {error}"));
        assert_eq!(url.host().to_string(), want);
        assert_eq!(url.to_string(), format!("https://{want}/"));
        assert_eq!(url.name().is_some(), url.address().is_none());
    }
}

#[test]
fn reject_hosts_that_are_neither() {
    for host in [
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "①②⑦.0.0.1",
        "::1",
        "[::1",
        "[::1]:80",
        "[fe80::1%eth0]",
        "user@a.example",
        "a.example:80",
        "a.example/",
        "a..example",
        ".",
        "a b",
        "a.example\r\nx",
        "*.a.example",
        "",
    ] {
        assert!(url(host, "/").is_err(), "{host}");
    }
    assert_eq!(url("", "/"), Err(UrlError::NoHost));
}

#[test]
fn reject_parts_of_no_request() {
    for scheme in ["ftp", "file", "ws", "wss", "", "https:"] {
        let made = RequestUrl::new(scheme, "a.example", None, "/");
        assert_eq!(made, Err(UrlError::Scheme), "{scheme}");
    }
    let made = RequestUrl::new("http", "a.example", Some(0), "/");
    assert_eq!(made, Err(UrlError::Port));
    for path in [
        "a", "/a?b", "/a#b", "/a b", "/a\r\n", "/\0", "/é", "/\u{7f}", "?",
    ] {
        assert_eq!(url("a.example", path), Err(UrlError::Path), "{path:?}");
    }
}

/// Goal: a path has at most its bound. Method: at it, and one over it.
#[test]
fn reject_a_path_over_its_limit() {
    let path = |len| format!("/{}", "a".repeat(len - 1));
    let at = url("a.example", &path(PATH_BYTES_MAX)).expect("at the limit");
    assert_eq!(
        url("a.example", &path(PATH_BYTES_MAX + 1)),
        Err(UrlError::TooLong)
    );
    // What is shown of it is short.
    assert!(at.to_string().len() < 300 && at.to_string().ends_with('…'));
}

/// Goal: a path is in the form that rules are in, and one that servers read in different ways is known as such.
/// Method: spellings, and what each is.
#[test]
fn a_path_has_one_form() {
    for (path, want, plain) in [
        ("", "/", true),
        ("/", "/", true),
        ("/v1/%6d%65", "/v1/me", true),
        ("/v1/%7euser", "/v1/~user", true),
        ("/a%3ab", "/a%3Ab", true),
        ("/a:b;c=d,e", "/a:b;c=d,e", true),
        ("/a*b", "/a%2Ab", true),
        ("/a|b", "/a%7Cb", true),
        ("/v1/", "/v1/", true),
        ("/...", "/...", true),
        ("/a%C3%A9", "/a%C3%A9", true),
        ("/100%25", "/100%25", true),
        ("/v1/../x", "/v1/../x", false),
        ("/v1/%2E%2e/x", "/v1/../x", false),
        ("/v1/.", "/v1/.", false),
        ("/v1/..", "/v1/..", false),
        ("/v1//x", "/v1//x", false),
        ("//", "//", false),
        ("/v1%2f..", "/v1%2F..", false),
        ("/v1/..%2Fx", "/v1/..%2Fx", false),
        ("/v1/..%5cx", "/v1/..%5Cx", false),
        ("/v1\\x", "/v1%5Cx", false),
        ("/v1/..;a=b/x", "/v1/..;a=b/x", false),
        ("/v1/..%3b/x", "/v1/..%3B/x", false),
        ("/v1/;/x", "/v1/;/x", false),
        ("/v1/%252e%252e/x", "/v1/%252e%252e/x", false),
        ("/v1/%c0%ae/x", "/v1/%C0%AE/x", false),
        ("/v1/%00", "/v1/%00", false),
        ("/v1/%0d%0a", "/v1/%0D%0A", false),
        ("/v1/%zz", "/v1/%25zz", false),
        ("/v1/%", "/v1/%25", false),
        ("/v1/%4", "/v1/%254", false),
    ] {
        let url = url("a.example", path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!((url.path(), url.is_plain()), (want, plain), "{path}");
    }
}

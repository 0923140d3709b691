//! The command line.

use std::time::Duration;

/// Said with every complaint.
pub(crate) const USAGE: &str =
    "usage: http-burst http[s]://HOST[:PORT]/PATH [--seconds N] [--requests N]";

/// What is asked for, and how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    pub(crate) https: bool,
    pub(crate) authority: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) time: Duration,
    /// At most so many.
    pub(crate) requests: u64,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, String> {
        let (url, mut rest) = arguments.split_first().ok_or("which URL?")?;
        let (scheme, after) = url.split_once("://").ok_or("that is no URL")?;
        let https = match scheme {
            "http" => false,
            "https" => true,
            other => return Err(format!("{other} is neither http nor https")),
        };
        let at = after.find('/').unwrap_or(after.len());
        let (authority, path) = after.split_at(at);
        if authority.is_empty() {
            return Err("the URL has no host".into());
        }
        let mut options = Self {
            https,
            authority: authority.to_owned(),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            time: Duration::from_secs(3_600),
            requests: u64::MAX,
        };
        let mut bounded = false;
        while let [name, value, more @ ..] = rest {
            let number = value.parse::<u32>().ok().filter(|number| *number > 0);
            let number = number.ok_or_else(|| format!("{name} {value}: a number above 0"))?;
            match name.as_str() {
                "--seconds" => options.time = Duration::from_secs(number.into()),
                "--requests" => options.requests = number.into(),
                _ => return Err(format!("{name} is not known")),
            }
            bounded = true;
            rest = more;
        }
        match rest {
            [] if bounded => Ok(options),
            [] => Err("how long? --seconds or --requests".into()),
            [name, ..] => Err(format!("{name} needs a value")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Options, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&arguments)
    }

    #[test]
    fn a_url_and_bounds_are_read() {
        let options = of("https://a.example:8443/x?y --requests 3 --seconds 5").expect("good");
        assert!(options.https);
        assert_eq!(options.authority, "a.example:8443");
        assert_eq!(options.path, "/x?y");
        assert_eq!(options.requests, 3);
        assert_eq!(options.time, Duration::from_secs(5));
        assert_eq!(of("http://a --requests 1").expect("good").path, "/");
    }

    #[test]
    fn reject_what_has_no_host_no_end_or_no_sense() {
        for line in [
            "",
            "a.example/",
            "ftp://a/ --requests 1",
            "http:///x --requests 1",
            "http://a/",
            "http://a/ --requests",
            "http://a/ --requests 0",
            "http://a/ --for 3",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}

//! What a manifest says beside capabilities, written as a file would have it: a learnt manifest keeps it.

use core::fmt::Write as _;

use crate::limits::KEYS;
use crate::manifest::Manifest;

impl Manifest {
    /// Its `[wasi]` and `[limits]`, in the form they are read in; empty if it has none.
    pub fn rest(&self) -> String {
        let mut out = String::new();
        self.write_wasi(&mut out);
        self.write_limits(&mut out);
        out
    }

    // Writing to a String cannot fail.
    fn write_wasi(&self, out: &mut String) {
        if self.directories().is_empty() && self.variables().is_empty() {
            return;
        }
        out.push_str("[wasi]\n");
        if !self.directories().is_empty() {
            out.push_str("dirs = [\n");
            for directory in self.directories() {
                let _ = writeln!(
                    out,
                    "  {{ host = {}, guest = {}, mode = \"{}\" }},",
                    quoted(&directory.host),
                    quoted(&directory.guest),
                    directory.mode.as_str()
                );
            }
            out.push_str("]\n");
        }
        if !self.variables().is_empty() {
            let variables = self.variables().iter();
            let variables: Vec<_> = variables
                .map(|(name, value)| format!("{name} = {}", quoted(value)))
                .collect();
            let _ = writeln!(out, "env = {{ {} }}", variables.join(", "));
        }
    }

    fn write_limits(&self, out: &mut String) {
        let limits = self.limits();
        let lines = KEYS.into_iter().filter_map(|key| {
            let value = (key.asked)(limits)?;
            Some((key.name, key.write(value)))
        });
        let mut lines = lines.peekable();
        if lines.peek().is_some() {
            out.push_str(if out.is_empty() {
                "[limits]\n"
            } else {
                "\n[limits]\n"
            });
        }
        for (key, value) in lines {
            let _ = writeln!(out, "{key} = {value}");
        }
    }
}

/// A basic string of TOML 1.0.0: quotation marks, backslashes and control characters are escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is written is read back as what it was. Method: every key there is, with values a careless
    /// writer would break on.
    #[test]
    fn what_is_written_is_read_back() {
        let app = "[app]\nid = \"a\"\n";
        for rest in [
            "[wasi]\ndirs = [{ host = \"./da\\\"ta\", guest = \"/d\\\\x\", mode = \"rw\" }, { host = \".\", guest = \"/e\", mode = \"ro\" }]\nenv = { A = \"a\\n\\t\\u007f\\\"\\\\ü\", B = \"\" }\n[limits]\nmemory = \"65MiB\"\nsockets = 7\nhandles = 9\nbytes-in-flight = \"1025B\"\ntimeout = \"90s\"\nrequest-body = \"3MiB\"\nresponse-body = \"1B\"\nrequest-timeout = \"2h\"\n",
            "[limits]\ntimeout = \"1500ms\"\n",
            "[wasi]\nenv = { A = \"b\" }\n",
            "",
        ] {
            let read = |rest: &str| Manifest::parse(&format!("{app}{rest}"), "m").expect("parses");
            let manifest = read(rest);
            let written = manifest.rest();
            assert_eq!(read(&written), manifest, "{written}");
            assert_eq!(written.is_empty(), rest.is_empty());
        }
    }
}

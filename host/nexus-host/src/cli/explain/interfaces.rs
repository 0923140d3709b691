//! The functions that a capability grants, read off the WIT files the host is built from.

use serde::Serialize;

/// The WIT of every interface this build has; a test finds what is missing.
const SOURCES: [(&str, &str); 5] = [
    (
        "nexus:net/tcp-connect",
        include_str!("../../../../../wit/nexus-net/tcp-connect.wit"),
    ),
    (
        "nexus:net/tcp-listen",
        include_str!("../../../../../wit/nexus-net/tcp-listen.wit"),
    ),
    (
        "nexus:net/udp-send",
        include_str!("../../../../../wit/nexus-net/udp-send.wit"),
    ),
    (
        "nexus:net/udp-bind",
        include_str!("../../../../../wit/nexus-net/udp-bind.wit"),
    ),
    (
        "nexus:net/http",
        include_str!("../../../../../wit/nexus-net/http.wit"),
    ),
];

/// One interface.
pub(super) struct Interface {
    pub(super) functions: Vec<Function>,
}

/// One function of it.
#[derive(PartialEq, Eq, Debug, Serialize)]
pub(super) struct Function {
    /// `connect: async func(to: destination, port: u16) -> result<tcp-connection, error>`
    pub(super) signature: String,
    /// Its doc comment.
    pub(super) says: String,
}

impl Interface {
    pub(super) fn text(&self, indent: &str) -> String {
        let lines = self.functions.iter().map(|function| {
            let says = function.says.replace('\n', &format!("\n{indent}  "));
            format!("{indent}{}\n{indent}  {says}", function.signature)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The interface of that name.
pub(super) fn of(name: &str) -> Option<Interface> {
    let (_, source) = SOURCES.into_iter().find(|(known, _)| *known == name)?;
    Some(Interface {
        functions: functions(source),
    })
}

/// The functions of a WIT file of ours: doc comments, then `name: [async] func(...)` up to a semicolon.
fn functions(source: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut says: Vec<&str> = Vec::new();
    let mut signature = String::new();
    for line in source.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            says.push(doc.trim());
            continue;
        }
        let begins = line.contains(": func(") || line.contains(": async func(");
        if begins || !signature.is_empty() {
            if !signature.is_empty() && !signature.ends_with('(') {
                signature.push(' ');
            }
            signature.push_str(line.trim_end_matches(';'));
            if !line.ends_with(';') {
                continue;
            }
            functions.push(Function {
                signature: std::mem::take(&mut signature),
                says: says.join("\n"),
            });
        }
        says.clear();
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_over_several_lines_is_read_whole() {
        let source = "interface a {\n  /// Old.\n  use b.{c};\n  /// Says\n  /// this.\n  go: async func(\n    to: u8,\n  ) -> u8;\n}";
        assert_eq!(
            functions(source),
            [Function {
                signature: "go: async func(to: u8, ) -> u8".into(),
                says: "Says\nthis.".into()
            }]
        );
    }
}

//! What a component wants, read off its type: no guest instruction has run, nothing is linked.

use std::fmt;

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// One import of a component.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// As the component writes it: `wasi:io/streams@0.2.6`.
    pub name: String,
    /// What of it the component uses, sorted. A component lists only what it uses.
    pub functions: Vec<String>,
    /// The resource types it names.
    pub resources: Vec<String>,
    /// Whether it is an interface; a bare function, module or component is nothing we provide.
    pub interface: bool,
}

impl Import {
    /// The interface without its version: `wasi:io/streams`.
    pub fn unversioned(&self) -> &str {
        split(&self.name).0
    }

    /// The versions that can stand for each other: `0.2` for `0.2.6`, `1` for `1.4.0`.
    pub fn track(&self) -> Option<String> {
        split(&self.name).1.and_then(track)
    }
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once('@') {
        Some((interface, version)) => (interface, Some(version)),
        None => (name, None),
    }
}

/// Interface and track of an import of this package of WASI's.
pub fn wasi<'a>(name: &'a str, package: &str) -> Option<(&'a str, String)> {
    let (path, version) = split(name);
    let interface = path
        .strip_prefix("wasi:")?
        .strip_prefix(package)?
        .strip_prefix('/')?;
    Some((interface, version.and_then(track)?))
}

/// As wasmtime matches versions: a pre-release only itself, `0.x` by `x`, else by the major number.
fn track(version: &str) -> Option<String> {
    if version.contains('-') {
        return None;
    }
    let mut parts = version.split('.');
    let major: u32 = parts.next()?.parse().ok()?;
    let minor: u32 = parts.next()?.parse().ok()?;
    match (major, minor) {
        (0, 0) => None,
        (0, minor) => Some(format!("0.{minor}")),
        (major, _) => Some(major.to_string()),
    }
}

/// Every import, in the component's order.
pub fn of_component(engine: &Engine, component: &Component) -> Vec<Import> {
    let ty = component.component_type();
    ty.imports(engine)
        .map(|(name, item)| {
            let mut functions = Vec::new();
            let mut resources = Vec::new();
            let interface = match &item.ty {
                ComponentItem::ComponentInstance(instance) => {
                    for (name, item) in instance.exports(engine) {
                        match item.ty {
                            ComponentItem::ComponentFunc(_) => functions.push(name.to_owned()),
                            ComponentItem::Resource(_) => resources.push(name.to_owned()),
                            _ => {}
                        }
                    }
                    true
                }
                _ => false,
            };
            functions.sort();
            resources.sort();
            Import {
                name: name.to_owned(),
                functions,
                resources,
                interface,
            }
        })
        .collect()
}

/// The names of what a component exports.
pub fn exports(engine: &Engine, component: &Component) -> Vec<String> {
    component
        .component_type()
        .exports(engine)
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_for_each_other_as_semver_says() {
        for (version, expected) in [
            ("0.2.6", Some("0.2")),
            ("0.2.12", Some("0.2")),
            ("0.3.0", Some("0.3")),
            ("1.4.0", Some("1")),
            ("0.3.0-rc-2026-01-01", None),
            ("0.0.1", None),
            ("x", None),
        ] {
            assert_eq!(track(version).as_deref(), expected, "{version}");
        }
    }

    #[test]
    fn imports_are_listed_with_what_is_used_of_them() {
        let engine = Engine::default();
        let bytes = wat::parse_str(
            r#"(component
                (import "a:b/c@0.1.0" (instance
                    (export "r" (type (sub resource)))
                    (export "g" (func))
                    (export "f" (func (param "x" u32)))))
                (import "bare" (func)))"#,
        )
        .expect("wat");
        let component = Component::new(&engine, bytes).expect("compiles");
        let imports = of_component(&engine, &component);
        assert_eq!(imports.len(), 2);
        assert_eq!(imports[0].unversioned(), "a:b/c");
        assert_eq!(imports[0].track().as_deref(), Some("0.1"));
        assert_eq!(imports[0].functions, ["f", "g"]);
        assert_eq!(imports[0].resources, ["r"]);
        assert!(!imports[1].interface);
    }
}

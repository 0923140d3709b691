//! From what cargo leaves to a component with its manifest inside.

use anyhow::Result;
use wit_component::ComponentEncoder;

/// The custom section that holds the text of `nexus.toml`; `nexus-host pack` writes the same.
pub(crate) const MANIFEST_SECTION: &str = "nexus:manifest";

const MAGIC: &[u8] = b"\0asm";
/// Version and layer, after the magic: a core module, a component.
const MODULE: &[u8] = &[1, 0, 0, 0];
const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];

/// A component as it is; a core module (wasm32-unknown-unknown) made into one, by the component
/// types that wit-bindgen left in its custom sections.
pub(crate) fn component(bytes: Vec<u8>) -> Result<Vec<u8>> {
    match bytes.strip_prefix(MAGIC) {
        Some(rest) if rest.starts_with(COMPONENT) => Ok(bytes),
        Some(rest) if rest.starts_with(MODULE) => ComponentEncoder::default()
            .validate(true)
            .module(&bytes)?
            .encode(),
        _ => anyhow::bail!("it is not WebAssembly"),
    }
}

/// A core module that calls WASI 0.1 made into a component: `adapter`, a module named `name`, calls 0.2 for it.
pub(crate) fn component_with_adapter(module: &[u8], name: &str, adapter: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)?
        .adapter(name, adapter)?
        .encode()
}

/// Appends a custom section: id 0, size, length of the name, name, bytes.
pub(crate) fn append_section(component: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let mut content = leb128(name.len());
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(bytes);
    component.push(0);
    component.extend(leb128(content.len()));
    component.extend(content);
}

/// Unsigned LEB128, as in the core specification, section 5.2.2.
fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_appended_byte_for_byte() {
        let mut component = vec![0xff];
        append_section(&mut component, "ab", &[7, 8, 9]);
        assert_eq!(component, [0xff, 0, 6, 2, b'a', b'b', 7, 8, 9]);
        let mut long = Vec::new();
        append_section(&mut long, "x", &[0; 200]);
        // 202 = 0b1_1001010
        assert_eq!(long[..5], [0, 0xca, 0x01, 1, b'x']);
        assert_eq!(long.len(), 205);
    }

    #[test]
    fn a_core_module_becomes_a_component() {
        // The empty module: no imports, no exports.
        let module = [MAGIC, MODULE].concat();
        let made = component(module).expect("encodes");
        assert!(made.starts_with(&[MAGIC, COMPONENT].concat()));
        assert_eq!(component(made.clone()).expect("as it is"), made);
    }

    #[test]
    fn reject_what_is_not_wasm() {
        for bytes in [
            &b""[..],
            b"\0as",
            b"\0asm",
            b"\x7fELF....",
            b"\0asm\x02\0\0\0",
        ] {
            assert!(component(bytes.to_vec()).is_err(), "{bytes:?}");
        }
    }
}

//! The smallest app: prints a greeting and its arguments.
//!
//! An ordinary program with `fn main`: it asks for nothing and needs no SDK.

/// What is printed: a line of greeting, and a line for each argument.
pub fn greeting(args: &[String]) -> String {
    let mut text = String::from("Hello from a WebAssembly component!\n");
    for (index, arg) in args.iter().enumerate() {
        text.push_str(&format!("argument {}: {arg}\n", index + 1));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_greets_and_lists_the_arguments() {
        assert_eq!(greeting(&[]), "Hello from a WebAssembly component!\n");
        assert_eq!(
            greeting(&["a".into(), "b c".into()]),
            "Hello from a WebAssembly component!\nargument 1: a\nargument 2: b c\n"
        );
    }
}

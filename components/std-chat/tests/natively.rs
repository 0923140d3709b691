//! Both programs as they are, on this machine's own sockets.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A program that ends with the test, and the lines it prints.
struct Run {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Run {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("it is text");
        line.trim_end().to_owned()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn room() -> (Run, String) {
    let mut server = Run::start(env!("CARGO_BIN_EXE_std-chat-server"), &["127.0.0.1:0"]);
    let line = server.line();
    let address = line.strip_prefix("listening on ").expect("it listens");
    (server, address.to_owned())
}

fn member(arguments: &[&str]) -> Run {
    Run::start(env!("CARGO_BIN_EXE_std-chat-client"), arguments)
}

/// Goal: members hear each other, and the programs end well. Method: one listens while another comes, says two
/// lines and goes.
#[test]
fn members_of_a_room_hear_each_other() {
    let (_server, address) = room();
    let mut ada = member(&["--take", "5", &address, "ada"]);
    assert_eq!(ada.line(), "* here: ada");
    let mut bob = member(&["--take", "1", &address, "bob", "hello", "bye"]);
    assert_eq!(bob.line(), "* here: ada, bob");
    assert!(bob.child.wait().expect("it ends").success());
    for line in ["* bob is here", "bob: hello", "bob: bye", "* bob left"] {
        assert_eq!(ada.line(), line);
    }
    assert!(ada.child.wait().expect("it ends").success());
}

/// Goal: who is thrown out is told why. Method: a name that is taken.
#[test]
fn reject_a_name_that_is_taken() {
    let (_server, address) = room();
    let mut ada = member(&[&address, "ada"]);
    assert_eq!(ada.line(), "* here: ada");
    let mut other = member(&[&address, "ada"]);
    assert_eq!(other.line(), "* a name must be short, and nobody else's");
    assert!(other.child.wait().expect("it ends").success());
}

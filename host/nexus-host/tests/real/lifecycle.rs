//! Interfaces that go and come.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::channel;
use std::thread;

use nexus_testbed::{Network, PATIENCE};

use crate::guests::component;
use crate::live::Live;
use crate::peer::{MIB, V4, connect, echo, echo_on};
use crate::run::{Run, file};

/// Goal: an interface that goes, in whichever way, is said once and ends no app. Method: down, up,
/// then deleted while the app listens.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_that_vanishes_is_said() {
    let network = Network::tap(1500);
    let mut app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
    network.near().run("ip link set nx0 down");
    app.says("the interface is down");
    network.near().run("ip link set nx0 up");
    app.says("the interface is up");
    echo(V4, MIB);
    network.near().run("ip link del nx0");
    app.says("the interface nx0 is gone");
    assert!(app.runs());
    app.end();
}

/// Goal: an interface that vanishes in the middle of much traffic takes nobody else along. Method: two
/// nodes of one host on an interface each; bytes without end on the one, which is deleted; a client of the
/// other is answered all the time.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_that_vanishes_under_load_disturbs_no_other() {
    let network = Network::tap(1500);
    network.near().run("ip tuntap add dev nx5 mode tap");
    network.near().run("ip addr add 10.78.0.1/24 dev nx5");
    network.near().run("ip link set nx5 up");
    let echo = component("tcp-echo").display().to_string();
    let node = |name: &str, interface: &str, address: &str| {
        format!(
            "[[node]]\nname = \"{name}\"\nnet = \"tap:{interface}\"\naddresses = [\"{address}\"]\n\
             [[node.app]]\ncomponent = {echo:?}\nargs = [\"0.0.0.0:7777\"]\n"
        )
    };
    let world = file(&(node("one", "nx0", "10.77.0.2/24") + &node("two", "nx5", "10.78.0.2/24")));
    let world = world.path().display().to_string();
    let listen = "network.tcp.listen=any:7777";
    let mut app = Run::of(&["up", &world, "--allow-manifest", "--allow", listen]);
    let live = Live::begin(network.near(), "10.78.0.2:7777");

    let mut stream = connect(V4);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    // It ends when the stream is shut down below.
    let writing = thread::spawn(move || while writer.write_all(&[7; 64 << 10]).is_ok() {});
    let (much, flows) = channel();
    let reading = thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        for part in 0.. {
            if stream.read_exact(&mut buffer).is_err() {
                return;
            }
            if part == 100 {
                much.send(stream.try_clone().unwrap()).unwrap();
            }
        }
    });
    let stream = flows.recv_timeout(PATIENCE).expect("bytes flow");
    live.goes_on(100, "much traffic on the other");
    network.near().run("ip link del nx0");
    app.says("the interface nx0 is gone");
    live.goes_on(100, "the other is gone");
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    writing.join().unwrap();
    reading.join().unwrap();
    assert!(app.runs());
    drop(live);
    app.end();
}

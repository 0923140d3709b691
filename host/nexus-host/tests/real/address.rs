//! Addresses: from a DHCP server, from routers, and those that somebody has.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nexus_testbed::{Deadline, Network, PATIENCE};

use crate::peer::{MIB, V4, connect, echo, start_echo_at};
use crate::run::{Run, file};

/// An echo on nx0 with these addresses.
fn start(addresses: &str, to_echo: &str) -> Run {
    start_on("tap:nx0", addresses, to_echo)
}

fn start_on(net: &str, addresses: &str, to_echo: &str) -> Run {
    start_echo_at(net, addresses, &[], to_echo)
}

/// dnsmasq where the kernel is, which leases one address. It ends with the test, however that ends.
struct Server {
    child: Child,
    said: Receiver<String>,
    log: String,
}

impl Server {
    fn start(address: &str, more: &[&str]) -> Self {
        Self::start_on("nx0", &["dnsmasq"], address, more)
    }

    fn start_on(interface: &str, program: &[&str], address: &str, more: &[&str]) -> Self {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .args(program)
            .arg("--keep-in-foreground")
            .args(["--conf-file=/dev/null", "--no-resolv", "--no-hosts"])
            .args(["--port=0", "--bind-interfaces"])
            .arg(format!("--interface={interface}"))
            .args(["--user=root", "--pid-file=", "--leasefile-ro", "--no-ping"])
            .args(["--log-dhcp", "--dhcp-authoritative"])
            .arg("--log-facility=-")
            .arg(format!("--dhcp-range={address},{address},255.255.255.0,2m"))
            .args(["--dhcp-option=option:dns-server,10.77.0.53"])
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .expect("dnsmasq starts; it is in dnsmasq-base");
        let log = BufReader::new(child.stderr.take().expect("it is piped"));
        let (say, said) = channel();
        thread::spawn(move || {
            log.lines()
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        Self {
            child,
            said,
            log: String::new(),
        }
    }

    /// Waits until it has logged something so often, which may take the time to a renewal.
    fn logs(&mut self, what: &str, times: usize) {
        let deadline = Deadline::after(4 * PATIENCE);
        while self.log.matches(what).count() < times {
            let line = self.said.recv_timeout(deadline.left(what));
            let line = line.unwrap_or_else(|_| panic!("never logs `{what}`:\n{}", self.log));
            self.log.push_str(&line);
            self.log.push('\n');
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// There and back on a connection that is open.
fn says_back(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"still there?").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"still there?");
}

/// Goal: an app starts with what a real server gives, keeps it over a renewal, and goes on with another one when it is
/// taken back. Method: a renewal, after half a minute at the soonest; then a
/// server that knows nothing of the first one's leases.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_lives_on_addresses_from_dhcp() {
    let _network = Network::tap(1500);
    let soon = ["--dhcp-option=option:T1,35", "--dhcp-option=option:T2,60"];
    let mut server = Server::start("10.77.0.2", &soon);
    let mut app = start("dhcp,fd77::2/64", "0.0.0.0:7777");
    app.says("got 10.77.0.2/24 from DHCP; gateway 10.77.0.1, DNS 10.77.0.53");
    let mut app = app.prints("listening on");
    echo(V4, MIB);
    let mut stream = connect(V4);
    says_back(&mut stream);
    server.logs("DHCPACK(nx0)", 2);
    says_back(&mut stream);
    drop(server);
    let mut server = Server::start("10.77.0.9", &[]);
    server.logs("DHCPNAK(nx0)", 1);
    app.says("10.77.0.2/24 is lost: the DHCP server took it back");
    app.says("got 10.77.0.9/24 from DHCP");
    assert!(app.runs());
    echo("10.77.0.9:7777", MIB);
    app.end();
}

/// Goal: runs one after the other leave a small pool as they found it. Method: one address to lease, and runs that end
/// each in another way: by a signal, by themselves, before an app starts; each next one has the address, with a
/// hardware address of its own.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_pool_of_one_serves_run_after_run() {
    let _network = Network::tap(1500);
    let mut server = Server::start("10.77.0.2", &[]);
    let got = "got 10.77.0.2/24 from DHCP";
    let mut app = start("dhcp", "0.0.0.0:7777");
    app.says(got);
    let app = app.prints("listening on");
    echo(V4, MIB);
    app.end();
    let net = ["--net", "tap:nx0", "--address", "dhcp", "--allow-manifest"];
    let url = ["--", "http://10.77.0.1:8000/"];
    let (code, _, err) = Run::start("fetch", &[&net[..], &url].concat()).wait();
    assert!(code != 0 && err.contains(got), "{code}: {err}");
    let asks = file(
        "[app]\nid = \"org.nexus.fetch\"\nversion = \"0.1.0\"\nclass = \"app\"\n\
         [capabilities.\"network.tcp.connect\"]\nallow = [\"example.com:80\"]\n[limits]\nmemory = \"64MiB\"\n",
    );
    let asks = asks.path().display().to_string();
    let more = ["--manifest", &asks, "--max-memory", "32MiB"];
    let (code, _, err) = Run::start("fetch", &[&net[..], &more].concat()).wait();
    assert!(code != 0 && err.contains(got), "{code}: {err}");
    assert!(err.contains("--max-memory allows"), "{err}");
    let mut app = start("dhcp", "0.0.0.0:7777");
    app.says(got);
    let app = app.prints("listening on");
    echo(V4, MIB);
    server.logs("DHCPRELEASE(nx0) 10.77.0.2", 3);
    app.end();
}

/// An echo that has its address of the router's fd77::/64, and that address.
fn echo_at_the_routers(mut app: Run) -> (Run, String) {
    let mut said = app.says("SLAAC; ");
    loop {
        let Some((_, after)) = said.split_once("got fd77::") else {
            said += &app.says("SLAAC; ");
            continue;
        };
        let (rest, ways) = after.split_once("/64 from SLAAC; ").expect("a prefix");
        let ways = ways.lines().next().unwrap();
        assert!(ways.starts_with("gateway fe80::"), "{ways}");
        assert!(ways.contains("fd77::53"), "{ways}");
        return (app.prints("listening on"), format!("[fd77::{rest}]:7777"));
    }
}

const ROUTER: [&str; 3] = [
    "--enable-ra",
    "--dhcp-range=fd77::,ra-only,64,2m",
    "--dhcp-option=option6:dns-server,[fd77::53]",
];

/// Goal: an app starts with an address made of what a real router advertises, beside one from DHCP, and is reached at
/// it. Method: dnsmasq advertises the prefix of its interface, and is the DHCP server.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_lives_on_an_address_from_a_router() {
    let _network = Network::tap(1500);
    let _server = Server::start("10.77.0.2", &ROUTER);
    let (app, at) = echo_at_the_routers(start("dhcp,slaac", "[::]:7777"));
    echo(&at, MIB);
    app.end();
}

/// Goal: the same beside the kernel's stack, where checksums of what the far kernel sends are not made yet.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_a_packet_socket_lives_on_what_the_link_gives() {
    let network = Network::veth();
    let far = format!("--net=/proc/{}/ns/net", network.far().id());
    let program = ["nsenter", &far, "dnsmasq"];
    let _server = Server::start_on("nx1", &program, "10.77.0.2", &ROUTER);
    let app = start_on("packet:nx0", "dhcp,slaac", "[::]:7777");
    let (app, at) = echo_at_the_routers(app);
    network.far().spawn(move || echo(&at, MIB)).join().unwrap();
    app.end();
}

/// Goal: where no router advertises anything no app starts.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_a_link_without_a_router() {
    let _network = Network::tap(1500);
    let (code, out, err) = start("10.77.0.2/24,slaac", "0.0.0.0:7777").wait();
    assert_eq!((code, &*out), (1, ""), "{err}");
    assert!(
        err.contains("waiting for an address from SLAAC on tap:nx0"),
        "{err}"
    );
    assert!(
        err.contains("no router on tap:nx0 advertised a prefix"),
        "{err}"
    );
}

/// Goal: the gateway and the name server that a lease names are no app's to reach, other stations are.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_what_a_lease_names_as_infrastructure() {
    let network = Network::tap(1500);
    network.near().run("ip addr add 10.77.0.53/24 dev nx0");
    network.near().run("ip addr add 10.77.0.3/24 dev nx0");
    for (to, says) in [
        ("10.77.0.1", "denied"),
        ("10.77.0.53", "denied"),
        // Nobody listens there; but it was asked.
        ("10.77.0.3", "refused"),
    ] {
        let url = format!("http://{to}:8000/");
        let _server = Server::start("10.77.0.2", &[]);
        let run = Run::start(
            "fetch",
            &[
                "--net",
                "tap:nx0",
                "--address",
                "dhcp",
                "--allow",
                "network.tcp.connect=lan:8000",
                "--",
                &url,
            ],
        );
        let (code, _, err) = run.wait();
        assert_ne!(code, 0, "{to}");
        assert!(err.contains(says), "{to}: {err}");
    }
}

/// Goal: an address that another station has starts no app, and it is said whose it is. Method: the kernel's own,
/// of each family.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_an_address_that_another_station_has() {
    let network = Network::tap(1500);
    let link = network.near().run("ip -oneline link show nx0");
    let mac = link
        .split("link/ether ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let mac = mac.expect("its hardware address");
    for taken in ["10.77.0.1/24", "fd77::1/64"] {
        let both = format!("{taken},10.77.0.7/24");
        let (code, out, err) = start(&both, "0.0.0.0:7777").wait();
        assert_eq!((code, &*out), (1, ""), "{err}");
        let says = format!(
            "the address {taken} is in use on tap:nx0, by {}",
            mac.trim()
        );
        assert!(err.contains(&says), "{says}: {err}");
        assert!(err.contains("fix: give the node an address"), "{err}");
    }
}

/// Goal: where no server answers no app starts; it is said soon that it waits, and at the end why; a signal ends the
/// wait.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_a_link_without_a_server() {
    let _network = Network::tap(1500);
    let mut app = start("dhcp", "0.0.0.0:7777");
    app.says("waiting for an address from DHCP on tap:nx0");
    app.end();
    let (code, out, err) = start("dhcp", "0.0.0.0:7777").wait();
    assert_eq!((code, &*out), (1, ""), "{err}");
    assert!(
        err.contains("no DHCP server answered on tap:nx0 within 15 s"),
        "{err}"
    );
    assert!(err.contains("fix: see that a server answers"), "{err}");
}

/// Goal: an address in use that another station begins to use, too, is kept and told of. Method: the kernel takes
/// it and asks for somebody from it.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_address_that_another_station_takes_is_said() {
    let network = Network::tap(1500);
    let mut app = start("10.77.0.2/24", "0.0.0.0:7777").prints("listening on");
    echo(V4, MIB);
    network.near().run("ip addr add 10.77.0.2/24 dev nx0");
    let theirs = UdpSocket::bind("10.77.0.2:0").unwrap();
    theirs.send_to(b"x", "10.77.0.99:9").unwrap();
    app.says("uses 10.77.0.2, which is this node's");
    network.near().run("ip addr del 10.77.0.2/24 dev nx0");
    assert!(app.runs());
    echo(V4, MIB);
    app.end();
}

/// Goal: a world waits for the addresses of each of its nodes before any app starts.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_world_waits_for_its_addresses() {
    let network = Network::tap(1500);
    network.near().run("ip tuntap add dev nx1 mode tap");
    network.near().run("ip link set nx1 up");
    network.near().run("ip addr add 10.78.0.1/24 dev nx1");
    let _server = Server::start("10.77.0.2", &[]);
    let world = |of_second: &str| {
        let echo = crate::guests::component("tcp-echo");
        file(&format!(
            "[[node]]\nname = \"one\"\nnet = \"tap:nx0\"\naddresses = [\"dhcp\"]\n\
             [[node.app]]\ncomponent = {echo:?}\nargs = [\"0.0.0.0:7777\"]\n\
             [[node]]\nname = \"two\"\nnet = \"tap:nx1\"\naddresses = [\"{of_second}\"]\n\
             [[node.app]]\ncomponent = {echo:?}\nargs = [\"0.0.0.0:7777\"]\n"
        ))
    };
    let up = |world: &tempfile::NamedTempFile| {
        let world = world.path().display().to_string();
        let listen = "network.tcp.listen=any:7777";
        Run::of(&["up", &world, "--allow-manifest", "--allow", listen])
    };
    let sound = world("10.78.0.2/24");
    let mut running = up(&sound);
    running.says("got 10.77.0.2/24 from DHCP");
    echo(V4, MIB);
    echo("10.78.0.2:7777", MIB);
    running.end();
    let taken = world("10.78.0.1/24");
    let (code, out, err) = up(&taken).wait();
    assert_eq!((code, &*out), (1, ""), "{err}");
    let says = "node two: the address 10.78.0.1/24 is in use on tap:nx1";
    assert!(err.contains(says), "{err}");
}

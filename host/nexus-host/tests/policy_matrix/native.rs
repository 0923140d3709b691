//! Permits that the policy has overtaken before they were used, where no guest can come between: the node is asked
//! as its host call asks it.

use std::net::SocketAddr;
use std::task::{Poll, Waker};

use nexus_node::{Mesh, NetError, Node, NodeConfig, Quota};
use nexus_policy::parameter::url::Method;
use nexus_policy::{Act, AppIdentity, Capability, Consent, Manifest, Policy, Topology, WallTime};
use nexus_policy::{Request, RequestUrl};
use nexus_stack::Config;
use nexus_types::{ErrorCode, HostName, InstanceId, Instant, InterfaceAddress, Seed};

use crate::world::{DIGEST, digest};

/// Which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Native {
    Connect,
    Listen,
    UdpConnect,
    UdpOpen,
    UdpBind,
    TcpLookup,
    UdpLookup,
    RequestConnect,
    RequestLookup,
}

const APP: InstanceId = InstanceId(1);

const RULES: [(&str, &str); 5] = [
    (
        "network.tcp.connect",
        "api.example.com:443\", \"93.184.216.34:443",
    ),
    ("network.tcp.listen", "any:8080"),
    (
        "network.udp.send",
        "api.example.com:443\", \"93.184.216.34:443",
    ),
    ("network.udp.bind", "any:8080"),
    (
        "network.http.request",
        "http://api.example.com\", \"http://93.184.216.34",
    ),
];

fn set(node: &mut Node, now: Instant, verdict: &str) {
    let rules = RULES.iter().map(|(capability, to)| {
        format!(
            "[[rule]]\nid = \"{}\"\ncapability = \"{capability}\"\nverdict = \"{verdict}\"\nto = [\"{to}\"]\n",
            capability.replace('.', "-")
        )
    });
    let policy = Policy::parse(&rules.collect::<String>(), "policy.toml").expect("a policy");
    let gate = node.gate_mut();
    gate.set_policies(now, WallTime(0), Policy::none(), policy);
}

/// What was not as it must be.
pub(crate) fn problems(what: Native) -> Vec<String> {
    let now = Instant::from_secs(1);
    let mut mesh = Mesh::new();
    let own = InterfaceAddress::new([10, 0, 0, 1].into(), 24).expect("valid");
    let mut stack = Config::new(1_500, vec![own]);
    // Known without asking, so that the answer is there when the policy has changed.
    let name = HostName::parse("api.example.com").expect("a name");
    stack.resolver.hosts = vec![(name.clone(), vec![[93, 184, 216, 34].into()])];
    let config = NodeConfig {
        stack,
        topology: Topology {
            own: vec![own],
            ..Topology::default()
        },
        seed: Seed::from_number(1),
    };
    let id = mesh.add_node(config, now).expect("a node");
    let node = mesh.node_mut(id);
    set(node, now, "allow");
    let asked = RULES
        .map(|(capability, to)| format!("[capabilities.\"{capability}\"]\nallow = [\"{to}\"]\n"));
    let text = format!("[app]\nid = \"m\"\nclass = \"system\"\n{}", asked.concat());
    let manifest = Manifest::parse(&text, "nexus.toml").expect("a manifest");
    let app = AppIdentity {
        id: "m".to_owned(),
        digest: digest(DIGEST),
        publisher: None,
    };
    let gate = node.gate_mut();
    let admitted = gate.admit(now, APP, app, manifest, Consent::default(), &[]);
    admitted.unwrap_or_else(|report| panic!("{}", report.text()));
    node.start(APP, Quota::default());

    let overtaken = act(node, now, what, &name);
    let mut problems = match overtaken {
        Err(error) if error.code == ErrorCode::Denied && error.reason == "revoked" => Vec::new(),
        other => vec![format!("{what:?}: {other:?}, not denied revoked")],
    };
    let denials = node.usage(APP).denials;
    if denials != 1 {
        problems.push(format!("{denials} refusals, not 1"));
    }
    mesh.step(now);
    let frames = mesh.node(id).stack().stats().frames_out;
    if frames != 0 {
        problems.push(format!("{frames} frames"));
    }
    problems
}

/// Asks, has the policy forbid it, and does it.
fn act(node: &mut Node, now: Instant, what: Native, name: &HostName) -> Result<(), NetError> {
    let remote = SocketAddr::from(([93, 184, 216, 34], 443));
    let local = SocketAddr::from(([0, 0, 0, 0], 8080));
    let via = match what {
        Native::UdpLookup => Capability::NetworkUdpSend,
        Native::RequestLookup => Capability::NetworkHttpRequest,
        _ => Capability::NetworkTcpConnect,
    };
    let url = RequestUrl::new("http", "93.184.216.34", None, "/v1/a").expect("a URL");
    let request = Request {
        method: Some(Method::Get),
        url: &url,
        redirected: false,
    };
    let web = SocketAddr::from(([93, 184, 216, 34], 80));
    let act = match what {
        Native::RequestConnect => Act::RequestConnect {
            request,
            remote: web,
        },
        Native::Connect => Act::Connect { remote, name: None },
        Native::Listen => Act::Listen { local },
        Native::UdpConnect => Act::UdpSend { remote, name: None },
        Native::UdpOpen => Act::UdpOpen,
        Native::UdpBind => Act::UdpBind { local },
        Native::TcpLookup | Native::UdpLookup | Native::RequestLookup => Act::Resolve { name, via },
    };
    let permit = node.permit(now, APP, &act).expect("allowed");
    if let Native::TcpLookup | Native::UdpLookup | Native::RequestLookup = what {
        let lookup = node.resolve(now, permit, name)?;
        set(node, now, "forbid");
        return match node.poll_lookup(now, &lookup, Waker::noop()) {
            Poll::Ready(answer) => answer.map(drop),
            Poll::Pending => panic!("it is known without asking"),
        };
    }
    set(node, now, "forbid");
    match what {
        Native::Connect | Native::RequestConnect => node.tcp_connect(now, permit).map(drop),
        Native::Listen => node.tcp_listen(now, permit, None).map(drop),
        Native::UdpConnect => node.udp_connect(now, permit).map(drop),
        Native::UdpOpen => node.udp_open(now, permit, true).map(drop),
        _ => node.udp_bind(now, permit).map(drop),
    }
}

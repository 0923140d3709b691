//! Connections of requests on the wire: what two apps do not share, and what ends with a request. The host's client as
//! the interfaces call it, with no guest in between.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use nexus_caps::{HttpCtx, NetCtx, NodeNetwork, Shard, Trust};
use nexus_node::{Mesh, Quota};
use nexus_policy::{AppIdentity, Consent, Manifest, Topology};
use nexus_services::http::{Limits, Request, RequestBody, Response, WallClock};
use nexus_types::{Duration, InstanceId, Instant, NodeId, Seed};

use crate::world::{self, Peer, THEIRS, Virtual, Woken, digest};

const ORIGIN: &str = "http://93.184.216.34";

/// A day when nobody asks for TLS.
struct NoDay;

impl WallClock for NoDay {
    fn unix_time(&self) -> Option<Duration> {
        None
    }
}

/// Two apps on one node, and a server across the wire.
struct Stand {
    shard: Shard,
    time: Arc<AtomicU64>,
    peer: Peer,
    apps: [HttpCtx; 2],
}

fn admit(mesh: &mut Mesh, node: NodeId, now: Instant, instance: InstanceId) {
    let text = format!(
        "[app]\nid = \"test.web\"\n[capabilities.\"network.http.request\"]\nallow = [\"{ORIGIN}\"]\n"
    );
    let manifest = Manifest::parse(&text, "nexus.toml").expect("a manifest");
    let consent = Consent {
        allow_manifest: true,
        ..Consent::default()
    };
    // The same app twice: what is not shared is an instance's.
    let app = AppIdentity {
        id: "test.web".to_owned(),
        digest: digest(2),
        publisher: None,
    };
    let node = mesh.node_mut(node);
    let admitted = node
        .gate_mut()
        .admit(now, instance, app, manifest, consent, &[]);
    admitted.unwrap_or_else(|report| panic!("{}", report.text()));
    node.start(instance, Quota::default());
}

impl Stand {
    fn new() -> Self {
        let start = Instant::from_secs(1);
        let time = Arc::new(AtomicU64::new(start.as_nanos()));
        let mut mesh = Mesh::new();
        let segment = mesh.add_segment();
        let ours = world::add(&mut mesh, &["10.0.0.1/24"], Topology::default(), start);
        let theirs = world::add(&mut mesh, &THEIRS, Topology::default(), start);
        for node in [ours, theirs] {
            mesh.attach_segment(node, segment).expect("attached");
        }
        let peer = Peer::new(&mut mesh, theirs, start, Default::default());
        let instances = [InstanceId(1), InstanceId(2)];
        for instance in instances {
            admit(&mut mesh, ours, start, instance);
        }
        let shard = Shard::new(mesh, Box::new(Virtual(time.clone())));
        let apps = instances.map(|instance| {
            let net = NetCtx {
                shard: shard.clone(),
                node: ours,
                instance,
            };
            let trust = Trust::new(Arc::new(NoDay), Vec::new());
            HttpCtx::new(net, Seed::from_number(1), trust, Limits::default())
        });
        Self {
            shard,
            time,
            peer,
            apps,
        }
    }

    /// Lets everything go on until `future` is ready.
    fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            let before = woken.0.load(Ordering::Relaxed);
            self.shard.now();
            if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
                return done;
            }
            for app in &self.apps {
                app.poll(&mut cx);
            }
            let busy = self.shard.enter(|mesh, now| self.peer.turn(mesh, now));
            if busy || woken.0.load(Ordering::Relaxed) != before {
                continue;
            }
            let due = self.shard.poll_timeout().expect("something is to come");
            let due = due.max(self.shard.now());
            self.time.store(due.as_nanos(), Ordering::Relaxed);
            self.shard.handle_timeout();
        }
    }

    /// Lets this much time go by.
    fn wait(&mut self, wait: Duration) {
        let until = self.shard.now() + wait;
        let sleep = self.shard.sleep_until(until);
        self.run(sleep);
    }

    fn ask(&mut self, app: usize, request: Request) -> Response<NodeNetwork> {
        let asked = self.apps[app].request(request);
        self.run(asked).expect("a response")
    }

    /// Asks, and reads the whole of it.
    fn fetch(&mut self, app: usize, request: Request) -> Bytes {
        let response = self.ask(app, request);
        let body = self.run(response.body.collect());
        body.expect("a whole body").to_bytes()
    }
}

fn get(path: &str) -> Request {
    Request::new("GET", format!("{ORIGIN}{path}"))
}

/// Goal: no connection serves two instances, not even of one app, and one that ends takes its own along. Method: the
/// same URL in turn; the connections that the server sees.
#[test]
fn apps_share_no_connection() {
    let mut stand = Stand::new();
    for (app, accepted) in [(0, 1), (1, 2), (0, 2), (1, 2)] {
        assert_eq!(stand.fetch(app, get("/v1/a")), "hello");
        assert_eq!(stand.peer.web.accepted, accepted, "after app {app}");
    }
    stand.apps[0].end();
    stand.wait(Duration::from_millis(100));
    assert_eq!(stand.peer.web.open(), 1);
    assert_eq!(stand.fetch(1, get("/v1/a")), "hello");
    assert_eq!(stand.peer.web.accepted, 2);
}

/// Goal: who drops a response before its end gives up its connection; who reads it leaves it for the next, for a while.
/// Method: half a body; a whole one, at once and 16 s later.
#[test]
fn a_response_that_is_dropped_closes_its_connection() {
    let mut stand = Stand::new();
    let response = stand.ask(0, get("/v1/half"));
    stand.wait(Duration::from_millis(100));
    assert_eq!(stand.peer.web.open(), 1);
    drop(response);
    stand.wait(Duration::from_millis(100));
    assert_eq!(stand.peer.web.open(), 0);
    stand.fetch(0, get("/v1/a"));
    stand.wait(Duration::from_millis(100));
    assert_eq!(stand.peer.web.open(), 1);
    stand.wait(Duration::from_secs(16));
    assert_eq!(stand.peer.web.open(), 0);
}

/// Goal: who gives a request up closes its connection. Method: the future is dropped while the server is silent.
#[test]
fn a_request_that_is_dropped_closes_its_connection() {
    let mut stand = Stand::new();
    let mut asked = Box::pin(stand.apps[0].request(get("/v1/silent")));
    let until = stand.shard.now() + Duration::from_secs(1);
    let sleep = stand.shard.sleep_until(until);
    let asking = futures::future::select(&mut asked, sleep);
    assert!(matches!(
        stand.run(asking),
        futures::future::Either::Right(_)
    ));
    assert_eq!(stand.peer.web.open(), 1);
    drop(asked);
    stand.wait(Duration::from_millis(100));
    assert_eq!(stand.peer.web.open(), 0);
}

/// Goal: a body that is made meanwhile arrives whole. Method: a quarter of a megabyte, more than the windows hold; with a
/// length and without.
#[test]
fn a_body_is_streamed() {
    const PIECES: usize = 64;
    const PIECE: usize = 4 << 10;
    for length in [Some((PIECES * PIECE) as u64), None] {
        let mut stand = Stand::new();
        let piece = || Ok(Frame::data(Bytes::from_static(&[b'x'; PIECE])));
        let pieces = (0..PIECES).map(move |_| piece());
        let body = StreamBody::new(futures::stream::iter(pieces));
        let mut request = get("/v1/upload");
        request.method = "POST".to_owned();
        request.body = RequestBody::Stream(Box::pin(body), length);
        assert_eq!(stand.fetch(0, request), "hello");
        let heard = &stand.peer.web.heard;
        let [heard] = &heard[..] else {
            panic!("{} requests", heard.len());
        };
        assert_eq!(heard.path, "/v1/upload");
        assert_eq!(heard.body.matches('x').count(), PIECES * PIECE);
    }
}

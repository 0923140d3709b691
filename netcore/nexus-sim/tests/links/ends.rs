//! An app that ends while its bytes are on their way.

use nexus_sim::{Ppm, Tables};

use super::talk::{Script, Talk};
use super::*;

/// Goal: an app that ends leaves nothing behind and loses nothing. Method: what it has written, as much as its buffer
/// holds, has yet to leave when it ends; on a lossy link the far end reads all of it and then the end, and when that
/// is done the node's tables are empty.
#[test]
fn an_app_that_ends_leaves_nothing_behind_and_loses_nothing() {
    static SAID: [u8; 60_000] = {
        let mut said = [0; 60_000];
        let mut at = 0;
        while at < said.len() {
            said[at] = (at % 251) as u8;
            at += 1;
        }
        said
    };
    let conditions = Conditions {
        loss: Ppm::per_mille(20),
        reorder: Ppm::per_mille(100),
        reorder_by: Duration::from_millis(10),
        ..Conditions::PLAIN
    };
    let at = Instant::from_secs(10);
    let script = Script {
        says: Some((at, &SAID)),
        ..Script::default()
    };
    for seed in 0..100 {
        let mut talk = Talk::new(seed, conditions, script);
        talk.run_until(10);
        assert!(talk.server.read.borrow().is_empty());
        let (client, now) = talk.pair.world.machine_mut(CLIENT).expect("it runs");
        assert_eq!(client.node().stack().undelivered(), 0, "it is open yet");
        client.end_apps(now);
        assert_eq!(client.node().stack().undelivered(), 1);
        talk.run_until(70);
        let (_, how) = talk.server.ended.get().expect("it has read the end");
        assert_eq!(how, Ok(()), "seed {seed}");
        assert!(*talk.server.read.borrow() == SAID, "seed {seed}");
        talk.pair.come_to_rest();
        assert_eq!(talk.pair.wrong(), None, "seed {seed}");
        let client = talk.pair.world.machine(CLIENT).expect("it runs");
        assert_eq!(client.vitals().tables, Tables::default());
    }
}

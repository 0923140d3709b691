//! Goal: an artifact that this host did not write is never loaded. Method: change one thing at
//! a time about a good entry, and see it compiled again with a warning.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

struct World {
    state: tempfile::TempDir,
    engine: Engine,
    bytes: Vec<u8>,
    digest: AppDigest,
}

impl World {
    fn new() -> Self {
        let bytes = wat::parse_str("(component (core module (func)))").expect("wat");
        let world = Self {
            state: tempfile::tempdir().expect("folder"),
            engine: Engine::default(),
            digest: AppDigest(Sha256::digest(&bytes).into()),
            bytes,
        };
        fs::set_permissions(world.state.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
        world
    }

    fn load(&self) -> (Origin, Vec<String>) {
        let mut cache = CodeCache::open(self.state.path());
        let (_, origin) = cache
            .component(&self.engine, self.digest, &self.bytes)
            .expect("a component");
        (origin, cache.take_warnings())
    }

    fn entry(&self) -> PathBuf {
        let place = Place::open(self.state.path()).expect("opens");
        place.path(&EntryKey::new(&self.engine, self.digest))
    }

    /// Whatever was done to the entry: not loaded, said, and whole again afterwards.
    fn assert_distrusted(&self, what: &str) {
        let (origin, warnings) = self.load();
        assert_eq!(origin, Origin::Compiled, "{what}");
        assert_eq!(warnings.len(), 1, "{what}: {warnings:?}");
        assert_eq!(self.load(), (Origin::Cached, Vec::new()), "{what}");
    }
}

#[test]
fn the_second_load_is_from_the_cache() {
    let world = World::new();
    assert_eq!(world.load(), (Origin::Compiled, Vec::new()));
    assert_eq!(world.load(), (Origin::Cached, Vec::new()));
}

#[test]
fn without_a_folder_everything_is_compiled() {
    let world = World::new();
    let mut cache = CodeCache::off();
    for _ in 0..2 {
        let (_, origin) = cache
            .component(&world.engine, world.digest, &world.bytes)
            .expect("a component");
        assert_eq!(origin, Origin::Compiled);
    }
}

#[test]
fn reject_a_changed_byte_anywhere() {
    let world = World::new();
    world.load();
    let entry = world.entry();
    let good = fs::read(&entry).expect("reads");
    for at in [0, MAC_BYTES - 1, MAC_BYTES, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&entry, bad).expect("writes");
        world.assert_distrusted(&format!("byte {at}"));
    }
}

#[test]
fn reject_a_cut_entry() {
    let world = World::new();
    world.load();
    let entry = world.entry();
    let good = fs::read(&entry).expect("reads");
    for length in [0, MAC_BYTES - 1, MAC_BYTES, good.len() - 1] {
        fs::write(&entry, &good[..length]).expect("writes");
        world.assert_distrusted(&format!("length {length}"));
    }
}

#[test]
fn reject_another_components_entry_under_this_name() {
    let world = World::new();
    world.load();
    let other = AppDigest([7; 32]);
    let mut cache = CodeCache::open(world.state.path());
    cache
        .component(&world.engine, other, &world.bytes)
        .expect("a component");
    let place = Place::open(world.state.path()).expect("opens");
    let theirs = place.path(&EntryKey::new(&world.engine, other));
    fs::copy(theirs, world.entry()).expect("copies");
    world.assert_distrusted("another's entry");
}

#[test]
fn reject_an_entry_under_another_key() {
    let world = World::new();
    world.load();
    fs::remove_file(world.state.path().join("code-cache.key")).expect("removes");
    world.assert_distrusted("another key");
}

#[test]
fn reject_a_link() {
    let world = World::new();
    world.load();
    let entry = world.entry();
    let aside = world.state.path().join("aside");
    fs::rename(&entry, &aside).expect("moves");
    symlink(&aside, &entry).expect("links");
    world.assert_distrusted("a link");
}

#[test]
fn reject_an_entry_others_can_write() {
    let world = World::new();
    world.load();
    let entry = world.entry();
    fs::set_permissions(&entry, fs::Permissions::from_mode(0o666)).expect("chmod");
    world.assert_distrusted("mode 666");
}

#[test]
fn reject_a_folder_open_to_others() {
    let world = World::new();
    fs::set_permissions(world.state.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let (origin, warnings) = world.load();
    assert_eq!(origin, Origin::Compiled);
    assert!(warnings[0].contains("chmod 700"), "{warnings:?}");
    assert_eq!(world.load().0, Origin::Compiled);
}

#[test]
fn reject_a_key_open_to_others() {
    let world = World::new();
    world.load();
    let key = world.state.path().join("code-cache.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("chmod");
    let (origin, warnings) = world.load();
    assert_eq!(origin, Origin::Compiled);
    assert_eq!(warnings.len(), 1);
}

#[test]
fn the_entries_longest_unused_make_room() {
    let world = World::new();
    let mut place = Place::open(world.state.path()).expect("opens");
    let component = Component::from_binary(&world.engine, &world.bytes).expect("compiles");
    let keys: Vec<_> = (0..4)
        .map(|n| EntryKey::new(&world.engine, AppDigest([n; 32])))
        .collect();
    for (age, key) in [40, 30, 20].into_iter().zip(&keys) {
        place.store(&component, key).expect("stores");
        let file = File::options()
            .write(true)
            .open(place.path(key))
            .expect("opens");
        let then = SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_modified(then).expect("sets");
    }
    // At the limit all stay; the first is used, so the second is now the oldest.
    let one = fs::metadata(place.path(&keys[0])).expect("there").len();
    place.bytes_max = 3 * one;
    place.evict().expect("evicts");
    assert!(
        place
            .load(&world.engine, &keys[0])
            .expect("trusted")
            .is_some()
    );
    place.store(&component, &keys[3]).expect("stores");
    let there: Vec<_> = keys.iter().map(|key| place.path(key).exists()).collect();
    assert_eq!(there, [true, false, true, true]);
}

#[test]
fn entries_another_host_removed_first_count_as_removed() {
    let world = World::new();
    let mut place = Place::open(world.state.path()).expect("opens");
    let component = Component::from_binary(&world.engine, &world.bytes).expect("compiles");
    let keys: Vec<_> = (0..3)
        .map(|n| EntryKey::new(&world.engine, AppDigest([n; 32])))
        .collect();
    for (age, key) in [40, 30, 20].into_iter().zip(&keys) {
        place.store(&component, key).expect("stores");
        let file = File::options().write(true).open(place.path(key));
        let then = SystemTime::now() - std::time::Duration::from_secs(age);
        file.expect("opens").set_modified(then).expect("sets");
    }
    let entries = place.entries().expect("lists");
    place.bytes_max = 2 * entries[0].2;
    fs::remove_file(place.path(&keys[0])).expect("the other host's doing");
    place.remove_oldest(entries).expect("is no error");
    let there: Vec<_> = keys.iter().map(|key| place.path(key).exists()).collect();
    assert_eq!(there, [false, true, true]);
}

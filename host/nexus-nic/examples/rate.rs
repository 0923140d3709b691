//! Frames a second of both kinds of NIC, in network namespaces of its own. Needs root and iproute2:
//! `cargo run --release -p nexus-nic --example rate`.
//!
//! Sending: one thread, as fast as the kernel takes. Receiving: another thread sends by a packet
//! socket as fast as it can, so the figure is of the slower of the two; what is missed is shown.

use std::error::Error;
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nexus_nic::{Config, Mac, Nic, Offload, Sent};
use nexus_types::Seed;

const LONG: Duration = Duration::from_secs(2);

fn ip(arguments: &str) -> Result<(), Box<dyn Error>> {
    let status = Command::new("ip").args(arguments.split(' ')).status()?;
    status
        .success()
        .then_some(())
        .ok_or_else(|| format!("ip {arguments}").into())
}

fn nic(target: &str, seed: u64, offload: bool) -> Result<Nic, Box<dyn Error>> {
    Ok(Nic::open(&Config {
        target: target.parse()?,
        mac: Mac::from_seed(&Seed::from_number(seed)),
        offload,
        least_mtu: 576,
    })?)
}

/// A TCP segment of this much payload to a closed door: the kernel looks and throws it away.
fn frame(to: [u8; 6], from: Mac, payload: usize) -> Vec<u8> {
    let mut frame = [&to[..], &from.bytes(), &[8, 0]].concat();
    let [high, low] = ((40 + payload) as u16).to_be_bytes();
    frame.extend([
        0x45, 0, high, low, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 99, 0, 2, 10, 99, 0, 9,
    ]);
    frame.extend([
        0, 1, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0,
    ]);
    frame.resize(frame.len() + payload, 0x55);
    frame
}

fn report(what: &str, frames: u64, bytes: u64, took: Duration, note: &str) {
    let seconds = took.as_secs_f64();
    println!(
        "{what:44} {:9.0} frames/s {:7.2} Gbit/s {note}",
        frames as f64 / seconds,
        bytes as f64 * 8.0 / seconds / 1e9
    );
}

fn send(what: &str, nic: &mut Nic, frame: &[u8], offload: Offload) -> Result<(), Box<dyn Error>> {
    let (start, mut sent, mut lost) = (Instant::now(), 0, 0_u64);
    while start.elapsed() < LONG {
        for _ in 0..64 {
            match nic.send(frame, offload)? {
                Sent::Taken => sent += 1,
                Sent::Full | Sent::Dropped => lost += 1,
            }
        }
    }
    let note = format!("({lost} refused)");
    report(
        what,
        sent,
        sent * frame.len() as u64,
        start.elapsed(),
        &note,
    );
    Ok(())
}

fn receive(
    what: &str,
    nic: &mut Nic,
    from: Nic,
    size: usize,
    offload: Offload,
) -> Result<(), Box<dyn Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    let frame = frame(nic.mac().bytes(), from.mac(), size);
    let sender = thread::spawn({
        let (stop, mut from) = (Arc::clone(&stop), from);
        move || {
            let mut sent = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                sent += u64::from(matches!(from.send(&frame, offload), Ok(Sent::Taken)));
            }
            sent
        }
    });
    let before = nic.stats();
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < LONG {
        let _ = nic.receive(|inbound| bytes += inbound.frame.len() as u64)?;
    }
    let took = start.elapsed();
    let frames = nic.stats().received - before.received;
    stop.store(true, Ordering::Relaxed);
    let sent = sender.join().unwrap_or(0);
    let note = format!(
        "({sent} sent, {} missed)",
        nic.stats().missed - before.missed
    );
    report(what, frames, bytes, took, &note);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).is_none() {
        let name = format!("nexus-nic-rate-{}", std::process::id());
        ip(&format!("netns add {name}"))?;
        let program = std::env::current_exe()?;
        let status = Command::new("ip")
            .args(["netns", "exec", &name])
            .arg(program)
            .arg("inside")
            .status();
        ip(&format!("netns del {name}"))?;
        return status?
            .success()
            .then_some(())
            .ok_or_else(|| "it failed".into());
    }
    let mss = Offload::Segments(NonZeroU16::new(1_460).ok_or("0")?);
    for offload in [false, true] {
        let mut tap = nic("tap:nx0", 1, offload)?;
        ip("address replace 10.99.0.1/24 dev nx0")?;
        let kind = if offload { "tap, offload" } else { "tap" };
        let nobody = [2, 0, 0, 0, 0, 0xee];
        for (size, offload) in [
            (20, Offload::None),
            (1_460, Offload::None),
            (1_460, Offload::Checksum),
            (64_240, mss),
        ] {
            let frame = frame(nobody, tap.mac(), size);
            send(
                &format!("{kind}: send {size} {}", name(offload)),
                &mut tap,
                &frame,
                offload,
            )?;
        }
        for (size, left) in [(20, Offload::None), (1_460, Offload::None), (64_240, mss)] {
            let from = nic("packet:nx0", 2, true)?;
            receive(
                &format!("{kind}: receive {size} {}", name(left)),
                &mut tap,
                from,
                size,
                left,
            )?;
        }
    }
    ip("link add nx1 type veth peer name nx2")?;
    ip("link set nx1 up")?;
    ip("link set nx2 up")?;
    for offload in [false, true] {
        let kind = if offload { "packet, offload" } else { "packet" };
        let mut packet = nic("packet:nx1", 1, offload)?;
        if !offload {
            for (size, offload) in [
                (20, Offload::None),
                (1_460, Offload::None),
                (1_460, Offload::Checksum),
                (64_240, mss),
            ] {
                let frame = frame([2, 0, 0, 0, 0, 0xee], packet.mac(), size);
                send(
                    &format!("{kind}: send {size} {}", name(offload)),
                    &mut packet,
                    &frame,
                    offload,
                )?;
            }
        }
        for (size, left) in [(20, Offload::None), (1_460, Offload::None), (64_240, mss)] {
            let from = nic("packet:nx2", 2, true)?;
            receive(
                &format!("{kind}: receive {size} {}", name(left)),
                &mut packet,
                from,
                size,
                left,
            )?;
        }
    }
    Ok(())
}

fn name(offload: Offload) -> &'static str {
    match offload {
        Offload::None => "",
        Offload::Checksum => "(checksum left)",
        Offload::Segments(_) => "(segments left)",
    }
}

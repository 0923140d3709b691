//! A capability the manifest calls optional, and that nobody granted, is there and says no; the app goes on.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::{Family, TcpListener, TcpStream, UdpSocket, resolve, resolve_for_udp};
use probes::{ANY_PORT, Outcome, failure};

async fn run() -> Outcome {
    let loopback = "127.0.0.1:7";
    failure(
        TcpStream::connect(loopback).await,
        ErrorCode::Denied,
        "tcp connect",
    )?;
    failure(resolve("example.com").await, ErrorCode::Denied, "resolve")?;
    failure(
        TcpListener::bind(ANY_PORT).await,
        ErrorCode::Denied,
        "tcp listen",
    )?;
    failure(
        UdpSocket::connect(loopback).await,
        ErrorCode::Denied,
        "udp connect",
    )?;
    failure(
        UdpSocket::open(Family::Ipv4).await,
        ErrorCode::Denied,
        "udp open",
    )?;
    failure(
        resolve_for_udp("example.com").await,
        ErrorCode::Denied,
        "resolve for udp",
    )?;
    failure(
        UdpSocket::bind(ANY_PORT).await,
        ErrorCode::Denied,
        "udp bind",
    )?;
    println!("still running");
    Ok(())
}

nexus_sdk::main!(run);
